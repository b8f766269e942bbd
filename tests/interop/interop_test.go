// Package interop holds what Petal writes against the programs that others read
// it with: MLflow's Python client, the ONNX checker and onnxruntime.
package interop

import (
	_ "embed"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/installation"
	"github.com/petal-ml/petal/tests/testenv"
)

//go:embed load.py
var loadScript string

// tolerance is one unit of float32 in a probability, with room for another order
// of summation.
const tolerance = 1e-6

// opinion is what one program says of all rows.
type opinion struct {
	Labels        []string             `json:"labels"`
	Probabilities []map[string]float64 `json:"probabilities"`
}

type reading struct {
	Rows        [][]float64          `json:"rows"`
	Expected    []string             `json:"expected"`
	Pyfunc      opinion              `json:"pyfunc"`
	Shuffled    opinion              `json:"shuffled"`
	ONNXRuntime opinion              `json:"onnxruntime"`
	Input       string               `json:"input"`
	Outputs     []string             `json:"outputs"`
	Signature   []string             `json:"signature"`
	Flavors     []string             `json:"flavors"`
	Example     []map[string]float64 `json:"example"`
}

// TestWithMLflow has one real server for all that needs one: its start takes most
// of the time. No two use the same model's name.
func TestWithMLflow(t *testing.T) {
	env := "MLFLOW_TRACKING_URI=" + testenv.StartMLflow(t, testenv.MLflowOptions{}).URL
	for _, test := range []struct {
		name string
		run  func(t *testing.T, env string)
	}{
		{"every candidate in Python", testEveryCandidate},
		{"models from elsewhere", testModelsFromElsewhere},
		{"Python reads the champion", testChampion},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, env)
		})
	}
}

func testChampion(t *testing.T, env string) {
	petal := installation.New(t, env)
	petal.Train()
	requireAgreement(t, petal, "models:/iris@champion", env)
}

// A directory registry holds ordinary MLflow model directories.
func TestPythonReadsTheChampionFromTheDirectory(t *testing.T) {
	t.Parallel()
	petal := installation.New(t)
	petal.Train()
	folders, err := filepath.Glob(filepath.Join(petal.Dir, "mlruns", "models", "m-*"))
	require.NoError(t, err)
	require.Len(t, folders, 1)
	requireAgreement(t, petal, folders[0])
}

// requireAgreement wants the same labels, and probabilities within the
// tolerance, from the API, pyfunc and onnxruntime for every row.
func requireAgreement(t *testing.T, petal *installation.Installation, uri string, env ...string) {
	t.Helper()
	output := testenv.RunPython(t, loadScript, env, uri, filepath.Join(petal.Dir, "data", "iris.csv"), "species")
	var read reading
	require.NoError(t, json.Unmarshal(output, &read), string(output))

	require.Len(t, read.Rows, 150)
	require.Equal(t, "features", read.Input)
	require.Equal(t, []string{"label", "probabilities"}, read.Outputs)
	require.Equal(t, []string{"sepal_length", "sepal_width", "petal_length", "petal_width"}, read.Signature)
	require.Equal(t, []string{"onnx", "python_function"}, read.Flavors)
	require.NotEmpty(t, read.Example)

	served := ask(t, petal, read.Rows)
	requireSame(t, "pyfunc", served, read.Pyfunc, tolerance)
	requireSame(t, "pyfunc with shuffled columns", served, read.Shuffled, tolerance)
	requireSame(t, "onnxruntime", served, read.ONNXRuntime, tolerance)
	right := 0
	for row, label := range served.Labels {
		if label == read.Expected[row] {
			right++
		}
	}
	require.GreaterOrEqual(t, right, 140, "the model is no good: agreement alone proves nothing")
}

// ask sends all rows to the API in one request.
func ask(t *testing.T, petal *installation.Installation, rows [][]float64) opinion {
	t.Helper()
	api := petal.StartAPI()
	api.Login(petal.Read("var/initial_password"))
	var answer struct {
		Predictions []installation.Prediction `json:"predictions"`
	}
	api.PostJSON("/predict", map[string]any{"instances": rows}, &answer)
	var served opinion
	for _, prediction := range answer.Predictions {
		served.Labels = append(served.Labels, prediction.Label)
		served.Probabilities = append(served.Probabilities, prediction.Probabilities)
	}
	return served
}

func requireSame(t *testing.T, who string, want, got opinion, tolerance float64) {
	t.Helper()
	require.Equal(t, want.Labels, got.Labels, who)
	require.Len(t, got.Probabilities, len(want.Probabilities), who)
	for row, probabilities := range want.Probabilities {
		require.Len(t, got.Probabilities[row], len(probabilities), who)
		for class, probability := range probabilities {
			require.InDeltaf(t, probability, got.Probabilities[row][class], tolerance, "%s: row %d, %s", who, row, class)
		}
	}
}
