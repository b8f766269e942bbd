package trainer

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
)

// dvcHome is a Git repository with the pipeline of this one, and a bin/trainer.
func dvcHome(t *testing.T) (h *home, dvc func(args ...string) string, commit func()) {
	t.Helper()
	h = newHome(t)
	root := testenv.Root(t)
	stages, err := os.ReadFile(filepath.Join(root, "dvc.yaml"))
	require.NoError(t, err)
	h.write("dvc.yaml", string(stages))
	h.write(".gitignore", "/bin/\n/var/\n/mlruns/\n/data/iris.csv\n")
	tool := testenv.Tool(t, "dvc")
	command := func(name string, args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Dir = h.dir
		cmd.Env = append(os.Environ(), "DVC_NO_ANALYTICS=1", "GIT_CONFIG_GLOBAL=/dev/null")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s %v: %s", name, args, out)
		return string(out)
	}
	require.NoError(t, os.Mkdir(filepath.Join(h.dir, "bin"), 0o750))
	require.NoError(t, os.Rename(testenv.Binaries(t).Trainer, filepath.Join(h.dir, "bin", "trainer")))
	commit = func() {
		command("git", "add", ".")
		command("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "here")
	}
	command("git", "init", "-q")
	commit()
	return h, func(args ...string) string { t.Helper(); return command(tool, args...) }, commit
}

// The real DVC runs our stages: a second time it has nothing to do, and a changed
// parameter runs only what depends on it.
func TestDVCRepro(t *testing.T) {
	if testing.Short() {
		t.Skip("starts DVC several times")
	}
	h, dvc, commit := dvcHome(t)
	dvc("pull", "-q")
	first := dvc("repro")
	assert.Contains(t, first, "Running stage 'check'")
	assert.Contains(t, first, "Running stage 'train'")
	assert.FileExists(t, filepath.Join(h.dir, "dvc.lock"))
	var metrics map[string]float64
	text, err := os.ReadFile(filepath.Join(h.dir, "metrics.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &metrics))
	assert.Contains(t, metrics, "test_log_loss")
	_, listed, _ := h.run("list")
	assert.Contains(t, listed, "champion")

	second := dvc("repro")
	assert.NotContains(t, second, "Running stage")
	assert.Contains(t, second, "Data and pipelines are up to date")

	commit()
	params, err := os.ReadFile(filepath.Join(h.dir, "params.yaml"))
	require.NoError(t, err)
	before := "param_grid: {C: [1.0, 0.1, 10.0]}"
	require.Contains(t, string(params), before)
	h.write("params.yaml", strings.Replace(string(params), before, "param_grid: {C: [1.0]}", 1))
	third := dvc("repro")
	assert.Contains(t, third, "Stage 'check' didn't change, skipping")
	assert.Contains(t, third, "Running stage 'train'")
	assert.Regexp(t, `params\.yaml +candidates .*10\.0`, dvc("params", "diff"))
	assert.Regexp(t, `metrics\.json +test_log_loss +0\.08\d+ +0\.1\d+ +0\.\d+`, dvc("metrics", "diff"))
	dvc("plots", "diff", "-o", "dvc_plots")
	page, err := os.ReadFile(filepath.Join(h.dir, "dvc_plots", "index.html"))
	require.NoError(t, err)
	assert.Contains(t, string(page), `"rev": "HEAD"`)
	assert.Contains(t, string(page), `"rev": "workspace"`)
}
