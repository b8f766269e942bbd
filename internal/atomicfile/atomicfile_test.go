package atomicfile_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/atomicfile"
)

func TestWriteReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	for _, content := range []string{"first and long", "second"} {
		require.NoError(t, atomicfile.Write(path, []byte(content), 0o600))
		requireFile(t, path, content, 0o600)
	}
	requireAlone(t, path)
}

func TestWriteNewNeverReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	var first atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			err := atomicfile.WriteNew(path, []byte(strconv.Itoa(i)), 0o600)
			if err == nil {
				first.Add(1)
			} else {
				assert.ErrorIs(t, err, fs.ErrExist)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, first.Load(), "one of them wins")
	requireAlone(t, path)
}

// Until a file is committed its place is as it was; a reader of it is never
// given a part.
func TestNothingShowsBeforeTheCommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data.csv")
	require.NoError(t, atomicfile.Write(path, []byte("old"), 0o644))
	f, err := atomicfile.Create(path, 0o444)
	require.NoError(t, err)
	_, err = f.WriteString("new")
	require.NoError(t, err)
	requireFile(t, path, "old", 0o644)
	require.True(t, atomicfile.IsTemporary(filepath.Base(f.Name())))
	require.False(t, atomicfile.IsTemporary("data.csv"))
	require.NoError(t, f.Commit())
	f.Discard()
	requireFile(t, path, "new", 0o444)

	f, err = atomicfile.Create(path, 0o644)
	require.NoError(t, err)
	f.Discard()
	requireFile(t, path, "new", 0o444)
	requireAlone(t, path)
}

func TestFailuresLeaveNothing(t *testing.T) {
	dir := t.TempDir()
	taken := filepath.Join(dir, "taken")
	require.NoError(t, os.MkdirAll(filepath.Join(taken, "sub"), 0o750))
	require.Error(t, atomicfile.Write(taken, nil, 0o600))
	require.Error(t, atomicfile.WriteNew(taken, nil, 0o600))
	require.Error(t, atomicfile.WriteDir(taken, map[string][]byte{"a": nil}, 0o600))
	require.Error(t, atomicfile.WriteDir(filepath.Join(dir, "new"), map[string][]byte{"a": nil, "a/b": nil}, 0o600))
	require.ErrorIs(t, atomicfile.Write(filepath.Join(dir, "none", "a"), nil, 0o600), fs.ErrNotExist)
	requireAlone(t, taken)
}

func TestWriteDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	umask := syscall.Umask(0o022)
	defer syscall.Umask(umask)
	require.NoError(t, atomicfile.WriteDir(dir, map[string][]byte{"MLmodel": []byte("a"), "data/deep/model.onnx": []byte("b")}, 0o644))
	requireFile(t, filepath.Join(dir, "MLmodel"), "a", 0o644)
	requireFile(t, filepath.Join(dir, "data", "deep", "model.onnx"), "b", 0o644)
	for _, folder := range []string{dir, filepath.Join(dir, "data"), filepath.Join(dir, "data", "deep")} {
		info, err := os.Stat(folder)
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o755), info.Mode().Perm())
	}
	requireAlone(t, dir)

	closed := dir + "-closed"
	require.NoError(t, atomicfile.WriteDir(closed, map[string][]byte{"a": nil}, 0o600))
	info, err := os.Stat(closed)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o700), info.Mode().Perm())
}

func requireFile(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, content, string(got))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, mode, info.Mode().Perm())
}

// requireAlone shows that nothing else stands beside path.
func requireAlone(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, filepath.Base(path), entries[0].Name())
}
