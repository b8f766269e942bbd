package onnx

import (
	"fmt"
	"slices"
)

// A function is a meaning that a file gives to nodes: the nodes that stand for one.
type function struct {
	domain, name, overload string
	inputs, outputs        []string
	attributes             []string    // that a node gives
	defaults               []Attribute // that a node may give
	nodes                  []Node
	opsets                 []Opset
}

// maxCalls is how deep functions may call one another; one that calls itself
// reaches it.
const maxCalls = 32

func (d *decoder) function(f field) error {
	counts, err := f.counts()
	if err != nil {
		return err
	}
	if d.nodes -= counts[functionNode]; d.nodes < 0 {
		return At(ErrLimit, "more than %d nodes", d.limits.Nodes)
	}
	fn := function{
		inputs: makeList[string](d, counts[functionInput]), outputs: makeList[string](d, counts[functionOutput]),
		attributes: makeList[string](d, counts[functionAttribute]), defaults: makeList[Attribute](d, counts[functionDefault]),
		nodes: makeList[Node](d, counts[functionNode]), opsets: makeList[Opset](d, counts[functionOpset]),
	}
	if d.err != nil {
		return d.err
	}
	if err := d.each(f, func(f field) error { return d.functionField(&fn, f) }); err != nil {
		return At(err, "function %q", fn.name)
	}
	d.functions = append(d.functions, fn)
	return nil
}

func (d *decoder) functionField(fn *function, f field) (err error) {
	var s string
	switch f.number {
	case functionName:
		fn.name, err = d.string(f)
	case functionDomain:
		fn.domain, err = d.string(f)
	case functionOverload:
		fn.overload, err = d.string(f)
	case functionInput:
		s, err = d.string(f)
		fn.inputs = append(fn.inputs, s)
	case functionOutput:
		s, err = d.string(f)
		fn.outputs = append(fn.outputs, s)
	case functionAttribute:
		s, err = d.string(f)
		fn.attributes = append(fn.attributes, s)
	case functionDefault:
		var a Attribute
		err = d.attribute(&a, f, 1)
		fn.defaults = append(fn.defaults, a)
	case functionNode:
		var n Node
		n, err = d.node(f, 1)
		fn.nodes = append(fn.nodes, n)
	case functionOpset:
		var o Opset
		o.Domain, o.Version, err = d.opset(f)
		fn.opsets = append(fn.opsets, o)
	}
	return err
}

// A caller of functions puts their nodes in place of those that call them.
type caller struct {
	*decoder
	functions map[[3]string]*function
	calls     int
}

// inline replaces all calls of functions in the model.
func (d *decoder) inline(m *Model) error {
	if len(d.functions) == 0 {
		return nil
	}
	c := caller{decoder: d, functions: make(map[[3]string]*function, len(d.functions))}
	for i := range d.functions {
		fn := &d.functions[i]
		key := [3]string{CanonicalDomain(fn.domain), fn.name, fn.overload}
		if _, twice := c.functions[key]; twice {
			return Invalid("function %q is defined twice", fn.name)
		}
		c.functions[key] = fn
	}
	return c.graph(m.Graph, 0)
}

func (c *caller) graph(g *Graph, depth int) error {
	nodes := g.Nodes
	g.Nodes = make([]Node, 0, len(nodes))
	for i := range nodes {
		if err := c.node(&g.Nodes, nodes[i], depth); err != nil {
			return At(err, "%s", (&Graph{Nodes: nodes}).NodeLabel(i))
		}
	}
	return nil
}

// node appends a node, or those that it stands for.
func (c *caller) node(to *[]Node, n Node, depth int) error {
	for i := range n.Attributes {
		if sub := n.Attributes[i].Graph; sub != nil {
			if err := c.graph(sub, depth); err != nil {
				return err
			}
		}
	}
	fn := c.functions[[3]string{CanonicalDomain(n.Domain), n.Operator, n.overload}]
	if fn == nil {
		if n.overload != "" {
			return Unsupported("the overload %q of an operator", n.overload)
		}
		*to = append(*to, n)
		return nil
	}
	if depth == maxCalls {
		return At(ErrLimit, "functions call one another more than %d deep", maxCalls)
	}
	call, err := c.call(fn, &n)
	if err != nil {
		return err
	}
	for i := range fn.nodes {
		copied, err := call.node(&fn.nodes[i])
		if err != nil {
			return err
		}
		if err := c.node(to, copied, depth+1); err != nil {
			return err
		}
	}
	*to = append(*to, call.passed...)
	return nil
}

// A call is one use of a function.
type call struct {
	*decoder
	fn         *function
	prefix     string            // of the values inside
	names      map[string]string // of inputs and outputs, as the caller has them
	attributes map[string]*Attribute
	passed     []Node // hand on what is an input or another output as well
}

func (c *caller) call(fn *function, n *Node) (*call, error) {
	if len(n.Inputs) > len(fn.inputs) || len(n.Outputs) > len(fn.outputs) {
		return nil, Invalid("%d inputs and %d outputs, the function has %d and %d",
			len(n.Inputs), len(n.Outputs), len(fn.inputs), len(fn.outputs))
	}
	c.calls++
	k := &call{
		decoder: c.decoder, fn: fn, prefix: fmt.Sprintf("#%d:", c.calls),
		names: map[string]string{"": ""}, attributes: map[string]*Attribute{},
	}
	for i, name := range fn.inputs {
		k.names[name] = ""
		if i < len(n.Inputs) {
			k.names[name] = n.Inputs[i]
		}
	}
	for i, name := range fn.outputs[:len(n.Outputs)] {
		actual := n.Outputs[i]
		if actual == "" {
			continue
		}
		if given, taken := k.names[name]; taken {
			k.passed = append(k.passed, Node{Operator: "Identity", Inputs: []string{given}, Outputs: []string{actual}})
			continue
		}
		k.names[name] = actual
	}
	for i := range fn.defaults {
		k.attributes[fn.defaults[i].Name] = &fn.defaults[i]
	}
	for i := range n.Attributes {
		a := &n.Attributes[i]
		if _, optional := k.attributes[a.Name]; !optional && !slices.Contains(fn.attributes, a.Name) {
			return nil, Invalid("the function %q has no attribute %q", fn.name, a.Name)
		}
		k.attributes[a.Name] = a
	}
	return k, nil
}

// name is the caller's name of a value of the function.
func (k *call) name(name string) string {
	if actual, ok := k.names[name]; ok {
		return actual
	}
	return k.prefix + name
}

func (k *call) list(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = k.name(name)
	}
	return out
}

// node copies a node of the function for its caller.
func (k *call) node(n *Node) (Node, error) {
	if k.nodes--; k.nodes < 0 {
		return Node{}, At(ErrLimit, "more than %d nodes", k.limits.Nodes)
	}
	if err := charge[Node](k.decoder, 1); err != nil {
		return Node{}, err
	}
	if err := charge[byte](k.decoder, 64*(len(n.Inputs)+len(n.Outputs))+256*len(n.Attributes)); err != nil {
		return Node{}, err
	}
	copied := *n
	copied.Inputs, copied.Outputs = k.list(n.Inputs), k.list(n.Outputs)
	for _, o := range k.fn.opsets {
		if CanonicalDomain(o.Domain) == CanonicalDomain(n.Domain) {
			copied.Version = o.Version
		}
	}
	copied.Attributes = make([]Attribute, 0, len(n.Attributes))
	for i := range n.Attributes {
		a := n.Attributes[i]
		if a.reference != "" {
			given := k.attributes[a.reference]
			if given == nil {
				continue // Absent at the call, and so here.
			}
			if a.Type != 0 && given.Type != a.Type {
				return Node{}, Invalid("attribute %q is %v, %v wanted", a.reference, given.Type, a.Type)
			}
			name := a.Name
			a = *given
			a.Name = name
		} else if a.Graph != nil {
			var err error
			if a.Graph, err = k.graph(a.Graph); err != nil {
				return Node{}, err
			}
		}
		copied.Attributes = append(copied.Attributes, a)
	}
	return copied, nil
}

// graph copies a subgraph of the function. What it defines itself gets the prefix
// as well.
func (k *call) graph(g *Graph) (*Graph, error) {
	copied := *g
	copied.Nodes = make([]Node, len(g.Nodes))
	for i := range g.Nodes {
		var err error
		if copied.Nodes[i], err = k.node(&g.Nodes[i]); err != nil {
			return nil, err
		}
	}
	copied.Initializers = make([]*Tensor, len(g.Initializers))
	for i, t := range g.Initializers {
		copied.Initializers[i] = &Tensor{Name: k.name(t.Name), Shape: t.Shape, Data: t.Data}
	}
	copied.Inputs, copied.Outputs, copied.Values = k.values(g.Inputs), k.values(g.Outputs), k.values(g.Values)
	return &copied, nil
}

func (k *call) values(list []ValueInfo) []ValueInfo {
	out := slices.Clone(list)
	for i := range out {
		out[i].Name = k.name(out[i].Name)
	}
	return out
}
