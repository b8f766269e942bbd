package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAdmission(t *testing.T) {
	a := &admission{turns: make(chan struct{}, 1)}
	small, ok := a.enter(t.Context(), freeWork-1)
	require.True(t, ok)
	first, ok := a.enter(t.Context(), 10*maxWait)
	require.True(t, ok, "whatever it costs, the first one is let in")
	assert.True(t, a.full())
	_, ok = a.enter(t.Context(), time.Millisecond)
	require.False(t, ok, "too much is ahead of it")
	free, ok := a.enter(t.Context(), freeWork-1)
	require.True(t, ok, "little work is never refused")
	free()
	small()
	first()
	assert.Zero(t, a.pending.Load())

	first, ok = a.enter(t.Context(), time.Millisecond)
	require.True(t, ok)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, ok = a.enter(gone, time.Millisecond)
	require.False(t, ok, "a client that is gone does not wait")
	waited := make(chan bool)
	go func() {
		done, ok := a.enter(t.Context(), time.Millisecond)
		done()
		waited <- ok
	}()
	select {
	case <-waited:
		require.Fail(t, "two at once in one place")
	case <-time.After(20 * time.Millisecond):
	}
	first()
	assert.True(t, <-waited)
	assert.Zero(t, a.pending.Load())
}

func TestTrace(t *testing.T) {
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	for header, want := range map[string]string{
		"00-" + id + "-00f067aa0ba902b7-01": id,
		"":                                  "",
		"01-" + id + "-00f067aa0ba902b7-01": "",
		"00-" + id + "-00f067aa0ba902b7-0":  "",
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01":    "",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01":    "",
		"00-" + id[:31] + "\n-00f067aa0ba902b7-01":                   "",
		"00-" + id + "-00f067aa0ba902b7-01-what-a-later-version-has": "",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Traceparent", header)
		assert.Equal(t, want, traceOf(r), header)
	}
}
