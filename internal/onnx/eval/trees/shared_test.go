package trees

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/attributes"
)

// chain is one tree of branches of which each leads to the next whichever way a row
// goes, or to its own leaf where the mode is BRANCH_EQ: a graph, and no tree.
// Unfolded it has 2ⁿ nodes.
func chain(n int, mode string) *onnx.Node {
	var trees, ids, features, yes, no []int64
	var modes []string
	var values []float32
	for i := range n {
		trees, ids, features = append(trees, 0), append(ids, int64(i)), append(features, int64(i%3))
		modes, values = append(modes, mode), append(values, float32(i))
		no = append(no, int64(i+1))
		next := int64(i + 1)
		if mode == "BRANCH_EQ" {
			next = int64(n + 1) // one leaf for all that are equal
		}
		yes = append(yes, next)
	}
	for i := range 2 {
		trees, ids, features = append(trees, 0), append(ids, int64(n+i)), append(features, 0)
		modes, values, yes, no = append(modes, "LEAF"), append(values, 0), append(yes, 0), append(no, 0)
	}
	return &onnx.Node{Operator: "TreeEnsembleRegressor", Attributes: []onnx.Attribute{
		onnx.IntAttribute("n_targets", 1), onnx.IntsAttribute("nodes_treeids", trees...), onnx.IntsAttribute("nodes_nodeids", ids...),
		onnx.IntsAttribute("nodes_featureids", features...), onnx.StringsAttribute("nodes_modes", modes...), onnx.FloatsAttribute("nodes_values", values...),
		onnx.IntsAttribute("nodes_truenodeids", yes...), onnx.IntsAttribute("nodes_falsenodeids", no...),
		onnx.IntsAttribute("target_treeids", 0, 0), onnx.IntsAttribute("target_nodeids", int64(n), int64(n+1)),
		onnx.IntsAttribute("target_ids", 0, 0), onnx.FloatsAttribute("target_weights", 1, 2),
	}}
}

func readChain(t *testing.T, n int, mode string) *Model {
	t.Helper()
	m, err := ReadRegressor(&attributes.Reader{Node: chain(n, mode)}, onnx.Float)
	require.NoError(t, err)
	return m
}

// TestSharedNodes reads a set of categories as converters write it: a chain of
// comparisons whose true branches lead to one leaf.
func TestSharedNodes(t *testing.T) {
	m := readChain(t, 9, "BRANCH_EQ") // feature 0 in {0, 3, 6}, 1 in {1, 4, 7} or 2 in {2, 5, 8}
	score := make([]float32, 1)
	for row, want := range map[[3]float32]float32{{3, 0, 0}: 2, {0, 7, 0}: 2, {1, 1, 8}: 2, {1, 2, 3}: 1} {
		m.Predict(row[:], score)
		require.Equal(t, want, score[0], "row %v", row)
	}
	paths, err := NewPaths(m, false)
	require.NoError(t, err)
	contributions := make([]float64, 3)
	sum := paths.Explain([]float32{3, 0, 0}, 0, contributions)
	for _, c := range contributions {
		sum += c
	}
	require.InDelta(t, 2, sum, 1e-9)
}

// TestSharedNodesTakeNoTime reads graphs that would unfold to 2^200,000 nodes, and
// go as deep.
func TestSharedNodesTakeNoTime(t *testing.T) {
	for _, mode := range []string{"BRANCH_LEQ", "BRANCH_EQ"} {
		m := readChain(t, 200_000, mode)
		require.Nil(t, m.scorer.fast, "it is not unfolded")
		score := make([]float32, 1)
		m.Predict([]float32{-1, -1, -1}, score)
		require.Equal(t, float32(1), score[0])
		paths, err := NewPaths(m, false)
		require.NoError(t, err)
		paths.Explain([]float32{-1, -1, -1}, 0, make([]float64, 3))
	}
}

// TestCycle refuses a branch that leads back to one above it.
func TestCycle(t *testing.T) {
	node := chain(9, "BRANCH_LEQ")
	no := node.Attribute("nodes_falsenodeids")
	list := no.Ints.Slice()
	list[8] = 2
	no.Ints = onnx.NewIntList(list...)
	_, err := ReadRegressor(&attributes.Reader{Node: node}, onnx.Float)
	require.ErrorIs(t, err, onnx.ErrInvalid)
}
