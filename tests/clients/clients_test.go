// Package clients drives the API with the real clients of the protocols that it
// speaks.
package clients

import (
	_ "embed"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/installation"
	"github.com/petal-ml/petal/tests/testenv"
)

var (
	//go:embed triton.py
	tritonScript string
	//go:embed scoring.py
	scoringScript string
)

func TestTritonClient(t *testing.T) {
	_, api := start(t)
	var answers []struct {
		Labels        []string
		Probabilities [][]float64
	}
	output := testenv.RunPython(t, tritonScript, nil, strings.TrimPrefix(api.URL, "http://"), api.Token())
	require.NoError(t, json.Unmarshal(output, &answers))
	require.Len(t, answers, 8)
	native := api.Predict(5.9, 2.8, 4.3, 1.3)
	for _, a := range answers {
		require.Equal(t, []string{"setosa", "versicolor", "virginica"}, a.Labels)
		require.InDelta(t, native.Probabilities["versicolor"], a.Probabilities[1][1], 1e-7)
	}
}

// MLflow's own scoring code and Petal say the same of the same bodies.
func TestMLflowScoring(t *testing.T) {
	petal, api := start(t)
	folders, err := filepath.Glob(filepath.Join(petal.Dir, "mlruns", "models", "m-*"))
	require.NoError(t, err)
	require.Len(t, folders, 1)
	var counts struct{ Answered, Refused int }
	require.NoError(t, json.Unmarshal(testenv.RunPython(t, scoringScript, nil, folders[0], api.URL, api.Token()), &counts))
	require.Equal(t, 15, counts.Answered)
	require.Equal(t, 7, counts.Refused)
}

func start(t *testing.T) (*installation.Installation, *installation.API) {
	t.Helper()
	petal := installation.New(t)
	petal.Train()
	api := petal.StartAPI()
	api.Login(petal.Read("var/initial_password"))
	return petal, api
}
