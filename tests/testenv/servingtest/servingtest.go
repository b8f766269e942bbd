// Package servingtest has small real models for the tests of what serves them.
package servingtest

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/learn/emit"
	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/registry"
)

// Names of the columns and the classes of Fisher's irises.
var (
	irisFeatures = []string{"sepal_length", "sepal_width", "petal_length", "petal_width"}
	irisClasses  = onnx.Labels{Strings: []string{"setosa", "versicolor", "virginica"}}
)

// Rows of the data set, one a class, in class order.
var (
	Setosa     = []float64{5.1, 3.5, 1.4, 0.2}
	Versicolor = []float64{7.0, 3.2, 4.7, 1.4}
	Virginica  = []float64{6.3, 3.3, 6.0, 2.5}
)

// Iris is a multinomial logistic regression that tells irises apart. Its
// coefficients are what scikit-learn's LogisticRegression finds on the data set
// with its defaults, rounded to four digits.
func Iris(t testing.TB) mlmodel.Dir {
	t.Helper()
	return IrisLabelled(t, irisClasses)
}

// IrisLabelled is [Iris] with other names for the three classes.
func IrisLabelled(t testing.TB, labels onnx.Labels) mlmodel.Dir {
	t.Helper()
	return linear(t, labels,
		[]float32{
			-0.4234, 0.9674, -2.5171, -1.0794,
			0.5345, -0.3216, -0.2064, -0.9442,
			-0.1111, -0.6457, 2.7235, 2.0236,
		},
		[]float32{9.8497, 2.2372, -12.0869})
}

// Labelled is a model with the features of [Iris] and any number of classes, which are
// all as likely.
func Labelled(t testing.TB, labels onnx.Labels) mlmodel.Dir {
	t.Helper()
	return linear(t, labels, make([]float32, len(irisFeatures)*labels.Len()), make([]float32, labels.Len()))
}

// Constant is a model with the features of [Iris] that answers one class,
// whatever the row.
func Constant(t testing.TB, class int) mlmodel.Dir {
	t.Helper()
	intercepts := make([]float32, irisClasses.Len())
	intercepts[class] = 200 // a probability of exactly 1
	return linear(t, irisClasses, make([]float32, len(irisFeatures)*irisClasses.Len()), intercepts)
}

func linear(t testing.TB, labels onnx.Labels, coefficients, intercepts []float32) mlmodel.Dir {
	t.Helper()
	b, err := emit.NewBuilder(len(irisFeatures), labels)
	require.NoError(t, err)
	scores := b.ClassifierML("LinearClassifier", emit.Input,
		onnx.FloatsAttribute("coefficients", coefficients...),
		onnx.FloatsAttribute("intercepts", intercepts...),
		onnx.IntAttribute("multi_class", 1),
		onnx.StringAttribute("post_transform", "SOFTMAX"))
	dir := mlmodel.Dir{
		ONNX:         b.Model("iris", scores).Marshal(),
		InputExample: [][]float64{Setosa, Versicolor, Virginica},
		Petal: &mlmodel.PetalMetadata{
			Estimator: "logistic_regression",
			Metrics:   map[string]float64{"accuracy": 0.97, "log_loss": 0.11},
			Data:      mlmodel.PetalData{Path: "data/iris.csv", MD5: "d41d8cd98f00b204e9800998ecf8427e"},
			TrainedAt: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC),
		},
		Created: time.Date(2026, 11, 1, 12, 0, 1, 0, time.UTC),
	}
	for i := range labels.Len() {
		dir.Petal.Classes = append(dir.Petal.Classes, labels.Value(i))
	}
	for _, name := range irisFeatures {
		dir.Signature.Inputs = append(dir.Signature.Inputs, mlmodel.Column{Name: name, Type: mlmodel.Double})
		dir.Petal.Features = append(dir.Petal.Features, mlmodel.PetalFeature{Name: name, Type: mlmodel.Double})
	}
	return dir
}

// Tags are those that the trainer gives a version of the model.
func Tags(dir mlmodel.Dir) map[string]string {
	sum := sha256.Sum256(dir.ONNX)
	return map[string]string{
		registry.TagSHA256: hex.EncodeToString(sum[:]),
		registry.TagSize:   strconv.Itoa(len(dir.ONNX)),
	}
}

// Promote registers the model as the next version of iris and points the alias
// champion at it.
func Promote(t testing.TB, r registry.Registry, dir mlmodel.Dir, tags map[string]string) registry.Version {
	t.Helper()
	ctx := t.Context()
	run, err := r.StartRun(ctx, registry.RunSpec{Name: "test"})
	require.NoError(t, err)
	logged, err := run.LogModel(ctx, dir)
	require.NoError(t, err)
	v, err := r.Register(ctx, registry.Registration{Name: "iris", Model: logged})
	require.NoError(t, err)
	require.NoError(t, r.SetTags(ctx, v, tags)) // in place of the true ones that Register may have set
	require.NoError(t, run.Finish(ctx, registry.Finished))
	require.NoError(t, r.SetAlias(ctx, "iris", "champion", v.Number))
	return v
}

// Slow is a regressor with the features of [Iris] that answers 0, after products
// of matrices that take a processor some milliseconds a row.
func Slow(t testing.TB) mlmodel.Dir {
	t.Helper()
	const width, layers = 512, 24
	n, value := len(irisFeatures), onnx.TensorType(onnx.Float, onnx.Symbolic("N"), onnx.Fixed(1))
	g := &onnx.Graph{
		Name: "slow",
		Initializers: []*onnx.Tensor{
			onnx.NamedTensor("first", []int{n, width}, make([]float32, n*width)),
			onnx.NamedTensor("middle", []int{width, width}, make([]float32, width*width)),
			onnx.NamedTensor("last", []int{width, 1}, make([]float32, width)),
		},
		Inputs:  []onnx.ValueInfo{{Name: emit.Input, Type: onnx.TensorType(onnx.Float, onnx.Symbolic("N"), onnx.Fixed(n))}},
		Outputs: []onnx.ValueInfo{{Name: "value", Type: value}},
		Nodes:   []onnx.Node{{Operator: "MatMul", Inputs: []string{emit.Input, "first"}, Outputs: []string{"0"}}},
	}
	for i := range layers {
		g.Nodes = append(g.Nodes, onnx.Node{Operator: "MatMul", Inputs: []string{strconv.Itoa(i), "middle"}, Outputs: []string{strconv.Itoa(i + 1)}})
	}
	g.Nodes = append(g.Nodes, onnx.Node{Operator: "MatMul", Inputs: []string{strconv.Itoa(layers), "last"}, Outputs: []string{"value"}})
	m := &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 15}}, Graph: g}
	dir := linear(t, irisClasses, make([]float32, n*irisClasses.Len()), make([]float32, irisClasses.Len()))
	dir.ONNX = m.Marshal()
	return dir
}
