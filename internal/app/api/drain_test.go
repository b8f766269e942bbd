package api

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv/servingtest"
)

// Clients that keep their connections lose no request when the API stops: each
// connection ends with an answer that says so.
func TestStopLosesNoRequest(t *testing.T) {
	p := newProject(t)
	p.promote(t, servingtest.Iris(t))
	s := p.ready(t)
	_, token := login(t, s, "student", p.initialPassword(t))
	var answered, lost atomic.Int64
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			for {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.Address().String()+"/predict", strings.NewReader(setosa))
				if err != nil {
					lost.Add(1)
					return
				}
				req.GetBody = nil // so that the client does not send it a second time by itself
				req.Header.Set("Content-Type", "application/json")
				req.Header.Set("Authorization", "Bearer "+token)
				resp, err := client.Do(req)
				if err != nil || resp.StatusCode != http.StatusOK {
					lost.Add(1)
					return
				}
				_ = resp.Body.Close()
				answered.Add(1)
				if resp.Close {
					return // as a balancer does that sees the end
				}
			}
		})
	}
	require.Eventually(t, func() bool { return answered.Load() > 200 }, 10*time.Second, time.Millisecond)
	require.NoError(t, s.Stop())
	clients.Wait()
	assert.Zero(t, lost.Load())
}

// After the signal the API answers for DRAIN_MIN at least, and says meanwhile that
// it is not ready.
func TestDrainMin(t *testing.T) {
	p := newProject(t, "DRAIN_MIN=3s")
	p.promote(t, servingtest.Iris(t))
	s := p.ready(t)
	asked, over := make(chan time.Duration, 1), make(chan time.Time)
	s.after = func(d time.Duration) <-chan time.Time {
		asked <- d
		return over
	}
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop() }()
	require.Equal(t, 3*time.Second, <-asked)
	for path, status := range map[string]int{"/ready": 503, "/ping": 503, "/v2/health/ready": 503, "/health": 200, "/v2/health/live": 200} {
		resp, err := (&http.Client{Transport: &http.Transport{}}).Get("http://" + s.Address().String() + path)
		require.NoError(t, err, "new connections are answered")
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, status, resp.StatusCode, path)
	}
	require.Empty(t, stopped)
	close(over)
	require.NoError(t, <-stopped)
}
