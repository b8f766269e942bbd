package eval

import (
	"github.com/petal-ml/petal/internal/onnx"
	"math"
)

func controlOperators() []operator {
	scan := standard("Scan", 9, 1, many, compileScan)
	scan.maxOutputs = many
	return []operator{scan}
}

// A scan runs a body once for each slice of its scanned inputs, handing states
// on and stacking the other outputs.
type scan struct {
	body    program
	states  int
	scanned int
	inAxes  []int64
	inBack  []bool // by scanned input: from the end
	outBack []bool // by stacked output: put in front
}

func compileScan(n *nodeCompiler) (kernel, error) {
	r := n.attributes()
	body := r.get("body", onnx.AttributeGraph)
	count := r.int("num_scan_inputs", 0)
	inAxes, outAxes := r.ints("scan_input_axes"), r.ints("scan_output_axes")
	inBack, outBack := r.ints("scan_input_directions"), r.ints("scan_output_directions")
	if r.err != nil {
		return nil, r.err
	}
	if body == nil {
		return nil, onnx.Invalid("attribute \"body\" is missing")
	}
	g := body.Graph
	if count < 1 || count > int64(len(n.inputs)) || len(g.Inputs) != len(n.inputs) || len(g.Outputs) != len(n.outputs) {
		return nil, onnx.Invalid("the body has %d inputs and %d outputs, the node %d and %d, of which %d are scanned",
			len(g.Inputs), len(g.Outputs), len(n.inputs), len(n.outputs), count)
	}
	for _, axis := range outAxes {
		if axis != 0 {
			return nil, onnx.Unsupported("attribute \"scan_output_axes\": %d", axis)
		}
	}
	s := &scan{scanned: int(count), states: len(n.inputs) - int(count), inAxes: inAxes}
	var err error
	if s.inBack, err = directions(inBack, s.scanned); err != nil {
		return nil, err
	}
	if s.outBack, err = directions(outBack, len(n.outputs)-s.states); err != nil {
		return nil, err
	}
	if len(inAxes) != 0 && len(inAxes) != s.scanned || s.states > len(n.outputs) {
		return nil, onnx.Invalid("%d axes for %d scanned inputs, %d states for %d outputs", len(inAxes), s.scanned, s.states, len(n.outputs))
	}
	if err := n.compileBody(s, g); err != nil {
		return nil, err
	}
	return s.kernel, nil
}

func directions(list []int64, n int) ([]bool, error) {
	if len(list) != 0 && len(list) != n {
		return nil, onnx.Invalid("%d directions for %d scans", len(list), n)
	}
	back := make([]bool, n)
	for i, d := range list {
		back[i] = d == 1
	}
	return back, nil
}

// compileBody compiles the subgraph with the types that its inputs will have,
// and infers the node's outputs from it.
func (n *nodeCompiler) compileBody(s *scan, g *onnx.Graph) error {
	inputs := make([]onnx.ValueInfo, len(g.Inputs))
	for i := range g.Inputs {
		inputs[i] = onnx.ValueInfo{Name: g.Inputs[i].Name, Type: n.inputs[i].typ}
		if i >= s.states {
			element, err := n.elementOf(i)
			if err != nil {
				return err
			}
			inputs[i].Type = onnx.Type{Kind: onnx.KindTensor, Element: element}
			if t := n.inputs[i].typ; t.HasShape && len(t.Shape) > 0 && len(s.inAxes) == 0 {
				inputs[i].Type = onnx.TensorType(element, t.Shape[1:]...)
			}
		}
	}
	outer := n.scope
	err := n.compileGraph(g, inputs, g.Outputs, &s.body)
	inner := n.scope
	n.scope = outer
	if err != nil {
		return onnx.At(err, "attribute \"body\"")
	}
	for i := range n.outputs {
		t := s.body.types[s.body.outputSlots[i]]
		if i >= s.states && t.HasShape {
			t.Shape = append([]onnx.Dim{onnx.Symbolic("")}, t.Shape...)
		}
		n.outputs[i] = t
	}
	for _, c := range inner.captured {
		slot, ok := outer.lookup(c.name)
		if !ok {
			return onnx.Invalid("attribute \"body\": value %q: nothing computes it", c.name)
		}
		n.captured = append(n.captured, slot)
		s.body.captureSlots = append(s.body.captureSlots, c.slot)
	}
	n.impure = len(n.captured) > 0
	return nil
}

func (s *scan) kernel(e *env, in []Value) ([]Value, error) {
	slices := make([]slicer, s.scanned)
	length := -1
	for i := range slices {
		t, err := tensorOf(in[s.states+i])
		if err != nil {
			return nil, err
		}
		axis := int64(0)
		if len(s.inAxes) > 0 {
			axis = s.inAxes[i]
		}
		if slices[i], err = newSlicer(t, axis, s.inBack[i]); err != nil {
			return nil, err
		}
		if length >= 0 && slices[i].length != length {
			return nil, onnx.At(onnx.ErrInput, "scanned inputs of %d and %d slices", length, slices[i].length)
		}
		length = slices[i].length
	}
	// Slices without elements take memory too: their headers, and the slots of
	// each step.
	const header = 256
	if err := e.charge(length, int64(header*(1+s.body.slots))); err != nil {
		return nil, err
	}
	state := append([]Value(nil), in[:s.states]...)
	stacks := make([][]*onnx.Tensor, len(s.body.outputSlots)-s.states)
	for step := range length {
		values := make([]Value, s.body.slots)
		for i, v := range state {
			values[s.body.inputSlots[i]] = v
		}
		for i := range slices {
			slice, err := slices[i].at(e, step)
			if err != nil {
				return nil, err
			}
			values[s.body.inputSlots[s.states+i]] = slice
		}
		for i, slot := range s.body.captureSlots {
			values[slot] = in[s.states+s.scanned+i]
		}
		if err := s.body.run(e, values); err != nil {
			return nil, onnx.At(err, "slice %d", step)
		}
		for i, slot := range s.body.outputSlots {
			if i < s.states {
				state[i] = values[slot]
				continue
			}
			t, err := tensorOf(values[slot])
			if err != nil {
				return nil, err
			}
			stacks[i-s.states] = append(stacks[i-s.states], t)
		}
	}
	return s.stack(e, state, stacks)
}

// stack puts the outputs of all steps on top of one another.
func (s *scan) stack(e *env, state []Value, stacks [][]*onnx.Tensor) ([]Value, error) {
	out := state
	for i, tensors := range stacks {
		if len(tensors) == 0 {
			return nil, onnx.At(onnx.ErrInput, "nothing to scan")
		}
		parts := make([]*onnx.Tensor, len(tensors))
		for k, t := range tensors {
			if len(t.Shape) != len(tensors[0].Shape) || product(t.Shape) != product(tensors[0].Shape) {
				return nil, onnx.At(onnx.ErrInput, "slices give shapes %v and %v", tensors[0].Shape, t.Shape)
			}
			at := k
			if s.outBack[i] {
				at = len(tensors) - 1 - k
			}
			parts[at] = reshaped(t, append([]int{1}, t.Shape...))
		}
		shape := append([]int{len(parts)}, tensors[0].Shape...)
		joined, err := join(e, parts, shape, 0)
		if err != nil {
			return nil, err
		}
		out = append(out, joined)
	}
	return out, nil
}

// A slicer cuts a tensor along an axis.
type slicer struct {
	tensor               *onnx.Tensor
	shape                []int
	outer, length, inner int
	back                 bool
}

func newSlicer(t *onnx.Tensor, axis int64, back bool) (slicer, error) {
	i, err := axisOf(axis, len(t.Shape))
	if err != nil {
		return slicer{}, err
	}
	s := slicer{tensor: t, back: back}
	s.outer, s.length, s.inner = split(t.Shape, i)
	if s.length > math.MaxInt32 {
		return s, onnx.At(onnx.ErrLimit, "%d slices", s.length)
	}
	s.shape = append(append([]int{}, t.Shape[:i]...), t.Shape[i+1:]...)
	return s, nil
}

func (s slicer) at(e *env, step int) (*onnx.Tensor, error) {
	if s.back {
		step = s.length - 1 - step
	}
	return take(e, s.tensor, s.shape, func(i int) int {
		return (i/s.inner*s.length+step)*s.inner + i%s.inner
	})
}
