package eval

import (
	"fmt"
	"github.com/petal-ml/petal/internal/onnx"
	"unsafe"
)

// A program is a compiled graph: steps over numbered slots, one slot a value.
type program struct {
	slots       int
	steps       []step
	inputSlots  []int // by input
	outputSlots []int // by output
	// captureSlots are those of a subgraph that values of the enclosing graph
	// are copied into.
	captureSlots []int
	constants    []constant
	types        []onnx.Type // by slot, as inferred
}

// A constant is a value that is known before a run.
type constant struct {
	slot  int
	value Value
}

// A step runs one node.
type step struct {
	label   string
	kernel  kernel
	inputs  []int // slots; −1 where an optional input is absent
	outputs []int // slots; −1 where nobody wants the output
	part    any   // what the fast path may take over, nil where it cannot
}

// A kernel computes the outputs of a node from its inputs. Absent inputs are
// nil. It must not change its inputs, and it may return one of them.
type kernel func(e *env, in []Value) ([]Value, error)

// An env is what a kernel needs to know of the run it belongs to.
type env struct {
	memory int64 // bytes that the run may still allocate
	limit  int64
}

// run evaluates the steps in order. values holds the inputs already.
func (p *program) run(e *env, values []Value) error {
	for _, c := range p.constants {
		values[c.slot] = c.value
	}
	var buffer [8]Value
	for i := range p.steps {
		s := &p.steps[i]
		in := buffer[:0]
		for _, slot := range s.inputs {
			if slot < 0 {
				in = append(in, nil)
			} else {
				in = append(in, values[slot])
			}
		}
		out, err := s.kernel(e, in)
		if err != nil {
			return fmt.Errorf("%s: %w", s.label, err)
		}
		for j, slot := range s.outputs {
			if slot >= 0 {
				values[slot] = out[j]
			}
		}
	}
	return nil
}

// charge takes n things of a size off the memory that is left.
func (e *env) charge(n int, size int64) error {
	if int64(n) > e.memory/size {
		return onnx.At(onnx.ErrLimit, "the values of the run take more than %d bytes", e.limit)
	}
	e.memory -= int64(n) * size
	return nil
}

// alloc makes a tensor of zeros within the run's limit. Every kernel whose
// output can be larger than its inputs goes through it.
func alloc[T onnx.Element](e *env, shape ...int) (*onnx.Tensor, []T, error) {
	n, err := onnx.ElementCount(shape)
	if err != nil {
		return nil, nil, err
	}
	var zero T
	if err := e.charge(n, int64(unsafe.Sizeof(zero))); err != nil { //nolint:gosec // The size of a Go type.
		return nil, nil, err
	}
	data := make([]T, n)
	return &onnx.Tensor{Shape: append([]int(nil), shape...), Data: data}, data, nil
}

// dataLen returns the length of a tensor's data, whatever its type.
func dataLen(data any) int {
	switch d := data.(type) {
	case []float32:
		return len(d)
	case []float64:
		return len(d)
	case []int64:
		return len(d)
	case []int32:
		return len(d)
	case []string:
		return len(d)
	case []bool:
		return len(d)
	case []uint8:
		return len(d)
	case []int8:
		return len(d)
	case []uint16:
		return len(d)
	case []int16:
		return len(d)
	case []uint32:
		return len(d)
	case []uint64:
		return len(d)
	default:
		return -1
	}
}
