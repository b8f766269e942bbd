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
