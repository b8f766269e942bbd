package onnx

import (
	"bytes"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// irisLike is the graph that Petal's trainer writes: scaled multinomial
// logistic regression with string labels.
func irisLike() *Model {
	rows := Symbolic("N")
	return &Model{
		IRVersion: 8,
		Opsets:    []Opset{{Domain: DomainONNX, Version: 15}, {Domain: DomainML, Version: 3}},
		Metadata:  []Property{{Key: "origin", Value: "test"}},
		Graph: &Graph{
			Name:    "iris",
			Inputs:  []ValueInfo{{Name: "features", Type: TensorType(Float, rows, Fixed(4))}},
			Outputs: []ValueInfo{{Name: "label", Type: TensorType(String, rows)}, {Name: "probabilities", Type: ProbabilityMapsType(String)}},
			Nodes: []Node{
				{
					Name: "scale", Operator: "Scaler", Domain: DomainML, Inputs: []string{"features"}, Outputs: []string{"scaled"},
					Attributes: []Attribute{FloatsAttribute("offset", 5.8, 3, 3.8, 1.2), FloatsAttribute("scale", 1.2, 2.3, 0.6, 1.3)},
				},
				{
					Name: "classify", Operator: "LinearClassifier", Domain: DomainML, Inputs: []string{"scaled"}, Outputs: []string{"label", "raw"},
					Attributes: []Attribute{
						FloatsAttribute("coefficients", -1, 1, -1.8, -1.7, 0.5, -0.3, -0.2, -0.7, 0.5, -0.7, 2, 2.4),
						FloatsAttribute("intercepts", -0.2, 2, -1.8),
						StringsAttribute("classlabels_strings", "setosa", "versicolor", "virginica"),
						StringAttribute("post_transform", "SOFTMAX"), IntAttribute("multi_class", 1),
					},
				},
				{
					Name: "normalize", Operator: "Normalizer", Domain: DomainML, Inputs: []string{"raw"}, Outputs: []string{"normal"},
					Attributes: []Attribute{StringAttribute("norm", "L1")},
				},
				{
					Name: "zip", Operator: "ZipMap", Domain: DomainML, Inputs: []string{"normal"}, Outputs: []string{"probabilities"},
					Attributes: []Attribute{StringsAttribute("classlabels_strings", "setosa", "versicolor", "virginica")},
				},
			},
		},
	}
}

func TestMarshalRoundTrip(t *testing.T) {
	m := irisLike()
	m.Graph.Initializers = []*Tensor{
		NamedTensor("f", []int{2, 1}, []float32{1.5, float32(math.Inf(1))}),
		NamedTensor("d", []int{1}, []float64{math.Pi}),
		NamedTensor("i", []int{3}, []int64{-1, 0, math.MaxInt64}),
		NamedTensor("s", []int{2}, []string{"é", ""}),
		NamedTensor("b", []int{2}, []bool{true, false}),
		NamedTensor("u", []int{1}, []uint8{200}),
		NamedTensor("scalar", nil, []int32{-7}),
		NamedTensor("none", []int{0, 3}, []float32{}),
	}
	data := m.Marshal()
	require.Equal(t, data, m.Marshal(), "the same model gives the same bytes")
	read, err := Load(bytes.NewReader(data), Limits{})
	require.NoError(t, err)
	require.Equal(t, data, read.Marshal())
	require.Equal(t, m.Graph.Initializers[2].Data, read.Graph.Initializers[2].Data)
	require.Equal(t, m.Graph.Inputs, read.Graph.Inputs)
	require.Equal(t, m.Graph.Nodes[1].Attribute("coefficients").Floats, read.Graph.Nodes[1].Attribute("coefficients").Floats)
}

func TestPredictIrisLike(t *testing.T) {
	s, err := NewSession(irisLike())
	require.NoError(t, err)
	p, err := NewPredictor(s)
	require.NoError(t, err)
	require.Equal(t, []string{"setosa", "versicolor", "virginica"}, p.Labels().Strings)
	require.Equal(t, 4, p.NumFeatures())
	fast, why := p.FastPath()
	require.True(t, fast, why)

	scores := make([]float32, 3)
	rows := map[string][]float32{
		"setosa": {5.1, 3.5, 1.4, 0.2}, "versicolor": {5.7, 2.8, 4.1, 1.3}, "virginica": {6.5, 3, 5.8, 2.2},
	}
	for label, row := range rows {
		class, err := p.PredictRow(row, scores)
		require.NoError(t, err)
		require.Equal(t, label, p.Labels().Text(class))
		require.InDelta(t, 1, scores[0]+scores[1]+scores[2], 1e-6)

		out, err := s.Run(map[string]Value{"features": NewTensor([]int{1, 4}, row)})
		require.NoError(t, err)
		require.Equal(t, []string{label}, out[0].(*Tensor).Data)
		maps := out[1].(*ProbabilityMaps)
		require.InDeltaSlice(t, maps.Scores.Data.([]float32), scores, 1e-6)
	}
	allocs := testing.AllocsPerRun(100, func() { _, _ = p.PredictRow(rows["setosa"], scores) })
	require.Zero(t, allocs)
}
