package dvc

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
)

// commands runs git and the real DVC in a folder.
type commands struct {
	t    *testing.T
	dvc  string
	home string
}

func newReal(t *testing.T) *commands {
	t.Helper()
	return &commands{t: t, dvc: testenv.Tool(t, "dvc"), home: t.TempDir()}
}

func (r *commands) run(dir, program string, args ...string) string {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+r.home, "DVC_NO_ANALYTICS=1", "DVC_SITE_CACHE_DIR="+r.home,
		systemDirVariable+"="+r.home, globalDirVariable+"="+r.home,
		"GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=test", "GIT_AUTHOR_EMAIL=test@localhost", "GIT_COMMITTER_NAME=test", "GIT_COMMITTER_EMAIL=test@localhost")
	out, err := cmd.CombinedOutput()
	require.NoError(r.t, err, "%s %v: %s", program, args, out)
	return string(out)
}

// repository makes a Git repository of what Petal commits of its data.
func (r *commands) repository() string {
	r.t.Helper()
	dir := r.t.TempDir()
	for _, name := range []string{".gitattributes", ".gitignore", ".dvcignore"} {
		content, err := os.ReadFile(filepath.Join("../..", name))
		require.NoError(r.t, err)
		writeFile(r.t, dir, name, string(content))
	}
	for _, name := range []string{"config", ".gitignore"} {
		content, err := os.ReadFile(filepath.Join("../../.dvc", name))
		require.NoError(r.t, err)
		writeFile(r.t, dir, ".dvc/"+name, string(content))
	}
	for _, name := range []string{".gitignore", "iris.csv.dvc"} {
		content, err := os.ReadFile(filepath.Join("../../data", name))
		require.NoError(r.t, err)
		writeFile(r.t, dir, "data/"+name, string(content))
	}
	require.NoError(r.t, os.CopyFS(filepath.Join(dir, "data", "remote"), os.DirFS("../../data/remote")))
	r.run(dir, "git", "init", "--quiet")
	r.run(dir, "git", "add", ".")
	r.run(dir, "git", "commit", "--quiet", "--message", "data")
	return dir
}

const upToDate = "Data and pipelines are up to date.\n"

func TestRealDVC(t *testing.T) {
	r := newReal(t)
	origin := r.repository()

	t.Run("status is clean after a native pull", func(t *testing.T) {
		clone := filepath.Join(t.TempDir(), "clone")
		r.run(origin, "git", "clone", "--quiet", origin, clone)
		repo, err := Open(clone, Options{Getenv: environment(r.home)})
		require.NoError(t, err)
		_, err = repo.Pull(t.Context(), filepath.Join(clone, "data", "iris.csv.dvc"))
		require.NoError(t, err)
		assert.Equal(t, upToDate, r.run(clone, r.dvc, "status"))
		assert.Equal(t, "Cache and remote 'storage' are in sync.\n", r.run(clone, r.dvc, "status", "--cloud"))
		assert.Empty(t, r.run(clone, "git", "status", "--porcelain"))
	})

	t.Run("pulls in a fresh clone, also with autocrlf", func(t *testing.T) {
		clone := filepath.Join(t.TempDir(), "clone")
		r.run(origin, "git", "clone", "--quiet", "--config", "core.autocrlf=true", origin, clone)
		r.run(clone, r.dvc, "pull", "--quiet")
		assert.Equal(t, upToDate, r.run(clone, r.dvc, "status"))
		assert.Empty(t, r.run(clone, "git", "status", "--porcelain"))

		// What DVC put there is found in place, and in its cache.
		repo, err := Open(clone, Options{Getenv: environment(r.home)})
		require.NoError(t, err)
		file := filepath.Join(clone, "data", "iris.csv")
		pulled, err := repo.Pull(t.Context(), file+".dvc")
		require.NoError(t, err)
		assert.Equal(t, "workspace", pulled.From)
		require.NoError(t, os.Remove(file))
		pulled, err = repo.Pull(t.Context(), file+".dvc")
		require.NoError(t, err)
		assert.Equal(t, "cache", pulled.From)
	})

	t.Run("its next version is pulled", func(t *testing.T) {
		clone := filepath.Join(t.TempDir(), "clone")
		r.run(origin, "git", "clone", "--quiet", origin, clone)
		file := writeFile(t, clone, "data/iris.csv", "a,y\n1,x\n2,z\n")
		r.run(clone, r.dvc, "add", "--quiet", "data/iris.csv")
		r.run(clone, r.dvc, "push", "--quiet")
		require.NoError(t, os.Remove(file))
		require.NoError(t, os.RemoveAll(filepath.Join(clone, ".dvc", "cache")))

		repo, err := Open(clone, Options{Getenv: environment(r.home)})
		require.NoError(t, err)
		pulled, err := repo.Pull(t.Context(), file+".dvc")
		require.NoError(t, err)
		assert.EqualValues(t, 12, pulled.Size)
		assert.Equal(t, upToDate, r.run(clone, r.dvc, "status"))
	})
}
