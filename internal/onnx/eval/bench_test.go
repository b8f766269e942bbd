package eval

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/tests/testenv/onnxtest"
)

func predictorOf(t testing.TB, m *onnx.Model) *Predictor {
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
		p := predictorOf(b, onnxtest.Forest(shape[0], shape[1], 20, shape[2]))
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
	p := predictorOf(b, onnxtest.Iris())
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
	m := onnxtest.Iris()
	m.Graph.Inputs[0].Type = onnx.TensorType(onnx.Float, onnx.Symbolic("N"), onnx.Fixed(features))
	m.Graph.Nodes[0].Attributes = []onnx.Attribute{onnx.FloatsAttribute("offset", normal(features)...), onnx.FloatsAttribute("scale", normal(features)...)}
	labels := onnx.StringsAttribute("classlabels_strings", "a", "b", "c", "d", "e")
	m.Graph.Nodes[1].Attributes = []onnx.Attribute{
		onnx.FloatsAttribute("coefficients", normal(features*classes)...), onnx.FloatsAttribute("intercepts", normal(classes)...),
		labels, onnx.StringAttribute("post_transform", "SOFTMAX"), onnx.IntAttribute("multi_class", 1),
	}
	m.Graph.Nodes[3].Attributes = []onnx.Attribute{labels}
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
	file := onnxtest.Forest(50, 10, 20, 5).Marshal()
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		m, err := onnx.Load(bytes.NewReader(file), onnx.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := NewSession(m); err != nil {
			b.Fatal(err)
		}
	}
}
