package interop

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval"
	"github.com/petal-ml/petal/tests/installation"
	"github.com/petal-ml/petal/tests/testenv"
)

//go:embed candidates.py
var candidatesScript string

// candidates are the estimators that a training may register, and how close the
// probabilities of their ONNX file must be wherever it runs.
var candidates = []struct {
	estimator, params string
	tolerance         float64
}{
	{"LogisticRegression", "{}", 1e-6},
	{"GaussianNB", "{}", 1e-5},
	{"KNeighborsClassifier", "{n_neighbors: 15}", 1e-5},
	{"RandomForestClassifier", "{n_estimators: 20}", 1e-6},
	{"ExtraTreesClassifier", "{n_estimators: 20}", 1e-6},
	{"HistGradientBoostingClassifier", "{max_iter: 20}", 1e-6},
}

// Each candidate, trained on a table with missing values into a real registry,
// gives the same in Petal's evaluator, in onnxruntime and through pyfunc.
func testEveryCandidate(t *testing.T, uri string) {
	petal := installation.New(t, uri)
	table, rows := tableWithHoles()
	petal.Write("data/table.csv", table)
	models := map[string]string{}
	for _, c := range candidates {
		petal.Write("params.yaml", fmt.Sprintf("data: data/table.csv\nlabel: species\nn_splits: 2\ncandidates:\n  - estimator: %s\n    params: %s\n", c.estimator, c.params))
		petal.With("MODEL_NAME=" + c.estimator).Train()
		models[c.estimator] = "models:/" + c.estimator + "@champion"
	}

	asked := make([][]*float64, len(rows)) // null for what is missing
	for i, row := range rows {
		for _, v := range row {
			cell := float64(v)
			asked[i] = append(asked[i], &cell)
			if math.IsNaN(cell) {
				asked[i][len(asked[i])-1] = nil
			}
		}
	}
	question, err := json.Marshal(map[string]any{"models": models, "features": []string{"a", "b", "c"}, "rows": asked})
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "question.json")
	require.NoError(t, os.WriteFile(path, question, 0o600))
	var answers map[string]struct {
		Pyfunc      opinion  `json:"pyfunc"`
		ONNXRuntime opinion  `json:"onnxruntime"`
		Model       []byte   `json:"model"`
		Classes     []string `json:"classes"`
	}
	require.NoError(t, json.Unmarshal(testenv.RunPython(t, candidatesScript, []string{uri}, path), &answers))
	for _, c := range candidates {
		t.Run(c.estimator, func(t *testing.T) {
			answer := answers[c.estimator]
			require.Equal(t, []string{"x", "y", "z"}, answer.Classes, "MLflow shows the table")
			ours := evaluate(t, answer.Model, rows)
			requireSame(t, "onnxruntime", ours, answer.ONNXRuntime, c.tolerance)
			requireSame(t, "pyfunc", ours, answer.Pyfunc, c.tolerance)
		})
	}
}

// tableWithHoles returns a table, and rows to ask about: unseen ones, ones that
// miss values, and ones half-way between neighbouring training values, where
// trees have their thresholds. All are exact in float32.
func tableWithHoles() (table string, rows [][]float32) {
	random := rand.New(rand.NewPCG(5, 6))
	draw := func(class int) []float32 {
		return []float32{
			float32(random.NormFloat64() + 3*float64(class)), float32(random.NormFloat64() - float64(class%2)), float32(random.NormFloat64()),
		}
	}
	var text strings.Builder
	text.WriteString("a,b,c,species\n")
	columns := make([][]float32, 3)
	for i := range 240 {
		row := draw(i % 3)
		for j, v := range row {
			if (i+j)%23 == 0 {
				text.WriteString(",")
				continue
			}
			fmt.Fprintf(&text, "%v,", v)
			columns[j] = append(columns[j], v)
		}
		fmt.Fprintf(&text, "%c\n", 'x'+rune(i%3))
	}
	for _, column := range columns {
		slices.Sort(column)
	}
	missing := float32(math.NaN())
	for i := range 60 {
		row := draw(i % 3)
		rows = append(rows, row)
		holes := slices.Clone(row)
		holes[i%3] = missing
		if i%4 == 0 {
			holes = []float32{missing, missing, missing}
		}
		rows = append(rows, holes)
		between := make([]float32, 3)
		for j, column := range columns {
			at := random.IntN(len(column) - 1)
			between[j] = float32((float64(column[at]) + float64(column[at+1])) / 2)
		}
		rows = append(rows, between)
	}
	return text.String(), rows
}

// evaluate puts the rows to an ONNX file as serving does.
func evaluate(t *testing.T, file []byte, rows [][]float32) opinion {
	t.Helper()
	model, err := onnx.Load(bytes.NewReader(file), onnx.Limits{})
	require.NoError(t, err)
	session, err := eval.NewSession(model)
	require.NoError(t, err)
	predictor, err := eval.NewPredictor(session)
	require.NoError(t, err)
	labels := predictor.Labels()
	var said opinion
	for _, row := range rows {
		scores := make([]float32, labels.Len())
		class, err := predictor.PredictRow(row, scores)
		require.NoError(t, err)
		said.Labels = append(said.Labels, labels.Text(class))
		probabilities := map[string]float64{}
		for k, score := range scores {
			probabilities[labels.Text(k)] = float64(score)
		}
		said.Probabilities = append(said.Probabilities, probabilities)
	}
	return said
}
