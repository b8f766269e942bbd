// Package installation gives a test Petal as a user has it: a folder with the
// data pointer, params.yaml and mlflow.yaml of the checkout, and the two built
// binaries that work in it. Nothing in the checkout is touched.
package installation

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
)

// TrainLimit bounds one training, on a machine that may be busy.
const TrainLimit = 2 * time.Minute

// An Installation is a folder of its own with Petal in it.
type Installation struct {
	Dir      string
	Programs testenv.Programs
	Env      []string // in full

	t testing.TB
}

// New makes an installation with settings such as "MODEL_NAME=iris". Its API
// looks for a new champion every second.
func New(t testing.TB, settings ...string) *Installation {
	t.Helper()
	installation := &Installation{
		Dir:      t.TempDir(),
		Programs: testenv.Binaries(t),
		Env:      testenv.Environ(append([]string{"MODEL_POLL_INTERVAL=1s"}, settings...)...),
		t:        t,
	}
	root := testenv.Root(t)
	for _, folder := range []string{"data", ".dvc"} {
		require.NoError(t, os.CopyFS(installation.path(folder), os.DirFS(filepath.Join(root, folder))))
	}
	// A checkout that was used has pulled the data: here the trainer must.
	require.NoError(t, os.RemoveAll(installation.path("data/iris.csv")))
	for _, file := range []string{".dvcignore", "params.yaml", "mlflow.yaml"} {
		content, err := os.ReadFile(filepath.Join(root, file))
		require.NoError(t, err)
		installation.Write(file, string(content))
	}
	return installation
}

// With returns the same folder under other settings, which win over those that
// it had.
func (i *Installation) With(settings ...string) *Installation {
	other := *i
	other.Env = append(append([]string{}, i.Env...), settings...)
	return &other
}

// Write writes a file of the installation.
func (i *Installation) Write(path, content string) {
	i.t.Helper()
	require.NoError(i.t, os.MkdirAll(filepath.Dir(i.path(path)), 0o750))
	require.NoError(i.t, os.WriteFile(i.path(path), []byte(content), 0o600))
}

// Read returns a file of the installation.
func (i *Installation) Read(path string) string {
	i.t.Helper()
	content, err := os.ReadFile(i.path(path))
	require.NoError(i.t, err)
	return string(content)
}

// Trainer runs the trainer's command to its end.
func (i *Installation) Trainer(args ...string) testenv.Result {
	i.t.Helper()
	return testenv.Run(i.t, i.command(i.Programs.Trainer, args), TrainLimit)
}

// Train trains, and fails the test unless that ended with code 0.
func (i *Installation) Train(args ...string) testenv.Result {
	i.t.Helper()
	result := i.Trainer(append([]string{"train"}, args...)...)
	require.Zero(i.t, result.Code, result.Output)
	return result
}

// StartTrainer starts a command of the trainer.
func (i *Installation) StartTrainer(args ...string) *testenv.Process {
	i.t.Helper()
	return testenv.Start(i.t, i.command(i.Programs.Trainer, args))
}

// RunAPI runs a command of the API to its end.
func (i *Installation) RunAPI(args ...string) testenv.Result {
	i.t.Helper()
	return testenv.Run(i.t, i.command(i.Programs.API, args), time.Minute)
}

func (i *Installation) command(program string, args []string) testenv.Command {
	return testenv.Command{Path: program, Args: args, Env: i.Env, Dir: i.Dir}
}

func (i *Installation) path(path string) string { return filepath.Join(i.Dir, path) }
