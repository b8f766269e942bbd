package kernel

import (
	"math"
	"slices"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/numeric"
)

// AxisOf brings an axis, which may count from the end, into 0…rank−1.
func AxisOf(axis int64, rank int) (int, error) {
	if axis < 0 {
		axis += int64(rank)
	}
	if axis < 0 || axis >= int64(rank) {
		return 0, onnx.At(onnx.ErrInput, "axis %d of a tensor of %d dimensions", axis, rank)
	}
	return int(axis), nil
}

// AxesOf brings several axes into 0…rank−1, sorted; an axis named twice is an
// error.
func AxesOf(axes []int64, rank int) ([]int, error) {
	out := make([]int, 0, len(axes))
	for _, a := range axes {
		i, err := AxisOf(a, rank)
		if err != nil {
			return nil, err
		}
		out = append(out, i)
	}
	slices.Sort(out)
	for i := 1; i < len(out); i++ {
		if out[i] == out[i-1] {
			return nil, onnx.At(onnx.ErrInput, "axis %d stands twice", out[i])
		}
	}
	return out, nil
}

// IntsOf returns a tensor of whole numbers as a list, as the shapes and axes
// among the inputs are.
func IntsOf(t *onnx.Tensor) ([]int64, error) {
	switch data := t.Data.(type) {
	case []int64:
		return data, nil
	case []int32:
		out := make([]int64, len(data))
		numeric.Convert(out, data)
		return out, nil
	default:
		return nil, onnx.At(onnx.ErrInput, "%v given, int64 wanted", t.Type())
	}
}

// Split sees a shape around an axis: how many blocks there are, how long the
// axis is, and how many elements one step along it skips.
func Split(shape []int, axis int) (outer, length, inner int) {
	return Product(shape[:axis]), shape[axis], Product(shape[axis+1:])
}

// Product returns the number of elements of a shape.
func Product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// Reshaped gives a tensor's data another shape.
func Reshaped(t *onnx.Tensor, shape []int) *onnx.Tensor {
	return &onnx.Tensor{Shape: shape, Data: t.Data}
}

// Strides returns how many elements one step along each axis skips.
func Strides(shape []int) []int {
	s := make([]int, len(shape))
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		s[i] = n
		n *= shape[i]
	}
	return s
}

// ShapeFrom reads a shape from a tensor, keeping 0 and −1 as they are.
func ShapeFrom(t *onnx.Tensor) ([]int, error) {
	list, err := IntsOf(t)
	if err != nil {
		return nil, err
	}
	shape := make([]int, len(list))
	for i, d := range list {
		if d < -1 || d > math.MaxInt32 {
			return nil, onnx.At(onnx.ErrInput, "dimension %d", d)
		}
		shape[i] = int(d)
	}
	return shape, nil
}
