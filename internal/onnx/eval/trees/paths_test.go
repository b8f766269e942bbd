package trees

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/tests/testenv/onnxtest"
)

// TestPathsAddUp explains rows by the fast layout and by the plain forest: both say
// the same, to the bit, and baseline and contributions add up to the sum.
func TestPathsAddUp(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	hard := hardFloats()
	for round := range 40 {
		m := onnxtest.Forest(7, 4, 5, 1+round%4)
		node := &m.Graph.Nodes[0]
		modeList, values := node.Attribute("nodes_modes").Strings, node.Attribute("nodes_values").Floats
		tracks := make([]int64, len(modeList))
		for i, mode := range modeList {
			if mode != "LEAF" {
				modeList[i], values[i] = modes()[r.IntN(4)], hard[r.IntN(len(hard))]
				tracks[i] = r.Int64N(2)
			}
		}
		if round%2 == 0 {
			node.Attributes = append(node.Attributes, onnx.IntsAttribute("nodes_missing_value_tracks_true", tracks...))
		}
		fast := modelOf(t, m)
		require.NotNil(t, fast.scorer.fast)
		plain := &Model{scorer: &treeScorer{forest: plainForest(t, m), aggregate: aggregateSum}}
		fastPaths, err := NewPaths(fast, false)
		require.NoError(t, err)
		plainPaths, err := NewPaths(plain, false)
		require.NoError(t, err)
		require.Equal(t, plainPaths.Targets(), fastPaths.Targets())
		for range 30 {
			row := make([]float32, 5)
			for j := range row {
				row[j] = hard[r.IntN(len(hard))]
				if r.IntN(6) == 0 {
					row[j] = float32(math.NaN())
				}
			}
			want := newScratch[float32](plain.scorer.forest.targets)
			accumulate(plain.scorer, row, want.sums, want.has)
			for target, sum := range want.sums {
				got, other := make([]float64, 5), make([]float64, 5)
				baseline := fastPaths.Explain(row, target, got)
				require.Equal(t, plainPaths.Explain(row, target, other), baseline)
				require.Equal(t, other, got)
				for _, c := range got {
					baseline += c
				}
				require.InDelta(t, sum, baseline, 1e-5)
			}
		}
	}
}

// TestPathsRefuse holds ensembles that no sum explains.
func TestPathsRefuse(t *testing.T) {
	m := modelOf(t, onnxtest.Forest(2, 2, 3, 1))
	m.scorer.aggregate = aggregateMin
	_, err := NewPaths(m, false)
	require.ErrorIs(t, err, onnx.ErrUnsupported)
}
