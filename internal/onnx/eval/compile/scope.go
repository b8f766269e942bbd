package compile

import (
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
)

// A scope knows the values of one graph: their slots, types and, where known
// before a run, their contents.
type scope struct {
	outer     *scope
	slots     map[string]int
	types     []onnx.Type
	constants []kernel.Value // by slot, nil where only a run knows
	captured  []capture
}

// A capture is a value of an enclosing graph that a subgraph uses.
type capture struct {
	name string
	slot int // in the subgraph
}

func newScope(outer *scope) *scope { return &scope{outer: outer, slots: map[string]int{}} }

// define gives a value a slot.
func (s *scope) define(name string, t onnx.Type, constant kernel.Value) int {
	slot := len(s.types)
	s.slots[name] = slot
	s.types = append(s.types, t)
	s.constants = append(s.constants, constant)
	return slot
}

// lookup finds a value's slot; one of an enclosing graph is captured. Constants
// of enclosing graphs become constants of this one.
func (s *scope) lookup(name string) (int, bool) {
	if slot, ok := s.slots[name]; ok {
		return slot, true
	}
	if s.outer == nil {
		return 0, false
	}
	outer, ok := s.outer.lookup(name)
	if !ok {
		return 0, false
	}
	slot := s.define(name, s.outer.types[outer], s.outer.constants[outer])
	if s.constants[slot] == nil {
		s.captured = append(s.captured, capture{name: name, slot: slot})
	}
	return slot, true
}
