package training

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/dataset"
	"github.com/petal-ml/petal/internal/dvc"
	"github.com/petal-ml/petal/internal/registry"
	"github.com/petal-ml/petal/tests/testenv/golden"
)

// TestDataThatChange: what is read must be what was hashed.
func TestDataThatChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data.csv")
	require.NoError(t, os.WriteFile(path, []byte("a,y\n1,x\n2,z\n"), 0o600))
	found, err := locate(t.Context(), path, dvc.Options{})
	require.NoError(t, err)
	params := Params{Label: "y"}
	d, _, err := found.read(t.Context(), params, false)
	require.NoError(t, err)
	require.Equal(t, found.md5, d.MD5)

	require.NoError(t, os.WriteFile(path, []byte("a,y\n1,z\n2,x\n"), 0o600))
	require.NoError(t, os.Chtimes(path, time.Time{}, time.Now().Add(time.Second)))
	_, _, err = found.read(t.Context(), params, false)
	requireFault(t, &InputError{Where: path}, err)
	golden.New(t).Add("changed", without(filepath.Dir(path), err))
}

// TestTooLargeDataAreNotHashed: a file over the limit is refused before its first
// byte is read, which a context that is over shows.
func TestTooLargeDataAreNotHashed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data.csv")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, os.Truncate(path, dataset.DefaultMaxBytes+1)) // a hole, no blocks
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := locate(ended, path, dvc.Options{})
	tooLarge := new(dataset.Error)
	require.ErrorAs(t, err, &tooLarge)
	require.Equal(t, path, tooLarge.File)
	require.True(t, IsInput(err))

	require.NoError(t, os.MkdirAll(filepath.Join(filepath.Dir(path), ".dvc"), 0o750))
	require.NoError(t, os.WriteFile(path+".dvc", []byte("outs:\n- md5: 0123456789abcdef0123456789abcdef\n  path: data.csv\n"), 0o600))
	_, err = locate(ended, path, dvc.Options{})
	require.ErrorAs(t, err, &tooLarge, "one that DVC tracks neither")
}

// TestDataInADirectory: params.yaml names the file; the pointer is that of the
// directory.
func TestDataInADirectory(t *testing.T) {
	dir := t.TempDir()
	put := func(content []byte, suffix string) string {
		sum := md5.Sum(content)
		name := hex.EncodeToString(sum[:]) + suffix
		path := filepath.Join(dir, "store", "files", "md5", name[:2], name[2:])
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
		require.NoError(t, os.WriteFile(path, content, 0o600))
		return name
	}
	object := put([]byte("a,y\n1,x\n2,z\n"), "")
	listing := put([]byte(`[{"md5": "`+object+`", "relpath": "deep/train.csv"}]`), ".dir")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, ".dvc"), 0o750))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".dvc", "config"), []byte("[core]\nremote = s\n['remote \"s\"']\nurl = ../store\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "set.dvc"), []byte("outs:\n- md5: "+listing+"\n  nfiles: 1\n  hash: md5\n  path: set\n"), 0o600))

	name := filepath.Join(dir, "set", "deep", "train.csv")
	for _, from := range []string{"remote", "workspace"} {
		found, err := locate(t.Context(), name, dvc.Options{})
		require.NoError(t, err)
		require.Equal(t, from, found.from)
		require.Equal(t, object, found.md5, "the digest of the file, not of the directory")
		require.Equal(t, "set/deep/train.csv", found.dvcPath)
		d, _, err := found.read(t.Context(), Params{Label: "y"}, false)
		require.NoError(t, err)
		require.Equal(t, 2, d.Rows())
	}
	_, err := locate(t.Context(), filepath.Join(dir, "set.dvc"), dvc.Options{})
	requireFault(t, &dvc.Error{File: filepath.Join(dir, "set.dvc"), Kind: dvc.ErrPointer}, err)
	golden.New(t).Add("the directory itself", without(dir, err))
}

func TestPointerOf(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.MkdirAll(filepath.Join("data", "set", "deep"), 0o750))
	require.NoError(t, os.MkdirAll("data.dvc", 0o750)) // no pointer, though of that name
	for _, name := range []string{"iris.csv.dvc", "data/set.dvc", "data/set/own.csv.dvc"} {
		require.NoError(t, os.WriteFile(name, nil, 0o600))
	}
	for name, want := range map[string][2]string{
		"iris.csv":               {"iris.csv.dvc", ""},
		"iris.csv.dvc":           {"iris.csv.dvc", ""},
		"data/set.dvc":           {"data/set.dvc", ""},
		"data/set/train.csv":     {"data/set.dvc", "train.csv"},
		"data/set/deep/test.csv": {"data/set.dvc", "deep/test.csv"},
		"data/set/own.csv":       {"data/set/own.csv.dvc", ""},
		"data/other.csv":         {"", ""},
		"../elsewhere.csv":       {"", ""},
	} {
		pointer, inside := pointerOf(name)
		require.Equal(t, want, [2]string{pointer, inside}, name)
	}
}

// TestFeaturesNamedLikeFigures: the names of features are data, not keys.
func TestFeaturesNamedLikeFigures(t *testing.T) {
	plain := noisy(200, 1)
	renamed := strings.Replace(plain, "a,b,c,d,", `test_accuracy_score,loss,"label/$",../features,`, 1)
	var found []map[string][]registry.Point
	for name, content := range map[string]string{"plain": plain, "renamed": renamed} {
		b := newBench(t)
		req := b.request(t, name+".csv", content)
		req.Params.Candidates = logistic(1)
		result, err := b.trainer.Train(t.Context(), req)
		require.NoError(t, err)
		record, _, err := b.store.ReadRun(result.RunID)
		require.NoError(t, err)
		for _, points := range record.Metrics {
			for i := range points {
				points[i].Time = time.Time{}
			}
		}
		found = append(found, record.Metrics)
	}
	require.Contains(t, found[0], "test_accuracy_score")
	require.Equal(t, found[0], found[1])
}
