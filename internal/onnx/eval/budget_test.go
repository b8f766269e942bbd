package eval

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
	"github.com/petal-ml/petal/tests/testenv/golden"
)

// folded is a model whose nodes compute from constants, so that they run while it is
// compiled; their outputs are added to each row.
func folded(nodes int, constants map[string]*onnx.Tensor, node func(out string) onnx.Node) *onnx.Model {
	m := sums(onnx.Symbolic("N"))
	for name, c := range constants {
		c.Name = name
		m.Graph.Initializers = append(m.Graph.Initializers, c)
	}
	all := []string{"total"}
	for i := range nodes {
		n := node(fmt.Sprint("r", i))
		m.Graph.Nodes = append(m.Graph.Nodes, n)
		m.Graph.Nodes = append(m.Graph.Nodes, onnx.Node{
			Operator: "Cast", Inputs: n.Outputs, Outputs: []string{fmt.Sprint("f", i)},
			Attributes: []onnx.Attribute{onnx.IntAttribute("to", int64(onnx.Float))},
		})
		all = append(all, fmt.Sprint("f", i))
	}
	m.Graph.Nodes = append(m.Graph.Nodes, onnx.Node{Operator: "Sum", Inputs: all, Outputs: []string{"y"}})
	return m
}

// sums is the beginning of a regressor: total is the sum of the two features of x, by
// row. Its output y is left to the caller.
func sums(rows onnx.Dim) *onnx.Model {
	return &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 13}}, Graph: &onnx.Graph{
		Inputs:       []onnx.ValueInfo{{Name: "x", Type: onnx.TensorType(onnx.Float, rows, onnx.Fixed(2))}},
		Initializers: []*onnx.Tensor{onnx.NamedTensor("columns", []int{1}, []int64{1})},
		Nodes:        []onnx.Node{{Operator: "ReduceSum", Inputs: []string{"x", "columns"}, Outputs: []string{"total"}}},
		Outputs:      []onnx.ValueInfo{{Name: "y", Type: onnx.TensorType(onnx.Float, rows, onnx.Fixed(1))}},
	}}
}

func constantOfShape(shape, out string) onnx.Node {
	return onnx.Node{Operator: "ConstantOfShape", Inputs: []string{shape}, Outputs: []string{out}}
}

// TestFoldingHasABudget holds one row a way in which few bytes ask for hours: each
// node computes a single number, so that no memory is what stops it.
func TestFoldingHasABudget(t *testing.T) {
	const length = 1000
	vectors := func() map[string]*onnx.Tensor {
		return map[string]*onnx.Tensor{
			"row":    onnx.NewTensor([]int{1, length}, make([]float32, length)),
			"column": onnx.NewTensor([]int{length, 1}, make([]float32, length)),
			"none":   onnx.NewTensor([]int{100 * length, 0}, []float32{}),
		}
	}
	attribute := onnx.IntsAttribute("axes", 1)
	messages := golden.New(t)
	for _, row := range []struct {
		name   string
		inputs []string
		attrs  []onnx.Attribute
		nodes  int // that the budget holds at most
	}{
		{"MatMul", []string{"row", "column"}, nil, 40},
		{"Gemm", []string{"row", "column"}, nil, 40},
		{"ArgMax", []string{"row"}, []onnx.Attribute{onnx.IntAttribute("axis", 1)}, 110},
		{"ReduceMax", []string{"row"}, []onnx.Attribute{attribute}, 110},
		{"CDist", []string{"row", "row"}, nil, 40},
		{"CumSum", []string{"none", "columns"}, nil, 1}, // no elements, and as many loops
	} {
		t.Run(row.name, func(t *testing.T) {
			node := func(out string) onnx.Node {
				n := onnx.Node{Operator: row.name, Inputs: row.inputs, Outputs: []string{out}, Attributes: row.attrs}
				if row.name == "CDist" {
					n.Domain, n.Attributes = onnx.DomainMicrosoft, []onnx.Attribute{onnx.StringAttribute("metric", "euclidean")}
				}
				return n
			}
			m := folded(row.nodes, vectors(), node)
			m.Opsets = append(m.Opsets, onnx.Opset{Domain: onnx.DomainMicrosoft, Version: 1})
			_, err := NewSession(m, WithLimits(onnx.Limits{Work: 100 * length}))
			require.ErrorIs(t, err, onnx.ErrLimit)
			messages.Add(row.name, err)
			if row.nodes > 1 {
				_, err = NewSession(m)
				require.NoError(t, err, "the default is far more than that")
			}
		})
	}
}

// TestFoldingHearsItsContext stops the compiler between two nodes.
func TestFoldingHearsItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := NewSession(sumsOnly(), WithContext(ctx))
	require.ErrorIs(t, err, context.Canceled)
}

func sumsOnly() *onnx.Model {
	m := sums(onnx.Symbolic("N"))
	m.Graph.Nodes = append(m.Graph.Nodes, onnx.Node{Operator: "Identity", Inputs: []string{"total"}, Outputs: []string{"y"}})
	return m
}

// TestFewBytesAskForMuchMemory: constants, and a row of billions of columns.
func TestFewBytesAskForMuchMemory(t *testing.T) {
	messages := golden.New(t)
	big := folded(1, map[string]*onnx.Tensor{"shape": onnx.NewTensor([]int{1}, []int64{260_000_000})},
		func(out string) onnx.Node { return constantOfShape("shape", out) })
	_, err := NewSession(big, WithLimits(onnx.Limits{Memory: 100 << 20}))
	require.ErrorIs(t, err, onnx.ErrLimit)
	messages.Add("a constant", err)

	wide := sumsOnly()
	wide.Graph.Inputs[0].Type.Shape[1] = onnx.Fixed(1<<31 - 1)
	s, err := NewSession(wide)
	require.NoError(t, err)
	_, err = NewPredictor(s)
	require.ErrorIs(t, err, onnx.ErrLimit)
	messages.Add("columns", err)
}

// TestRunsShareTheirMemory: many runs at once take no more than one may.
func TestRunsShareTheirMemory(t *testing.T) {
	s, err := NewSession(sumsOnly(), WithLimits(onnx.Limits{Memory: 10_000}))
	require.NoError(t, err)
	input := map[string]kernel.Value{"x": onnx.NewTensor([]int{100, 2}, make([]float32, 200))}
	_, err = s.Run(input)
	require.NoError(t, err)
	s.used.Add(9_900) // as if another run were under way
	_, err = s.Run(input)
	require.ErrorIs(t, err, onnx.ErrBusy)
	s.used.Add(-9_900)
	for range 5 { // what a run takes it gives back, refused or not
		_, err = s.Run(input)
		require.NoError(t, err)
	}
	assert.Zero(t, s.used.Load())
}

// TestAnswersAreOneARow refuses models whose outputs have another number of rows
// than the input: scores were made up for those that are missing.
func TestAnswersAreOneARow(t *testing.T) {
	messages := golden.New(t)
	over := func(axes ...int64) *onnx.Model { // the sum over all rows
		m := sumsOnly()
		m.Graph.Initializers[0] = onnx.NamedTensor("columns", []int{len(axes)}, axes)
		return m
	}
	square := sums(onnx.Symbolic("N")) // every row with every other
	square.Graph.Nodes = append(square.Graph.Nodes,
		onnx.Node{Operator: "Transpose", Inputs: []string{"total"}, Outputs: []string{"turned"}},
		onnx.Node{Operator: "MatMul", Inputs: []string{"total", "turned"}, Outputs: []string{"y"}})
	for _, row := range []struct {
		name  string
		model *onnx.Model
	}{{"a sum over all rows", over(0, 1)}, {"a square", square}} {
		t.Run(row.name, func(t *testing.T) {
			row.model.Graph.Outputs[0].Type.Shape[1] = onnx.Symbolic("M")
			s, err := NewSession(row.model)
			require.NoError(t, err)
			p, err := NewPredictor(s)
			require.NoError(t, err)
			scores := make([]float32, 2*p.NumScores())
			err = p.PredictRows([]float32{1, 2, 3, 4}, make([]int, 2), scores)
			require.ErrorIs(t, err, ErrNotByRow)
			messages.Add(row.name, err)
		})
	}
}

// TestFaultsOfOperatorsAreErrors: a model from anywhere must not end the process.
func TestFaultsOfOperatorsAreErrors(t *testing.T) {
	s, err := NewSession(sumsOnly())
	require.NoError(t, err)
	s.program.Steps[0].Inputs[0] = -1 // a fault of ours
	_, err = s.Run(map[string]kernel.Value{"x": onnx.NewTensor([]int{1, 2}, []float32{1, 2})})
	require.ErrorContains(t, err, "the model makes the evaluator fail")
}

// TestLongChains compiles graphs that are one chain: what looks for the model behind
// an output, or for the columns of an input, must not look at each node once a node.
func TestLongChains(t *testing.T) {
	const length = 30_000
	m := sumsOnly()
	nodes := m.Graph.Nodes[:0]
	last := "x"
	for i := range length {
		out := fmt.Sprint("c", i)
		nodes = append(nodes, onnx.Node{
			Operator: "Cast", Inputs: []string{last}, Outputs: []string{out},
			Attributes: []onnx.Attribute{onnx.IntAttribute("to", int64(onnx.Float))},
		})
		last = out
	}
	m.Graph.Nodes = append(nodes, onnx.Node{Operator: "ReduceSum", Inputs: []string{last, "columns"}, Outputs: []string{"y"}})
	m.Graph.Inputs[0].Type.Shape[1] = onnx.Symbolic("M")
	s, err := NewSession(m)
	require.NoError(t, err)
	_, err = NewPredictor(s)
	require.ErrorIs(t, err, onnx.ErrUnsupported) // the columns are known to nobody
}
