package onnx

import (
	"slices"
)

// A compiler turns graphs into programs. One compiler serves a model; each
// subgraph has a scope of its own.
type compiler struct {
	index  map[operatorKey]operator
	model  *Model
	limits Limits
	env    *env // the budget of constant folding
	scope  *scope
}

// A scope knows the values of one graph: their slots, types and, where known
// before a run, their contents.
type scope struct {
	outer     *scope
	slots     map[string]int
	types     []Type
	constants []Value // by slot, nil where only a run knows
	captured  []capture
}

// A capture is a value of an enclosing graph that a subgraph uses.
type capture struct {
	name string
	slot int // in the subgraph
}

func newCompiler(m *Model, limits Limits) *compiler {
	return &compiler{
		index: operatorIndex(), model: m, limits: limits,
		env: &env{memory: limits.Memory, limit: limits.Memory},
	}
}

func newScope(outer *scope) *scope { return &scope{outer: outer, slots: map[string]int{}} }

// define gives a value a slot.
func (s *scope) define(name string, t Type, constant Value) int {
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
func (c *compiler) compileGraph(g *Graph, inputs, outputs []ValueInfo, p *program) error {
	s := newScope(c.scope)
	c.scope = s
	for _, t := range g.Initializers {
		s.define(t.Name, t.valueType(), t)
	}
	for _, in := range inputs {
		p.inputSlots = append(p.inputSlots, s.define(in.Name, in.Type, nil))
	}
	order, err := orderOf(g)
	if err != nil {
		return err
	}
	needed := neededNodes(g, order, outputs)
	for _, i := range order {
		if !needed[i] {
			continue
		}
		if err := c.compileNode(g, i, p); err != nil {
			return at(err, "%s", nodeLabel(g, i))
		}
	}
	for _, out := range outputs {
		slot, ok := s.lookup(out.Name)
		if !ok {
			return invalid("output %q: nothing computes it", out.Name)
		}
		p.outputSlots = append(p.outputSlots, slot)
	}
	p.finish(s)
	return nil
}

// orderOf sorts the nodes of a graph that was validated before.
func orderOf(g *Graph) ([]int, error) {
	producers := make(map[string]int, len(g.Nodes))
	for i := range g.Nodes {
		for _, out := range g.Nodes[i].Outputs {
			if out != "" {
				producers[out] = i
			}
		}
	}
	return sortNodes(g, producers)
}

// neededNodes marks the nodes that an output depends on.
func neededNodes(g *Graph, order []int, outputs []ValueInfo) []bool {
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
func want(n *Node, wanted map[string]bool) {
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
func (c *compiler) compileNode(g *Graph, i int, p *program) error {
	node := &g.Nodes[i]
	key := operatorKey{canonicalDomain(node.Domain), node.Operator}
	op, ok := c.index[key]
	version, _ := c.model.opset(key.domain)
	if !ok || !op.covers(version) {
		return unsupported("operator %s", qualified(key.domain, key.name))
	}
	if err := op.arity(node); err != nil {
		return err
	}
	n := &nodeCompiler{compiler: c, node: node, opset: version, outputs: make([]Type, len(node.Outputs))}
	slots := make([]int, len(node.Inputs))
	for j, in := range node.Inputs {
		slots[j] = -1
		if in == "" {
			n.inputs = append(n.inputs, nodeInputInfo{})
			continue
		}
		slot, ok := c.scope.lookup(in)
		if !ok {
			return invalid("input %q: nothing computes it", in)
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
func (c *compiler) emit(g *Graph, i int, k kernel, n *nodeCompiler, slots []int, p *program) error {
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
				c.scope.define(name, out[j].valueType(), out[j])
			}
		}
		return nil
	}
	s := step{label: nodeLabel(g, i), kernel: k, inputs: append(slots, n.captured...), part: n.part}
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
func (c *compiler) typedOutputs(outputs []ValueInfo) []ValueInfo {
	typed := slices.Clone(outputs)
	for i, out := range typed {
		slot, _ := c.scope.lookup(out.Name)
		if t := c.scope.types[slot]; t.Kind != KindUnknown {
			typed[i].Type = t
			if out.Type.Kind == KindTensor && out.Type.HasShape && !t.HasShape {
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
	node    *Node
	opset   int64
	inputs  []nodeInputInfo
	outputs []Type
	read    []string // attributes that were asked for
	impure  bool     // depends on more than its inputs: do not fold
	// captured are slots that a subgraph reads beside the node's inputs.
	captured []int
	part     any // what the fast path may take over, such as a *linear
}

type nodeInputInfo struct {
	present  bool
	typ      Type
	constant Value
}

// attribute returns an attribute of the type wanted, nil where it is absent.
func (n *nodeCompiler) attribute(name string, want AttributeType) (*Attribute, error) {
	n.read = append(n.read, name)
	a := n.node.Attribute(name)
	if a != nil && a.Type != want {
		return nil, invalid("attribute %q is %v, %v wanted", name, a.Type, want)
	}
	return a, nil
}

// unread refuses attributes that the operator did not ask for: a meaning that is
// not known must not be ignored.
func (n *nodeCompiler) unread() error {
	for i := range n.node.Attributes {
		if name := n.node.Attributes[i].Name; !slices.Contains(n.read, name) {
			return unsupported("attribute %q", name)
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

func (r *attributeReader) get(name string, want AttributeType) *Attribute {
	a, err := r.n.attribute(name, want)
	if err != nil && r.err == nil {
		r.err = err
	}
	return a
}

func (r *attributeReader) int(name string, def int64) int64 {
	if a := r.get(name, AttributeInt); a != nil {
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
	if a := r.get(name, AttributeFloat); a != nil {
		return a.Float
	}
	return def
}

// oneOf reads a string attribute that must be one of a list; the first is the
// default.
func (r *attributeReader) oneOf(name string, allowed ...string) string {
	a := r.get(name, AttributeString)
	if a == nil {
		return allowed[0]
	}
	if !slices.Contains(allowed, a.String) && r.err == nil {
		r.err = invalid("attribute %q is %q, one of %q wanted", name, a.String, allowed)
	}
	return a.String
}

func (r *attributeReader) string(name, def string) string {
	if a := r.get(name, AttributeString); a != nil {
		return a.String
	}
	return def
}

func (r *attributeReader) floats(name string) []float32 {
	if a := r.get(name, AttributeFloats); a != nil {
		return a.Floats
	}
	return nil
}

func (r *attributeReader) intList(name string) IntList {
	if a := r.get(name, AttributeInts); a != nil {
		return a.Ints
	}
	return IntList{}
}

func (r *attributeReader) ints(name string) []int64 { return r.intList(name).Slice() }

func (r *attributeReader) strings(name string) []string {
	if a := r.get(name, AttributeStrings); a != nil {
		return a.Strings
	}
	return nil
}

func (r *attributeReader) tensor(name string) *Tensor {
	if a := r.get(name, AttributeTensor); a != nil {
		return a.Tensor
	}
	return nil
}

// labels reads a pair of class label attributes, of which one must be there.
// The list of strings has one name everywhere, that of numbers has two.
func (r *attributeReader) labels(intsName string) Labels {
	const stringsName = "classlabels_strings"
	l := Labels{Strings: r.strings(stringsName), Ints: r.ints(intsName)}
	if len(l.Strings) > 0 {
		l.Ints = nil // onnxruntime prefers the strings as well.
	} else {
		l.Strings = nil
	}
	if l.Len() == 0 && r.err == nil {
		r.err = invalid("neither attribute %q nor %q has labels", stringsName, intsName)
	}
	return l
}

// elementOf checks that an input is a tensor of one of the element types.
func (n *nodeCompiler) elementOf(input int, allowed ...ElementType) (ElementType, error) {
	t := n.inputs[input].typ
	if t.Kind != KindTensor {
		return 0, invalid("input %d is %v, a tensor wanted", input, t)
	}
	if len(allowed) > 0 && !slices.Contains(allowed, t.Element) {
		return 0, unsupported("input %d has elements of type %v, one of %v wanted", input, t.Element, allowed)
	}
	return t.Element, nil
}

// rows is the type of an output with one row a row of input 0.
func (n *nodeCompiler) rows(e ElementType, columns ...Dim) Type {
	first := Symbolic("")
	if t := n.inputs[0].typ; t.HasShape && len(t.Shape) == 2 {
		first = t.Shape[0]
	} else if t.HasShape && len(t.Shape) == 1 {
		first = Fixed(1)
	}
	return TensorType(e, append([]Dim{first}, columns...)...)
}
