package pyvenv_test

import (
	"os"
	"path/filepath"
	"strings"
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

func TestPythonWaitsForItsPreparation(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv(pyvenv.PythonVariable, "")
	_, err := pyvenv.Python()
	require.ErrorIs(t, err, pyvenv.ErrNotReady)
	locks, err := filepath.Glob(filepath.Join(cache, "petal", "venv-*.lock"))
	require.NoError(t, err)
	require.Len(t, locks, 1)
	unlock, err := pyvenv.Lock(locks[0]) // as a run that prepares it
	require.NoError(t, err)
	found := make(chan string, 1)
	go func() {
		python, _ := pyvenv.Python()
		found <- python
	}()
	dir := strings.TrimSuffix(locks[0], ".lock")
	require.NoError(t, os.Mkdir(dir, 0o700))
	time.Sleep(20 * time.Millisecond) // whoever does not wait finds nothing
	require.NoError(t, os.WriteFile(filepath.Join(dir, "petal-ready"), nil, 0o600))
	unlock()
	require.Equal(t, filepath.Join(dir, "bin", "python"), <-found)
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
