package compose

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func killProcess(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) }

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
}

// fill writes a file until the file system is full: a tiny one, see testFullDisk.
func fill(t *testing.T, path string) {
	t.Helper()
	file, err := os.Create(path)
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	for _, size := range []int{64 << 10, 4 << 10, 1} {
		block := make([]byte, size)
		for range 1024 {
			if _, err = file.Write(block); err != nil {
				break
			}
		}
		require.ErrorIs(t, err, syscall.ENOSPC)
	}
}
