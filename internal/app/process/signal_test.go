package process

import (
	"bytes"
	"context"
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/settings"
)

func TestSignals(t *testing.T) {
	for signal, interrupted := range map[syscall.Signal]bool{syscall.SIGTERM: false, syscall.SIGINT: true} {
		ctx, stop := untilSignal(t.Context())
		require.NoError(t, syscall.Kill(os.Getpid(), signal))
		<-ctx.Done()
		require.ErrorIs(t, context.Cause(ctx), context.Canceled)
		assert.Equal(t, interrupted, IsInterrupted(ctx), signal)
		stop()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.False(t, IsInterrupted(ctx))
}

// A hangup reloads, and ends nothing.
func TestHangup(t *testing.T) {
	var stderr bytes.Buffer
	p := &Process{Stdout: new(bytes.Buffer), Stderr: &stderr}
	log := p.Logger(settings.Log{Level: settings.LogLevel(slog.LevelInfo)}, false)
	reloaded := make(chan struct{})
	p.OnHangup(t.Context(), func() {
		p.SetLogLevel(slog.LevelDebug)
		reloaded <- struct{}{}
	})
	log.Debug("before")
	for range 2 {
		require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGHUP))
		<-reloaded
	}
	log.Debug("after")
	assert.NotContains(t, stderr.String(), "before")
	assert.Contains(t, stderr.String(), "after")
}

func TestMaxConnections(t *testing.T) {
	before := debug.SetMemoryLimit(400 << 20)
	defer debug.SetMemoryLimit(before)
	small := MaxConnections()
	assert.LessOrEqual(t, small, 3200, "a quarter of the memory")
	assert.GreaterOrEqual(t, small, fewestConnections)
	debug.SetMemoryLimit(1 << 20)
	assert.Equal(t, fewestConnections, MaxConnections())
	debug.SetMemoryLimit(math.MaxInt64)
	assert.GreaterOrEqual(t, MaxConnections(), small)
}
