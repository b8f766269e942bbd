package e2e

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/installation"
	"github.com/petal-ml/petal/tests/testenv"
)

// `make run` in a fresh clone: it trains, serves, stops at Ctrl-C, leaves the
// clone clean, and the second time is there at once with the same users, keys
// and model. There is no C compiler, as make run needs none. What go build has in
// its cache it may use (-trimpath: whatever the clone's folder is); `make bench`
// measures it with nothing built.
func TestMakeRun(t *testing.T) {
	t.Parallel()
	clone := cloneCheckout(t)
	address := testenv.FreeAddress(t)
	env := testenv.Environ("API_ADDRESS="+address, "GOFLAGS=-buildvcs=false -trimpath", "CGO_ENABLED=0")
	command := testenv.Command{Path: "make", Args: []string{"run"}, Env: env, Dir: clone}

	first := testenv.Start(t, command)
	first.WaitReady("http://"+address+"/ready", 10*time.Minute)
	api := installation.Attach(t, "http://"+address, first)
	require.Contains(t, first.Output(), "initial-password", "how to see the password")
	password := readFile(t, clone, "var/initial_password")
	require.NotContains(t, first.Output(), strings.TrimSpace(password), "the password was printed to what is no terminal")
	api.Login(password)
	requireSamples(t, api, "1")
	first.Stop(20 * time.Second)
	requireClean(t, clone)

	started := time.Now()
	second := testenv.Start(t, command)
	again := installation.Attach(t, "http://"+address, second)
	waitPrediction(t, again, api.Token(), time.Minute)
	t.Attr("make_run_first_prediction_built", time.Since(started).Round(time.Millisecond).String())
	again.Login(password)
	requireSamples(t, again, "1")
	second.Stop(20 * time.Second)
	requireClean(t, clone)
}

// waitPrediction waits for the first prediction, with a token of an earlier
// start: the signing key is kept.
func waitPrediction(t *testing.T, api *installation.API, token string, limit time.Duration) {
	t.Helper()
	require.Eventually(t, func() bool {
		answer, err := api.Try(http.MethodPost, "/predict", jsonType, goodRow, token)
		return err == nil && answer.Status == http.StatusOK
	}, limit, 5*time.Millisecond)
}

// cloneCheckout makes a repository of what the checkout holds as it stands, the
// work in progress too, and clones that.
func cloneCheckout(t *testing.T) string {
	t.Helper()
	root, origin, clone := testenv.Root(t), t.TempDir(), filepath.Join(t.TempDir(), "petal")
	for _, path := range strings.Split(git(t, root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"), "\x00") {
		info, err := os.Lstat(filepath.Join(root, path))
		if path == "" || os.IsNotExist(err) { // deleted, but not yet from the index
			continue
		}
		require.NoError(t, err)
		require.Truef(t, info.Mode().IsRegular(), "%s is no plain file", path)
		content, err := os.ReadFile(filepath.Join(root, path))
		require.NoError(t, err)
		target := filepath.Join(origin, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(target), 0o750))
		require.NoError(t, os.WriteFile(target, content, info.Mode().Perm()|0o200))
	}
	git(t, origin, "-c", "init.defaultBranch=main", "init", "--quiet")
	git(t, origin, "add", "--all")
	git(t, origin, "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "--quiet", "--no-verify", "--message=checkout")
	git(t, origin, "clone", "--quiet", origin, clone)
	return clone
}

// requireClean wants a clone that shows nothing to commit.
func requireClean(t *testing.T, clone string) {
	t.Helper()
	require.Empty(t, git(t, clone, "status", "--porcelain"))
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir, cmd.Env = dir, testenv.Environ("GIT_CONFIG_GLOBAL=/dev/null")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	require.NoErrorf(t, err, "git %s: %s", strings.Join(args, " "), stderr.String())
	return string(output)
}

func readFile(t *testing.T, dir, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, path))
	require.NoError(t, err)
	return string(content)
}
