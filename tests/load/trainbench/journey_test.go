//go:build bench

package trainbench

import (
	_ "embed"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/installation"
	"github.com/petal-ml/petal/tests/testenv"
)

//go:embed iris.py
var irisScript string

// irisParams have the one candidate that both programs know.
const irisParams = `data: data/iris.csv
label: species
drop: []
test_size: 0.2
random_state: 42
n_splits: 5
scoring: neg_log_loss
candidates:
  - estimator: LogisticRegression
    params: {C: 1.0, max_iter: 1000}
`

// journeys train on iris, from the start of the process to the registered
// version: on a store in the folder, and into one MLflow server.
func journeys(t *testing.T) []work {
	t.Helper()
	local := iris(t, "iris, process start to version, local store", 1.0/20, "")
	local.name = "local"
	server := testenv.StartMLflow(t, testenv.MLflowOptions{})
	remote := iris(t, "iris, the same into an MLflow server", 1.0/4, server.URL)
	remote.name = "server"
	return []work{local, remote}
}

func iris(t *testing.T, title string, goal float64, uri string) work {
	t.Helper()
	petal := installation.New(t, "MLFLOW_TRACKING_URI="+uri)
	petal.Write("params.yaml", irisParams)
	petal.Train()
	dir := t.TempDir()
	for _, file := range []string{"iris.csv", "iris.csv.dvc", "params.yaml"} {
		from := file
		if file != "params.yaml" {
			from = "data/" + file
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(petal.Read(from)), 0o600))
	}
	if uri == "" {
		uri = "sqlite:///" + filepath.Join(dir, "mlflow.db") // as the client makes it without a setting
	}
	script := testenv.Command{
		Path: testenv.Python(t), Args: []string{"-c", irisScript, "iris.csv", "params.yaml"},
		Env: testenv.Environ("MLFLOW_TRACKING_URI="+uri, "PYTHONWARNINGS=ignore"), Dir: dir,
	}
	return work{
		title: title, goal: goal,
		ours: func(*testing.T, int) (float64, float64) {
			start := time.Now()
			petal.Train("--force")
			return time.Since(start).Seconds(), 0
		},
		theirs: func(t *testing.T, _ int) (float64, float64) {
			start := time.Now()
			result := testenv.Run(t, script, installation.TrainLimit)
			require.Zero(t, result.Code, result.Output)
			return time.Since(start).Seconds(), 0
		},
	}
}
