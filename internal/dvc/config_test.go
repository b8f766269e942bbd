package dvc

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv/golden"
)

// writeFile writes a file below dir, folders included.
func writeFile(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// requireFault asks for an [Error] of the kind about the file, in one line with a remedy.
func requireFault(t *testing.T, err, kind error, file string) {
	t.Helper()
	require.ErrorIs(t, err, kind)
	var fault *Error
	require.ErrorAs(t, err, &fault)
	require.Equal(t, file, fault.File)
	require.NotEmpty(t, fault.Remedy)
	require.NotContains(t, err.Error(), "\n")
}

// servers are the addresses of a test's servers.
var servers = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// lasting gives the message of an error without what differs from run to run: addresses
// of servers, and each text, such as a temporary folder, for the one after it.
func lasting(err error, oldnew ...string) error {
	return errors.New(servers.ReplaceAllString(strings.NewReplacer(oldnew...).Replace(err.Error()), "HOST"))
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
	messages := golden.New(t)
	dir := t.TempDir()
	path := writeFile(t, dir, ".dvc/config", "[core]\nremote = storage\npassword hunter2\n")
	_, err := loadConfig(dir, environment(dir))
	requireFault(t, err, ErrConfig, path)
	require.ErrorContains(t, err, "(line 3)")
	require.NotContains(t, err.Error(), "hunter2")
	messages.Add("no INI", lasting(err, dir, "DIR"))

	for name, config := range map[string]string{
		"no default":      "",
		"unknown remote":  "[core]\nremote = storage\n",
		"remote, no url":  "[core]\nremote = a\n['remote \"a\"']\nverify = true\n",
		"other kinds":     "[core]\nremote = a\n['remote \"a\"']\nurl = gs://key:secret@bucket\n",
		"chained remotes": "[core]\nremote = a\n['remote \"a\"']\nurl = remote://b/x\n",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := writeFile(t, dir, ".dvc/config", config)
			pointerFile := writeFile(t, dir, "data/iris.csv.dvc", pointer)
			repo, err := Open(dir, Options{Getenv: environment(dir)})
			require.NoError(t, err)
			_, err = repo.Pull(t.Context(), pointerFile)
			requireFault(t, err, ErrConfig, path)
			messages.Add(name, lasting(err, dir, "DIR"))
			assert.NotContains(t, err.Error(), "secret")
		})
	}
}
