package generator_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/load/generator"
)

// serve answers GET /ready and POST /predict.
func serve(t *testing.T, predict http.HandlerFunc) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /predict", predict)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func load(t *testing.T, addresses ...string) generator.Load {
	t.Helper()
	return generator.Load{
		Servers: generator.Watch(t.Context(), addresses...), Request: generator.Request("/predict", []byte("{}"), "Content-Type: application/json"),
		Connections: 4, Duration: 300 * time.Millisecond, Want: []byte("good"),
	}
}

func TestLoadCountsWhatItGets(t *testing.T) {
	var n atomic.Int64
	l := load(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "application/json", r.Header.Get("Content-Type"))
		switch n.Add(1) {
		case 3:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
		case 5:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 7:
			panic(http.ErrAbortHandler)
		case 9:
			_, _ = w.Write([]byte("bad"))
		case 11:
			w.Header().Set("Connection", "close")
			fallthrough
		default:
			_, _ = w.Write([]byte("good"))
		}
	}))
	l.Rate = 200
	report := l.Run(t.Context())
	assert.Equal(t, int(n.Load())-4, report.Statuses[200], report)
	assert.Equal(t, 2, report.Statuses[503])
	assert.Equal(t, 1, report.NoRetryAfter)
	assert.Equal(t, 2, report.Failed, "one was cut off, one was wrong")
	assert.Equal(t, 4, report.Lost())
	require.Error(t, report.Failure)
	assert.InDelta(t, 60, n.Load(), 20, "200 a second for 0.3 s")
}

// A load that is due does not wait for a server that is slow: the time that
// requests lay counts.
func TestLoadIsOpen(t *testing.T) {
	l := load(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(20 * time.Millisecond)
		_, _ = w.Write([]byte("good"))
	}))
	l.Connections, l.Rate = 1, 1000
	report := l.Run(t.Context())
	assert.Zero(t, report.Lost(), report)
	assert.Greater(t, report.Unsent, 200)
	assert.Greater(t, report.FromDue.Quantile(.9), 5*report.FromSent.Quantile(.1))
}

// Of two servers one goes: the other takes what it had.
func TestServersShareTheLoad(t *testing.T) {
	var first, second atomic.Int64
	count := func(n *atomic.Int64) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			n.Add(1)
			w.Header().Set("Connection", "close")
			_, _ = w.Write([]byte("good"))
		}
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	address := strings.TrimPrefix(gone.URL, "http://")
	gone.Close()
	l := load(t, serve(t, count(&first)), serve(t, count(&second)), address)
	report := l.Run(t.Context())
	assert.Zero(t, report.Lost(), report)
	assert.InEpsilon(t, first.Load(), second.Load(), .2)

	l = load(t, address)
	l.Duration = time.Second
	report = l.Run(t.Context())
	assert.Zero(t, report.Statuses[200])
	assert.Positive(t, report.Failed, "nobody is there")
}
