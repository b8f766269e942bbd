package openapi

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/danielgtaylor/huma/v2/negotiation"
	"github.com/swaggest/swgui/v5/static"

	"github.com/petal-ml/petal/internal/httpapi/problem"
	"github.com/petal-ml/petal/internal/httpapi/web"
)

const pagePath = "/docs"

// docsPage loads Swagger UI from this server, and nothing from elsewhere. The
// script stands in a file of its own, so that no inline script need be allowed.
const docsPage = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Petal</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" type="image/png" href="docs/favicon-32x32.png" sizes="32x32">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
`

const docsScript = `window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  defaultModelsExpandDepth: 0,
  presets: [SwaggerUIBundle.presets.apis],
});
`

// docsPolicy lets the page load from here only. Swagger UI sets styles inline
// and has its icons in data URLs.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// An asset is a file of the page.
type asset struct {
	mediaType, cache string
	plain            []byte
	gzipped          []byte // nil: it is served plain to all
}

// assets are the files by name; "" is the page itself. What comes from Swagger UI
// changes with its version, and is kept for an hour.
var assets = sync.OnceValue(func() map[string]asset {
	all := map[string]asset{
		"":         {mediaType: "text/html; charset=utf-8", cache: "no-cache", plain: []byte(docsPage)},
		"start.js": {mediaType: "text/javascript; charset=utf-8", cache: "no-cache", plain: []byte(docsScript)},
	}
	for name, mediaType := range map[string]string{
		"swagger-ui.css": "text/css; charset=utf-8", "swagger-ui-bundle.js": "text/javascript; charset=utf-8", "favicon-32x32.png": "image/png",
	} {
		a := asset{mediaType: mediaType, cache: "public, max-age=3600"}
		var err error
		if a.gzipped, err = static.FS.ReadFile(name + ".gz"); err == nil {
			a.plain, err = unzip(a.gzipped)
		} else {
			a.plain, err = static.FS.ReadFile(name)
		}
		if err != nil { // it is part of the program
			panic("httpapi: the documentation page: " + err.Error())
		}
		all[name] = a
	}
	return all
})

func unzip(data []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// docs serves the page and its files.
func docs(w http.ResponseWriter, r *http.Request) error {
	a, known := assets()[web.PathParam(r, "*")]
	if !known {
		return problem.NotFound
	}
	h := w.Header()
	h.Set("Content-Security-Policy", docsPolicy)
	h.Set("Cache-Control", a.cache)
	body := a.plain
	if a.gzipped != nil {
		h.Set("Vary", "Accept-Encoding")
		if takesGzip(r) {
			h.Set("Content-Encoding", "gzip")
			body = a.gzipped
		}
	}
	serve(w, r, a.mediaType, body)
	return nil
}

// slash sends those who put a slash behind the page's path to the page, wherever
// the prefix of a proxy has it.
func slash(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Location", ".."+pagePath)
	w.WriteHeader(http.StatusPermanentRedirect)
	return nil
}

// takesGzip says whether the client prefers a body that is compressed.
func takesGzip(r *http.Request) bool {
	accepted := strings.ToLower(strings.Join(r.Header.Values("Accept-Encoding"), ","))
	return negotiation.SelectQValue(accepted, []string{"identity", "gzip"}) == "gzip"
}

// serve answers with bytes that a client may have already (RFC 9110 §13).
func serve(w http.ResponseWriter, r *http.Request, mediaType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("ETag", fmt.Sprintf(`"%x"`, xxhash.Sum64(body)))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}
