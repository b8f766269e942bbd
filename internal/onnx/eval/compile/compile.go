// Package compile turns a graph into a program, with the operators of a table.
package compile

import (
	"slices"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/attributes"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
)

// A compiler turns graphs into programs. One compiler serves a model; each
// subgraph has a scope of its own.
type compiler struct {
	table Table
	model *onnx.Model
	env   *kernel.Env // the budget of constant folding
	scope *scope
}

// Compile compiles a model: it looks up each operator in the table, infers types
// and shapes, evaluates what is constant within the budget given, and drops what no
// output needs. The outputs come back with the types inferred.
func Compile(m *onnx.Model, table Table, budget *kernel.Env, outputs []onnx.ValueInfo) (*Program, []onnx.ValueInfo, error) {
	c := &compiler{table: table, model: m, env: budget}
	p := &Program{}
	if err := c.compileGraph(m.Graph, m.Inputs(), outputs, p); err != nil {
		return nil, nil, err
	}
	return p, c.typedOutputs(outputs), nil
}

// compileGraph compiles one graph in a new scope, which stays in c.scope.
func (c *compiler) compileGraph(g *onnx.Graph, inputs, outputs []onnx.ValueInfo, p *Program) error {
	s := newScope(c.scope)
	c.scope = s
	for _, t := range g.Initializers {
		s.define(t.Name, t.ValueType(), t)
	}
	for _, in := range inputs {
		p.InputSlots = append(p.InputSlots, s.define(in.Name, in.Type, nil))
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
		p.OutputSlots = append(p.OutputSlots, slot)
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
func (c *compiler) compileNode(g *onnx.Graph, i int, p *Program) error {
	node := &g.Nodes[i]
	key := Key{onnx.CanonicalDomain(node.Domain), node.Operator}
	op, ok := c.table[key]
	version, _ := c.model.OpsetOf(node)
	if !ok || !op.Covers(version) {
		return onnx.Unsupported("operator %s", Qualified(key.Domain, key.Name))
	}
	if err := op.arity(node); err != nil {
		return err
	}
	if err := c.env.Spend(1); err != nil {
		return err
	}
	n := &Node{
		Node: node, Opset: version, Outputs: make([]onnx.Type, len(node.Outputs)),
		Env: c.env, reader: attributes.Reader{Node: node}, compile: c.compileBody,
	}
	slots := make([]int, len(node.Inputs))
	for j, in := range node.Inputs {
		slots[j] = -1
		if in == "" {
			n.Inputs = append(n.Inputs, Input{})
			continue
		}
		slot, ok := c.scope.lookup(in)
		if !ok {
			return onnx.Invalid("input %q: nothing computes it", in)
		}
		slots[j] = slot
		n.Inputs = append(n.Inputs, Input{Present: true, Type: c.scope.types[slot], constant: c.scope.constants[slot]})
	}
	k, err := op.Compile(n)
	if n.reader.Err != nil {
		err = n.reader.Err // It came first.
	}
	if err == nil {
		err = n.reader.Unread()
	}
	if err != nil {
		return err
	}
	return c.emit(g, i, k, n, slots, p)
}

// compileBody compiles a subgraph, with a scope of its own for the time being.
func (c *compiler) compileBody(g *onnx.Graph, inputs []onnx.ValueInfo) (p *Program, captured []int, err error) {
	outer := c.scope
	defer func() { c.scope = outer }()
	p = &Program{}
	if err := c.compileGraph(g, inputs, g.Outputs, p); err != nil {
		return nil, nil, err
	}
	for _, value := range c.scope.captured {
		slot, ok := outer.lookup(value.name)
		if !ok {
			return nil, nil, onnx.Invalid("value %q: nothing computes it", value.name)
		}
		captured = append(captured, slot)
		p.CaptureSlots = append(p.CaptureSlots, value.slot)
	}
	return p, captured, nil
}

// emit evaluates a kernel whose inputs are constant, and adds a step otherwise.
func (c *compiler) emit(g *onnx.Graph, i int, k kernel.Kernel, n *Node, slots []int, p *Program) error {
	node := &g.Nodes[i]
	constant := len(n.captured) == 0 // Otherwise the node depends on more than its inputs.
	in := make([]kernel.Value, len(n.Inputs))
	for j, input := range n.Inputs {
		in[j] = input.constant
		constant = constant && (!input.Present || input.constant != nil)
	}
	if constant {
		if err := spendInputs(c.env, in); err != nil {
			return err
		}
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
	s := Step{Label: g.NodeLabel(i), kernel: k, Inputs: append(slots, n.captured...), Part: n.Part}
	for j, name := range node.Outputs {
		slot := -1
		if name != "" {
			slot = c.scope.define(name, n.Outputs[j], nil)
		}
		s.Outputs = append(s.Outputs, slot)
	}
	p.Steps = append(p.Steps, s)
	return nil
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

// finish drops constants that no step uses, and takes over the types.
func (p *Program) finish(s *scope) {
	used := make([]bool, len(s.types))
	for i := range p.Steps {
		for _, slot := range p.Steps[i].Inputs {
			if slot >= 0 {
				used[slot] = true
			}
		}
	}
	for _, slot := range p.OutputSlots {
		used[slot] = true
	}
	for slot, v := range s.constants {
		if v != nil && used[slot] {
			p.constants = append(p.constants, constant{slot, v})
		}
	}
	p.Slots, p.Types = len(s.types), s.types
	p.index()
}
