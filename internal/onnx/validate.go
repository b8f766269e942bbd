package onnx

import (
	"strconv"
	"strings"
)

// Validate checks what holds for every model, whatever its operators: versions,
// unique names, values that exist, and a graph without cycles. [Load] calls it;
// call it on a model that was built in memory.
func (m *Model) Validate() error {
	if m.IRVersion < 1 {
		return Invalid("the model has no IR version")
	}
	if m.Graph == nil {
		return Invalid("the model has no graph")
	}
	domains := make(map[string]int64, len(m.Opsets))
	for _, o := range m.Opsets {
		d := CanonicalDomain(o.Domain)
		// skl2onnx imports a set twice now and then, in the same version.
		if version, twice := domains[d]; twice && version != o.Version {
			return Invalid("operator set %q imported twice, as versions %d and %d", o.Domain, version, o.Version)
		}
		if o.Version < 1 {
			return Invalid("operator set %q has version %d", o.Domain, o.Version)
		}
		domains[d] = o.Version
	}
	keys := make(map[string]bool, len(m.Metadata))
	for _, p := range m.Metadata {
		if keys[p.Key] {
			return Invalid("metadata key %q stands twice", p.Key)
		}
		keys[p.Key] = true
	}
	if len(m.Graph.Outputs) == 0 {
		return Invalid("the graph has no output")
	}
	for _, v := range m.Graph.freeInputs() { // The types of outputs are inferred.
		if v.Type.Kind == KindUnknown {
			return Unsupported("%q has no type, or one that is neither tensor, sequence nor map", v.Name)
		}
	}
	return validateGraph(m.Graph, nil)
}

// CanonicalDomain spells the default domain one way.
func CanonicalDomain(d string) string {
	if d == "ai.onnx" {
		return DomainONNX
	}
	return d
}

// validateGraph checks one graph; outer holds the names that an enclosing graph
// defines and that a subgraph may use.
func validateGraph(g *Graph, outer map[string]bool) error {
	defined := make(map[string]bool, len(outer)+len(g.Inputs)+len(g.Initializers)+len(g.Nodes))
	for name := range outer {
		defined[name] = true
	}
	if err := defineInputs(g, defined); err != nil {
		return err
	}
	producers, err := producersOf(g, defined)
	if err != nil {
		return err
	}
	for name := range producers {
		defined[name] = true
	}
	if err := validateNodes(g, defined); err != nil {
		return err
	}
	seen := make(map[string]bool, len(g.Outputs))
	for _, out := range g.Outputs {
		if !defined[out.Name] {
			return Invalid("output %q: nothing computes it", out.Name)
		}
		if seen[out.Name] {
			return Invalid("output %q is declared twice", out.Name)
		}
		seen[out.Name] = true
	}
	_, err = sortNodes(g, producers)
	return err
}

// defineInputs adds the names of inputs and initializers.
func defineInputs(g *Graph, defined map[string]bool) error {
	inputs := make(map[string]bool, len(g.Inputs))
	for i, in := range g.Inputs {
		switch {
		case in.Name == "":
			return Invalid("input %d has no name", i)
		case defined[in.Name]:
			return Invalid("input %q is defined twice", in.Name)
		}
		inputs[in.Name], defined[in.Name] = true, true
	}
	initializers := make(map[string]bool, len(g.Initializers))
	for i, t := range g.Initializers {
		switch {
		case t.Name == "":
			return Invalid("initializer %d has no name", i)
		case initializers[t.Name], defined[t.Name] && !inputs[t.Name]:
			return Invalid("initializer %q is defined twice", t.Name)
		case t.Type() == 0:
			return Invalid("initializer %q holds a %T", t.Name, t.Data)
		}
		initializers[t.Name], defined[t.Name] = true, true
	}
	return nil
}

// producersOf maps each value to the node that computes it.
func producersOf(g *Graph, defined map[string]bool) (map[string]int, error) {
	producers := make(map[string]int, len(g.Nodes))
	for i := range g.Nodes {
		n := &g.Nodes[i]
		for _, out := range n.Outputs {
			if out == "" {
				continue
			}
			if other, twice := producers[out]; twice {
				return nil, At(Invalid("value %q is computed twice, by %s as well", out, g.NodeLabel(other)), "%s", g.NodeLabel(i))
			}
			if defined[out] {
				return nil, At(Invalid("value %q is already an input or a constant", out), "%s", g.NodeLabel(i))
			}
			producers[out] = i
		}
	}
	return producers, nil
}

// validateNodes checks each node by itself, subgraphs included.
func validateNodes(g *Graph, defined map[string]bool) error {
	for i := range g.Nodes {
		n := &g.Nodes[i]
		if n.Operator == "" {
			return Invalid("%s has no operator", g.NodeLabel(i))
		}
		for _, in := range n.Inputs {
			if in != "" && !defined[in] {
				return At(Invalid("input %q: nothing computes it", in), "%s", g.NodeLabel(i))
			}
		}
		names := make(map[string]bool, len(n.Attributes))
		for j := range n.Attributes {
			a := &n.Attributes[j]
			if names[a.Name] {
				return At(Invalid("attribute %q stands twice", a.Name), "%s", g.NodeLabel(i))
			}
			names[a.Name] = true
			if a.reference != "" {
				return At(Invalid("attribute %q refers to one of a function, and stands in none", a.Name), "%s", g.NodeLabel(i))
			}
			if a.Graph != nil {
				if err := validateGraph(a.Graph, defined); err != nil {
					return At(err, "%s, attribute %q", g.NodeLabel(i), a.Name)
				}
			}
		}
	}
	return nil
}

// NodeLabel names a node for people: by its name, or by its place.
func (g *Graph) NodeLabel(i int) string {
	n := &g.Nodes[i]
	if n.Name != "" {
		return "node \"" + n.Name + "\" (" + n.Operator + ")"
	}
	if n.Operator == "" { // in a file that breaks off before it
		return "node " + strconv.Itoa(i)
	}
	return "node " + strconv.Itoa(i) + " (" + n.Operator + ")"
}

// Order returns the indices of the nodes such that each node comes after those
// it needs, in the order of the file where that is possible.
func (g *Graph) Order() ([]int, error) {
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

// sortNodes returns the nodes in an order in which each comes after those it
// needs, keeping the file's order where it can (Kahn's algorithm). A cycle is an
// error that names the nodes on it.
func sortNodes(g *Graph, producers map[string]int) ([]int, error) {
	waiting := make([]int, len(g.Nodes)) // how many producers are still to come
	users := make([][]int, len(g.Nodes))
	for i := range g.Nodes {
		for _, p := range dependencies(&g.Nodes[i], producers) {
			waiting[i]++
			users[p] = append(users[p], i)
		}
	}
	order := make([]int, 0, len(g.Nodes))
	for i := range waiting {
		if waiting[i] == 0 {
			order = append(order, i)
		}
	}
	for done := 0; done < len(order); done++ {
		for _, u := range users[order[done]] {
			if waiting[u]--; waiting[u] == 0 {
				order = append(order, u)
			}
		}
	}
	if len(order) < len(g.Nodes) {
		return nil, Invalid("the graph has a cycle through %s", cycle(g, producers, waiting))
	}
	return order, nil
}

// dependencies lists the nodes whose values n uses, itself or in a subgraph.
func dependencies(n *Node, producers map[string]int) []int {
	var on []int
	for _, in := range n.Inputs {
		if p, ok := producers[in]; ok {
			on = append(on, p)
		}
	}
	for i := range n.Attributes {
		if sub := n.Attributes[i].Graph; sub != nil {
			for j := range sub.Nodes {
				on = append(on, dependencies(&sub.Nodes[j], producers)...)
			}
			for _, out := range sub.Outputs {
				if p, ok := producers[out.Name]; ok {
					on = append(on, p)
				}
			}
		}
	}
	return on
}

// cycle walks backwards among the nodes that could not be sorted until one
// comes up again, and names those in between.
func cycle(g *Graph, producers map[string]int, waiting []int) string {
	at := 0
	for waiting[at] == 0 {
		at++
	}
	seen := map[int]int{}
	var path []int
	for {
		if start, ok := seen[at]; ok {
			path = path[start:]
			break
		}
		seen[at] = len(path)
		path = append(path, at)
		for _, p := range dependencies(&g.Nodes[at], producers) {
			if waiting[p] > 0 {
				at = p
				break
			}
		}
	}
	names := make([]string, 0, min(len(path), 5))
	for _, i := range path[:min(len(path), 5)] {
		names = append(names, g.NodeLabel(i))
	}
	return strings.Join(names, ", ")
}
