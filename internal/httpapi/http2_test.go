package httpapi_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/petal-ml/petal/internal/httpapi"
)

// overHTTP2 serves the fixture over HTTP/2 and returns its URL, a client, and a
// count of the connections.
func (f *fixture) overHTTP2(t *testing.T, secure bool) (url string, client *http.Client, connections *atomic.Int64) {
	t.Helper()
	connections = new(atomic.Int64)
	server := httptest.NewUnstartedServer(nil)
	server.Config = httpapi.NewServer(f.handler, timeouts, true, slog.New(slog.DiscardHandler))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.EnableHTTP2 = true
	if secure {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	client = server.Client()
	if !secure {
		protocols := new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		client = &http.Client{Transport: &http.Transport{Protocols: protocols}}
		t.Cleanup(client.CloseIdleConnections)
	}
	return server.URL, client, connections
}

// A request that is refused before its body is read ends nothing but itself: all
// others on the connection are answered.
func TestHTTP2RefusalsStayOnTheirStream(t *testing.T) {
	f := newFixture(t)
	for name, refused := range map[string]struct {
		path, body, token string
		header            [2]string
		status            int
	}{
		"401":            {"/predict", setosaRow, "none", [2]string{}, 401},
		"401, large":     {"/invocations", strings.Repeat(" ", 1<<20), "none", [2]string{}, 401},
		"404":            {"/nowhere", setosaRow, "", [2]string{}, 404},
		"404, a model":   {"/v2/models/tulips/infer", setosaRow, "", [2]string{}, 404},
		"405":            {"/health", setosaRow, "", [2]string{}, 405},
		"413":            {"/predict", strings.Repeat(" ", 70_000), "", [2]string{}, 413},
		"413, a batch":   {"/invocations", strings.Repeat(" ", 3<<20), "", [2]string{}, 413},
		"415":            {"/predict", setosaRow, "", [2]string{"Content-Type", "text/plain"}, 415},
		"415, encoded":   {"/token", setosaRow, "", [2]string{"Content-Encoding", "gzip"}, 415},
		"422, the query": {"/predict?top_k=x", setosaRow, "", [2]string{}, 422},
	} {
		t.Run(name, func(t *testing.T) {
			url, client, connections := f.overHTTP2(t, true)
			ask := func(path, body, token string, header [2]string) (int, error) {
				// A body of no known length is sent while the answer comes.
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+path, io.NopCloser(strings.NewReader(body)))
				if err != nil {
					return 0, err
				}
				req.ContentLength = int64(len(body))
				req.Header.Set("Content-Type", "application/json")
				req.Header.Set("Authorization", "Bearer "+token)
				if header[0] != "" {
					req.Header.Set(header[0], header[1])
				}
				resp, err := client.Do(req)
				if err != nil {
					return 0, err
				}
				defer func() { _ = resp.Body.Close() }()
				if resp.ProtoMajor != 2 {
					return 0, errors.New(resp.Proto)
				}
				_, err = io.Copy(io.Discard, resp.Body)
				return resp.StatusCode, err
			}
			warm, err := ask("/predict", setosaRow, f.token, [2]string{})
			require.NoError(t, err)
			require.Equal(t, 200, warm)
			var answers [600]atomic.Int64
			for range 10 {
				var round errgroup.Group
				for i := range 11 {
					round.Go(func() error {
						path, body, token, header := "/predict", setosaRow, f.token, [2]string{}
						if i == 5 {
							path, body, header = refused.path, refused.body, refused.header
							if refused.token != "" {
								token = refused.token
							}
						}
						status, err := ask(path, body, token, header)
						answers[status].Add(1)
						return err
					})
				}
				require.NoError(t, round.Wait())
			}
			assert.EqualValues(t, 100, answers[200].Load())
			assert.EqualValues(t, 10, answers[refused.status].Load())
			assert.EqualValues(t, 1, connections.Load(), "connections")
		})
	}
}

// HTTP/2 without TLS is for those behind a proxy.
func TestHTTP2WithoutTLS(t *testing.T) {
	f := newFixture(t)
	url, client, connections := f.overHTTP2(t, false)
	for _, path := range []string{"/ready", "/nowhere", "/health"} {
		resp, err := client.Get(url + path)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, 2, resp.ProtoMajor)
	}
	assert.EqualValues(t, 1, connections.Load())
}

// Whoever never sends the body that was refused has the answer all the same.
func TestHTTP2AnswerBeforeTheBody(t *testing.T) {
	f := newFixture(t)
	url, client, _ := f.overHTTP2(t, true)
	body, sender := io.Pipe()
	defer func() { _ = sender.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/predict", body)
	require.NoError(t, err)
	req.ContentLength = 100
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	assert.Equal(t, 401, resp.StatusCode)
}
