package eval

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/tests/testenv/onnxtest"
)

// TestParts takes a scaled linear model and forests apart: baseline and
// contributions add up to the score before the last step.
func TestParts(t *testing.T) {
	iris, err := NewSession(onnxtest.Iris(), WithOutputs("label"))
	require.NoError(t, err)
	parts, err := iris.Parts()
	require.NoError(t, err)
	require.NotNil(t, parts.Linear)
	require.Equal(t, 3, parts.Classes)
	require.Equal(t, 3, parts.Targets)
	row, contributions := []float32{5.1, 3.5, 1.4, 0.2}, make([]float64, 4)
	parts.Prepare(row)
	require.InDelta(t, (5.1-5.8)*1.2, row[0], 1e-6)
	require.InDelta(t, -0.2, parts.Explain(row, 0, contributions), 1e-6)
	require.InDelta(t, float64(row[1])*1, contributions[1], 1e-6)

	for _, classes := range []int{1, 3} {
		p := predictorOf(t, onnxtest.Forest(5, 3, 4, classes))
		parts, err := p.Session().Parts()
		require.NoError(t, err)
		require.NotNil(t, parts.Trees)
		require.False(t, parts.Complement)
		row, scores := randomRows(4), make([]float32, p.NumScores())
		_, err = p.PredictRow(row, scores)
		require.NoError(t, err)
		for target, want := range scores {
			got := parts.Explain(row, target, contributions)
			for _, c := range contributions {
				got += c
			}
			require.InDelta(t, want, got, 1e-6)
		}
	}
}

// TestPartsRefuse holds graphs that cannot be taken apart.
func TestPartsRefuse(t *testing.T) {
	mixed := onnxtest.Iris()
	mixed.Graph.Nodes[0].Operator, mixed.Graph.Nodes[0].Attributes = "Normalizer", nil // mixes the features
	several := onnxtest.Iris()
	several.Graph.Nodes = append(several.Graph.Nodes, onnx.Node{
		Operator: "Identity", Inputs: []string{"features"}, Outputs: []string{"same"},
	})
	several.Graph.Outputs = append(several.Graph.Outputs, onnx.ValueInfo{Name: "same", Type: several.Graph.Inputs[0].Type})
	for name, m := range map[string]*onnx.Model{"mixed": mixed, "several readers": several} {
		t.Run(name, func(t *testing.T) {
			s, err := NewSession(m)
			require.NoError(t, err)
			_, err = s.Parts()
			require.ErrorIs(t, err, onnx.ErrUnsupported)
		})
	}
}
