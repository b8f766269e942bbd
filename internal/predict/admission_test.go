package predict

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAdmission(t *testing.T) {
	a := &admission{turns: make(chan struct{}, 1)}
	small, err := a.enter(t.Context(), freeWork-1)
	require.NoError(t, err)
	first, err := a.enter(t.Context(), 10*maxWait)
	require.NoError(t, err, "whatever it costs, the first one is let in")
	assert.True(t, a.full())
	_, err = a.enter(t.Context(), time.Millisecond)
	require.ErrorIs(t, err, ErrOverloaded, "too much is ahead of it")
	free, err := a.enter(t.Context(), freeWork-1)
	require.NoError(t, err, "little work is never refused")
	free.end()
	small.end()
	first.end()
	assert.Zero(t, a.pending.Load())

	first, err = a.enter(t.Context(), time.Millisecond)
	require.NoError(t, err)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = a.enter(gone, time.Millisecond)
	require.ErrorIs(t, err, context.Canceled, "a client that is gone does not wait")
	waited := make(chan error, 1)
	go func() {
		turn, err := a.enter(t.Context(), time.Millisecond)
		turn.end()
		waited <- err
	}()
	time.Sleep(20 * time.Millisecond)
	require.Empty(t, waited, "two at once in one place")
	first.end()
	require.NoError(t, <-waited)
	assert.Zero(t, a.pending.Load())
}

func TestBudget(t *testing.T) {
	b := newBudget(10 << 20) // of which requests have 6 MiB
	one, two := Share{of: b}, Share{of: b}
	require.NoError(t, one.Take(4<<20))
	require.NoError(t, two.Take(freeMemory), "a little is never refused")
	require.ErrorIs(t, two.Take(3<<20), ErrOverloaded, "not enough is left")
	two.Release()
	require.ErrorIs(t, two.Take(7<<20), ErrTooLarge, "more than there is for all")
	require.NoError(t, two.Take(1<<20), "what was refused is not counted")
	one.Release()
	two.Release()
	assert.Zero(t, b.used.Load())

	body := one.Reader(strings.NewReader(strings.Repeat("x", 4<<20)))
	_, err := io.Copy(io.Discard, body)
	require.ErrorIs(t, err, ErrTooLarge, "a body counts twice, as buffers grow")
	one.Release()
	assert.Zero(t, b.used.Load())
	require.NoError(t, one.Reserve(1<<19), "a body's memory is held before it is read")
	require.ErrorIs(t, two.Take(4<<20), ErrOverloaded)
	two.Release()
	require.NoError(t, one.Take(3<<20), "and is there for it")
	assert.EqualValues(t, 3<<20-freeMemory, b.used.Load(), "it is counted once")
	one.Release()
	require.NoError(t, one.Reserve(1<<40), "whatever it declares, half is enough to begin with")
	one.Release()
	assert.Zero(t, b.used.Load())
	assert.EqualValues(t, defaultBudget, newBudget(0).limit)
}
