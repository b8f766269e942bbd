package httpapi_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A server that is about to stop answers still, and says that it ends.
func TestDraining(t *testing.T) {
	draining := make(chan struct{})
	f := newFixture(t, func(c *config, _ *http.Server) { c.predict.Stopping = draining })
	require.False(t, f.predict(t, `{"features":[1,2,3,4]}`).closed)
	close(draining)
	for _, body := range []string{`{"features":[1,2,3,4]}`, `{"instances":[[1,2,3,4]]}`} {
		a := f.predict(t, body)
		assert.Equal(t, 200, a.status)
		assert.True(t, a.closed, "the connection ends with its answer")
	}
	requireProblem(t, f.do(t, http.MethodGet, "/ready", ""), 503)
	for _, path := range []string{"/ready", "/ping", "/v2/health/ready", "/v2/models/iris/ready", "/v2/models/iris/versions/3/ready"} {
		a := f.do(t, http.MethodGet, path, "", "Authorization", "Bearer "+f.token)
		assert.Equal(t, 503, a.status, path)
		assert.Equal(t, "2", a.header.Get("Retry-After"), path)
	}
	for _, path := range []string{"/health", "/v2/health/live", "/v2/models/iris", "/model-info"} {
		assert.Equal(t, 200, f.do(t, http.MethodGet, path, "", "Authorization", "Bearer "+f.token).status, path)
	}
}
