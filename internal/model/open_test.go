package model_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval"
	"github.com/petal-ml/petal/tests/testenv/golden"
	"github.com/petal-ml/petal/tests/testenv/servingtest"
)

// floats is a graph from a matrix of two columns to a column of numbers.
func floats(nodes ...onnx.Node) *onnx.Model {
	rows := onnx.Symbolic("N")
	return &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 13}}, Graph: &onnx.Graph{
		Inputs:       []onnx.ValueInfo{{Name: "x", Type: onnx.TensorType(onnx.Float, rows, onnx.Fixed(2))}},
		Initializers: []*onnx.Tensor{onnx.NamedTensor("rows", []int{1}, []int64{0}), onnx.NamedTensor("columns", []int{1}, []int64{1})},
		Nodes:        nodes,
		Outputs:      []onnx.ValueInfo{{Name: "y", Type: onnx.TensorType(onnx.Float, rows, onnx.Fixed(1))}},
	}}
}

func reduce(operator, in, over, out string) onnx.Node {
	n := onnx.Node{Operator: operator, Inputs: []string{in, over}, Outputs: []string{out}}
	if operator == "ReduceMean" { // of that version: the axes are an attribute
		axis := map[string]int64{"rows": 0, "columns": 1}[over]
		n.Inputs, n.Attributes = []string{in}, []onnx.Attribute{onnx.IntsAttribute("axes", axis)}
	}
	return n
}

// A model that does not answer row by row is refused when it is loaded: clients send
// as many rows at once as they like, and each asks about its own.
func TestOpenTriesTwoRows(t *testing.T) {
	messages := golden.New(t)
	for _, row := range []struct {
		name  string
		graph *onnx.Model
	}{
		{"a sum over the rows", floats(reduce("ReduceSum", "x", "rows", "sums"), reduce("ReduceSum", "sums", "columns", "y"))},
		{"every row with every other", floats(reduce("ReduceSum", "x", "columns", "sum"),
			onnx.Node{Operator: "Transpose", Inputs: []string{"sum"}, Outputs: []string{"turned"}},
			onnx.Node{Operator: "MatMul", Inputs: []string{"sum", "turned"}, Outputs: []string{"y"}})},
		{"the distance from the mean of the rows", floats(reduce("ReduceSum", "x", "columns", "sum"), reduce("ReduceMean", "sum", "rows", "mean"),
			onnx.Node{Operator: "Sub", Inputs: []string{"sum", "mean"}, Outputs: []string{"y"}})},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := model.Open(t.Context(), model.Files{ONNX: row.graph.Marshal()}, model.Expect{}, onnx.Limits{})
			require.ErrorIs(t, err, eval.ErrNotByRow)
			messages.Add(row.name, err)
			_, err = model.Open(t.Context(), model.Files{ONNX: row.graph.Marshal(), Example: []byte("[[1,2]]")}, model.Expect{}, onnx.Limits{})
			require.ErrorIs(t, err, eval.ErrNotByRow, "an example of one row hides nothing")
		})
	}
	m, err := model.Open(t.Context(), model.Files{ONNX: floats(reduce("ReduceSum", "x", "columns", "y")).Marshal()}, model.Expect{}, onnx.Limits{})
	require.NoError(t, err)
	assert.Positive(t, m.RowCost())
}

// Labels and names stand in answers and metrics: what a model may make of them is
// bounded.
func TestOpenBoundsNames(t *testing.T) {
	messages := golden.New(t)
	long := strings.Repeat("\x1b[31m", 300)
	many := onnx.Labels{}
	for i := range 10_001 {
		many.Ints = append(many.Ints, int64(i))
	}
	wide := onnx.Labels{}
	for i := range 1000 {
		wide.Strings = append(wide.Strings, fmt.Sprint(i)+strings.Repeat("a", 300))
	}
	name := servingtest.Iris(t)
	name.Signature.Inputs[1].Name = long
	for _, row := range []struct {
		name string
		dir  mlmodel.Dir
	}{
		{"a long label", servingtest.IrisLabelled(t, onnx.Labels{Strings: []string{"a", "b", long}})},
		{"many classes", servingtest.Labelled(t, many)},
		{"many long labels", servingtest.Labelled(t, wide)},
		{"a long name of a feature", name},
	} {
		t.Run(row.name, func(t *testing.T) {
			files, err := row.dir.Files(mlmodel.IDs{ModelID: "m-1", RunID: "r"})
			require.NoError(t, err)
			_, err = model.Open(t.Context(), model.Files{MLmodel: files["MLmodel"], ONNX: files["model.onnx"]}, model.Expect{}, onnx.Limits{})
			require.Error(t, err)
			messages.Add(row.name, err)
		})
	}
}
