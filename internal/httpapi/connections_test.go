package httpapi_test

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/httpapi"
)

// limited serves a handler to so many connections.
func limited(t *testing.T, h http.Handler, limit int) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	server.Config = httpapi.NewServer(h, timeouts, true, slog.New(slog.DiscardHandler))
	server.Listener = httpapi.LimitConnections(server.Listener, server.Config, limit)
	server.Start()
	t.Cleanup(server.Close)
	return server
}

// A client holds one connection.
type client struct {
	net.Conn
	*bufio.Reader
}

func dial(t *testing.T, server *httptest.Server) client {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return client{conn, bufio.NewReader(conn)}
}

func (c client) send(t *testing.T, path string) {
	t.Helper()
	_, err := io.WriteString(c.Conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
}

func (c client) status(t *testing.T) int {
	t.Helper()
	resp, err := http.ReadResponse(c.Reader, nil)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	return resp.StatusCode
}

// Those who wait for nothing make room for those who ask, the oldest first; those
// who have a request are left alone.
func TestConnectionsAreLimited(t *testing.T) {
	hold, held := make(chan struct{}), make(chan struct{}, 8)
	server := limited(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			held <- struct{}{}
			<-hold
		}
	}), 3)
	busy := dial(t, server)
	busy.send(t, "/hold")
	<-held
	silent, kept := dial(t, server), dial(t, server)
	kept.send(t, "/")
	require.Equal(t, 200, kept.status(t))

	next := dial(t, server)
	next.send(t, "/")
	require.Equal(t, 200, next.status(t))
	_, err := silent.ReadByte()
	require.ErrorIs(t, err, io.EOF, "it never asked, and came first")
	kept.send(t, "/")
	require.Equal(t, 200, kept.status(t), "it asked after it")

	// With all busy, a new one waits.
	for _, c := range []client{kept, next} {
		c.send(t, "/hold")
		<-held
	}
	last := dial(t, server)
	last.send(t, "/")
	close(hold)
	require.Equal(t, 200, last.status(t))
	for _, c := range []client{busy, kept, next} {
		if resp, err := http.ReadResponse(c.Reader, nil); err == nil {
			assert.Equal(t, 200, resp.StatusCode)
			_ = resp.Body.Close()
		}
	}
}

// What is no request is answered as everything else is.
func TestAnswersToWhatIsNoRequest(t *testing.T) {
	f := newFixture(t)
	server := limited(t, f.handler, 10)
	secure := httptest.NewUnstartedServer(nil)
	secure.Config = httpapi.NewServer(f.handler, timeouts, true, slog.New(slog.DiscardHandler))
	secure.Listener = httpapi.LimitConnections(secure.Listener, secure.Config, 10)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	for name, row := range map[string]struct {
		server  *httptest.Server
		request string
		status  int
	}{
		"no host":               {server, "GET / HTTP/1.1\r\n\r\n", 400},
		"no request":            {server, "hello, is anybody there?\r\n\r\n", 400},
		"a header with a space": {server, "GET / HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n", 400},
		"two lengths":           {server, "POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
		"another version":       {server, "GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505},
		"an expectation":        {server, "GET / HTTP/1.1\r\nHost: x\r\nExpect: wonders\r\n\r\n", 417},
		"large headers":         {server, "GET / HTTP/1.1\r\nHost: x\r\nA: " + string(make([]byte, 40<<10)), 431},
		"another transfer":      {server, "POST /token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
		"plain text to TLS":     {secure, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, row.server)
			_, _ = io.WriteString(c.Conn, row.request) // it may be answered before it was sent
			resp, err := http.ReadResponse(c.Reader, nil)
			require.NoError(t, err)
			defer func() { _ = resp.Body.Close() }()
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			requireProblem(t, answer{resp.StatusCode, resp.Header, string(body), resp.Close}, row.status)
			assert.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"))
			assert.True(t, resp.Close)
		})
	}
}
