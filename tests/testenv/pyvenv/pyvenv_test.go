package pyvenv_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv/pyvenv"
)

func TestPythonBeforeBootstrap(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv(pyvenv.PythonVariable, "")
	_, err := pyvenv.Python()
	require.ErrorIs(t, err, pyvenv.ErrNotReady)
}

func TestPythonOfTheDeveloper(t *testing.T) {
	python := filepath.Join(t.TempDir(), "python")
	t.Setenv(pyvenv.PythonVariable, python)
	_, err := pyvenv.Python()
	require.ErrorContains(t, err, pyvenv.PythonVariable)
	require.NoError(t, os.WriteFile(python, nil, 0o700))
	got, err := pyvenv.Python()
	require.NoError(t, err)
	require.Equal(t, python, got)
}

func TestLockWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "below", "lock")
	unlock, err := pyvenv.Lock(path)
	require.NoError(t, err)
	second := make(chan func(), 1)
	go func() {
		unlock, err := pyvenv.Lock(path)
		if err == nil {
			second <- unlock
		}
		close(second)
	}()
	select {
	case <-second:
		t.Fatal("two hold the lock")
	case <-time.After(50 * time.Millisecond):
	}
	unlock()
	unlock, ok := <-second
	require.True(t, ok, "the second never got the lock")
	unlock()
}
