package api

import (
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/serving/servingtest"
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

func TestMemoryLimit(t *testing.T) {
	for _, row := range []struct {
		name, content string
		want          int64
	}{
		{"a limit", "104857600\n", 94371840},
		{"none", "max\n", 0},
		{"none in the old way", "9223372036854771712\n", 0},
		{"nonsense", "x", 0},
		{"too small to help", "1000", 0},
	} {
		assert.Equal(t, row.want, memoryLimit([]byte(row.content)), row.name)
	}
}

func TestCollectLater(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	collectLater(&Process{Environ: []string{"GOGC=50"}})
	assert.Equal(t, 100, debug.SetGCPercent(100), "GOGC has the last word")
	collectLater(&Process{})
	assert.Equal(t, gcPercent, debug.SetGCPercent(100))
}
