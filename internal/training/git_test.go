package training

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCommit(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	dir := t.TempDir()
	git := func(dir string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "HOME="+dir, "GIT_CONFIG_NOSYSTEM=1",
			"GIT_AUTHOR_NAME=test", "GIT_AUTHOR_EMAIL=test@localhost", "GIT_COMMITTER_NAME=test", "GIT_COMMITTER_EMAIL=test@localhost")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return strings.TrimSpace(string(out))
	}
	git(dir, "init", "--quiet", "--initial-branch=main")
	built := Commit(t.TempDir()) // of this test's binary, or empty
	require.Equal(t, built, Commit(dir), "no commit yet")

	git(dir, "commit", "--quiet", "--allow-empty", "--message", "first")
	head := git(dir, "rev-parse", "HEAD")
	below := filepath.Join(dir, "a", "b")
	require.NoError(t, os.MkdirAll(below, 0o750))
	require.Equal(t, head, Commit(below), "a branch, from a folder below")

	git(dir, "pack-refs", "--all")
	require.NoFileExists(t, filepath.Join(dir, ".git", "refs", "heads", "main"))
	require.Equal(t, head, Commit(dir), "packed references")

	git(dir, "checkout", "--quiet", "--detach")
	require.Equal(t, head, Commit(dir), "a detached HEAD")

	linked := filepath.Join(t.TempDir(), "linked")
	git(dir, "worktree", "add", "--quiet", "-b", "other", linked)
	git(linked, "commit", "--quiet", "--allow-empty", "--message", "second")
	require.Equal(t, git(linked, "rev-parse", "HEAD"), Commit(linked), "a linked work tree")
	require.NotEqual(t, head, Commit(linked))
}
