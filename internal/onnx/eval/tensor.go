package eval

import (
	"github.com/petal-ml/petal/internal/onnx"
	"slices"
)

// A tensorKernel computes one tensor from tensors. Absent inputs are nil.
type tensorKernel func(e *env, in []*onnx.Tensor) (*onnx.Tensor, error)

// kernel makes a kernel of it.
func (k tensorKernel) kernel(e *env, in []Value) ([]Value, error) {
	var buffer [4]*onnx.Tensor
	tensors := buffer[:0]
	for _, v := range in {
		if v == nil {
			tensors = append(tensors, nil)
			continue
		}
		t, err := tensorOf(v)
		if err != nil {
			return nil, err
		}
		tensors = append(tensors, t)
	}
	out, err := k(e, tensors)
	if err != nil {
		return nil, err
	}
	return []Value{out}, nil
}

// standard makes an entry of the table for an operator of ai.onnx with one
// output.
func standard(name string, since int64, minInputs, maxInputs int, compile func(*nodeCompiler) (kernel, error)) operator {
	return operator{
		name: name, since: since, minInputs: minInputs, maxInputs: maxInputs,
		minOutputs: 1, maxOutputs: 1, compile: compile,
	}
}

// inferred sets the type of the first output: an element type, and a shape where
// ok says that it is known.
func (n *nodeCompiler) inferred(e onnx.ElementType, shape []onnx.Dim, ok bool) {
	n.outputs[0] = onnx.Type{Kind: onnx.KindTensor, Element: e, HasShape: ok}
	if ok {
		n.outputs[0].Shape = shape
	}
}

// sameShape sets the type of the first output to that of the first input, with
// another element type.
func (n *nodeCompiler) sameShape(e onnx.ElementType) {
	t := n.inputs[0].typ
	n.inferred(e, t.Shape, t.HasShape)
}

// constantTensor returns an input that is known when the model is compiled.
func (n *nodeCompiler) constantTensor(input int) (*onnx.Tensor, bool) {
	if input >= len(n.inputs) || !n.inputs[input].present {
		return nil, false
	}
	t, ok := n.inputs[input].constant.(*onnx.Tensor)
	return t, ok
}

// axisOf brings an axis, which may count from the end, into 0…rank−1.
func axisOf(axis int64, rank int) (int, error) {
	if axis < 0 {
		axis += int64(rank)
	}
	if axis < 0 || axis >= int64(rank) {
		return 0, onnx.At(onnx.ErrInput, "axis %d of a tensor of %d dimensions", axis, rank)
	}
	return int(axis), nil
}

// axesOf brings several axes into 0…rank−1, sorted; an axis named twice is an
// error.
func axesOf(axes []int64, rank int) ([]int, error) {
	out := make([]int, 0, len(axes))
	for _, a := range axes {
		i, err := axisOf(a, rank)
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

// intsOf returns a tensor of whole numbers as a list, as the shapes and axes
// among the inputs are.
func intsOf(t *onnx.Tensor) ([]int64, error) {
	switch data := t.Data.(type) {
	case []int64:
		return data, nil
	case []int32:
		out := make([]int64, len(data))
		convert(out, data)
		return out, nil
	default:
		return nil, onnx.At(onnx.ErrInput, "%v given, int64 wanted", t.Type())
	}
}

// split sees a shape around an axis: how many blocks there are, how long the
// axis is, and how many elements one step along it skips.
func split(shape []int, axis int) (outer, length, inner int) {
	return product(shape[:axis]), shape[axis], product(shape[axis+1:])
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// reshaped gives a tensor's data another shape.
func reshaped(t *onnx.Tensor, shape []int) *onnx.Tensor {
	return &onnx.Tensor{Shape: shape, Data: t.Data}
}

// strides returns how many elements one step along each axis skips.
func strides(shape []int) []int {
	s := make([]int, len(shape))
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		s[i] = n
		n *= shape[i]
	}
	return s
}
