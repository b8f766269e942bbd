package onnx

import (
	"bytes"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestIntListWidths holds values at the limits of each width, made here and read
// from a file.
func TestIntListWidths(t *testing.T) {
	widths := map[int][]int64{
		1: {0, 127, -128},
		2: {128, -129, math.MaxInt16, math.MinInt16},
		4: {1 << 15, -1<<15 - 1, math.MaxInt32, math.MinInt32},
		8: {1 << 31, -1<<31 - 1, math.MaxInt64, math.MinInt64},
	}
	for width, values := range widths {
		for _, v := range values {
			entries := []int64{0, v, 1, v}
			l := NewIntList(entries...)
			require.Equal(t, width, l.width, "%d", v)
			require.Equal(t, entries, l.Slice())

			m := &Model{IRVersion: 8, Graph: &Graph{
				Nodes:   []Node{{Operator: "Constant", Outputs: []string{"y"}, Attributes: []Attribute{IntsAttribute("list", entries...)}}},
				Outputs: []ValueInfo{{Name: "y", Type: TensorType(Int64)}},
			}}
			read, err := Load(bytes.NewReader(m.Marshal()), Limits{})
			require.NoError(t, err)
			got := read.Graph.Nodes[0].Attribute("list").Ints
			require.Equal(t, entries, got.Slice())
			require.Equal(t, width, got.width, "%d", v)
		}
	}
	require.Zero(t, NewIntList().Len())
	require.Zero(t, IntList{}.Len())
}
