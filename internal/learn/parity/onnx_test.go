package parity

import (
	"bytes"
	"encoding/base64"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/linear"
	"github.com/petal-ml/petal/internal/learn/preprocessing"
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval"
)

// runtimeAnswer is what onnxruntime says of a model and rows.
type runtimeAnswer struct {
	Labels, Keys []string
	Proba        array
}

// requireSameONNX writes a fitted classifier as ONNX and runs it in onnxruntime
// and in Petal's evaluator. Both must give the label of the highest probability
// and probabilities within the tolerance of what the classifier itself gives for
// the rows as float32 holds them. Rows whose two best classes are closer than
// the tolerance may have either label.
func requireSameONNX(t *testing.T, c learn.Classifier, x *mat.Dense, classes int, tolerance float64) {
	t.Helper()
	n, p := x.Dims()
	rounded := mat.NewDense(n, p, nil)
	rounded.Apply(func(_, _ int, v float64) float64 { return float64(float32(v)) }, x)
	want, err := c.PredictProba(rounded)
	require.NoError(t, err)

	for _, labels := range []onnx.Labels{intLabels(classes), textLabels(classes)} {
		model, err := learn.ToONNX(c, p, labels)
		require.NoError(t, err)
		raw := model.Marshal()
		again, err := learn.ToONNX(c, p, labels)
		require.NoError(t, err)
		require.Equal(t, raw, again.Marshal(), "the same model gives the same bytes")

		var got runtimeAnswer
		ask(t, "run_onnx", map[string]any{"model": base64.StdEncoding.EncodeToString(raw), "x": pack(rounded)}, &got)
		for k := range classes {
			require.Equal(t, labels.Text(k), got.Keys[k])
		}
		requireClose(t, want, got.Proba.dense(t), tolerance, "onnxruntime's probability")
		requireLabels(t, want, got.Labels, labels, tolerance)
		requireEvaluator(t, raw, rounded, want, labels, tolerance)
	}
}

func requireEvaluator(t *testing.T, raw []byte, x, want *mat.Dense, labels onnx.Labels, tolerance float64) {
	t.Helper()
	model, err := onnx.Load(bytes.NewReader(raw), onnx.Limits{})
	require.NoError(t, err)
	session, err := eval.NewSession(model)
	require.NoError(t, err)
	predictor, err := eval.NewPredictor(session)
	require.NoError(t, err)
	n, p := x.Dims()
	row, scores := make([]float32, p), make([]float32, labels.Len())
	proba := mat.NewDense(n, labels.Len(), nil)
	said := make([]string, n)
	for i := range n {
		for j, v := range x.RawRowView(i) {
			row[j] = float32(v)
		}
		k, err := predictor.PredictRow(row, scores)
		require.NoError(t, err)
		said[i] = predictor.Labels().Text(k)
		for k, s := range scores {
			proba.Set(i, k, float64(s))
		}
	}
	requireClose(t, want, proba, tolerance, "the evaluator's probability")
	requireLabels(t, want, said, labels, tolerance)
}

func requireLabels(t *testing.T, proba *mat.Dense, said []string, labels onnx.Labels, tolerance float64) {
	t.Helper()
	for i, k := range learn.Predict(proba) {
		second := math.Inf(-1)
		for j, v := range proba.RawRowView(i) {
			if j != k {
				second = max(second, v)
			}
		}
		if proba.At(i, k)-second > 2*tolerance {
			require.Equal(t, labels.Text(k), said[i], "row %d: %v", i, proba.RawRowView(i))
		}
	}
}

func intLabels(n int) onnx.Labels {
	ints := make([]int64, n)
	for i := range ints {
		ints[i] = int64(10*i - 7)
	}
	return onnx.Labels{Ints: ints}
}

func textLabels(n int) onnx.Labels {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = string(rune('α'+i)) + " class"
	}
	return onnx.Labels{Strings: texts}
}

// linearTolerance is 1e-6, but for digits: 64 features add up to scores around
// 15, which float32, the only type that LinearClassifier computes in, holds to
// 1e-6 and no better.
func linearTolerance(set string) float64 {
	if set == "digits" {
		return 3e-6
	}
	return 1e-6
}

func TestLinearModelsAsONNX(t *testing.T) {
	for _, name := range sets() {
		if name == "missing" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			d := split(t, load(t, name))
			c := &learn.Pipeline{Steps: []learn.Transformer{&preprocessing.StandardScaler{}}, Classifier: linear.NewLogisticRegression()}
			require.NoError(t, c.Fit(t.Context(), d.train, d.yTrain, d.classes, learn.Options{}))
			requireSameONNX(t, c, d.test, d.classes, linearTolerance(name))
		})
	}
}
