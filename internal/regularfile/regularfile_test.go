package regularfile

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, os.WriteFile(path("file"), []byte("1234"), 0o600))
	require.NoError(t, os.Symlink("file", path("link")))
	require.NoError(t, os.Mkdir(path("folder"), 0o700))
	require.NoError(t, syscall.Mkfifo(path("pipe"), 0o600))
	require.NoError(t, os.Symlink("/dev/zero", path("device")))
	require.NoError(t, os.Symlink(path("file"), path("out")))
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer root.Close() //nolint:errcheck // only looked into

	for _, name := range []string{"file", "link"} {
		content, err := Read(path(name), 4)
		require.NoError(t, err)
		assert.Equal(t, "1234", string(content))
	}
	_, err = Read(path("file"), 3)
	require.ErrorIs(t, err, ErrTooLarge)
	var fault *fs.PathError
	require.ErrorAs(t, err, &fault)
	assert.Equal(t, path("file"), fault.Path)
	for _, name := range []string{"folder", "pipe", "device"} {
		_, err := Read(path(name), 1<<20)
		require.ErrorIs(t, err, ErrNotRegular)
		require.ErrorAs(t, err, &fault)
		assert.Equal(t, path(name), fault.Path)
	}
	_, err = Read(path("none"), 1)
	require.ErrorIs(t, err, fs.ErrNotExist)

	f, err := OpenIn(root, "link")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	for _, name := range []string{"folder", "pipe", "device", "out", "none"} {
		_, err := OpenIn(root, name)
		require.ErrorAs(t, err, &fault, name)
		assert.Equal(t, path(name), fault.Path)
	}
}
