package dvc

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// writeFile writes a file below dir, folders included.
func writeFile(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// environment gives variables to a [Repo], and none of this machine's.
func environment(dir string) func(string) string {
	return func(name string) string {
		return map[string]string{
			systemDirVariable: filepath.Join(dir, "system"),
			globalDirVariable: filepath.Join(dir, "global"),
		}[name]
	}
}

func TestConfigMerges(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "system/config", "[core]\nremote = s\nautostage = true\n['remote \"s\"']\nurl = of-system\n")
	writeFile(t, dir, "global/config", "[core]\nremote = g\n")
	writeFile(t, dir, ".dvc/config", `
# a comment
[core]
    REMOTE = storage   # upper case, and a comment behind
[cache]
    dir = ../shared cache
['remote "storage"']
    url = ../dvcstore
    verify = true
[remote "quoted"]
    url = "/absolute/with blank"
['remote "s3"']
    url = s3://bucket/100%(x)s
    access_key_id = public
`)
	writeFile(t, dir, ".dvc/config.local", "['remote \"s3\"']\nsecret_access_key = hidden\n")

	c, err := loadConfig(dir, environment(dir))
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"remote": "storage", "autostage": "true"}, c.core)
	assert.Equal(t, filepath.Join(dir, "shared cache"), c.cache["dir"])
	assert.Equal(t, map[string]map[string]string{
		"s":       {"url": filepath.Join(dir, "system", "of-system")},
		"storage": {"url": filepath.Join(dir, "dvcstore"), "verify": "true"},
		"quoted":  {"url": "/absolute/with blank"},
		"s3":      {"url": "s3://bucket/100%(x)s", "access_key_id": "public", "secret_access_key": "hidden"},
	}, c.remotes)
}

func TestConfigDirsOfTheMachine(t *testing.T) {
	none := func(string) string { return "" }
	assert.Equal(t, "/etc/xdg/dvc", systemConfigDir(none))
	assert.Empty(t, globalConfigDir(none))

	set := func(name string) string {
		return map[string]string{"HOME": "/home/mary", "XDG_CONFIG_DIRS": "/etc/one:/etc/two"}[name]
	}
	assert.Equal(t, "/etc/one/dvc", systemConfigDir(set))
	assert.Equal(t, "/home/mary/.config/dvc", globalConfigDir(set))
}

func TestConfigFaults(t *testing.T) {
	dir := t.TempDir()
	path := writeFile(t, dir, ".dvc/config", "[core]\nremote = storage\npassword hunter2\n")
	_, err := loadConfig(dir, environment(dir))
	require.ErrorIs(t, err, ErrConfig)
	require.EqualError(t, err, path+`: is not in the INI format of DVC (line 3); write "key = value" below [core] or ['remote "name"']`)

	cases := map[string]struct{ config, want string }{
		"no default":      {"", "names no default remote; choose one by dvc remote default NAME"},
		"unknown remote":  {"[core]\nremote = storage\n", `there is no remote "storage" with a url; add it by dvc remote add storage URL`},
		"remote, no url":  {"[core]\nremote = a\n['remote \"a\"']\nverify = true\n", `there is no remote "a" with a url`},
		"other kinds":     {"[core]\nremote = a\n['remote \"a\"']\nurl = gs://key:secret@bucket\n", `remote "a" is of the kind gs://, which Petal cannot pull from; pull the file by dvc pull, or choose a remote in a folder, in S3 or behind HTTP(S)`},
		"chained remotes": {"[core]\nremote = a\n['remote \"a\"']\nurl = remote://b/x\n", `remote "a" is of the kind remote://`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeFile(t, dir, ".dvc/config", c.config)
			pointerFile := writeFile(t, dir, "data/iris.csv.dvc", pointer)
			repo, err := Open(dir, Options{Getenv: environment(dir)})
			require.NoError(t, err)
			_, err = repo.Pull(t.Context(), pointerFile)
			require.ErrorIs(t, err, ErrConfig)
			require.ErrorContains(t, err, filepath.Join(dir, ".dvc", "config")+": "+c.want)
			assert.NotContains(t, err.Error(), "secret")
		})
	}
}
