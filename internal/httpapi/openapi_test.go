package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"mime"
	"net/http"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/httpapi"
	"github.com/petal-ml/petal/internal/serving"
	"github.com/petal-ml/petal/internal/token"
	"github.com/petal-ml/petal/tests/testenv/servingtest"
)

// A specChecker holds every answer against the specification.
type specChecker struct {
	t    testing.TB
	spec *huma.OpenAPI
	next http.Handler
}

// checkSpec wraps the API: an answer with a status, a media type or a body that
// the specification does not know fails the test.
func checkSpec(t testing.TB, next http.Handler) http.Handler {
	return &specChecker{t, specification(), next}
}

// specification is read by all tests: making it takes longer than most of them.
var specification = sync.OnceValue(httpapi.SpecificationForTest)

func (c *specChecker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	copied := &tee{ResponseWriter: w}
	c.next.ServeHTTP(copied, r)
	op := c.operation(r.Method, r.URL.Path)
	if op == nil || strings.Contains(strings.ToLower(r.URL.RawPath), "%2f") { // a slash within a part of the path
		return
	}
	name := r.Method + " " + op.Path + " " + strconv.Itoa(copied.status)
	response := op.Responses[strconv.Itoa(copied.status)]
	if !assert.NotNil(c.t, response, "%s is not in the specification: %s", name, copied.body.String()) {
		return
	}
	if copied.status == http.StatusNotModified {
		assert.Zero(c.t, copied.body.Len(), name)
		return
	}
	got, _, err := mime.ParseMediaType(w.Header().Get("Content-Type"))
	if !assert.NoError(c.t, err, name) {
		return
	}
	media := response.Content[got]
	if !assert.NotNil(c.t, media, "%s: Content-Type %s is not in the specification", name, got) {
		return
	}
	if got == "application/json" || got == "application/problem+json" {
		var v any
		if assert.NoError(c.t, json.Unmarshal(copied.body.Bytes(), &v), name) {
			assert.Empty(c.t, faults(c.spec, media.Schema, huma.ModeReadFromServer, v), "%s: %s", name, copied.body.String())
		}
	}
}

func faults(spec *huma.OpenAPI, s *huma.Schema, mode huma.ValidateMode, v any) []error {
	var result huma.ValidateResult
	huma.Validate(spec.Components.Schemas, s, huma.NewPathBuffer(nil, 0), mode, v, &result)
	return result.Errors
}

// operation finds the operation of a path; nil where there is none.
func (c *specChecker) operation(method, requestPath string) *huma.Operation {
	for template, item := range c.spec.Paths {
		if ok, err := path.Match(wildcards(template), requestPath); err != nil || !ok {
			continue
		}
		switch method {
		case http.MethodGet:
			return item.Get
		case http.MethodPost:
			return item.Post
		}
	}
	return nil
}

// wildcards turns /a/{b} into /a/*.
func wildcards(template string) string {
	parts := strings.Split(template, "/")
	for i, p := range parts {
		if strings.HasPrefix(p, "{") {
			parts[i] = "*"
		}
	}
	return strings.Join(parts, "/")
}

// tee keeps what is written.
type tee struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (t *tee) WriteHeader(status int) {
	t.status = status
	t.ResponseWriter.WriteHeader(status)
}

func (t *tee) Write(p []byte) (int, error) {
	if t.status == 0 {
		t.status = http.StatusOK
	}
	t.body.Write(p)
	return t.ResponseWriter.Write(p)
}

func (t *tee) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// Every status that the specification lists is given.
func TestSpecificationPromisesNothingElse(t *testing.T) {
	spec := httpapi.SpecificationForTest()
	for template, item := range spec.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post} {
			if op == nil {
				continue
			}
			for _, code := range slices.Sorted(maps.Keys(op.Responses)) {
				t.Run(op.Method+" "+template+" "+code, func(t *testing.T) {
					require.Equal(t, code, strconv.Itoa(provoke(t, op, code)))
				})
			}
		}
	}
}

// provoke makes the API give a status, if it can.
func provoke(t *testing.T, op *huma.Operation, code string) int {
	t.Helper()
	f := newFixture(t, func(c *config, s *http.Server) {
		s.ReadTimeout, c.Timeouts.Read = 150*time.Millisecond, 150*time.Millisecond
		switch {
		case code == "500" && op.Path == "/token":
			c.Accounts = brokenAccounts{}
		case code == "500":
			c.predict.Models = brokenModels{}
		case code == "503" && op.Path == "/token":
			c.Accounts = busyAccounts{}
		}
	})
	if code == "503" {
		f.models.Store(nil)
	}
	target := strings.NewReplacer("{model}", "iris", "{version}", "3").Replace(op.Path)
	if code == "404" {
		target = strings.Replace(op.Path, "{model}", "tulips", 1)
		target = strings.Replace(target, "{version}", "3", 1)
	}
	contentType, body := validBody(op)
	bearer := "Authorization: Bearer " + f.token + "\r\n"
	scoped := len(op.Security) > 0
	declared := strconv.Itoa(len(body))
	switch code {
	case "400":
		body, declared = "{", "1"
		if scoped {
			target += "?access_token=x"
		}
	case "304":
		bearer = "If-None-Match: *\r\n"
	case "401":
		bearer = ""
	case "403":
		bearer = "Authorization: Bearer " + f.issue(t, token.Grant{Subject: testUser, Scopes: []string{account.ScopeAdmin}}) + "\r\n"
	case "408":
		declared = strconv.Itoa(len(body) + 1)
	case "413":
		declared = "999999999"
	case "415":
		contentType += "\r\nContent-Encoding: gzip"
	case "422":
		body, declared = "{}", "2"
	case "429":
		for i := range 11 {
			f.login(t, form("username", testUser, "password", "wrong-"+strconv.Itoa(i)))
		}
	}
	if !scoped && code != "304" {
		bearer = ""
	}
	request := op.Method + " " + target + " HTTP/1.1\r\nHost: x\r\n" + bearer
	if op.RequestBody != nil {
		request += "Content-Type: " + contentType + "\r\nContent-Length: " + declared + "\r\n"
	}
	return f.raw(t, request+"\r\n"+body).status
}

// validBody is an example of the specification.
func validBody(op *huma.Operation) (contentType, body string) {
	if op.RequestBody == nil {
		return "", ""
	}
	for contentType, media := range op.RequestBody.Content {
		if contentType == "application/x-www-form-urlencoded" {
			return contentType, form("username", testUser, "password", testPassword)
		}
		if contentType == "application/json" {
			example, err := json.Marshal(media.Example)
			if err != nil {
				panic(err)
			}
			return contentType, string(example)
		}
	}
	panic("no example for " + op.Path)
}

type brokenModels struct{}

func (brokenModels) Current() *serving.Live { panic("model on fire") }

type busyAccounts struct{}

func (busyAccounts) Authenticate(context.Context, string, string, netip.Addr) (account.User, error) {
	return account.User{}, account.ErrBusy
}

func TestSpecification(t *testing.T) {
	f := newFixture(t)
	a := f.do(t, http.MethodGet, "/openapi.json", "")
	require.Equal(t, 200, a.status, a.body)
	var spec map[string]any
	require.NoError(t, json.Unmarshal([]byte(a.body), &spec))
	assert.Equal(t, "3.1.0", spec["openapi"])
	y := f.do(t, http.MethodGet, "/openapi.yaml", "")
	require.Equal(t, 200, y.status)
	var fromYAML any
	require.NoError(t, yaml.Unmarshal([]byte(y.body), &fromYAML))
	again, err := json.Marshal(fromYAML)
	require.NoError(t, err)
	assert.JSONEq(t, a.body, string(again), "both spellings say the same")

	t.Run("every reference leads somewhere", func(t *testing.T) {
		components, ok := spec["components"].(map[string]any)
		require.True(t, ok)
		defined, ok := components["schemas"].(map[string]any)
		require.True(t, ok)
		references := regexp.MustCompile(`"\$ref":\s*"([^"]*)"`).FindAllStringSubmatch(a.body, -1)
		require.Greater(t, len(references), 10)
		for _, ref := range references {
			name, found := strings.CutPrefix(ref[1], "#/components/schemas/")
			require.True(t, found, ref[1])
			require.Contains(t, defined, name)
		}
	})
	t.Run("the schema tells good requests from bad", func(t *testing.T) {
		doc := httpapi.SpecificationForTest()
		media := doc.Paths["/predict"].Post.RequestBody.Content["application/json"]
		for _, row := range []struct {
			name, body string
			valid      bool
		}{
			{"one", `{"features":[1,2,3,4]}`, true},
			{"by name", `{"features":{"a":1}}`, true},
			{"many", `{"instances":[[1],{"a":null}]}`, true},
			{"both", `{"features":[1],"instances":[[1]]}`, false},
			{"text", `{"features":["1"]}`, false},
			{"null", `{"features":null}`, false},
			{"an unknown key", `{"features":[1],"x":1}`, false},
		} {
			var v any
			require.NoError(t, json.Unmarshal([]byte(row.body), &v))
			assert.Equal(t, row.valid, len(faults(doc, media.Schema, huma.ModeWriteToServer, v)) == 0, row.name)
		}
	})
	t.Run("the router knows nothing else", func(t *testing.T) {
		paths := httpapi.SpecificationForTest().Paths
		index := f.do(t, http.MethodGet, "/", "").body
		for p := range paths {
			assert.Contains(t, index, `"`+p+`"`)
		}
	})
	t.Run("the examples fit the model that serves", func(t *testing.T) {
		f.models.Store(load(t, servingtest.Constant(t, 1), "9"))
		assert.Contains(t, f.do(t, http.MethodGet, "/openapi.json", "").body, `"version":"9"`)
		f.models.Store(nil)
		assert.Equal(t, 200, f.do(t, http.MethodGet, "/openapi.json", "").status)
	})
}

func TestDocsNameNothingElsewhere(t *testing.T) {
	f := newFixture(t)
	a := f.do(t, http.MethodGet, "/docs", "")
	require.Equal(t, 200, a.status)
	assert.NotContains(t, a.body, "//", "a host is named")
	assert.Contains(t, a.header.Get("Content-Security-Policy"), "default-src 'none'")
	for _, asset := range []string{"swagger-ui.css", "swagger-ui-bundle.js", "start.js", "favicon-32x32.png"} {
		b := f.do(t, http.MethodGet, "/docs/"+asset, "")
		assert.Equal(t, 200, b.status, asset)
		assert.NotEmpty(t, b.body, asset)
	}
	requireProblem(t, f.do(t, http.MethodGet, "/docs/../metrics.txt", ""), 404)
	requireProblem(t, f.do(t, http.MethodGet, "/docs/zzz", ""), 404)
}
