package httpapi_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/tests/testenv/servingtest"
)

// seen notes the addresses that logins come from.
type seen struct{ addresses []netip.Addr }

func (s *seen) Authenticate(_ context.Context, _, _ string, from netip.Addr) (account.User, error) {
	s.addresses = append(s.addresses, from)
	return account.User{}, account.ErrCredentials
}

// Somebody stands for every login, however the proxies write it.
func TestClientAddress(t *testing.T) {
	logins := new(seen)
	f := newFixture(t, func(c *config, _ *http.Server) {
		c.Accounts = logins
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	})
	for _, row := range []struct {
		headers []string
		want    string
	}{
		{nil, "127.0.0.1"},
		{[]string{"203.0.113.7"}, "203.0.113.7"},
		{[]string{"203.0.113.8:51234"}, "203.0.113.8"},
		{[]string{"[2001:db8::1]:443"}, "2001:db8::1"},
		{[]string{"[2001:db8::2]"}, "2001:db8::2"},
		{[]string{"2001:db8::3"}, "2001:db8::3"},
		{[]string{"fe80::1%eth0"}, "fe80::1"},
		{[]string{`"[2001:db8::4]:443"`}, "2001:db8::4"},
		{[]string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		{[]string{"[::ffff:203.0.113.9]:80"}, "203.0.113.9"},
		{[]string{"unknown"}, "127.0.0.1"},
		{[]string{""}, "127.0.0.1"},
		{[]string{"_hidden", "unknown, 10.0.0.5"}, "10.0.0.5"},
		{[]string{"203.0.113.7, unknown"}, "127.0.0.1"},
		{[]string{"198.51.100.1, 203.0.113.7, 10.1.2.3:9999"}, "203.0.113.7"},
		{[]string{"198.51.100.1", "203.0.113.7 ,", "10.1.2.3"}, "203.0.113.7"},
		{[]string{"10.0.0.9"}, "10.0.0.9"},
		{[]string{"203.0.113.7:"}, "127.0.0.1"},
		{[]string{"203.0.113.256"}, "127.0.0.1"},
	} {
		headers := []string{"Content-Type", "application/x-www-form-urlencoded"}
		for _, h := range row.headers {
			headers = append(headers, "X-Forwarded-For", h)
		}
		f.do(t, http.MethodPost, "/token", form("username", "x", "password", "y"), headers...)
		assert.Equal(t, row.want, logins.addresses[len(logins.addresses)-1].String(), "%q", row.headers)
	}

	logins = new(seen)
	f = newFixture(t, func(c *config, _ *http.Server) { c.Accounts = logins })
	f.do(t, http.MethodPost, "/token", form("username", "x", "password", "y"),
		"Content-Type", "application/x-www-form-urlencoded", "X-Forwarded-For", "203.0.113.7")
	assert.Equal(t, "127.0.0.1", logins.addresses[0].String(), "no proxy is trusted")
}

// All spellings of a URL mean the same.
func TestEncodedPaths(t *testing.T) {
	f := newFixture(t)
	f.models.Store(loadNamed(t, servingtest.Iris(t), "iris@prod+1 100%", "3"))
	const quoted = "iris%40prod%2B1%20100%25"
	for _, path := range []string{
		"/v2/models/" + quoted, "/v2/models/" + quoted + "/ready", "/%76%32/models/" + quoted + "/versions/%33",
		"/v2/models/iris@prod+1%20100%25/versions/3/ready", "/v2/%6dodels/%69ris%40prod%2b1%20100%25",
		"/%6dodel-info", "/%72eady", "/docs/%73wagger-ui.css", "/%64ocs/swagger-ui.css",
	} {
		a := f.do(t, http.MethodGet, path, "", "Authorization", "Bearer "+f.token)
		assert.Equal(t, 200, a.status, "%s: %s", path, a.body)
	}
	for _, body := range []string{setosaRow, `{"instances":[[1,2,3,4]]}`} {
		a := f.do(t, http.MethodPost, "/%70redict", body, "Authorization", "Bearer "+f.token, "Content-Type", "application/json")
		assert.Equal(t, 200, a.status, a.body)
	}
	for _, path := range []string{"/v2%2Fhealth/live", "/v2/models/%2e%2e/ready", "/v2/models/iris%252540prod", "/docs/..%2fdocs", "/predict%2F", "/%00"} {
		a := f.do(t, http.MethodGet, path, "", "Authorization", "Bearer "+f.token)
		assert.Equal(t, 404, a.status, "%s: %s", path, a.body)
	}
	assert.Equal(t, []string{"POST"}, f.do(t, http.MethodGet, "/%70redict", "").header.Values("Allow"))
	assert.Contains(t, f.do(t, http.MethodGet, "/%762/nowhere", "").body, `{"error":`, "the dialect of the folder")
}

// Behind a prefix the specification says where the API is.
func TestPrefix(t *testing.T) {
	type document struct {
		Servers    []struct{ URL string }
		Components struct {
			SecuritySchemes struct {
				OAuth2 struct {
					Flows struct{ Password struct{ TokenURL string } }
				}
			}
		}
	}
	read := func(f *fixture, headers ...string) (server, token string) {
		var doc document
		require.NoError(t, json.Unmarshal([]byte(f.do(t, http.MethodGet, "/openapi.json", "", headers...).body), &doc))
		if len(doc.Servers) > 0 {
			server = doc.Servers[0].URL
		}
		return server, doc.Components.SecuritySchemes.OAuth2.Flows.Password.TokenURL
	}
	f := newFixture(t, func(c *config, _ *http.Server) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	for header, want := range map[string]string{
		"": "", "/petal": "/petal", "/petal/": "/petal", "/a, /b/": "/a/b", "/": "",
		"//evil.example": "", "/x y": "", "petal": "", `/"`: "", "/é": "", "/a//b": "", "https://evil.example": "",
	} {
		server, token := read(f, "X-Forwarded-Prefix", header)
		assert.Equal(t, want, server, header)
		assert.Equal(t, want+"/token", token, header)
	}
	assert.Contains(t, f.do(t, http.MethodGet, "/openapi.yaml", "", "X-Forwarded-Prefix", "/petal").body, "/petal/token")
	assert.Contains(t, f.do(t, http.MethodGet, "/", "", "X-Forwarded-Prefix", "/petal").body, `"/petal/predict"`)

	f = newFixture(t, func(c *config, _ *http.Server) { c.RootPath = "/petal" })
	server, token := read(f, "X-Forwarded-Prefix", "/evil")
	assert.Equal(t, "/petal", server)
	assert.Equal(t, "/petal/token", token)
	for _, path := range []string{"/docs", "/petal/docs", "/petal/docs/start.js", "/petal/docs/swagger-ui.css", "/petal/", "/petal", "/petal/v2/health/live", "/%70etal/ready"} {
		assert.Equal(t, 200, f.do(t, http.MethodGet, path, "").status, path)
	}
	for _, body := range []string{setosaRow, `{"instances":[[1,2,3,4]]}`} {
		a := f.do(t, http.MethodPost, "/petal/predict", body, "Authorization", "Bearer "+f.token, "Content-Type", "application/json")
		assert.Equal(t, 200, a.status, a.body)
	}
	assert.Equal(t, 404, f.do(t, http.MethodGet, "/petalready", "").status)
	for _, path := range []string{"/docs/", "/petal/docs/"} {
		a := f.do(t, http.MethodGet, path, "")
		assert.Equal(t, 200, a.status, "after the redirect of %s", path)
		assert.Contains(t, a.body, "swagger-ui", path)
	}
}
