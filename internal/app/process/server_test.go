package process

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/settings"
	"github.com/petal-ml/petal/tests/testenv/golden"
)

func TestLocalURL(t *testing.T) {
	for address, want := range map[string]string{
		":8000":          "http://127.0.0.1:8000",
		"[::]:8000":      "http://[::1]:8000",
		"0.0.0.0:8000":   "http://127.0.0.1:8000",
		"127.0.0.1:8000": "http://127.0.0.1:8000",
		"[::1]:8000":     "http://[::1]:8000",
		"192.0.2.7:80":   "http://192.0.2.7:80",
		"example.org:80": "http://example.org:80",
	} {
		assert.Equal(t, want, localURL(address, false))
	}
	assert.Equal(t, "https://127.0.0.1:1", localURL(":1", true))
}

func TestListen(t *testing.T) {
	l, err := Listen(t.Context(), "127.0.0.1:0", "SOME_ADDRESS")
	require.NoError(t, err)
	_, err = Listen(t.Context(), settings.Address(l.Addr().String()), "SOME_ADDRESS")
	require.ErrorContains(t, err, "SOME_ADDRESS")
	messages := golden.New(t)
	messages.Add("in use", without(l.Addr().String(), err))
	require.NoError(t, l.Close())
	_, err = Listen(t.Context(), "192.0.2.7:0", "SOME_ADDRESS")
	require.ErrorContains(t, err, "SOME_ADDRESS")
	var cause *net.OpError
	require.ErrorAs(t, err, &cause)
	require.ErrorIs(t, err, syscall.EADDRNOTAVAIL)
	messages.Add("not of this machine", err)
}

func TestCheckHealth(t *testing.T) {
	status := http.StatusOK
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "/ready", r.URL.Path)
		w.WriteHeader(status)
	})
	plain, secure := httptest.NewServer(answer), httptest.NewTLSServer(answer)
	defer secure.Close()
	address := func(s *httptest.Server) settings.Address {
		return settings.Address(s.URL[strings.LastIndex(s.URL, "/")+1:])
	}
	require.NoError(t, CheckHealth(t.Context(), address(plain), false, "/ready"))
	require.NoError(t, CheckHealth(t.Context(), address(secure), true, "/ready"))
	status = http.StatusServiceUnavailable
	err := CheckHealth(t.Context(), address(plain), false, "/ready")
	require.ErrorContains(t, err, plain.URL+"/ready")
	messages := golden.New(t)
	messages.Add("not ready", without(string(address(plain)), err))
	plain.Close()
	err = CheckHealth(t.Context(), address(plain), false, "/ready")
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	messages.Add("stopped", without(string(address(plain)), err))
}

// without is err with a name in the place of an address that differs in each run.
func without(address string, err error) error {
	return errors.New(strings.ReplaceAll(err.Error(), address, "ADDRESS"))
}
