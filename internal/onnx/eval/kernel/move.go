package kernel

import "github.com/petal-ml/petal/internal/onnx"

// Take makes a tensor whose element i is element from(i) of t: what all
// operators do that only move elements. from must stay within t.
func Take(e *Env, t *onnx.Tensor, shape []int, from func(i int) int) (*onnx.Tensor, error) {
	switch data := t.Data.(type) {
	case []float32:
		return takeFrom(e, data, shape, from)
	case []float64:
		return takeFrom(e, data, shape, from)
	case []int64:
		return takeFrom(e, data, shape, from)
	case []int32:
		return takeFrom(e, data, shape, from)
	case []string:
		return takeFrom(e, data, shape, from)
	case []bool:
		return takeFrom(e, data, shape, from)
	case []uint8:
		return takeFrom(e, data, shape, from)
	case []int8:
		return takeFrom(e, data, shape, from)
	case []uint16:
		return takeFrom(e, data, shape, from)
	case []int16:
		return takeFrom(e, data, shape, from)
	case []uint32:
		return takeFrom(e, data, shape, from)
	case []uint64:
		return takeFrom(e, data, shape, from)
	default:
		return nil, onnx.At(onnx.ErrInput, "elements of type %T", t.Data)
	}
}

func takeFrom[T onnx.Element](e *Env, data []T, shape []int, from func(i int) int) (*onnx.Tensor, error) {
	t, out, err := Alloc[T](e, shape...)
	if err != nil {
		return nil, err
	}
	for i := range out {
		out[i] = data[from(i)]
	}
	return t, nil
}

// Join puts tensors of one element type side by side along an axis. Their shapes
// were compared before.
func Join(e *Env, tensors []*onnx.Tensor, shape []int, axis int) (*onnx.Tensor, error) {
	switch tensors[0].Data.(type) {
	case []float32:
		return joinAs[float32](e, tensors, shape, axis)
	case []float64:
		return joinAs[float64](e, tensors, shape, axis)
	case []int64:
		return joinAs[int64](e, tensors, shape, axis)
	case []int32:
		return joinAs[int32](e, tensors, shape, axis)
	case []string:
		return joinAs[string](e, tensors, shape, axis)
	case []bool:
		return joinAs[bool](e, tensors, shape, axis)
	case []uint8:
		return joinAs[uint8](e, tensors, shape, axis)
	case []int8:
		return joinAs[int8](e, tensors, shape, axis)
	case []uint16:
		return joinAs[uint16](e, tensors, shape, axis)
	case []int16:
		return joinAs[int16](e, tensors, shape, axis)
	case []uint32:
		return joinAs[uint32](e, tensors, shape, axis)
	case []uint64:
		return joinAs[uint64](e, tensors, shape, axis)
	default:
		return nil, onnx.At(onnx.ErrInput, "elements of type %T", tensors[0].Data)
	}
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
	return takeFrom(e, t.Data.([]T), shape, func(int) int { return w.Next() })
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
