package eval

import (
	"github.com/petal-ml/petal/internal/onnx"
	"slices"
)

// A compiler turns graphs into programs. One compiler serves a model; each
// subgraph has a scope of its own.
type compiler struct {
	index  map[operatorKey]operator
	model  *onnx.Model
	limits onnx.Limits
	env    *env // the budget of constant folding
	scope  *scope
}

// A scope knows the values of one graph: their slots, types and, where known
// before a run, their contents.
type scope struct {
	outer     *scope
	slots     map[string]int
	types     []onnx.Type
	constants []Value // by slot, nil where only a run knows
	captured  []capture
}

// A capture is a value of an enclosing graph that a subgraph uses.
type capture struct {
	name string
	slot int // in the subgraph
}

func newCompiler(m *onnx.Model, limits onnx.Limits) *compiler {
	return &compiler{
		index: operatorIndex(), model: m, limits: limits,
		env: &env{memory: limits.Memory, limit: limits.Memory},
	}
}

func newScope(outer *scope) *scope { return &scope{outer: outer, slots: map[string]int{}} }

// define gives a value a slot.
func (s *scope) define(name string, t onnx.Type, constant Value) int {
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

// compileGraph compiles one graph in a new scope, which stays in c.scope.
func (c *compiler) compileGraph(g *onnx.Graph, inputs, outputs []onnx.ValueInfo, p *program) error {
	s := newScope(c.scope)
	c.scope = s
	for _, t := range g.Initializers {
		s.define(t.Name, t.ValueType(), t)
	}
	for _, in := range inputs {
		p.inputSlots = append(p.inputSlots, s.define(in.Name, in.Type, nil))
	}
	order, err := g.Order()
	if err != nil {
		return err
	}
	needed := neededNodes(g, order, outputs)
	for _, i := range order {
		if !needed[i] {
			continue
		}
		if err := c.compileNode(g, i, p); err != nil {
			return onnx.At(err, "%s", g.NodeLabel(i))
		}
	}
	for _, out := range outputs {
		slot, ok := s.lookup(out.Name)
		if !ok {
			return onnx.Invalid("output %q: nothing computes it", out.Name)
		}
		p.outputSlots = append(p.outputSlots, slot)
	}
	p.finish(s)
	return nil
}

// neededNodes marks the nodes that an output depends on.
func neededNodes(g *onnx.Graph, order []int, outputs []onnx.ValueInfo) []bool {
	wanted := make(map[string]bool, len(outputs))
	for _, out := range outputs {
		wanted[out.Name] = true
	}
	needed := make([]bool, len(g.Nodes))
	for _, i := range slices.Backward(order) {
		n := &g.Nodes[i]
		if !slices.ContainsFunc(n.Outputs, func(out string) bool { return out != "" && wanted[out] }) {
			continue
		}
		needed[i] = true
		want(n, wanted)
	}
	return needed
}

// want marks the values that a node uses, in subgraphs too.
func want(n *onnx.Node, wanted map[string]bool) {
	for _, in := range n.Inputs {
		wanted[in] = true
	}
	for i := range n.Attributes {
		if sub := n.Attributes[i].Graph; sub != nil {
			for j := range sub.Nodes {
				want(&sub.Nodes[j], wanted)
			}
			for _, out := range sub.Outputs {
				wanted[out.Name] = true
			}
		}
	}
}

// compileNode adds a node to the program, or its outputs to the constants.
func (c *compiler) compileNode(g *onnx.Graph, i int, p *program) error {
	node := &g.Nodes[i]
	key := operatorKey{onnx.CanonicalDomain(node.Domain), node.Operator}
	op, ok := c.index[key]
	version, _ := c.model.Opset(key.domain)
	if !ok || !op.covers(version) {
		return onnx.Unsupported("operator %s", qualified(key.domain, key.name))
	}
	if err := op.arity(node); err != nil {
		return err
	}
	n := &nodeCompiler{compiler: c, node: node, opset: version, outputs: make([]onnx.Type, len(node.Outputs))}
	slots := make([]int, len(node.Inputs))
	for j, in := range node.Inputs {
		slots[j] = -1
		if in == "" {
			n.inputs = append(n.inputs, nodeInputInfo{})
			continue
		}
		slot, ok := c.scope.lookup(in)
		if !ok {
			return onnx.Invalid("input %q: nothing computes it", in)
		}
		slots[j] = slot
		n.inputs = append(n.inputs, nodeInputInfo{present: true, typ: c.scope.types[slot], constant: c.scope.constants[slot]})
	}
	k, err := op.compile(n)
	if err == nil {
		err = n.unread()
	}
	if err != nil {
		return err
	}
	return c.emit(g, i, k, n, slots, p)
}

// emit evaluates a kernel whose inputs are constant, and adds a step otherwise.
func (c *compiler) emit(g *onnx.Graph, i int, k kernel, n *nodeCompiler, slots []int, p *program) error {
	node := &g.Nodes[i]
	constant := !n.impure
	in := make([]Value, len(n.inputs))
	for j, input := range n.inputs {
		in[j] = input.constant
		constant = constant && (!input.present || input.constant != nil)
	}
	if constant {
		out, err := k(c.env, in)
		if err != nil {
			return err
		}
		for j, name := range node.Outputs {
			if name != "" {
				c.scope.define(name, out[j].ValueType(), out[j])
			}
		}
		return nil
	}
	s := step{label: g.NodeLabel(i), kernel: k, inputs: append(slots, n.captured...), part: n.part}
	for j, name := range node.Outputs {
		slot := -1
		if name != "" {
			slot = c.scope.define(name, n.outputs[j], nil)
		}
		s.outputs = append(s.outputs, slot)
	}
	p.steps = append(p.steps, s)
	return nil
}

// finish drops constants that no step uses, and takes over the types.
func (p *program) finish(s *scope) {
	used := make([]bool, len(s.types))
	for i := range p.steps {
		for _, slot := range p.steps[i].inputs {
			if slot >= 0 {
				used[slot] = true
			}
		}
	}
	for _, slot := range p.outputSlots {
		used[slot] = true
	}
	for slot, v := range s.constants {
		if v != nil && used[slot] {
			p.constants = append(p.constants, constant{slot, v})
		}
	}
	p.slots, p.types = len(s.types), s.types
}

// typedOutputs gives the outputs the inferred types, which say more than the
// declared ones, where the two agree in kind.
func (c *compiler) typedOutputs(outputs []onnx.ValueInfo) []onnx.ValueInfo {
	typed := slices.Clone(outputs)
	for i, out := range typed {
		slot, _ := c.scope.lookup(out.Name)
		if t := c.scope.types[slot]; t.Kind != onnx.KindUnknown {
			typed[i].Type = t
			if out.Type.Kind == onnx.KindTensor && out.Type.HasShape && !t.HasShape {
				typed[i].Type = out.Type
				typed[i].Type.Element = t.Element
			}
		}
	}
	return typed
}

// A nodeCompiler is what an operator's compile function works with: the node's
// attributes, and what is known of its inputs.
type nodeCompiler struct {
	*compiler
	node    *onnx.Node
	opset   int64
	inputs  []nodeInputInfo
	outputs []onnx.Type
	read    []string // attributes that were asked for
	impure  bool     // depends on more than its inputs: do not fold
	// captured are slots that a subgraph reads beside the node's inputs.
	captured []int
	part     any // what the fast path may take over, such as a *linear
}

type nodeInputInfo struct {
	present  bool
	typ      onnx.Type
	constant Value
}

// attribute returns an attribute of the type wanted, nil where it is absent.
func (n *nodeCompiler) attribute(name string, want onnx.AttributeType) (*onnx.Attribute, error) {
	n.read = append(n.read, name)
	a := n.node.Attribute(name)
	if a != nil && a.Type != want {
		return nil, onnx.Invalid("attribute %q is %v, %v wanted", name, a.Type, want)
	}
	return a, nil
}

// unread refuses attributes that the operator did not ask for: a meaning that is
// not known must not be ignored.
func (n *nodeCompiler) unread() error {
	for i := range n.node.Attributes {
		if name := n.node.Attributes[i].Name; !slices.Contains(n.read, name) {
			return onnx.Unsupported("attribute %q", name)
		}
	}
	return nil
}

// An attributeReader reads attributes one after another and keeps the first
// error, so that a compile function checks once.
type attributeReader struct {
	n   *nodeCompiler
	err error
}

func (n *nodeCompiler) attributes() *attributeReader { return &attributeReader{n: n} }

func (r *attributeReader) get(name string, want onnx.AttributeType) *onnx.Attribute {
	a, err := r.n.attribute(name, want)
	if err != nil && r.err == nil {
		r.err = err
	}
	return a
}

func (r *attributeReader) int(name string, def int64) int64 {
	if a := r.get(name, onnx.AttributeInt); a != nil {
		return a.Int
	}
	return def
}

func (r *attributeReader) bool(name string, def bool) bool {
	v := int64(0)
	if def {
		v = 1
	}
	return r.int(name, v) != 0
}

func (r *attributeReader) float(name string, def float32) float32 {
	if a := r.get(name, onnx.AttributeFloat); a != nil {
		return a.Float
	}
	return def
}

// oneOf reads a string attribute that must be one of a list; the first is the
// default.
func (r *attributeReader) oneOf(name string, allowed ...string) string {
	a := r.get(name, onnx.AttributeString)
	if a == nil {
		return allowed[0]
	}
	if !slices.Contains(allowed, a.String) && r.err == nil {
		r.err = onnx.Invalid("attribute %q is %q, one of %q wanted", name, a.String, allowed)
	}
	return a.String
}

func (r *attributeReader) string(name, def string) string {
	if a := r.get(name, onnx.AttributeString); a != nil {
		return a.String
	}
	return def
}

func (r *attributeReader) floats(name string) []float32 {
	if a := r.get(name, onnx.AttributeFloats); a != nil {
		return a.Floats
	}
	return nil
}

func (r *attributeReader) intList(name string) onnx.IntList {
	if a := r.get(name, onnx.AttributeInts); a != nil {
		return a.Ints
	}
	return onnx.IntList{}
}

func (r *attributeReader) ints(name string) []int64 { return r.intList(name).Slice() }

func (r *attributeReader) strings(name string) []string {
	if a := r.get(name, onnx.AttributeStrings); a != nil {
		return a.Strings
	}
	return nil
}

func (r *attributeReader) tensor(name string) *onnx.Tensor {
	if a := r.get(name, onnx.AttributeTensor); a != nil {
		return a.Tensor
	}
	return nil
}

// labels reads a pair of class label attributes, of which one must be there.
// The list of strings has one name everywhere, that of numbers has two.
func (r *attributeReader) labels(intsName string) onnx.Labels {
	const stringsName = "classlabels_strings"
	l := onnx.Labels{Strings: r.strings(stringsName), Ints: r.ints(intsName)}
	if len(l.Strings) > 0 {
		l.Ints = nil // onnxruntime prefers the strings as well.
	} else {
		l.Strings = nil
	}
	if l.Len() == 0 && r.err == nil {
		r.err = onnx.Invalid("neither attribute %q nor %q has labels", stringsName, intsName)
	}
	return l
}

// elementOf checks that an input is a tensor of one of the element types.
func (n *nodeCompiler) elementOf(input int, allowed ...onnx.ElementType) (onnx.ElementType, error) {
	t := n.inputs[input].typ
	if t.Kind != onnx.KindTensor {
		return 0, onnx.Invalid("input %d is %v, a tensor wanted", input, t)
	}
	if len(allowed) > 0 && !slices.Contains(allowed, t.Element) {
		return 0, onnx.Unsupported("input %d has elements of type %v, one of %v wanted", input, t.Element, allowed)
	}
	return t.Element, nil
}

// rows is the type of an output with one row a row of input 0.
func (n *nodeCompiler) rows(e onnx.ElementType, columns ...onnx.Dim) onnx.Type {
	first := onnx.Symbolic("")
	if t := n.inputs[0].typ; t.HasShape && len(t.Shape) == 2 {
		first = t.Shape[0]
	} else if t.HasShape && len(t.Shape) == 1 {
		first = onnx.Fixed(1)
	}
	return onnx.TensorType(e, append([]onnx.Dim{first}, columns...)...)
}
