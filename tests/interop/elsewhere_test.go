package interop

import (
	_ "embed"
	"encoding/json"
	"fmt"
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
	Features      []feature            `json:"features"`
	Rows          [][]any              `json:"rows"`
	Labels        []any                `json:"labels"`
	Probabilities []map[string]float64 `json:"probabilities"`
	Values        []float64            `json:"values"`
}

// feature is a column as the signature and /model-info have it.
type feature struct{ Name, Type string }

// served is one prediction of the API, of a classifier or a regressor.
type served struct {
	Label         any                `json:"label"`
	Probabilities map[string]float64 `json:"probabilities"`
	Value         *float64           `json:"value"`
}

// The API serves what real Python trained, converted and registered, without a
// change, and api model predict scores it.
func testModelsFromElsewhere(t *testing.T, env string) {
	_, output, found := strings.Cut(string(testenv.RunPython(t, logScript, []string{env})), "RESULT")
	require.True(t, found)
	var models map[string]logged
	require.NoError(t, json.Unmarshal([]byte(output), &models))
	require.Len(t, models, 9)
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
	named := map[string]any{}
	for i, f := range model.Features {
		named[f.Name] = model.Rows[1][i]
	}
	var one served
	api.PostJSON("/predict", map[string]any{"features": named}, &one)
	requireAnswer(t, model, 1, one)

	var info struct {
		Name     string
		Features []feature
		Classes  []any
	}
	get(t, api, "/model-info", &info)
	require.Equal(t, model.Features, info.Features)
	requireInvoked(t, api, model)
	requireInferred(t, api, info.Name, info.Classes, model)
}

func get(t *testing.T, api *installation.API, path string, into any) {
	t.Helper()
	answer := api.Do(http.MethodGet, path, "", "", api.Token())
	require.Equal(t, http.StatusOK, answer.Status, string(answer.Body))
	answer.Decode(t, into)
}

// requireInvoked asks for all rows as MLflow's clients do.
func requireInvoked(t *testing.T, api *installation.API, model logged) {
	t.Helper()
	var names []string
	for _, f := range model.Features {
		names = append(names, f.Name)
	}
	var answer struct{ Predictions []map[string]any }
	api.PostJSON("/invocations", map[string]any{"dataframe_split": map[string]any{"columns": names, "data": model.Rows}}, &answer)
	require.Len(t, answer.Predictions, len(model.Rows))
	for i, record := range answer.Predictions {
		var got served
		for _, v := range record { // the graph names its outputs as it likes
			switch v := v.(type) {
			case map[string]any:
				got.Probabilities = map[string]float64{}
				for class, p := range v {
					got.Probabilities[class], _ = p.(float64)
				}
			case float64:
				got.Label, got.Value = v, &v
			default:
				got.Label = v
			}
		}
		requireAnswer(t, model, i, got)
	}
}

// tensor is one of the Open Inference Protocol.
type tensor struct {
	Name     string `json:"name"`
	Datatype string `json:"datatype"`
	Shape    []int  `json:"shape"`
	Data     []any  `json:"data,omitempty"`
}

// requireInferred asks for all rows in tensors of the types that the metadata
// tell, one for each input of the graph.
func requireInferred(t *testing.T, api *installation.API, name string, classes []any, model logged) {
	t.Helper()
	var metadata struct{ Inputs []tensor }
	get(t, api, "/v2/models/"+name, &metadata)
	first := 0
	for k := range metadata.Inputs {
		in := &metadata.Inputs[k]
		in.Shape[0] = len(model.Rows)
		for _, row := range model.Rows {
			in.Data = append(in.Data, row[first:first+in.Shape[1]]...)
		}
		first += in.Shape[1]
	}
	var answer struct{ Outputs []tensor }
	api.PostJSON("/v2/models/"+name+"/infer", map[string]any{"inputs": metadata.Inputs}, &answer)
	for i := range model.Rows {
		got := served{Label: answer.Outputs[0].Data[i]}
		if value, is := got.Label.(float64); is {
			got.Value = &value
		}
		for c, class := range classes {
			if c == 0 {
				got.Probabilities = map[string]float64{}
			}
			got.Probabilities[fmt.Sprint(class)], _ = answer.Outputs[1].Data[i*len(classes)+c].(float64)
		}
		requireAnswer(t, model, i, got)
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
