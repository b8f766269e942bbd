package model_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/emit"
	"github.com/petal-ml/petal/internal/learn/ensemble"
	"github.com/petal-ml/petal/internal/learn/linear"
	"github.com/petal-ml/petal/internal/learn/preprocessing"
	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/onnx"
)

func softmax(scores []float64) []float64 {
	sum := 0.0
	out := make([]float64, len(scores))
	for i, s := range scores {
		out[i] = math.Exp(s)
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

// logistic is for two classes that share one score: s and −s.
func logistic(scores []float64) []float64 {
	return []float64{1 / (1 + math.Exp(-scores[0])), 1 / (1 + math.Exp(-scores[1]))}
}

// halves are what a forest makes of the difference of its trees' shares.
func halves(scores []float64) []float64 {
	const twiceTrees = 200
	return []float64{0.5 + scores[0]/twiceTrees, 0.5 + scores[1]/twiceTrees}
}

func same(scores []float64) []float64 { return scores }

// Baseline and contributions add up to the score, from which the model's own
// last step makes its probabilities.
func TestAddsUp(t *testing.T) {
	scaled := &learn.Pipeline{Steps: []learn.Transformer{&preprocessing.StandardScaler{}}, Classifier: linear.NewLogisticRegression()}
	imputed := &learn.Pipeline{Steps: []learn.Transformer{&preprocessing.SimpleImputer{}, &preprocessing.StandardScaler{}}, Classifier: linear.NewLogisticRegression()}
	forest := ensemble.NewRandomForest()
	for _, row := range []struct {
		name       string
		classifier learn.Classifier
		classes    int
		last       func([]float64) []float64
		method     string
	}{
		{"linear", scaled, 3, softmax, model.MethodLinear},
		{"linear, two classes", imputed, 2, logistic, model.MethodLinear},
		{"forest", forest, 3, same, model.MethodTrees},
		{"forest, two classes", ensemble.NewExtraTrees(), 2, halves, model.MethodTrees},
		{"boosting", ensemble.NewHistGradientBoosting(), 3, softmax, model.MethodTrees},
		{"boosting, two classes", ensemble.NewHistGradientBoosting(), 2, logistic, model.MethodTrees},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			x, y := blobs(row.classes)
			require.NoError(t, row.classifier.Fit(t.Context(), x, y, row.classes, learn.Options{Workers: 1}))
			labels := onnx.Labels{Ints: []int64{0, 1, 2}[:row.classes]}
			graph, err := learn.ToONNX(row.classifier, 4, labels)
			require.NoError(t, err)
			m := openGraph(t, graph)
			for i := range 40 {
				features := make([]float32, 4)
				for j := range features {
					features[j] = float32(x.At(i, j))
				}
				if row.classifier == learn.Classifier(imputed) && i == 0 {
					features[1] = float32(math.NaN())
				}
				want := make([]float32, row.classes)
				_, err := m.PredictRows(features, make([]int, 1), want)
				require.NoError(t, err)
				scores := make([]float64, row.classes)
				for class := range scores {
					e, err := m.Explain(features, class)
					require.NoError(t, err)
					assert.Equal(t, row.method, e.Method)
					scores[class] = e.Baseline
					for _, c := range e.Contributions {
						scores[class] += c
					}
				}
				for class, p := range row.last(scores) {
					require.InDelta(t, want[class], p, 2e-5, "row %d, class %d", i, class)
				}
			}
		})
	}
}

// A feature that the classes do not depend on gets next to nothing; the one they
// depend on gets most.
func TestCreditsTheRightFeature(t *testing.T) {
	x, y := blobs(2)
	forest := ensemble.NewRandomForest()
	require.NoError(t, forest.Fit(t.Context(), x, y, 2, learn.Options{Workers: 1}))
	graph, err := learn.ToONNX(forest, 4, onnx.Labels{Ints: []int64{0, 1}})
	require.NoError(t, err)
	m := openGraph(t, graph)
	sums := make([]float64, 4)
	for i := range 40 {
		e, err := m.Explain([]float32{float32(x.At(i, 0)), float32(x.At(i, 1)), float32(x.At(i, 2)), float32(x.At(i, 3))}, y[i])
		require.NoError(t, err)
		for j, c := range e.Contributions {
			sums[j] += c
		}
	}
	assert.Greater(t, sums[0], 3*math.Abs(sums[3]), "%v", sums)
}

func TestNoExplanation(t *testing.T) {
	b, err := emit.NewBuilder(2, onnx.Labels{Ints: []int64{0, 1}})
	require.NoError(t, err)
	mixed := b.NodeML("Normalizer", []string{emit.Input}, onnx.StringAttribute("norm", "L2")) // mixes the features
	scores := b.ClassifierML("LinearClassifier", mixed,
		onnx.FloatsAttribute("coefficients", 1, 2, 3, 4), onnx.FloatsAttribute("intercepts", 0, 0))
	_, err = openGraph(t, b.Model("mixed", scores)).Explain([]float32{1, 2}, 0)
	require.ErrorIs(t, err, model.ErrNoExplanation)
}

func openGraph(t *testing.T, graph *onnx.Model) *model.Model {
	t.Helper()
	m, err := model.Open(t.Context(), model.Files{ONNX: graph.Marshal()}, model.Expect{}, onnx.Limits{})
	require.NoError(t, err)
	return m
}

// blobs are rows around one centre a class; the first feature tells them apart,
// the last one is noise.
func blobs(classes int) (*mat.Dense, []int) {
	r := rand.New(rand.NewPCG(1, 2))
	const n = 120
	x, y := mat.NewDense(n, 4, nil), make([]int, n)
	for i := range n {
		y[i] = i % classes
		x.SetRow(i, []float64{3*float64(y[i]) + r.NormFloat64(), float64(y[i]) + 2*r.NormFloat64(), r.NormFloat64(), 5 * r.NormFloat64()})
	}
	return x, y
}
