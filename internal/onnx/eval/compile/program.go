package compile

import (
	"fmt"
	"slices"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
)

// A Program is a compiled graph: steps over numbered slots, one slot a value.
type Program struct {
	Slots       int
	Steps       []Step
	InputSlots  []int // by input
	OutputSlots []int // by output
	// captureSlots are those of a subgraph that values of the enclosing graph
	// are copied into.
	CaptureSlots []int
	constants    []constant
	Types        []onnx.Type // by slot, as inferred
}

// A constant is a value that is known before a run.
type constant struct {
	slot  int
	value kernel.Value
}

// A Step runs one node.
type Step struct {
	Label   string
	kernel  kernel.Kernel
	Inputs  []int // slots; −1 where an optional input is absent
	Outputs []int // slots; −1 where nobody wants the output
	Part    Part  // nil where a predictor need not know
}

// Run evaluates the steps in order. values holds the inputs already.
func (p *Program) Run(e *kernel.Env, values []kernel.Value) error {
	for _, c := range p.constants {
		values[c.slot] = c.value
	}
	var buffer [8]kernel.Value
	for i := range p.Steps {
		s := &p.Steps[i]
		in := buffer[:0]
		for _, slot := range s.Inputs {
			if slot < 0 {
				in = append(in, nil)
			} else {
				in = append(in, values[slot])
			}
		}
		out, err := s.kernel(e, in)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Label, err)
		}
		for j, slot := range s.Outputs {
			if slot >= 0 {
				values[slot] = out[j]
			}
		}
	}
	return nil
}

// Producer returns the step that computes a slot.
func (p *Program) Producer(slot int) *Step {
	for i := range p.Steps {
		if slices.Contains(p.Steps[i].Outputs, slot) {
			return &p.Steps[i]
		}
	}
	return nil
}

// Consumer returns the one step that reads a slot, nil where there is none or
// another.
func (p *Program) Consumer(slot int) *Step {
	var found *Step
	for i := range p.Steps {
		for _, in := range p.Steps[i].Inputs {
			if in != slot {
				continue
			}
			if found != nil {
				return nil
			}
			found = &p.Steps[i]
		}
	}
	return found
}

// ConstantAt returns the constant in a slot, or nil.
func (p *Program) ConstantAt(slot int) kernel.Value {
	for _, c := range p.constants {
		if c.slot == slot {
			return c.value
		}
	}
	return nil
}
