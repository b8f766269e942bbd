package eval

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
)

// FuzzLinear compares scaled linear classifiers that the fuzzer makes up with
// sums in float64, written down as the specification has them. One row by the
// fast path and a batch node by node must both lie within what the roundings of
// float32 can add up to.
func FuzzLinear(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint8(4), uint8(3), true)
	f.Add(uint64(5), uint64(6), uint8(11), uint8(9), false)
	f.Fuzz(func(t *testing.T, seed1, seed2 uint64, width, classes uint8, softmax bool) {
		r := rand.New(rand.NewPCG(seed1, seed2))
		features, targets := 1+int(width%12), 3+int(classes%9)
		l := &scaledLinear{
			targets: targets, features: features, coefficients: floatsOf(r, features*targets, 3), intercepts: floatsOf(r, targets, 3),
			offset: floatsOf(r, features, 100), scale: floatsOf(r, features, 2),
		}
		p := predictorOf(t, linearModel(l, softmax))
		fast, why := p.FastPath()
		require.True(t, fast, why)
		for range 10 {
			row := floatsOf(r, features, 100)
			if r.IntN(2) == 0 {
				row[r.IntN(features)] = float32(r.NormFloat64() * 1e6)
			}
			want, slack := referenceScores(l, row, softmax)
			got := make([]float32, targets)
			_, err := p.PredictRow(row, got)
			require.NoError(t, err)
			plain, err := p.Predict(map[string]kernel.Value{"x": onnx.NewTensor([]int{1, features}, row)})
			require.NoError(t, err)
			for k := range want {
				require.InDelta(t, want[k], got[k], slack, "fast path, class %d, row %v", k, row)
				require.InDelta(t, want[k], plain.Scores[k], slack, "plain, class %d, row %v", k, row)
			}
		}
	})
}

// A scaledLinear holds the numbers of a Scaler and of a linear model behind it.
type scaledLinear struct {
	targets, features        int
	coefficients, intercepts []float32
	offset, scale            []float32
}

func floatsOf(r *rand.Rand, n int, size float64) []float32 {
	list := make([]float32, n)
	for i := range list {
		list[i] = float32(r.NormFloat64() * size)
	}
	return list
}

// linearModel is Scaler and LinearClassifier in a graph.
func linearModel(l *scaledLinear, softmax bool) *onnx.Model {
	post, labels := "NONE", make([]int64, l.targets)
	if softmax {
		post = "SOFTMAX"
	}
	for i := range labels {
		labels[i] = int64(i)
	}
	n := onnx.Symbolic("N")
	return &onnx.Model{
		IRVersion: 8, Opsets: []onnx.Opset{{Version: 15}, {Domain: onnx.DomainML, Version: 3}},
		Graph: &onnx.Graph{
			Name:    "linear",
			Inputs:  []onnx.ValueInfo{{Name: "x", Type: onnx.TensorType(onnx.Float, n, onnx.Fixed(l.features))}},
			Outputs: []onnx.ValueInfo{{Name: "label", Type: onnx.TensorType(onnx.Int64, n)}, {Name: "scores", Type: onnx.TensorType(onnx.Float, n, onnx.Fixed(l.targets))}},
			Nodes: []onnx.Node{
				{
					Domain: onnx.DomainML, Operator: "Scaler", Inputs: []string{"x"}, Outputs: []string{"scaled"},
					Attributes: []onnx.Attribute{onnx.FloatsAttribute("offset", l.offset...), onnx.FloatsAttribute("scale", l.scale...)},
				},
				{
					Domain: onnx.DomainML, Operator: "LinearClassifier", Inputs: []string{"scaled"}, Outputs: []string{"label", "scores"},
					Attributes: []onnx.Attribute{
						onnx.FloatsAttribute("coefficients", l.coefficients...), onnx.FloatsAttribute("intercepts", l.intercepts...),
						onnx.IntsAttribute("classlabels_ints", labels...), onnx.StringAttribute("post_transform", post),
					},
				},
			},
		},
	}
}

// referenceScores computes the scores in float64, and how far float32 may be
// from them: a rounding of 2^-24 for each of the operations on the way, of which
// there are features + 4 at most.
func referenceScores(l *scaledLinear, row []float32, softmax bool) (scores []float64, slack float64) {
	scores = make([]float64, l.targets)
	for k := range scores {
		size := math.Abs(float64(l.intercepts[k]))
		scores[k] = float64(l.intercepts[k])
		for j, x := range row {
			term := (float64(x) - float64(l.offset[j])) * float64(l.scale[j]) * float64(l.coefficients[k*l.features+j])
			scores[k] += term
			size += math.Abs(term)
		}
		slack = max(slack, size*float64(l.features+4)*0x1p-24)
	}
	if !softmax {
		return scores, slack
	}
	top, sum := scores[0], 0.0
	for _, v := range scores {
		top = max(top, v)
	}
	for k := range scores {
		scores[k] = math.Exp(scores[k] - top)
		sum += scores[k]
	}
	for k := range scores {
		scores[k] /= sum
	}
	return scores, slack + 1e-6 // e^x and the division round too
}
