package httpapi_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
)

// The log at debug level takes every request the long way. Both ways give the
// same bytes, to good requests and bad ones.
func TestBothPathsAgree(t *testing.T) {
	fast := newFixture(t)
	strict := newFixture(t, func(c *config, _ *http.Server) {
		c.Log = slog.New(slog.NewTextHandler(new(testenv.Buffer), &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	id := regexp.MustCompile(`"request_id":"[^"]*"`)
	for _, body := range []string{
		`{"features":[5.1,3.5,1.4,0.2]}`, ` { "features" : [ -0 , 7 , 1.5 , 2 ] } `, `{"features":[5.1,3.5,1.4]}`, `{"features":[1,2,3,4,5]}`,
		`{"features":[999999999999999,999999999999999,-999999999999999,1]}`, `{"features":[1e2,1,1,1]}`, `{"features":[3e38,3e38,-3e38,-3e38]}`,
		`{"features":[1,2,3,null]}`, `{"features":[1,2,3,01]}`, `{"features":[]}`, `{`, ``, `{"features":[1,2,3,4]}{}`, `{"instances":[[1,2,3,4]]}`,
		`{"features":{"sepal_length":1,"sepal_width":1,"petal_length":1,"petal_width":1}}`, "{\"features\":[1,2,3,4]}\x00",
		`{"features":[1,2,3,4]` + strings.Repeat(" ", 3000) + `}`, `{"features":[1,2,3,4]` + strings.Repeat(" ", 5000) + `}`,
	} {
		a, b := fast.predict(t, body), strict.predict(t, body)
		require.Equal(t, b.status, a.status, body)
		require.Equal(t, id.ReplaceAllString(b.body, ""), id.ReplaceAllString(a.body, ""), body)
		for name := range b.header {
			assert.NotEmpty(t, a.header.Get(name), "%s: %s", body, name)
		}
		require.Len(t, a.header, len(b.header), body)
	}
	counted := func(f *fixture) (lines []string) {
		for line := range strings.SplitSeq(f.do(t, http.MethodGet, "/metrics", "").body, "\n") {
			if strings.HasPrefix(line, "http_requests_total") || strings.HasPrefix(line, "model_rejected") || strings.HasPrefix(line, "auth_denied") {
				if !strings.Contains(line, "/metrics") {
					lines = append(lines, line)
				}
			}
		}
		return lines
	}
	assert.Equal(t, counted(strict), counted(fast), "both count the same")
}

// FuzzBothPaths gives the same request to a handler that takes the fast path
// where it can and to one that takes the strict path for all: the answers differ
// in nothing but the request's name.
func FuzzBothPaths(f *testing.F) {
	fast := newFixture(f)
	strict := newFixture(f, func(c *config, _ *http.Server) {
		c.Log = slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug})) //nolint:sloglint // it is asked for the level
	})
	const plain = "application/json"
	for _, body := range []string{
		`{"features":[5.1,3.5,1.4,0.2]}`, ` { "features" : [ -0 , 7 , 1.5 , 2 ] } `, `{"features":[5.1,3.5,1.4]}`, `{"features":[3e38,3e38,-3e38,-3e38]}`,
		`{"features":[999999999999999,999999999999999,-999999999999999,1]}`, `{"features":[1,2,3,null]}`, `{"instances":[[1,2,3,4]]}`, `{"features":[1,2,3,4]}x`,
		`{"features":{"sepal_length":1,"sepal_width":1,"petal_length":1,"petal_width":1}}`, `{"features":[0.30000000000000004,1,1,1]}`,
	} {
		f.Add([]byte(body), plain, "", "Bearer")
	}
	f.Add([]byte(`{"features":[1,2,3,4]}`), plain+"; charset=utf-8", "top_k=1", "bearer")
	f.Add([]byte(`{"features":[1,2,3,4]}`), "text/plain", "access_token=1", "Bearer ")
	name := regexp.MustCompile(`"request_id":"[^"]*"`)
	ask := func(x *fixture, body []byte, contentType, query, scheme string) (status int, header http.Header, answer string) {
		r := httptest.NewRequest(http.MethodPost, "/predict", bytes.NewReader(body))
		r.URL.RawQuery = query
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("Authorization", scheme+" "+x.token)
		w := httptest.NewRecorder()
		x.Config.Handler.ServeHTTP(w, r)
		w.Header().Del("X-Request-Id")
		w.Header().Del("Content-Length") // net/http adds what is missing
		return w.Code, w.Header(), name.ReplaceAllString(w.Body.String(), "")
	}
	f.Fuzz(func(t *testing.T, body []byte, contentType, query, scheme string) {
		status, header, answer := ask(fast, body, contentType, query, scheme)
		wantStatus, wantHeader, want := ask(strict, body, contentType, query, scheme)
		require.Equal(t, wantStatus, status)
		require.Equal(t, want, answer)
		require.Equal(t, wantHeader, header)
		require.Less(t, status, 500)
	})
}

// Every way of writing that a body is JSON in UTF-8 is understood.
func TestContentTypes(t *testing.T) {
	f := newFixture(t)
	const tensors = `{"inputs":[{"name":"features","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}]}`
	ask := func(path, body string, types ...string) int {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+f.token)
		r.Header["Content-Type"] = types
		w := httptest.NewRecorder()
		f.handler.ServeHTTP(w, r)
		return w.Code
	}
	bodies := map[string]string{"/predict": setosaRow, "/invocations": `{"instances":[[1,2,3,4]]}`, "/v2/models/iris/infer": tensors}
	for _, types := range []string{
		"application/json", "application/json; charset=utf-8", "application/json;charset=UTF8", `application/json; charset="utf8"`,
		"Application/JSON", "application/json;", "application/json; profile=x; charset=Utf-8",
	} {
		for path, body := range bodies {
			assert.Equal(t, 200, ask(path, body, types), "%s: %s", path, types)
		}
	}
	assert.Equal(t, 200, ask("/invocations", "sepal_length,sepal_width,petal_length,petal_width\n1,2,3,4\n", "text/csv; charset=utf8"))
	for _, types := range [][]string{nil, {""}} {
		assert.Equal(t, 200, ask("/v2/models/iris/infer", tensors, types...), "clients of Triton send none")
		assert.Equal(t, 415, ask("/predict", setosaRow, types...))
		assert.Equal(t, 415, ask("/invocations", bodies["/invocations"], types...))
	}
	for _, types := range [][]string{{"application/json; charset=latin1"}, {"application/json", "application/json"}, {"text/html"}, {"application/json; charset=utf-16"}} {
		for path, body := range bodies {
			assert.Equal(t, 415, ask(path, body, types...), "%s: %s", path, types)
		}
	}
}
