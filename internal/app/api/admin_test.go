package api

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
)

func TestProfilesOnTheirOwnPort(t *testing.T) {
	address := testenv.FreeAddress(t)
	p := newProject(t, "ADMIN_ADDRESS="+address)
	s := p.start(t)
	get := func(url, host string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		require.NoError(t, err)
		req.Host = host
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(body)
	}
	status, body := get("http://"+address+"/debug/pprof/goroutine?debug=1", "")
	require.Equal(t, http.StatusOK, status)
	assert.True(t, strings.HasPrefix(body, "goroutine profile:"), body)
	status, _ = get("http://"+address+"/debug/pprof/", "attacker.example")
	assert.Equal(t, http.StatusForbidden, status)
	status, _ = get("http://"+s.Address().String()+"/debug/pprof/", "")
	assert.Equal(t, http.StatusNotFound, status, "not on the API's own port")
}
