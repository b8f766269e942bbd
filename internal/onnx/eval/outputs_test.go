package eval

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
	"github.com/petal-ml/petal/tests/testenv/golden"
	"github.com/petal-ml/petal/tests/testenv/onnxtest"
)

type outputsCase struct {
	model   *onnx.Model
	outputs []string // those that predictions are made of
	labels  onnx.Labels
	classes []int     // of the rows (1, 2), (−3, 0) and (0, 1)
	scores  []float32 // of these rows
}

// twoFeatures is the input of most models here, any number of rows of two numbers.
func twoFeatures() []onnx.ValueInfo { return []onnx.ValueInfo{onnxtest.Value("x", onnx.Float, -1, 2)} }

// sumNode adds up the features of a row: [N,1].
func sumNode(from, to string) onnx.Node {
	return onnxtest.Node("MatMul", from+" ones", to)
}

func ones() []*onnx.Tensor {
	return []*onnx.Tensor{onnx.NamedTensor("ones", []int{2, 1}, []float32{1, 1}), onnx.NamedTensor("zero", nil, []float32{0})}
}

func outputCases() map[string]outputsCase {
	values := []float32{3, -3, 1}
	classifier := onnxtest.NodeML("LinearClassifier", "x", "label probabilities",
		onnx.FloatsAttribute("coefficients", -1, -1, 1, 1), onnx.FloatsAttribute("intercepts", 0, 0), onnx.StringsAttribute("classlabels_strings", "no", "yes"))
	decisions := []float32{-3, 3, 3, -3, -1, 1}
	noYes := onnx.Labels{Strings: []string{"no", "yes"}}
	mlnet := []onnx.ValueInfo{
		onnxtest.Value("x.output", onnx.Float, -1, 2), onnxtest.Value("y.output", onnx.Int64, -1, 1), onnxtest.Value("PredictedLabel.output", onnx.Bool, -1, 1),
		onnxtest.Value("Score.output", onnx.Float, -1, 1), onnxtest.Value("Probability.output", onnx.Float, -1, 1),
	}
	mlnetNodes := []onnx.Node{
		onnxtest.Node("Identity", "x", "x.output"), onnxtest.Node("Identity", "y", "y.output"), sumNode("x", "s"), onnxtest.Node("Identity", "s", "Score.output"),
		onnxtest.Node("HardSigmoid", "s", "Probability.output"), onnxtest.Node("Greater", "s zero", "PredictedLabel.output"),
	}
	return map[string]outputsCase{
		"scores before the label": {
			onnxtest.Small(twoFeatures(), []onnx.ValueInfo{onnxtest.Value("probabilities", onnx.Float, -1, 2), onnxtest.Value("label", onnx.String, -1)}, nil, classifier),
			[]string{"label", "probabilities"},
			noYes,
			[]int{1, 0, 1},
			decisions,
		},
		"labels of the classes beside": {
			onnxtest.Small(twoFeatures(), []onnx.ValueInfo{onnxtest.Value("label", onnx.String, -1), onnxtest.Value("probabilities", onnx.Float, -1, 2), onnxtest.Value("class_labels", onnx.String, 2)},
				[]*onnx.Tensor{onnx.NamedTensor("l", []int{2}, []string{"no", "yes"})}, classifier, onnxtest.Node("Identity", "l", "class_labels")),
			[]string{"label", "probabilities"},
			noYes,
			[]int{1, 0, 1},
			decisions,
		},
		"a list of labels that nothing else tells": {
			onnxtest.Small(twoFeatures(), []onnx.ValueInfo{onnxtest.Value("label", onnx.Int64, -1), onnxtest.Value("scores", onnx.Float, -1, 2), onnxtest.Value("class_labels", onnx.Int64, 2)},
				append(ones(), onnx.NamedTensor("l", []int{2}, []int64{7, 9}), onnx.NamedTensor("seven", nil, []int64{7}), onnx.NamedTensor("two", nil, []int64{2})),
				sumNode("x", "s"), onnxtest.Node("Neg", "s", "n"), onnxtest.Node("Concat", "n s", "scores", onnx.IntAttribute("axis", 1)),
				onnxtest.Node("ArgMax", "scores", "k", onnx.IntAttribute("axis", 1), onnx.IntAttribute("keepdims", 0)),
				onnxtest.Node("Mul", "k two", "d"), onnxtest.Node("Add", "d seven", "label"), onnxtest.Node("Identity", "l", "class_labels")),
			[]string{"label", "scores"},
			onnx.Labels{Ints: []int64{7, 9}},
			[]int{1, 0, 1},
			decisions,
		},
		"ML.NET, two classes": {
			onnxtest.Small([]onnx.ValueInfo{onnxtest.Value("x", onnx.Float, -1, 2), onnxtest.Value("y", onnx.Int64, -1, 1)}, mlnet, ones(), mlnetNodes...),
			[]string{"PredictedLabel.output", "Probability.output"},
			onnx.Labels{Ints: []int64{0, 1}},
			[]int{1, 0, 1},
			[]float32{0, 1, 1, 0, 0.3, 0.7},
		},
		"ML.NET, a value": {
			onnxtest.Small(twoFeatures(), []onnx.ValueInfo{onnxtest.Value("Features.onnx", onnx.Float, -1, 2), onnxtest.Value("Score.onnx", onnx.Float, -1, 1)}, ones(),
				onnxtest.Node("Relu", "x", "Features.onnx"), sumNode("x", "Score.onnx")),
			[]string{"Score.onnx"},
			onnx.Labels{},
			nil, values,
		},
		"a value and its deviation": {
			onnxtest.Small(twoFeatures(), []onnx.ValueInfo{onnxtest.Value("GPmean", onnx.Float, -1, 1), onnxtest.Value("GPcovstd", onnx.Float, -1)}, ones(),
				sumNode("x", "GPmean"), onnxtest.Node("Abs", "GPmean", "GPcovstd")),
			[]string{"GPmean"},
			onnx.Labels{},
			nil, values,
		},
		"one class": {
			onnxtest.Small(twoFeatures(), []onnx.ValueInfo{onnxtest.Value("label", onnx.Int64, -1, 1), onnxtest.Value("scores", onnx.Float, -1, 1)}, ones(),
				sumNode("x", "scores"), onnxtest.Node("Sign", "scores", "s"), onnxtest.Node("Cast", "s", "label", onnx.IntAttribute("to", int64(onnx.Int64)))),
			[]string{"label", "scores"},
			onnx.Labels{Ints: []int64{-1, 1}},
			[]int{1, 0, 1},
			decisions,
		},
		"a probability, compared with a half": {
			onnxtest.Small(twoFeatures(), []onnx.ValueInfo{onnxtest.Value("label", onnx.Int64, -1, 1), onnxtest.Value("prob", onnx.Float, -1, 1)},
				append(ones(), onnx.NamedTensor("half", nil, []float32{0.5})),
				sumNode("x", "s"), onnxtest.Node("HardSigmoid", "s", "prob"), onnxtest.Node("Greater", "prob half", "b"), onnxtest.Node("Cast", "b", "label", onnx.IntAttribute("to", int64(onnx.Int64)))),
			[]string{"label", "prob"},
			onnx.Labels{Ints: []int64{0, 1}},
			[]int{1, 0, 1},
			[]float32{0, 1, 1, 0, 0.3, 0.7},
		},
		"probabilities alone": {
			onnxtest.Small(twoFeatures(), []onnx.ValueInfo{onnxtest.Value("y", onnx.Float, -1, 2)}, nil, onnxtest.Node("Softmax", "x", "y")),
			[]string{"label", "y"},
			onnx.Labels{Ints: []int64{0, 1}},
			[]int{1, 1, 1},
			[]float32{0.26894143, 0.7310586, 0.047425874, 0.95257413, 0.26894143, 0.7310586},
		},
		"probabilities by name, without a type": {
			onnxtest.Small(twoFeatures(), []onnx.ValueInfo{{Name: "probabilities"}}, nil, onnxtest.Node("HardSigmoid", "x", "probabilities")),
			[]string{"label", "probabilities"},
			onnx.Labels{Ints: []int64{0, 1}},
			[]int{1, 1, 1},
			[]float32{0.7, 0.9, 0, 0.5, 0.5, 0.7},
		},
		"one row at a time": {
			onnxtest.Small([]onnx.ValueInfo{onnxtest.Value("x", onnx.Float, 1, 2)}, []onnx.ValueInfo{onnxtest.Value("y", onnx.Float, 1, 1)}, ones(), sumNode("x", "y")),
			[]string{"y"},
			onnx.Labels{},
			nil, values,
		},
		"one row, whose axis gets lost": {
			onnxtest.Small([]onnx.ValueInfo{onnxtest.Value("x", onnx.Float, 1, 2)}, []onnx.ValueInfo{onnxtest.Value("y", onnx.Float)}, ones(), sumNode("x", "s"), onnxtest.Node("Squeeze", "s", "y")),
			[]string{"y"},
			onnx.Labels{},
			nil, values,
		},
		"two rows at a time": {
			onnxtest.Small([]onnx.ValueInfo{onnxtest.Value("x", onnx.Float, 2, 2)}, []onnx.ValueInfo{onnxtest.Value("y", onnx.Float, 2, 1)}, ones(), sumNode("x", "y")),
			[]string{"y"},
			onnx.Labels{},
			nil, values,
		},
		"a row without an axis of rows": {
			onnxtest.Small([]onnx.ValueInfo{onnxtest.Value("x", onnx.Float, 2)}, []onnx.ValueInfo{onnxtest.Value("y", onnx.Float, 1)}, ones(), sumNode("x", "y")),
			[]string{"y"},
			onnx.Labels{},
			nil, values,
		},
		"rows of several axes": {
			onnxtest.Small([]onnx.ValueInfo{onnxtest.Value("x", onnx.Float, -1, 1, 2)}, []onnx.ValueInfo{onnxtest.Value("y", onnx.Float, -1, 1, 1)}, ones(), sumNode("x", "y")),
			[]string{"y"},
			onnx.Labels{},
			nil, values,
		},
		"a classifier of one row at a time": {
			onnxtest.Small([]onnx.ValueInfo{onnxtest.Value("x", onnx.Float, 1, 2)}, []onnx.ValueInfo{onnxtest.Value("label", onnx.String, 1), {Name: "p", Type: onnx.ProbabilityMapsType(onnx.String)}}, nil,
				classifier, onnxtest.Node("Identity", "probabilities", "q"), onnxtest.NodeML("ZipMap", "q", "p", onnx.StringsAttribute("classlabels_strings", "no", "yes"))),
			[]string{"label", "p"},
			noYes,
			[]int{1, 0, 1},
			decisions,
		},
	}
}

func TestOutputsAreChosen(t *testing.T) {
	for name, c := range outputCases() {
		t.Run(name, func(t *testing.T) {
			s, err := NewSession(c.model)
			require.NoError(t, err)
			p, err := NewPredictor(s)
			require.NoError(t, err)
			var outputs []string
			for _, out := range p.Outputs() {
				outputs = append(outputs, out.Name)
			}
			require.Equal(t, c.outputs, outputs)
			require.Equal(t, c.labels, p.Labels())
			// What is used is enough, and predicts the same.
			if s, err = NewSession(c.model, WithOutputs(p.UsedOutputs()...), WithoutUnusedInputs()); err == nil {
				p, err = NewPredictor(s)
			}
			require.NoError(t, err)
			require.Equal(t, c.labels, p.Labels())
			require.Equal(t, 2, p.NumFeatures())
			x := []float32{1, 2, -3, 0, 0, 1}
			classes, scores := make([]int, 3), make([]float32, len(c.scores))
			require.NoError(t, p.PredictRows(x, classes, scores))
			require.InDeltaSlice(t, c.scores, scores, 1e-6)
			if c.classes != nil {
				require.Equal(t, c.classes, classes)
			}
			row := make([]float32, p.NumScores())
			class, err := p.PredictRow(x[4:], row)
			require.NoError(t, err)
			require.InDeltaSlice(t, c.scores[2*len(row):], row, 1e-6)
			require.Equal(t, classes[2], class)
		})
	}
}

// TestOneHotInFront has a one-hot encoder of a column of its own, whose [N,1,K] goes
// by way of an imputer into one vector of features, as ML.NET writes it.
func TestOneHotInFront(t *testing.T) {
	nan := float32(math.NaN())
	s, err := NewSession(onnxtest.Small(
		[]onnx.ValueInfo{onnxtest.Value("city", onnx.String, -1, 1), onnxtest.Value("x", onnx.Float, -1, 2)},
		[]onnx.ValueInfo{onnxtest.Value("y", onnx.Float, -1, 1)}, nil,
		onnxtest.NodeML("OneHotEncoder", "city", "o", onnx.StringsAttribute("cats_strings", "a", "b", "c"), onnx.IntAttribute("zeros", 1)),
		onnxtest.NodeML("Imputer", "o", "i", onnx.FloatsAttribute("imputed_value_floats", 9), onnx.FloatAttribute("replaced_value_float", nan)),
		onnxtest.NodeML("FeatureVectorizer", "i x", "v", onnx.IntsAttribute("inputdimensions", 3, 2)),
		onnxtest.NodeML("LinearRegressor", "v", "y", onnx.FloatsAttribute("coefficients", 1, 2, 3, 10, 100))))
	require.NoError(t, err)
	out, err := s.Run(map[string]kernel.Value{
		"city": onnx.NewTensor([]int{3, 1}, []string{"b", "unseen", "c"}), "x": onnx.NewTensor([]int{3, 2}, []float32{1, 0, 0, 1, 2, 2}),
	})
	require.NoError(t, err)
	require.Equal(t, []float32{12, 100, 223}, out[0].(*onnx.Tensor).Data)
}

func TestOutputsThatAreNoPrediction(t *testing.T) {
	messages := golden.New(t)
	for name, outputs := range map[string][]onnx.ValueInfo{
		"several labels":       {onnxtest.Value("two", onnx.Int64, -1, 2), onnxtest.Value("sum", onnx.Float, -1, 1)},
		"several values":       {onnxtest.Value("sum", onnx.Float, -1, 1), onnxtest.Value("other", onnx.Float, -1, 1)},
		"a label alone":        {onnxtest.Value("two", onnx.Int64, -1, 2)},
		"inputs only":          {onnxtest.Value("same", onnx.Float, -1, 2), onnxtest.Value("again", onnx.Float, -1, 2)},
		"scores of other rank": {onnxtest.Value("one", onnx.Int64, -1, 1), onnxtest.Value("scores", onnx.Float, -1, 3)},
	} {
		s, err := NewSession(onnxtest.Small(twoFeatures(), outputs, append(ones(), onnx.NamedTensor("threes", []int{2, 3}, make([]float32, 6))),
			sumNode("x", "sum"), onnxtest.Node("Neg", "sum", "other"), onnxtest.Node("Floor", "x", "f"), onnxtest.Node("Cast", "f", "two", onnx.IntAttribute("to", int64(onnx.Int64))),
			onnxtest.Node("Identity", "x", "same"), onnxtest.Node("Identity", "x", "again"), onnxtest.Node("MatMul", "x threes", "scores"),
			onnxtest.NodeML("LinearClassifier", "x", "one unused", onnx.FloatsAttribute("coefficients", 1, 1, 1, 1),
				onnx.FloatsAttribute("intercepts", 0, 0), onnx.IntsAttribute("classlabels_ints", 1, 2))))
		require.NoError(t, err)
		_, err = NewPredictor(s)
		require.ErrorIs(t, err, onnx.ErrUnsupported, name)
		messages.Add(name, err)
	}
}
