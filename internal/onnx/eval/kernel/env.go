// Package kernel holds what the kernels of operators are written with: values,
// memory within limits, elements of any type, broadcasting.
package kernel

import (
	"context"
	"sync/atomic"
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
	shared *atomic.Int64 // bytes of all runs of the session, limit at most; nil for one alone
	work   *work         // nil where nobody counts
}

// A work bounds what a run may compute.
type work struct {
	left, limit int64
	ctx         context.Context
}

// NewEnv allows a run so many bytes.
func NewEnv(memory int64) *Env { return &Env{memory: memory, limit: memory} }

// Bounded has the run end with its context, and after so many steps; see
// [Env.Spend].
func (e *Env) Bounded(ctx context.Context, steps int64) *Env {
	e.work = &work{left: steps, limit: steps, ctx: ctx}
	return e
}

// Sharing has the runs that share a counter stay within the bytes of one together.
// [Env.Release] gives back what this one took.
func (e *Env) Sharing(used *atomic.Int64) *Env {
	e.shared = used
	return e
}

// Release ends a run. What it made is the caller's from now on.
func (e *Env) Release() {
	if e.shared != nil {
		e.shared.Add(e.memory - e.limit)
		e.memory = e.limit
	}
}

// Charge takes n things of a size off the memory that is left.
func (e *Env) Charge(n int, size int64) error {
	if int64(n) > e.memory/size {
		return onnx.At(onnx.ErrLimit, "the values of the run take more than %d bytes", e.limit)
	}
	bytes := int64(n) * size
	if e.shared != nil && e.shared.Add(bytes) > e.limit {
		e.shared.Add(-bytes)
		return onnx.At(onnx.ErrBusy, "the values of all runs together take more than %d bytes", e.limit)
	}
	e.memory -= bytes
	return nil
}

// IsBounded says whether the run's work is counted.
func (e *Env) IsBounded() bool { return e.work != nil }

// Spend counts steps of work, where the run's work is counted: elements that are
// read, and whatever a kernel does to each of them more than once. A kernel whose
// work may be far more than its inputs and outputs have elements calls it from its
// loops. The error is [onnx.ErrLimit], or the context's.
func (e *Env) Spend(steps int) error {
	w := e.work
	if w == nil {
		return nil
	}
	if w.left -= int64(steps); w.left < 0 {
		return onnx.At(onnx.ErrLimit, "the constants take more than %d steps to compute", w.limit)
	}
	return w.ctx.Err()
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
	if err := e.Spend(n); err != nil {
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
