package atomicfile_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/atomicfile"
)

func TestLockIsWaitedForAndBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.lock")
	unlock, err := atomicfile.Lock(t.Context(), path, time.Second)
	require.NoError(t, err)
	for _, wait := range []time.Duration{0, 30 * time.Millisecond} {
		_, err = atomicfile.Lock(t.Context(), path, wait)
		require.ErrorIs(t, err, atomicfile.ErrLocked)
		require.ErrorContains(t, err, path)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = atomicfile.Lock(ctx, path, time.Minute)
	require.ErrorIs(t, err, context.Canceled)
	time.AfterFunc(30*time.Millisecond, unlock)
	again, err := atomicfile.Lock(t.Context(), path, 10*time.Second)
	require.NoError(t, err)
	again()
}
