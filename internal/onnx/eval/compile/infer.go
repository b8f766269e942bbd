package compile

import "github.com/petal-ml/petal/internal/onnx"

// Inferred sets the type of the first output: an element type, and a shape where
// ok says that it is known.
func (n *Node) Inferred(e onnx.ElementType, shape []onnx.Dim, ok bool) {
	n.Outputs[0] = onnx.Type{Kind: onnx.KindTensor, Element: e, HasShape: ok}
	if ok {
		n.Outputs[0].Shape = shape
	}
}

// SameShape sets the type of the first output to that of the first input, with
// another element type.
func (n *Node) SameShape(e onnx.ElementType) {
	t := n.Inputs[0].Type
	n.Inferred(e, t.Shape, t.HasShape)
}

// BroadcastOutput infers an output that all inputs are broadcast to.
func (n *Node) BroadcastOutput(e onnx.ElementType) {
	types := make([]onnx.Type, len(n.Inputs))
	for i := range n.Inputs {
		types[i] = n.Inputs[i].Type
	}
	shape, ok, err := broadcastTypes(types...)
	if err != nil {
		n.Fail(err)
	}
	n.Inferred(e, shape, ok)
}

// Rows is the type of an output with one row a row of input 0.
func (n *Node) Rows(e onnx.ElementType, columns ...onnx.Dim) onnx.Type {
	first := onnx.Symbolic("")
	if t := n.Inputs[0].Type; t.HasShape && len(t.Shape) == 2 {
		first = t.Shape[0]
	} else if t.HasShape && len(t.Shape) == 1 {
		first = onnx.Fixed(1)
	}
	return onnx.TensorType(e, append([]onnx.Dim{first}, columns...)...)
}

// LabelType is the type of a label output.
func (n *Node) LabelType(classes onnx.Labels) onnx.Type {
	if classes.Strings != nil {
		return n.Rows(onnx.String)
	}
	return n.Rows(onnx.Int64)
}

// broadcastTypes infers the shape of an element-wise operator; ok is false where
// a rank is not known.
func broadcastTypes(types ...onnx.Type) (shape []onnx.Dim, ok bool, err error) {
	for _, t := range types {
		if !t.HasShape {
			return nil, false, nil
		}
	}
	for _, t := range types {
		if shape, err = BroadcastDims(shape, t.Shape); err != nil {
			return nil, false, err
		}
	}
	return shape, true, nil
}

// BroadcastDims applies the rule of [kernel.BroadcastShapes] to inferred shapes.
func BroadcastDims(a, b []onnx.Dim) ([]onnx.Dim, error) {
	out := make([]onnx.Dim, max(len(a), len(b)))
	for i := range out {
		da, db := onnx.Fixed(1), onnx.Fixed(1)
		if j := i - len(out) + len(a); j >= 0 {
			da = a[j]
		}
		if j := i - len(out) + len(b); j >= 0 {
			db = b[j]
		}
		switch {
		case db.Size == 1, da == db:
			out[i] = da
		case da.Size == 1:
			out[i] = db
		case da.Size < 0 && db.Size < 0:
			out[i] = onnx.Symbolic("")
		case da.Size < 0:
			out[i] = db
		case db.Size < 0:
			out[i] = da
		default:
			return nil, onnx.Invalid("shapes %v and %v do not go together", a, b)
		}
	}
	return out, nil
}
