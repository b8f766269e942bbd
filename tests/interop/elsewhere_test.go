package interop

import (
	_ "embed"
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/installation"
	"github.com/petal-ml/petal/tests/testenv"
)

//go:embed log.py
var logScript string

// logged is a model that Python logged, with onnxruntime's answers for its rows.
type logged struct {
	Features      []string             `json:"features"`
	Rows          [][]float64          `json:"rows"`
	Labels        []any                `json:"labels"`
	Probabilities []map[string]float64 `json:"probabilities"`
	Values        []float64            `json:"values"`
}

// served is one prediction of the API, of a classifier or a regressor.
type served struct {
	Label         any                `json:"label"`
	Probabilities map[string]float64 `json:"probabilities"`
	Value         *float64           `json:"value"`
}

// TestModelsFromElsewhere has the API serve what real Python trained, converted
// and registered, without a change, and api model predict score it.
func TestModelsFromElsewhere(t *testing.T) {
	server := testenv.StartMLflow(t, testenv.MLflowOptions{})
	env := "MLFLOW_TRACKING_URI=" + server.URL
	_, output, found := strings.Cut(string(testenv.RunPython(t, logScript, []string{env})), "RESULT")
	require.True(t, found)
	var models map[string]logged
	require.NoError(t, json.Unmarshal([]byte(output), &models))
	require.Len(t, models, 7)
	for name, model := range models {
		t.Run(name, func(t *testing.T) {
			petal := installation.New(t, env, "MODEL_NAME="+name)
			requireServed(t, petal, model)
			requireScored(t, petal, name, model)
		})
	}
}

// requireServed asks the API for all rows: by place in one request, and one by
// name.
func requireServed(t *testing.T, petal *installation.Installation, model logged) {
	t.Helper()
	api := petal.StartAPI()
	api.Login(petal.Read("var/initial_password"))
	var many struct{ Predictions []served }
	api.PostJSON("/predict", map[string]any{"instances": model.Rows}, &many)
	require.Len(t, many.Predictions, len(model.Rows))
	for i, got := range many.Predictions {
		requireAnswer(t, model, i, got)
	}
	named := map[string]float64{}
	for i, name := range model.Features {
		named[name] = model.Rows[1][i]
	}
	var one served
	api.PostJSON("/predict", map[string]any{"features": named}, &one)
	requireAnswer(t, model, 1, one)

	var info struct{ Features []struct{ Name string } }
	answer := api.Do(http.MethodGet, "/model-info", "", "", api.Token())
	require.Equal(t, http.StatusOK, answer.Status, string(answer.Body))
	answer.Decode(t, &info)
	require.Len(t, info.Features, len(model.Features))
	for i, f := range info.Features {
		require.Equal(t, model.Features[i], f.Name)
	}
}

// requireScored has the command score all rows from standard input.
func requireScored(t *testing.T, petal *installation.Installation, name string, model logged) {
	t.Helper()
	rows, err := json.Marshal(model.Rows)
	require.NoError(t, err)
	petal.Write("rows.json", string(rows))
	result := petal.RunAPI("model", "predict", "models:/"+name+"@champion", "--input", "rows.json")
	require.Zero(t, result.Code, result.Output)
	lines := strings.Split(strings.TrimSpace(result.Output), "\n")
	require.Len(t, lines, len(model.Rows))
	for i, line := range lines {
		var got served
		require.NoError(t, json.Unmarshal([]byte(line), &got), line)
		requireAnswer(t, model, i, got)
	}
	checked := petal.RunAPI("model", "check", "models:/"+name+"@champion")
	require.Zero(t, checked.Code, checked.Output)
}

// requireAnswer wants onnxruntime's answer for a row, within 1e-5·max(1, |x|).
func requireAnswer(t *testing.T, model logged, row int, got served) {
	t.Helper()
	if model.Values != nil {
		require.NotNil(t, got.Value)
		require.InDelta(t, model.Values[row], *got.Value, 1e-5*max(1, math.Abs(model.Values[row])))
		return
	}
	require.Equal(t, model.Labels[row], got.Label)
	require.Len(t, got.Probabilities, len(model.Probabilities[row]))
	for class, probability := range model.Probabilities[row] {
		require.InDeltaf(t, probability, got.Probabilities[class], 1e-5, "row %d, %s", row, class)
	}
}
