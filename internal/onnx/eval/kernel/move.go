package kernel

import "github.com/petal-ml/petal/internal/onnx"

var takers = PerElement(takeAs[float32], takeAs[float64], takeAs[int64], takeAs[int32], takeAs[int16], takeAs[int8],
	takeAs[uint64], takeAs[uint32], takeAs[uint16], takeAs[uint8], takeAs[bool], takeAs[string])

// Take makes a tensor whose element i is element from(i) of t: what all
// operators do that only move elements. from must stay within t.
func Take(e *Env, t *onnx.Tensor, shape []int, from func(i int) int) (*onnx.Tensor, error) {
	if take := takers.Of(t.Type()); take != nil {
		return take(e, t, shape, from)
	}
	return nil, onnx.At(onnx.ErrInput, "elements of type %T", t.Data)
}

func takeAs[T onnx.Element](e *Env, t *onnx.Tensor, shape []int, from func(i int) int) (*onnx.Tensor, error) {
	out, elements, err := Alloc[T](e, shape...)
	if err != nil {
		return nil, err
	}
	data := t.Data.([]T)
	for i := range elements {
		elements[i] = data[from(i)]
	}
	return out, nil
}

var joiners = PerElement(joinAs[float32], joinAs[float64], joinAs[int64], joinAs[int32], joinAs[int16], joinAs[int8],
	joinAs[uint64], joinAs[uint32], joinAs[uint16], joinAs[uint8], joinAs[bool], joinAs[string])

// Join puts tensors of one element type side by side along an axis. Their shapes
// were compared before.
func Join(e *Env, tensors []*onnx.Tensor, shape []int, axis int) (*onnx.Tensor, error) {
	if join := joiners.Of(tensors[0].Type()); join != nil {
		return join(e, tensors, shape, axis)
	}
	return nil, onnx.At(onnx.ErrInput, "elements of type %T", tensors[0].Data)
}

func joinAs[T onnx.Element](e *Env, tensors []*onnx.Tensor, shape []int, axis int) (*onnx.Tensor, error) {
	t, out, err := Alloc[T](e, shape...)
	if err != nil {
		return nil, err
	}
	outer, length, inner := Split(shape, axis)
	first := 0
	for _, from := range tensors {
		data, ok := from.Data.([]T)
		if !ok {
			return nil, onnx.At(onnx.ErrInput, "elements of types %v and %v", tensors[0].Type(), from.Type())
		}
		n := from.Shape[axis] * inner
		for o := range outer {
			copy(out[o*length*inner+first:][:n], data[o*n:(o+1)*n])
		}
		first += n
	}
	return t, nil
}

// Transpose permutes the axes.
func Transpose[T onnx.Element](e *Env, t *onnx.Tensor, perm []int) (*onnx.Tensor, error) {
	shape, w := Permuted(t.Shape, perm)
	return takeAs[T](e, t, shape, func(int) int { return w.Next() })
}

// Permuted returns the shape with its axes permuted, and a walker over the
// original offsets.
func Permuted(from, perm []int) ([]int, *Walker) {
	shape := make([]int, len(perm))
	w := &Walker{Shape: shape, Strides: make([]int, len(perm)), Index: make([]int, len(perm))}
	own := Strides(from)
	for i, p := range perm {
		shape[i], w.Strides[i] = from[p], own[p]
	}
	return shape, w
}
