package httpapi_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a client has already is not sent again; compressed is what it takes so.
func TestDocsAssets(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{"/docs", "/docs/start.js", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/docs/favicon-32x32.png", "/openapi.json", "/openapi.yaml"} {
		plain := f.do(t, http.MethodGet, path, "", "Accept-Encoding", "identity")
		require.Equal(t, 200, plain.status)
		assert.Empty(t, plain.header.Get("Content-Encoding"))
		tag := plain.header.Get("ETag")
		assert.Regexp(t, `^"[^"]+"$`, tag)
		for _, match := range []string{tag, `"x", ` + tag, "W/" + tag, "*"} {
			a := f.do(t, http.MethodGet, path, "", "If-None-Match", match, "Accept-Encoding", "identity")
			assert.Equal(t, http.StatusNotModified, a.status, "%s: %s", path, match)
			assert.Empty(t, a.body)
			assert.Equal(t, tag, a.header.Get("ETag"))
			assert.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
		}
		assert.Equal(t, 200, f.do(t, http.MethodGet, path, "", "If-None-Match", `"other"`).status)
		head := f.do(t, http.MethodHead, path, "", "Accept-Encoding", "identity")
		assert.Equal(t, tag, head.header.Get("ETag"))
		assert.Empty(t, head.body)
	}
	plain := f.do(t, http.MethodGet, "/docs/swagger-ui.css", "", "Accept-Encoding", "identity")
	for accepted, compressed := range map[string]bool{
		"gzip": true, "GZIP": true, "gzip, deflate, br, zstd": true, "br;q=1.0, gzip;q=0.2": true, "deflate, gzip;q=1.0, *;q=0": true,
		"gzip;q=0": false, "gzip; q=0.0": false, "deflate": false, "gzip;q=0, *": false, "br, gzip;q=0, identity": false,
	} {
		a := f.do(t, http.MethodGet, "/docs/swagger-ui.css", "", "Accept-Encoding", accepted)
		assert.Equal(t, "Accept-Encoding", a.header.Get("Vary"))
		if !compressed {
			assert.Empty(t, a.header.Get("Content-Encoding"), accepted)
			assert.Equal(t, plain.body, a.body)
			continue
		}
		require.Equal(t, "gzip", a.header.Get("Content-Encoding"), accepted)
		assert.NotEqual(t, plain.header.Get("ETag"), a.header.Get("ETag"), "another representation")
		r, err := gzip.NewReader(bytes.NewReader([]byte(a.body)))
		require.NoError(t, err)
		content, err := io.ReadAll(r)
		require.NoError(t, err)
		assert.Equal(t, plain.body, string(content))
	}
	assert.Equal(t, 404, f.do(t, http.MethodGet, "/docs/swagger-ui.css.gz", "").status)
	assert.Equal(t, 404, f.do(t, http.MethodGet, "/docs/docs/", "").status)
}
