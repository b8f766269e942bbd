package dvc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv/golden"
)

// checkout is a clone of a small repository: a pointer to iris, the object in a
// remote folder, nothing in place.
type checkout struct {
	dir     string
	pointer string
	target  string
	object  string // in the remote
	cached  string // in the cache
	content []byte
	log     *bytes.Buffer
}

func newCheckout(t *testing.T) *checkout {
	t.Helper()
	dir := t.TempDir()
	content, err := os.ReadFile("../../data/remote/files/md5/01/3d0da08d6506664ce640459139176b")
	require.NoError(t, err)
	const object = "files/md5/01/3d0da08d6506664ce640459139176b"
	writeFile(t, dir, ".dvc/config", "[core]\nremote = storage\n['remote \"storage\"']\nurl = ../store\n")
	return &checkout{
		dir:     dir,
		pointer: writeFile(t, dir, "data/iris.csv.dvc", pointer),
		target:  filepath.Join(dir, "data", "iris.csv"),
		object:  writeFile(t, dir, "store/"+object, string(content)),
		cached:  filepath.Join(dir, ".dvc", "cache", filepath.FromSlash(object)),
		content: content,
		log:     &bytes.Buffer{},
	}
}

func (c *checkout) pull(t *testing.T) (Pulled, error) {
	t.Helper()
	repo, err := Open(filepath.Dir(c.pointer), Options{Getenv: environment(c.dir), Logger: slog.New(slog.NewTextHandler(c.log, nil))})
	require.NoError(t, err)
	require.Equal(t, c.dir, repo.root)
	return repo.Pull(t.Context(), c.pointer)
}

// files lists what is in the checkout, so that a test sees leftovers.
func (c *checkout) files(t *testing.T) []string {
	t.Helper()
	var names []string
	require.NoError(t, filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(c.dir, path)
			names = append(names, filepath.ToSlash(name))
		}
		return err
	}))
	return names
}

func (c *checkout) requireWhole(t *testing.T) {
	t.Helper()
	got, err := os.ReadFile(c.target)
	require.NoError(t, err)
	require.Equal(t, c.content, got)
}

func TestPullFromRemoteThenCacheThenPlace(t *testing.T) {
	c := newCheckout(t)
	pulled, err := c.pull(t)
	require.NoError(t, err)
	assert.Equal(t, Pulled{Path: c.target, File: c.target, Tracked: "data/iris.csv", MD5: irisMD5, Size: 3858, From: "remote", Remote: "storage"}, pulled)
	c.requireWhole(t)
	info, err := os.Stat(c.cached)
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o444), info.Mode().Perm())
	assert.Equal(t, []string{
		".dvc/cache/files/md5/01/3d0da08d6506664ce640459139176b", ".dvc/config",
		"data/iris.csv", "data/iris.csv.dvc", "store/files/md5/01/3d0da08d6506664ce640459139176b",
	}, c.files(t))

	require.NoError(t, os.Remove(c.object))
	pulled, err = c.pull(t)
	require.NoError(t, err)
	assert.Equal(t, "workspace", pulled.From)

	require.NoError(t, os.Remove(c.target))
	pulled, err = c.pull(t)
	require.NoError(t, err)
	assert.Equal(t, "cache", pulled.From)
	c.requireWhole(t)
	assert.Empty(t, c.log.String())
}

func TestPullRefusesACorruptObject(t *testing.T) {
	messages := golden.New(t)
	cases := map[string]struct {
		spoil func([]byte) []byte
		found string
	}{
		"a changed byte": {func(b []byte) []byte { b[100] ^= 1; return b }, "e8bbecc49099aec2080d0c8ead418be3 (3858 bytes)"},
		"cut":            {func(b []byte) []byte { return b[:2000] }, "(2000 bytes)"},
		"longer":         {func(b []byte) []byte { return append(b, "and more\n"...) }, "(3867 bytes)"},
		"empty":          {func([]byte) []byte { return nil }, "d41d8cd98f00b204e9800998ecf8427e (0 bytes)"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			c := newCheckout(t)
			require.NoError(t, os.WriteFile(c.object, test.spoil(bytes.Clone(c.content)), 0o600))
			before := c.files(t)
			_, err := c.pull(t)
			requireFault(t, err, ErrCorrupt, c.target)
			require.ErrorContains(t, err, test.found)
			messages.Add(name, lasting(err, c.dir, "DIR"))
			assert.Equal(t, before, c.files(t), "nothing is left behind")
		})
	}
}

func TestPullDoesNotTrustTheCache(t *testing.T) {
	c := newCheckout(t)
	writeFile(t, c.dir, ".dvc/cache/files/md5/01/3d0da08d6506664ce640459139176b", "tampered")
	require.NoError(t, os.Chmod(c.cached, 0o444)) // the mode that DVC trusts
	pulled, err := c.pull(t)
	require.NoError(t, err)
	assert.Equal(t, "remote", pulled.From)
	c.requireWhole(t)
	assert.Contains(t, c.log.String(), "is corrupted: expected MD5")

	healed, err := os.ReadFile(c.cached)
	require.NoError(t, err)
	assert.Equal(t, c.content, healed)
}

func TestPullKeepsUnrecordedWork(t *testing.T) {
	messages := golden.New(t)
	c := newCheckout(t)
	writeFile(t, c.dir, "data/iris.csv", "my,own,work\n")
	_, err := c.pull(t)
	requireFault(t, err, ErrModified, c.target)
	messages.Add("modified", lasting(err, c.dir, "DIR"))
	kept, err := os.ReadFile(c.target)
	require.NoError(t, err)
	assert.Equal(t, "my,own,work\n", string(kept))

	// Once the cache has it, an older state may be brought back over it.
	writeFile(t, c.dir, ".dvc/cache/files/md5/fe/38c7175fd356e3f95bd9e3caead280", "my,own,work\n")
	_, err = c.pull(t)
	require.NoError(t, err)
	c.requireWhole(t)
}

func TestPullMissingObject(t *testing.T) {
	messages := golden.New(t)
	c := newCheckout(t)
	require.NoError(t, os.Remove(c.object))
	_, err := c.pull(t)
	requireFault(t, err, ErrMissing, c.target)
	messages.Add("missing", lasting(err, c.dir, "DIR"))
}

// The cache spares a download, and no more: a training works without it.
func TestPullWithoutUsableCache(t *testing.T) {
	c := newCheckout(t)
	writeFile(t, c.dir, ".dvc/cache", "a file where the folder should be")
	pulled, err := c.pull(t)
	require.NoError(t, err)
	assert.Equal(t, "remote", pulled.From)
	c.requireWhole(t)
	assert.Contains(t, c.log.String(), "cannot use the DVC cache")
	assert.Contains(t, c.log.String(), "cannot add the file to the DVC cache")
}

func TestPullChecksThePlace(t *testing.T) {
	messages := golden.New(t)
	c := newCheckout(t)
	require.NoError(t, os.Mkdir(c.target, 0o750))
	_, err := c.pull(t)
	var fault *fs.PathError
	require.ErrorAs(t, err, &fault)
	require.Equal(t, c.target, fault.Path)
	messages.Add("a folder", lasting(err, c.dir, "DIR"))
	require.NoError(t, os.Remove(c.target))

	repo, err := Open(c.dir, Options{Getenv: environment(c.dir)})
	require.NoError(t, err)
	elsewhere := writeFile(t, t.TempDir(), "iris.csv.dvc", pointer)
	_, err = repo.Pull(t.Context(), elsewhere)
	requireFault(t, err, ErrPointer, elsewhere)
	messages.Add("elsewhere", lasting(err, c.dir, "DIR", filepath.Dir(elsewhere), "ELSEWHERE"))

	none := t.TempDir()
	_, err = Open(none, Options{Getenv: environment(c.dir)})
	requireFault(t, err, ErrNoRepo, none)
	messages.Add("no repository", lasting(err, none, "DIR"))
}

func TestPullIsBounded(t *testing.T) {
	messages := golden.New(t)
	c := newCheckout(t)
	unsized := strings.Replace(pointer, "  size: 3858\n", "", 1)
	require.NoError(t, os.WriteFile(c.pointer, []byte(unsized), 0o600))
	repo, err := Open(c.dir, Options{Getenv: environment(c.dir), MaxBytes: 1000})
	require.NoError(t, err)
	before := c.files(t)
	_, err = repo.Pull(t.Context(), c.pointer)
	require.ErrorContains(t, err, c.target)
	messages.Add("too large", lasting(err, c.dir, "DIR"))
	assert.Equal(t, before, c.files(t))
}

// TestPullOfAWrongSize must not advise to delete an object that is intact.
func TestPullOfAWrongSize(t *testing.T) {
	messages := golden.New(t)
	for _, size := range []string{"1", "999999999999999"} {
		c := newCheckout(t)
		require.NoError(t, os.WriteFile(c.pointer, []byte(strings.Replace(pointer, "3858", size, 1)), 0o600))
		repo, err := Open(c.dir, Options{Getenv: environment(c.dir)})
		require.NoError(t, err)
		before := c.files(t)
		_, err = repo.Pull(t.Context(), c.pointer)
		requireFault(t, err, ErrPointer, c.target)
		messages.Add(size+" bytes", lasting(err, c.dir, "DIR"))
		require.NotContains(t, err.Error(), "delete")
		assert.Equal(t, before, c.files(t))
	}
}

// failing is a remote whose stream breaks off.
type failing struct{ content []byte }

var errBroken = errors.New("connection reset")

func (f failing) Open(context.Context, string) (io.ReadCloser, error) {
	return io.NopCloser(io.MultiReader(bytes.NewReader(f.content[:1000]), &broken{})), nil
}

func (failing) String() string { return "a failing remote" }

type broken struct{}

func (*broken) Read([]byte) (int, error) { return 0, errBroken }

func TestInstallLeavesNothingOfABrokenStream(t *testing.T) {
	c := newCheckout(t)
	repo, err := Open(c.dir, Options{Getenv: environment(c.dir)})
	require.NoError(t, err)
	before := c.files(t)
	p := Pointer{MD5: irisMD5, Size: 3858, Path: "iris.csv"}
	_, err = repo.install(t.Context(), failing{c.content}, p, place{c.dir, "data/iris.csv"}, 0o666)
	require.ErrorIs(t, err, errBroken)
	assert.Equal(t, before, c.files(t))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = repo.Pull(ctx, c.pointer)
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, before, c.files(t))
}

// A container may see the repository read-only, the cache among it.
func TestPullIntoScratch(t *testing.T) {
	c := newCheckout(t)
	scratch := t.TempDir()
	pull := func(dir string) (Pulled, error) {
		repo, err := Open(c.dir, Options{Scratch: dir, Getenv: func(string) string { return "" }})
		require.NoError(t, err)
		repo.writable = func(place) bool { return false }
		return repo.Pull(t.Context(), c.target+".dvc")
	}
	before := c.files(t)
	want := filepath.Join(scratch, irisMD5, "iris.csv")
	for _, from := range []string{"remote", "workspace"} {
		pulled, err := pull(scratch)
		require.NoError(t, err)
		require.Equal(t, Pulled{Path: want, File: want, Tracked: "data/iris.csv", MD5: irisMD5, Size: 3858, From: from, Remote: "storage"}, pulled)
	}
	require.Equal(t, before, c.files(t), "nothing was written into the repository")

	require.NoError(t, os.WriteFile(c.target, []byte("changed by hand"), 0o600))
	_, err := pull(scratch)
	require.ErrorIs(t, err, ErrModified)
	require.NoError(t, os.WriteFile(c.target, c.content, 0o600))
	pulled, err := pull(scratch)
	require.NoError(t, err)
	require.Equal(t, c.target, pulled.Path, "a right file is used where it stands")
}
