package compile

import (
	"slices"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/attributes"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
)

// A Node is what an operator's compile function works with: the node's
// attributes, and what is known of its inputs.
type Node struct {
	Node    *onnx.Node
	Opset   int64
	Inputs  []Input
	Outputs []onnx.Type // to be inferred
	Part    Part        // what the node does, nil where a predictor need not know
	Env     *kernel.Env // for constants that are computed while compiling
	reader  attributes.Reader
	// compile compiles a subgraph, and says which slots it reads beside the
	// node's inputs.
	compile  func(g *onnx.Graph, inputs []onnx.ValueInfo) (p *Program, captured []int, err error)
	captured []int
}

// Attributes returns the reader of the node's attributes.
func (n *Node) Attributes() *attributes.Reader { return &n.reader }

// Body compiles a subgraph whose inputs have the types given. What it takes from
// enclosing graphs becomes further inputs of the node, behind those of bodies before.
func (n *Node) Body(g *onnx.Graph, inputs []onnx.ValueInfo) (p *Program, err error) {
	p, captured, err := n.compile(g, inputs)
	n.captured = append(n.captured, captured...)
	return p, err
}

// An Input is what is known of an input.
type Input struct {
	Present  bool
	Type     onnx.Type
	constant kernel.Value
}

// Fail keeps an error, unless there was one before. A compile function goes on as
// if nothing was wrong; that the node is refused is seen to behind it.
func (n *Node) Fail(err error) { n.reader.Fail(err) }

// ElementOf returns the type of an input's elements. The node is refused where the
// input is no tensor, or has elements of another type than those allowed.
func (n *Node) ElementOf(input int, allowed ...onnx.ElementType) onnx.ElementType {
	t := n.Inputs[input].Type
	if t.Kind != onnx.KindTensor {
		n.Fail(onnx.Invalid("input %d is %v, a tensor wanted", input, t))
	} else if len(allowed) > 0 && !slices.Contains(allowed, t.Element) {
		n.Fail(onnx.Unsupported("input %d has elements of type %v, one of %v wanted", input, t.Element, allowed))
	}
	return t.Element
}

// NumericTypes lists the element types one can calculate with.
func NumericTypes() []onnx.ElementType {
	return []onnx.ElementType{onnx.Float, onnx.Double, onnx.Int64, onnx.Int32, onnx.Int16, onnx.Int8, onnx.Uint64, onnx.Uint32, onnx.Uint16, onnx.Uint8}
}

// SameTypes is [Node.ElementOf] of all inputs, which must have one element type.
func (n *Node) SameTypes(allowed ...onnx.ElementType) onnx.ElementType {
	first := n.ElementOf(0, allowed...)
	for i := range n.Inputs {
		if !n.Inputs[i].Present {
			continue
		}
		if other := n.ElementOf(i); other != first {
			n.Fail(onnx.Invalid("input %d is %v, input 0 is %v", i, other, first))
		}
	}
	return first
}

// ConstantTensor returns an input that is known when the model is compiled.
func (n *Node) ConstantTensor(input int) (*onnx.Tensor, bool) {
	if input >= len(n.Inputs) || !n.Inputs[input].Present {
		return nil, false
	}
	t, ok := n.Inputs[input].constant.(*onnx.Tensor)
	return t, ok
}

// CheckColumns refuses an input whose type says that it has another number of
// features.
func (n *Node) CheckColumns(features int) {
	t := n.Inputs[0].Type
	if !t.HasShape {
		return
	}
	if len(t.Shape) != 1 && len(t.Shape) != 2 {
		n.Fail(onnx.Invalid("input 0 is %v, a matrix wanted", t))
	} else if c := t.Shape[len(t.Shape)-1].Size; c >= 0 && c != features {
		n.Fail(onnx.Invalid("input 0 has %d columns, the attributes have %d", c, features))
	}
}
