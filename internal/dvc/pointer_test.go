package dvc

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const irisMD5 = "013d0da08d6506664ce640459139176b"

// pointer is a valid .dvc file, as DVC writes it.
const pointer = `outs:
- md5: 013d0da08d6506664ce640459139176b
  size: 3858
  hash: md5
  path: iris.csv
`

func TestParsePointer(t *testing.T) {
	committed, err := os.ReadFile("../../data/iris.csv.dvc")
	require.NoError(t, err)
	require.Equal(t, pointer, string(committed))

	want := Pointer{MD5: irisMD5, Size: 3858, Path: "iris.csv"}
	cases := map[string]struct {
		content string
		mutate  func(*Pointer)
	}{
		"as dvc add writes it": {pointer, func(*Pointer) {}},
		"without a size":       {strings.Replace(pointer, "  size: 3858\n", "", 1), func(p *Pointer) { p.Size = -1 }},
		"with a remote":        {pointer + "  remote: s3\n", func(p *Pointer) { p.Remote = "s3" }},
		"with annotations":     {pointer + "  desc: flowers\n  labels: [iris]\n  meta: {k: v}\n  push: false\nfrozen: true\ndesc: x\nmeta: 1\n", func(*Pointer) {}},
		"in a folder below":    {strings.Replace(pointer, "iris.csv", "raw/iris.csv", 1), func(p *Pointer) { p.Path = "raw/iris.csv" }},
		"digits only":          {strings.Replace(pointer, irisMD5, strings.Repeat("1", 32), 1), func(p *Pointer) { p.MD5 = strings.Repeat("1", 32) }},
		"looks like a number":  {strings.Replace(pointer, irisMD5, "1e"+strings.Repeat("1", 30), 1), func(p *Pointer) { p.MD5 = "1e" + strings.Repeat("1", 30) }},
		"in JSON":              {`{"outs":[{"md5":"` + irisMD5 + `","size":3858,"hash":"md5","path":"iris.csv"}]}`, func(*Pointer) {}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := ParsePointer([]byte(c.content))
			require.NoError(t, err)
			expected := want
			c.mutate(&expected)
			assert.Equal(t, expected, got)
		})
	}
}

func TestParsePointerRefuses(t *testing.T) {
	replace := func(old, replacement string) string { return strings.Replace(pointer, old, replacement, 1) }
	cases := map[string]struct{ content, want string }{
		"empty":              {"", "is not a .dvc file"},
		"no outputs":         {"outs: []\n", "tracks 0 outputs, not one"},
		"two outputs":        {pointer + strings.TrimPrefix(pointer, "outs:\n"), "tracks 2 outputs, not one"},
		"no YAML":            {"outs: [", "is not a .dvc file"},
		"a list":             {"- a\n", "is not a .dvc file"},
		"unknown key":        {pointer + "  shape: round\n", "is not a .dvc file"},
		"repeated key":       {pointer + "  size: 1\n", "is not a .dvc file"},
		"files of a file":    {pointer + "  nfiles: 2\n", `has 2 files ("nfiles") below the MD5`},
		"negative files":     {replace(irisMD5, irisMD5+".dir") + "  nfiles: -2\n", "has -2 files"},
		"written by DVC 2":   {replace("  hash: md5\n", ""), "run dvc cache migrate --dvc-files with DVC 3"},
		"other hash":         {replace("hash: md5", "hash: sha256"), `has the unknown hash "sha256"`},
		"no digest":          {replace("- md5: "+irisMD5+"\n ", "-"), `has no "md5"`},
		"short digest":       {replace(irisMD5, irisMD5[1:]), "is not an MD5 of 32 lower-case hex digits"},
		"upper-case digest":  {replace(irisMD5, strings.ToUpper(irisMD5)), "is not an MD5"},
		"digest with a path": {replace(irisMD5, "../../../../../../../etc/passwd_"), "is not an MD5"},
		"negative size":      {replace("3858", "-1"), "has the size -1"},
		"size is text":       {replace("3858", "big"), "is not a .dvc file"},
		"other folder":       {pointer + "wdir: ..\n", `"wdir" is not supported`},
		"no path":            {replace("  path: iris.csv\n", ""), `has no "path"`},
		"path above":         {replace("iris.csv", "../iris.csv"), "leads out of its folder"},
		"path above, hidden": {replace("iris.csv", "a/../../iris.csv"), "leads out of its folder"},
		"path absolute":      {replace("iris.csv", "/etc/passwd"), "leads out of its folder"},
		"path to Git":        {replace("iris.csv", ".git/hooks/pre-commit"), "leads out of its folder"},
		"path backslash":     {replace("iris.csv", `..\iris.csv`), "leads out of its folder"},
		"path is the folder": {replace("iris.csv", "."), "leads out of its folder"},
		"path has a zero":    {replace("iris.csv", `"a\0b"`), "leads out of its folder"},
		"path on a drive":    {replace("iris.csv", `"C:iris.csv"`), "leads out of its folder"},
		"too large":          {pointer + strings.Repeat("#", maxPointerBytes), "too large"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := ParsePointer([]byte(c.content))
			require.ErrorIs(t, err, ErrPointer)
			require.ErrorContains(t, err, c.want)
			assert.NotContains(t, err.Error(), "\n")
		})
	}
}

func TestReadPointerNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, ".dvc"), 0o750))
	repo, err := Open(dir, Options{Getenv: environment(dir)})
	require.NoError(t, err)
	path := filepath.Join(dir, "iris.csv.dvc")
	_, err = repo.ReadPointer(path)
	require.EqualError(t, err, path+": cannot be read: no such file or directory; name an existing .dvc file")
	require.NoError(t, os.WriteFile(path, []byte("outs: []"), 0o600))
	_, err = repo.ReadPointer(path)
	require.EqualError(t, err, path+": tracks 0 outputs, not one; track the file alone by dvc add")
}

// What waits for a writer is refused, wherever it stands.
func TestNamedPipes(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, ".dvc"), 0o750))
	repo, err := Open(dir, Options{Getenv: environment(dir)})
	require.NoError(t, err)
	pipe := filepath.Join(dir, "iris.csv.dvc")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	_, err = repo.ReadPointer(pipe)
	require.EqualError(t, err, pipe+": cannot be read: not a regular file; name an existing .dvc file")
	config := filepath.Join(dir, ".dvc", "config")
	require.NoError(t, syscall.Mkfifo(config, 0o600))
	_, err = Open(dir, Options{Getenv: environment(dir)})
	require.EqualError(t, err, config+": cannot be read: not a regular file; make it readable or remove it")

	c := newCheckout(t)
	require.NoError(t, os.Remove(c.object))
	require.NoError(t, syscall.Mkfifo(c.object, 0o600))
	_, err = c.pull(t)
	require.ErrorContains(t, err, ": not a regular file")
	require.NoError(t, syscall.Mkfifo(c.target, 0o600))
	_, err = c.pull(t)
	require.ErrorContains(t, err, ": not a regular file")
}

func FuzzParsePointer(f *testing.F) {
	f.Add(pointer)
	f.Add("outs: [{md5: &a x, path: *a}]")
	f.Add("outs:\n- md5: 013d0da08d6506664ce640459139176b.dir\n  nfiles: 2\n  hash: md5\n  path: set\n")
	f.Fuzz(func(t *testing.T, content string) {
		p, err := ParsePointer([]byte(content))
		if err != nil {
			require.ErrorIs(t, err, ErrPointer)
			return
		}
		require.Regexp(t, hexMD5, p.MD5)
		require.True(t, filepath.IsLocal(p.Path))
	})
}
