package onnx_test

import (
	"bytes"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/tests/testenv/onnxtest"
)

func TestMarshalRoundTrip(t *testing.T) {
	m := onnxtest.Iris()
	m.Graph.Initializers = []*onnx.Tensor{
		onnx.NamedTensor("f", []int{2, 1}, []float32{1.5, float32(math.Inf(1))}),
		onnx.NamedTensor("d", []int{1}, []float64{math.Pi}),
		onnx.NamedTensor("i", []int{3}, []int64{-1, 0, math.MaxInt64}),
		onnx.NamedTensor("s", []int{2}, []string{"é", ""}),
		onnx.NamedTensor("b", []int{2}, []bool{true, false}),
		onnx.NamedTensor("u", []int{1}, []uint8{200}),
		onnx.NamedTensor("scalar", nil, []int32{-7}),
		onnx.NamedTensor("none", []int{0, 3}, []float32{}),
	}
	data := m.Marshal()
	require.Equal(t, data, m.Marshal(), "the same model gives the same bytes")
	read, err := onnx.Load(bytes.NewReader(data), onnx.Limits{})
	require.NoError(t, err)
	require.Equal(t, data, read.Marshal())
	require.Equal(t, m.Graph.Initializers[2].Data, read.Graph.Initializers[2].Data)
	require.Equal(t, m.Graph.Inputs, read.Graph.Inputs)
	require.Equal(t, m.Graph.Nodes[1].Attribute("coefficients").Floats, read.Graph.Nodes[1].Attribute("coefficients").Floats)
}
