package onnx

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// forestModel is a random forest of complete trees: a classifier where classes is
// more than one, else a regressor.
func forestModel(trees, depth, features, classes int) *Model {
	r := rand.New(rand.NewPCG(1, 2))
	var treeIDs, nodeIDs, featureIDs, yes, no, leafTrees, leafNodes, leafTargets []int64
	var values, weights []float32
	var modes []string
	for t := range trees {
		first := 1<<depth - 1
		for i := range 2*first + 1 {
			treeIDs, nodeIDs = append(treeIDs, int64(t)), append(nodeIDs, int64(i))
			if i < first {
				modes = append(modes, "BRANCH_LEQ")
				featureIDs, values = append(featureIDs, int64(r.IntN(features))), append(values, float32(r.NormFloat64()))
				yes, no = append(yes, int64(2*i+1)), append(no, int64(2*i+2))
				continue
			}
			modes, featureIDs, values = append(modes, "LEAF"), append(featureIDs, 0), append(values, 0)
			yes, no = append(yes, 0), append(no, 0)
			for k := range max(classes, 1) {
				leafTrees, leafNodes, leafTargets = append(leafTrees, int64(t)), append(leafNodes, int64(i)), append(leafTargets, int64(k))
				weights = append(weights, r.Float32()/float32(trees))
			}
		}
	}
	prefix := "class"
	node := Node{Operator: "TreeEnsembleClassifier", Domain: DomainML, Inputs: []string{"X"}, Outputs: []string{"label", "scores"}}
	outputs := []ValueInfo{{Name: "label", Type: TensorType(Int64, Symbolic("N"))}, {Name: "scores", Type: TensorType(Float, Symbolic("N"), Fixed(classes))}}
	if classes < 2 {
		prefix, node.Operator, node.Outputs = "target", "TreeEnsembleRegressor", []string{"scores"}
		node.Attributes = []Attribute{IntAttribute("n_targets", 1)}
		outputs = []ValueInfo{{Name: "scores", Type: TensorType(Float, Symbolic("N"), Fixed(1))}}
	} else {
		labels := make([]int64, classes)
		for i := range labels {
			labels[i] = int64(i)
		}
		node.Attributes = []Attribute{IntsAttribute("classlabels_int64s", labels...)}
	}
	node.Attributes = append(node.Attributes,
		IntsAttribute("nodes_treeids", treeIDs...), IntsAttribute("nodes_nodeids", nodeIDs...), IntsAttribute("nodes_featureids", featureIDs...),
		StringsAttribute("nodes_modes", modes...), FloatsAttribute("nodes_values", values...),
		IntsAttribute("nodes_truenodeids", yes...), IntsAttribute("nodes_falsenodeids", no...),
		IntsAttribute(prefix+"_treeids", leafTrees...), IntsAttribute(prefix+"_nodeids", leafNodes...),
		IntsAttribute(prefix+"_ids", leafTargets...), FloatsAttribute(prefix+"_weights", weights...))
	return &Model{
		IRVersion: 8, Opsets: []Opset{{DomainONNX, 15}, {DomainML, 3}},
		Graph: &Graph{
			Name: "forest", Nodes: []Node{node}, Outputs: outputs,
			Inputs: []ValueInfo{{Name: "X", Type: TensorType(Float, Symbolic("N"), Fixed(features))}},
		},
	}
}

func predictorOf(t testing.TB, m *Model) *Predictor {
	t.Helper()
	s, err := NewSession(m)
	require.NoError(t, err)
	p, err := NewPredictor(s)
	require.NoError(t, err)
	fast, why := p.FastPath()
	require.True(t, fast, why)
	return p
}

func randomRows(n int) []float32 {
	r := rand.New(rand.NewPCG(3, 4))
	rows := make([]float32, n)
	for i := range rows {
		rows[i] = float32(r.NormFloat64())
	}
	return rows
}

func BenchmarkForest(b *testing.B) {
	for _, shape := range [][3]int{{100, 10, 5}, {500, 6, 1}, {300, 6, 1}} {
		p := predictorOf(b, forestModel(shape[0], shape[1], 20, shape[2]))
		x := randomRows(1000 * 20)
		scores := make([]float32, p.NumScores())
		b.Run(fmt.Sprintf("row/%dx%dx%d", shape[0], shape[1], shape[2]), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i = (i + 1) % 1000 {
				if _, err := p.PredictRow(x[i*20:(i+1)*20], scores); err != nil {
					b.Fatal(err)
				}
			}
		})
		classes, all := make([]int, 1000), make([]float32, 1000*p.NumScores())
		b.Run(fmt.Sprintf("batch/%dx%dx%d", shape[0], shape[1], shape[2]), func(b *testing.B) {
			for b.Loop() {
				if err := p.PredictRows(x, classes, all); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/row")
		})
	}
}

func BenchmarkLogisticRegression(b *testing.B) {
	p := predictorOf(b, irisLike())
	row, scores := []float32{5.1, 3.5, 1.4, 0.2}, make([]float32, 3)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.PredictRow(row, scores); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLogisticRegressionBatch(b *testing.B) {
	const features, classes, n = 20, 5, 1000
	r := rand.New(rand.NewPCG(1, 2))
	normal := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(r.NormFloat64())
		}
		return v
	}
	m := irisLike()
	m.Graph.Inputs[0].Type = TensorType(Float, Symbolic("N"), Fixed(features))
	m.Graph.Nodes[0].Attributes = []Attribute{FloatsAttribute("offset", normal(features)...), FloatsAttribute("scale", normal(features)...)}
	labels := StringsAttribute("classlabels_strings", "a", "b", "c", "d", "e")
	m.Graph.Nodes[1].Attributes = []Attribute{
		FloatsAttribute("coefficients", normal(features*classes)...), FloatsAttribute("intercepts", normal(classes)...),
		labels, StringAttribute("post_transform", "SOFTMAX"), IntAttribute("multi_class", 1),
	}
	m.Graph.Nodes[3].Attributes = []Attribute{labels}
	p := predictorOf(b, m)
	x, into, scores := randomRows(n*features), make([]int, n), make([]float32, n*classes)
	b.ReportAllocs()
	for b.Loop() {
		if err := p.PredictRows(x, into, scores); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
}

func BenchmarkLoadForest(b *testing.B) {
	file := forestModel(50, 10, 20, 5).Marshal()
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		m, err := Load(bytes.NewReader(file), Limits{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := NewSession(m); err != nil {
			b.Fatal(err)
		}
	}
}
