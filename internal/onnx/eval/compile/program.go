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

	producers, consumers []int32 // by slot: a step, or one of those below
}

// What stands in place of a step.
const (
	noStep   = -1
	twoSteps = -2 // or more, or one that reads the value twice
)

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
		if e.IsBounded() {
			if err := spendInputs(e, in); err != nil {
				return fmt.Errorf("%s: %w", s.Label, err)
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

// spendInputs counts what a kernel reads, and a step for its call. A tensor without
// elements counts by its other dimensions, which kernels loop over all the same.
func spendInputs(e *kernel.Env, in []kernel.Value) error {
	steps := 1
	for _, v := range in {
		t, ok := v.(*onnx.Tensor)
		if !ok {
			continue
		}
		n := 1
		for _, d := range t.Shape {
			n *= max(d, 1)
		}
		steps += n
	}
	return e.Spend(steps)
}

// index notes which step makes each value and which one reads it.
func (p *Program) index() {
	p.producers = slices.Repeat([]int32{noStep}, p.Slots)
	p.consumers = slices.Repeat([]int32{noStep}, p.Slots)
	for i := range p.Steps {
		for _, slot := range p.Steps[i].Outputs {
			if slot >= 0 {
				p.producers[slot] = int32(i)
			}
		}
		for _, slot := range p.Steps[i].Inputs {
			switch {
			case slot < 0:
			case p.consumers[slot] == noStep:
				p.consumers[slot] = int32(i)
			default:
				p.consumers[slot] = twoSteps
			}
		}
	}
}

// Producer returns the step that computes a slot, nil where there is none.
func (p *Program) Producer(slot int) *Step { return p.step(p.producers, slot) }

// Consumer returns the one step that reads a slot, nil where there is none or
// another.
func (p *Program) Consumer(slot int) *Step { return p.step(p.consumers, slot) }

func (p *Program) step(of []int32, slot int) *Step {
	if slot < 0 || slot >= len(of) || of[slot] < 0 {
		return nil
	}
	return &p.Steps[of[slot]]
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
