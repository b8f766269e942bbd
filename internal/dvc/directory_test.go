package dvc

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv/golden"
)

// The real DVC adds and pushes a directory; a clone pulls it by PullFile.
func TestRealDirectory(t *testing.T) {
	messages := golden.New(t)
	r := newReal(t)
	origin := r.repository()
	train := writeFile(t, origin, "data/set/train.csv", "a,y\n1,x\n2,z\n")
	writeFile(t, origin, "data/set/deep/test.csv", "a,y\n3,x\n")
	r.run(origin, r.dvc, "add", "--quiet", "data/set")
	r.run(origin, r.dvc, "push", "--quiet")
	pointer := filepath.Join(origin, "data", "set.dvc")
	data, err := os.ReadFile(pointer)
	require.NoError(t, err)
	p, err := ParsePointer(data)
	require.NoError(t, err)
	require.Equal(t, Pointer{MD5: p.MD5, Size: 20, Path: "set", Dir: true, Files: 2}, p)
	object := filepath.Join(origin, "data", "remote", "files", "md5", p.MD5[:2], p.MD5[2:]+".dir")

	clean := func() {
		require.NoError(t, os.RemoveAll(filepath.Join(origin, "data", "set")))
		require.NoError(t, os.RemoveAll(filepath.Join(origin, ".dvc", "cache")))
	}
	pull := func(file string) (Pulled, error) {
		repo, err := Open(origin, Options{Getenv: environment(r.home)})
		require.NoError(t, err)
		return repo.PullFile(t.Context(), pointer, file)
	}
	clean()
	for _, from := range []string{"remote", "workspace"} {
		pulled, err := pull("train.csv")
		require.NoError(t, err)
		require.Equal(t, Pulled{Path: train, File: train, Tracked: "data/set/train.csv", MD5: digestOf([]byte("a,y\n1,x\n2,z\n")), Size: 12, From: from, Remote: "storage"}, pulled)
		require.FileExists(t, filepath.Join(origin, "data", "set", "deep", "test.csv"), "all of it is pulled")
	}
	assert.Equal(t, upToDate, r.run(origin, r.dvc, "status", "data/set.dvc"))
	assert.Equal(t, "Cache and remote 'storage' are in sync.\n", r.run(origin, r.dvc, "status", "--cloud", "data/set.dvc"))

	_, err = pull("valid.csv")
	requireFault(t, err, ErrPointer, pointer)
	messages.Add("no such file", lasting(err, origin, "DIR"))
	repo, err := Open(origin, Options{Getenv: environment(r.home)})
	require.NoError(t, err)
	_, err = repo.Pull(t.Context(), pointer)
	requireFault(t, err, ErrPointer, pointer)
	messages.Add("a directory", lasting(err, origin, "DIR"))
	alone := filepath.Join(origin, "data", "iris.csv.dvc")
	_, err = repo.PullFile(t.Context(), alone, "a")
	requireFault(t, err, ErrPointer, alone)
	messages.Add("no directory", lasting(err, origin, "DIR"))

	t.Run("a changed file is no work to lose", func(t *testing.T) {
		writeFile(t, origin, "data/set/deep/test.csv", "mine")
		_, err := pull("train.csv")
		require.ErrorIs(t, err, ErrModified)
	})
	t.Run("wrong count and size", func(t *testing.T) {
		clean()
		content, err := os.ReadFile(pointer)
		require.NoError(t, err)
		defer func() { require.NoError(t, os.WriteFile(pointer, content, 0o600)) }()
		for _, wrong := range []string{"nfiles: 3", "size: 21"} {
			key, _, _ := strings.Cut(wrong, ":")
			lines := strings.Split(string(content), "\n")
			for i, line := range lines {
				if strings.Contains(line, key+":") {
					lines[i] = "  " + wrong
				}
			}
			require.NoError(t, os.WriteFile(pointer, []byte(strings.Join(lines, "\n")), 0o600))
			_, err = pull("train.csv")
			requireFault(t, err, ErrPointer, pointer)
			messages.Add(wrong, lasting(err, origin, "DIR"))
		}
	})
	t.Run("objects that lie", func(t *testing.T) {
		clean()
		content, err := os.ReadFile(object)
		require.NoError(t, err)
		require.NoError(t, os.Chmod(object, 0o600))
		require.NoError(t, os.WriteFile(object, []byte(strings.Replace(string(content), "train", "brain", 1)), 0o600))
		_, err = pull("train.csv")
		require.ErrorIs(t, err, ErrCorrupt)
		require.NoDirExists(t, filepath.Join(origin, "data", "set"))
		require.NoError(t, os.Remove(object))
		_, err = pull("train.csv")
		require.ErrorIs(t, err, ErrMissing)
	})
}

func TestListingFaults(t *testing.T) {
	entry := func(md5, path string) string { return `{"md5": "` + md5 + `", "relpath": "` + path + `"}` }
	good := entry(irisMD5, "a/b.csv")
	files, err := parseListing([]byte("["+good+","+entry(irisMD5, "c.csv")+"]"), 2)
	require.NoError(t, err)
	require.Equal(t, []listedFile{{irisMD5, "a/b.csv"}, {irisMD5, "c.csv"}}, files)
	messages := golden.New(t)
	for name, content := range map[string]string{
		"empty":             "",
		"an object":         "{}",
		"cut":               "[" + good,
		"more behind it":    "[" + good + "] []",
		"too many":          "[" + good + "," + entry(irisMD5, "c") + "," + entry(irisMD5, "d") + "]",
		"twice":             "[" + good + "," + good + "]",
		"dot":               "[" + entry(irisMD5, "a/./b") + "]",
		"path above":        "[" + entry(irisMD5, "../b") + "]",
		"path absolute":     "[" + entry(irisMD5, "/etc/passwd") + "]",
		"path to Git":       "[" + entry(irisMD5, ".git/config") + "]",
		"path backslash":    "[" + entry(irisMD5, `a\\..\\b`) + "]",
		"no path":           "[" + entry(irisMD5, "") + "]",
		"path for an MD5":   "[" + entry("../../x", "a") + "]",
		"a listing":         "[" + entry(irisMD5+".dir", "a") + "]",
		"upper-case digest": "[" + entry(strings.ToUpper(irisMD5), "a") + "]",
	} {
		_, err := parseListing([]byte(content), 2)
		require.ErrorIs(t, err, ErrPointer, name)
		var fault *pointerError
		require.ErrorAs(t, err, &fault, name)
		require.NotEmpty(t, fault.remedy, name)
		messages.Add(name, err)
	}
}

func FuzzParseListing(f *testing.F) {
	f.Add(`[{"md5": "` + irisMD5 + `", "relpath": "a/b.csv"}]`)
	f.Add(`[{"md5": "` + irisMD5 + `", "relpath": "../b.csv"}, null, {}]`)
	f.Fuzz(func(t *testing.T, content string) {
		files, err := parseListing([]byte(content), maxListedFiles)
		if err != nil {
			require.ErrorIs(t, err, ErrPointer)
			return
		}
		for _, file := range files {
			require.True(t, filepath.IsLocal(file.Path), file.Path)
			require.Len(t, file.MD5, 32)
		}
	})
}
