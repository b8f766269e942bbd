// Package kernel holds what the kernels of operators are written with: values,
// memory within limits, elements of any type, broadcasting.
package kernel

import (
	"unsafe"

	"github.com/petal-ml/petal/internal/onnx"
)

// A Kernel computes the outputs of a node from its inputs. Absent inputs are
// nil. It must not change its inputs, and it may return one of them.
type Kernel func(e *Env, in []Value) ([]Value, error)

// A TensorKernel computes one tensor from tensors. Absent inputs are nil.
type TensorKernel func(e *Env, in []*onnx.Tensor) (*onnx.Tensor, error)

// Kernel makes a kernel of it.
func (k TensorKernel) Kernel(e *Env, in []Value) ([]Value, error) {
	var buffer [4]*onnx.Tensor
	tensors := buffer[:0]
	for _, v := range in {
		if v == nil {
			tensors = append(tensors, nil)
			continue
		}
		t, err := TensorOf(v)
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

// An Env is what a kernel needs to know of the run it belongs to.
type Env struct {
	memory int64 // bytes that the run may still allocate
	limit  int64
}

// NewEnv allows a run so many bytes.
func NewEnv(memory int64) *Env { return &Env{memory: memory, limit: memory} }

// Charge takes n things of a size off the memory that is left.
func (e *Env) Charge(n int, size int64) error {
	if int64(n) > e.memory/size {
		return onnx.At(onnx.ErrLimit, "the values of the run take more than %d bytes", e.limit)
	}
	e.memory -= int64(n) * size
	return nil
}

// Alloc makes a tensor of zeros within the run's limit. Every kernel whose
// output can be larger than its inputs goes through it.
func Alloc[T onnx.Element](e *Env, shape ...int) (*onnx.Tensor, []T, error) {
	n, err := onnx.ElementCount(shape)
	if err != nil {
		return nil, nil, err
	}
	var zero T
	if err := e.Charge(n, int64(unsafe.Sizeof(zero))); err != nil {
		return nil, nil, err
	}
	data := make([]T, n)
	return &onnx.Tensor{Shape: append([]int(nil), shape...), Data: data}, data, nil
}

// A Value is what flows between nodes: a [*Tensor], or [*ProbabilityMaps].
type Value interface{ ValueType() onnx.Type }

// ProbabilityMaps is what ZipMap makes: a sequence of maps, one a row, from
// label to score. All rows have the same keys.
type ProbabilityMaps struct {
	Keys   onnx.Labels
	Scores *onnx.Tensor // float, one row a map, one column a key
}

// ValueType returns the type of the maps.
func (p *ProbabilityMaps) ValueType() onnx.Type {
	if p.Keys.Strings != nil {
		return onnx.ProbabilityMapsType(onnx.String)
	}
	return onnx.ProbabilityMapsType(onnx.Int64)
}

// TensorOf takes a value that must be a tensor.
func TensorOf(v Value) (*onnx.Tensor, error) {
	t, ok := v.(*onnx.Tensor)
	if !ok {
		return nil, onnx.At(onnx.ErrInput, "a tensor wanted, %v given", v.ValueType())
	}
	return t, nil
}
