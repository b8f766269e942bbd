package operators

import (
	"math"
	"slices"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/compile"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
)

func controlOperators() []compile.Operator {
	return []compile.Operator{
		compile.Row("Scan", 8, 1, compile.Many, compileScan).Outputs(1, compile.Many).Absent(),
		compile.Row("If", 1, 1, 1, compileIf).Outputs(1, compile.Many),
	}
}

// compileIf compiles the choice of one of two subgraphs, which take all they need
// from around them.
func compileIf(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	n.ElementOf(0, onnx.Bool)
	var bodies [2]*compile.Program
	for i, name := range []string{"else_branch", "then_branch"} {
		branch := r.Get(name, onnx.AttributeGraph)
		if branch == nil || len(branch.Graph.Inputs) > 0 || len(branch.Graph.Outputs) != len(n.Outputs) {
			return nil, onnx.Invalid("attribute %q is no graph without inputs and with %d outputs", name, len(n.Outputs))
		}
		var err error
		if bodies[i], err = n.Body(branch.Graph, nil); err != nil {
			return nil, onnx.At(err, "attribute %q", name)
		}
	}
	for i := range n.Outputs {
		one, other := bodies[0].Types[bodies[0].OutputSlots[i]], bodies[1].Types[bodies[1].OutputSlots[i]]
		if one.Kind != other.Kind || one.Element != other.Element {
			return nil, onnx.Invalid("output %d is %v or %v", i, one, other)
		}
		if n.Outputs[i] = one; !slices.Equal(one.Shape, other.Shape) || one.HasShape != other.HasShape {
			n.Outputs[i].HasShape, n.Outputs[i].Shape = false, nil
		}
	}
	return func(e *kernel.Env, in []kernel.Value) ([]kernel.Value, error) {
		condition, err := kernel.TensorOf(in[0])
		if err != nil {
			return nil, err
		}
		truth, ok := condition.Data.([]bool)
		if !ok || len(truth) != 1 {
			return nil, onnx.At(onnx.ErrInput, "a condition of shape %v", condition.Shape)
		}
		body, captured := bodies[0], in[1:]
		if truth[0] {
			body, captured = bodies[1], captured[len(bodies[0].CaptureSlots):]
		}
		values := make([]kernel.Value, body.Slots)
		for i, slot := range body.CaptureSlots {
			values[slot] = captured[i]
		}
		if err := body.Run(e, values); err != nil {
			return nil, err
		}
		out := make([]kernel.Value, len(body.OutputSlots))
		for i, slot := range body.OutputSlots {
			out[i] = values[slot]
		}
		return out, nil
	}, nil
}

// A scan runs a body once for each slice of its scanned inputs, handing states
// on and stacking the other outputs.
type scan struct {
	body    *compile.Program
	states  int
	scanned int
	inAxes  []int64
	inBack  []bool // by scanned input: from the end
	outBack []bool // by stacked output: put in front
}

func compileScan(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	body := r.Get("body", onnx.AttributeGraph)
	count := r.Int("num_scan_inputs", 0)
	var inAxes, outAxes, inBack, outBack []int64
	old := n.Opset < 9 // A batch of scans, with an input of their lengths in front.
	if old {
		inBack = r.Ints("directions")
		if n.Inputs[0].Present {
			return nil, onnx.Unsupported("sequence_lens")
		}
		all := n.Inputs
		n.Inputs = all[1:]
		defer func() { n.Inputs = all }()
	} else {
		inAxes, outAxes = r.Ints("scan_input_axes"), r.Ints("scan_output_axes")
		inBack, outBack = r.Ints("scan_input_directions"), r.Ints("scan_output_directions")
	}
	if body == nil || slices.ContainsFunc(n.Inputs, func(in compile.Input) bool { return !in.Present }) {
		return nil, onnx.Invalid("attribute \"body\" is missing, or an input")
	}
	g := body.Graph
	if count < 1 || count > int64(len(n.Inputs)) || len(g.Inputs) != len(n.Inputs) || len(g.Outputs) != len(n.Outputs) {
		return nil, onnx.Invalid("the body has %d inputs and %d outputs, the node %d and %d, of which %d are scanned",
			len(g.Inputs), len(g.Outputs), len(n.Inputs), len(n.Outputs), count)
	}
	for _, axis := range outAxes {
		if axis != 0 {
			return nil, onnx.Unsupported("attribute \"scan_output_axes\": %d", axis)
		}
	}
	s := &scan{scanned: int(count), states: len(n.Inputs) - int(count), inAxes: inAxes}
	var err error
	if s.inBack, err = directions(inBack, s.scanned); err != nil {
		return nil, err
	}
	if s.outBack, err = directions(outBack, len(n.Outputs)-s.states); err != nil {
		return nil, err
	}
	if len(inAxes) != 0 && len(inAxes) != s.scanned || s.states > len(n.Outputs) {
		return nil, onnx.Invalid("%d axes for %d scanned inputs, %d states for %d outputs", len(inAxes), s.scanned, s.states, len(n.Outputs))
	}
	if err := compileBody(n, s, g, old); err != nil {
		return nil, err
	}
	if old {
		return s.batchKernel, nil
	}
	return s.kernel, nil
}

// batchKernel runs the scan of version 8: once for each item of a batch, which is
// the first axis of all inputs and outputs.
func (s *scan) batchKernel(e *kernel.Env, in []kernel.Value) ([]kernel.Value, error) {
	in = in[1:]
	all := make([]slicer, s.states+s.scanned)
	for i := range all {
		t, err := kernel.TensorOf(in[i])
		if err != nil {
			return nil, err
		}
		if all[i], err = newSlicer(t, 0, false); err != nil {
			return nil, err
		}
		if all[i].length != all[0].length {
			return nil, onnx.At(onnx.ErrInput, "inputs of %d and %d items", all[0].length, all[i].length)
		}
	}
	stacks := make([][]*onnx.Tensor, len(s.body.OutputSlots))
	for item := range all[0].length {
		values := slices.Clone(in)
		for i := range all {
			t, err := all[i].at(e, item)
			if err != nil {
				return nil, err
			}
			values[i] = t
		}
		out, err := s.kernel(e, values)
		if err != nil {
			return nil, onnx.At(err, "item %d", item)
		}
		for i, v := range out {
			t, err := kernel.TensorOf(v)
			if err != nil {
				return nil, err
			}
			stacks[i] = append(stacks[i], t)
		}
	}
	batch := scan{outBack: make([]bool, len(stacks))}
	return batch.stack(e, nil, stacks)
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
func compileBody(n *compile.Node, s *scan, g *onnx.Graph, batch bool) error {
	inputs := make([]onnx.ValueInfo, len(g.Inputs))
	for i := range g.Inputs {
		inputs[i] = onnx.ValueInfo{Name: g.Inputs[i].Name, Type: n.Inputs[i].Type}
		if i >= s.states {
			element := n.ElementOf(i)
			inputs[i].Type = onnx.Type{Kind: onnx.KindTensor, Element: element}
			if t := n.Inputs[i].Type; t.HasShape && len(t.Shape) > 0 && len(s.inAxes) == 0 {
				inputs[i].Type = onnx.TensorType(element, t.Shape[1:]...)
			}
		}
		if batch {
			inputs[i].Type = onnx.Type{Kind: onnx.KindTensor, Element: n.ElementOf(i)}
		}
	}
	var err error
	if s.body, err = n.Body(g, inputs); err != nil {
		return onnx.At(err, "attribute \"body\"")
	}
	for i := range n.Outputs {
		t := s.body.Types[s.body.OutputSlots[i]]
		if batch {
			t.HasShape, t.Shape = false, nil
		}
		if i >= s.states && t.HasShape {
			t.Shape = append([]onnx.Dim{onnx.Symbolic("")}, t.Shape...)
		}
		n.Outputs[i] = t
	}
	return nil
}

func (s *scan) kernel(e *kernel.Env, in []kernel.Value) ([]kernel.Value, error) {
	cuts := make([]slicer, s.scanned)
	length := -1
	for i := range cuts {
		t, err := kernel.TensorOf(in[s.states+i])
		if err != nil {
			return nil, err
		}
		axis := int64(0)
		if len(s.inAxes) > 0 {
			axis = s.inAxes[i]
		}
		if cuts[i], err = newSlicer(t, axis, s.inBack[i]); err != nil {
			return nil, err
		}
		if length >= 0 && cuts[i].length != length {
			return nil, onnx.At(onnx.ErrInput, "scanned inputs of %d and %d slices", length, cuts[i].length)
		}
		length = cuts[i].length
	}
	// Slices without elements take memory too: their headers, and the slots of
	// each step.
	const header = 256
	if err := e.Charge(length, int64(header*(1+s.body.Slots))); err != nil {
		return nil, err
	}
	state := append([]kernel.Value(nil), in[:s.states]...)
	stacks := make([][]*onnx.Tensor, len(s.body.OutputSlots)-s.states)
	for step := range length {
		values := make([]kernel.Value, s.body.Slots)
		for i, v := range state {
			values[s.body.InputSlots[i]] = v
		}
		for i := range cuts {
			slice, err := cuts[i].at(e, step)
			if err != nil {
				return nil, err
			}
			values[s.body.InputSlots[s.states+i]] = slice
		}
		for i, slot := range s.body.CaptureSlots {
			values[slot] = in[s.states+s.scanned+i]
		}
		if err := s.body.Run(e, values); err != nil {
			return nil, onnx.At(err, "slice %d", step)
		}
		for i, slot := range s.body.OutputSlots {
			if i < s.states {
				state[i] = values[slot]
				continue
			}
			t, err := kernel.TensorOf(values[slot])
			if err != nil {
				return nil, err
			}
			stacks[i-s.states] = append(stacks[i-s.states], t)
		}
	}
	return s.stack(e, state, stacks)
}

// stack puts the outputs of all steps on top of one another.
func (s *scan) stack(e *kernel.Env, state []kernel.Value, stacks [][]*onnx.Tensor) ([]kernel.Value, error) {
	out := state
	for i, tensors := range stacks {
		if len(tensors) == 0 {
			return nil, onnx.At(onnx.ErrInput, "nothing to scan")
		}
		parts := make([]*onnx.Tensor, len(tensors))
		for k, t := range tensors {
			if len(t.Shape) != len(tensors[0].Shape) || kernel.Product(t.Shape) != kernel.Product(tensors[0].Shape) {
				return nil, onnx.At(onnx.ErrInput, "slices give shapes %v and %v", tensors[0].Shape, t.Shape)
			}
			at := k
			if s.outBack[i] {
				at = len(tensors) - 1 - k
			}
			parts[at] = kernel.Reshaped(t, append([]int{1}, t.Shape...))
		}
		shape := append([]int{len(parts)}, tensors[0].Shape...)
		joined, err := kernel.Join(e, parts, shape, 0)
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
	i, err := kernel.AxisOf(axis, len(t.Shape))
	if err != nil {
		return slicer{}, err
	}
	s := slicer{tensor: t, back: back}
	s.outer, s.length, s.inner = kernel.Split(t.Shape, i)
	if s.length > math.MaxInt32 {
		return s, onnx.At(onnx.ErrLimit, "%d slices", s.length)
	}
	s.shape = append(append([]int{}, t.Shape[:i]...), t.Shape[i+1:]...)
	return s, nil
}

func (s slicer) at(e *kernel.Env, step int) (*onnx.Tensor, error) {
	if s.back {
		step = s.length - 1 - step
	}
	return kernel.Take(e, s.tensor, s.shape, func(i int) int {
		return (i/s.inner*s.length+step)*s.inner + i%s.inner
	})
}
