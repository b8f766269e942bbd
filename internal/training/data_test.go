package training

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/dvc"
)

// TestDataThatChange: what is read must be what was hashed.
func TestDataThatChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data.csv")
	require.NoError(t, os.WriteFile(path, []byte("a,y\n1,x\n2,z\n"), 0o600))
	found, err := locate(t.Context(), path, dvc.Options{})
	require.NoError(t, err)
	params := Params{Label: "y"}
	d, err := found.read(t.Context(), params, false)
	require.NoError(t, err)
	require.Equal(t, found.md5, d.MD5)

	require.NoError(t, os.WriteFile(path, []byte("a,y\n1,z\n2,x\n"), 0o600))
	require.NoError(t, os.Chtimes(path, time.Time{}, time.Now().Add(time.Second)))
	_, err = found.read(t.Context(), params, false)
	require.EqualError(t, err, path+": changed while it was read; train again once nobody writes to it")
}
