package dvc

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv/golden"
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
	messages := golden.New(t)
	for name, content := range map[string]string{
		"empty":              "",
		"no outputs":         "outs: []\n",
		"two outputs":        pointer + strings.TrimPrefix(pointer, "outs:\n"),
		"no YAML":            "outs: [",
		"a list":             "- a\n",
		"unknown key":        pointer + "  shape: round\n",
		"repeated key":       pointer + "  size: 1\n",
		"files of a file":    pointer + "  nfiles: 2\n",
		"negative files":     replace(irisMD5, irisMD5+".dir") + "  nfiles: -2\n",
		"written by DVC 2":   replace("  hash: md5\n", ""),
		"other hash":         replace("hash: md5", "hash: sha256"),
		"no digest":          replace("- md5: "+irisMD5+"\n ", "-"),
		"short digest":       replace(irisMD5, irisMD5[1:]),
		"upper-case digest":  replace(irisMD5, strings.ToUpper(irisMD5)),
		"digest with a path": replace(irisMD5, "../../../../../../../etc/passwd_"),
		"negative size":      replace("3858", "-1"),
		"size is text":       replace("3858", "big"),
		"other folder":       pointer + "wdir: ..\n",
		"no path":            replace("  path: iris.csv\n", ""),
		"path above":         replace("iris.csv", "../iris.csv"),
		"path above, hidden": replace("iris.csv", "a/../../iris.csv"),
		"path absolute":      replace("iris.csv", "/etc/passwd"),
		"path to Git":        replace("iris.csv", ".git/hooks/pre-commit"),
		"path backslash":     replace("iris.csv", `..\iris.csv`),
		"path is the folder": replace("iris.csv", "."),
		"path has a zero":    replace("iris.csv", `"a\0b"`),
		"path on a drive":    replace("iris.csv", `"C:iris.csv"`),
		"too large":          pointer + strings.Repeat("#", maxPointerBytes),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParsePointer([]byte(content))
			require.ErrorIs(t, err, ErrPointer)
			var fault *pointerError
			require.ErrorAs(t, err, &fault)
			assert.NotEmpty(t, fault.remedy)
			assert.NotContains(t, err.Error(), "\n")
			messages.Add(name, err)
		})
	}
}

func TestReadPointerNamesTheFile(t *testing.T) {
	messages := golden.New(t)
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, ".dvc"), 0o750))
	repo, err := Open(dir, Options{Getenv: environment(dir)})
	require.NoError(t, err)
	path := filepath.Join(dir, "iris.csv.dvc")
	_, err = repo.ReadPointer(path)
	requireFault(t, err, ErrPointer, path)
	messages.Add("no file", lasting(err, dir, "DIR"))
	require.NoError(t, os.WriteFile(path, []byte("outs: []"), 0o600))
	_, err = repo.ReadPointer(path)
	require.ErrorIs(t, err, ErrPointer)
	require.ErrorContains(t, err, path)
	messages.Add("no outputs", lasting(err, dir, "DIR"))
}

// What waits for a writer is refused, wherever it stands.
func TestNamedPipes(t *testing.T) {
	messages := golden.New(t)
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, ".dvc"), 0o750))
	repo, err := Open(dir, Options{Getenv: environment(dir)})
	require.NoError(t, err)
	pipe := filepath.Join(dir, "iris.csv.dvc")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	_, err = repo.ReadPointer(pipe)
	requireFault(t, err, ErrPointer, pipe)
	messages.Add("pointer", lasting(err, dir, "DIR"))
	config := filepath.Join(dir, ".dvc", "config")
	require.NoError(t, syscall.Mkfifo(config, 0o600))
	_, err = Open(dir, Options{Getenv: environment(dir)})
	requireFault(t, err, ErrConfig, config)
	messages.Add("configuration", lasting(err, dir, "DIR"))

	c := newCheckout(t)
	require.NoError(t, os.Remove(c.object))
	require.NoError(t, syscall.Mkfifo(c.object, 0o600))
	_, err = c.pull(t)
	var fault *fs.PathError
	require.ErrorAs(t, err, &fault)
	require.Equal(t, c.object, fault.Path)
	messages.Add("object", lasting(err, c.dir, "DIR"))
	require.NoError(t, syscall.Mkfifo(c.target, 0o600))
	_, err = c.pull(t)
	require.ErrorAs(t, err, &fault)
	require.Equal(t, c.target, fault.Path)
	messages.Add("target", lasting(err, c.dir, "DIR"))
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
