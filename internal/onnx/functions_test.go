package onnx

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

// functionField is a function as a file has it.
func functionField(fn function) []byte {
	b := putString(nil, functionName, fn.name)
	for _, s := range fn.inputs {
		b = putBytes(b, functionInput, []byte(s))
	}
	for _, s := range fn.outputs {
		b = putBytes(b, functionOutput, []byte(s))
	}
	for _, s := range fn.attributes {
		b = putString(b, functionAttribute, s)
	}
	for i := range fn.nodes {
		node := encodeNode(&fn.nodes[i])
		for _, a := range fn.nodes[i].Attributes {
			if a.reference != "" {
				node = putBytes(encodeNode(&Node{Operator: fn.nodes[i].Operator, Inputs: fn.nodes[i].Inputs, Outputs: fn.nodes[i].Outputs}),
					nodeAttribute, putInt(putString(putString(nil, attributeName, a.Name), attributeRef, a.reference), attributeType, int64(a.Type)))
			}
		}
		b = putBytes(b, functionNode, node)
	}
	for _, o := range fn.opsets {
		b = putBytes(b, functionOpset, putInt(putString(nil, opsetDomain, o.Domain), opsetVersion, o.Version))
	}
	b = putString(b, functionDomain, fn.domain)
	for i := range fn.defaults {
		b = putBytes(b, functionDefault, encodeAttribute(&fn.defaults[i]))
	}
	return putBytes(nil, modelFunctions, b)
}

func loadWithFunctions(nodes []Node, functions ...function) (*Model, error) {
	number := func(name string) ValueInfo {
		return ValueInfo{Name: name, Type: TensorType(Float, Symbolic("N"), Fixed(1))}
	}
	m := &Model{IRVersion: 10, Opsets: []Opset{{Version: 18}, {Domain: "local", Version: 1}}, Graph: &Graph{
		Name: "g", Inputs: []ValueInfo{number("x")}, Outputs: []ValueInfo{number("y")}, Nodes: nodes,
	}}
	file := m.Marshal()
	for _, fn := range functions {
		file = append(file, functionField(fn)...)
	}
	return Load(bytes.NewReader(file), Limits{})
}

func local(operator, input, output string, attributes ...Attribute) Node {
	return Node{Domain: "local", Operator: operator, Inputs: []string{input}, Outputs: []string{output}, Attributes: attributes}
}

func plain(operator, input, output string, attributes ...Attribute) Node {
	return Node{Operator: operator, Inputs: []string{input}, Outputs: []string{output}, Attributes: attributes}
}

// TestFunctionsAreInlined calls a function twice, one with a default and one with a
// value for its attribute; it calls another and speaks an older operator set.
func TestFunctionsAreInlined(t *testing.T) {
	reference := Attribute{Name: "alpha", Type: AttributeFloat, reference: "slope"}
	leaky := function{
		domain: "local", name: "Leaky", inputs: []string{"a"}, outputs: []string{"b", "same"}, defaults: []Attribute{FloatAttribute("slope", 0.5)},
		nodes: []Node{local("Twice", "a", "t"), plain("LeakyRelu", "t", "b", reference), plain("Neg", "b", "unused")},
	}
	leaky.outputs[1] = "a" // handed on
	twice := function{
		domain: "local", name: "Twice", inputs: []string{"in"}, outputs: []string{"out"}, opsets: []Opset{{Version: 13}},
		nodes: []Node{plain("Neg", "in", "t"), plain("Neg", "t", "out")},
	}
	second := local("Leaky", "one", "two", FloatAttribute("slope", 0.25))
	second.Outputs = append(second.Outputs, "copy")
	m, err := loadWithFunctions([]Node{local("Leaky", "x", "one"), second, plain("Abs", "copy", "y")}, leaky, twice)
	require.NoError(t, err)
	var operators []string
	var slopes []float32
	for _, n := range m.Graph.Nodes {
		operators = append(operators, n.Operator)
		if a := n.Attribute("alpha"); a != nil {
			slopes = append(slopes, a.Float)
		}
	}
	require.Equal(t, []string{"Neg", "Neg", "LeakyRelu", "Neg", "Neg", "Neg", "LeakyRelu", "Neg", "Identity", "Abs"}, operators)
	require.Equal(t, []float32{0.5, 0.25}, slopes)
	require.Equal(t, []string{"x"}, m.Graph.Nodes[0].Inputs)
	require.Equal(t, []string{"one"}, m.Graph.Nodes[2].Outputs)
	require.Equal(t, m.Graph.Nodes[0].Outputs, m.Graph.Nodes[1].Inputs)
	require.NotEqual(t, m.Graph.Nodes[0].Outputs, m.Graph.Nodes[4].Outputs, "each call has values of its own")
	version, _ := m.OpsetOf(&m.Graph.Nodes[0])
	require.Equal(t, int64(13), version)
	version, _ = m.OpsetOf(&m.Graph.Nodes[2])
	require.Equal(t, int64(18), version)
}

func TestFunctionsThatAreRefused(t *testing.T) {
	itself := function{domain: "local", name: "F", inputs: []string{"a"}, outputs: []string{"b"}, nodes: []Node{local("F", "a", "b")}}
	var doubling []function // 2^30 nodes
	for i := range 30 {
		name, next := string(rune('A'+i)), string(rune('A'+i+1))
		doubling = append(doubling, function{domain: "local", name: name, inputs: []string{"a"}, outputs: []string{"b"}, nodes: []Node{local(next, "a", "t"), local(next, "t", "b")}})
	}
	one := function{domain: "local", name: "F", inputs: []string{"a"}, outputs: []string{"b"}, nodes: []Node{plain("Neg", "a", "b")}}
	two := local("F", "x", "y")
	two.Inputs = []string{"x", "x"}
	reference := Attribute{Name: "alpha", Type: AttributeInt, reference: "slope"}
	wrongType := function{domain: "local", name: "F", inputs: []string{"a"}, outputs: []string{"b"}, attributes: []string{"slope"}, nodes: []Node{plain("LeakyRelu", "a", "b", reference)}}
	for name, c := range map[string]struct {
		node      Node
		functions []function
		want      error
	}{
		"a function that calls itself": {local("F", "x", "y"), []function{itself}, ErrLimit},
		"functions that double":        {local("A", "x", "y"), doubling, ErrLimit},
		"defined twice":                {local("F", "x", "y"), []function{one, one}, ErrInvalid},
		"too many inputs":              {two, []function{one}, ErrInvalid},
		"an attribute it has not":      {local("F", "x", "y", FloatAttribute("slope", 1)), []function{one}, ErrInvalid},
		"an attribute of another type": {local("F", "x", "y", FloatAttribute("slope", 1)), []function{wrongType}, ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loadWithFunctions([]Node{c.node}, c.functions...)
			require.ErrorIs(t, err, c.want)
		})
	}
}
