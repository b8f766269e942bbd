package eval

import "github.com/petal-ml/petal/internal/onnx"

// A number is an element type one can calculate with.
type number interface {
	float32 | float64 | int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64
}

// tensorOf takes a value that must be a tensor.
func tensorOf(v Value) (*onnx.Tensor, error) {
	t, ok := v.(*onnx.Tensor)
	if !ok {
		return nil, onnx.At(onnx.ErrInput, "a tensor wanted, %v given", v.ValueType())
	}
	return t, nil
}

// featureMatrix sees a tensor as the operators of ai.onnx.ml see their input: a
// matrix of float32, one row an instance. One dimension means one row.
func featureMatrix(e *env, v Value) (x []float32, rows, columns int, err error) {
	t, err := tensorOf(v)
	if err != nil {
		return nil, 0, 0, err
	}
	if rows, columns, err = matrixShape(t); err != nil {
		return nil, 0, 0, err
	}
	if x, ok := t.Data.([]float32); ok {
		return x, rows, columns, nil
	}
	c, err := castTensor(e, t, onnx.Float)
	if err != nil {
		return nil, 0, 0, err
	}
	return c.Data.([]float32), rows, columns, nil
}

// matrixShape returns a tensor's rows and columns.
func matrixShape(t *onnx.Tensor) (rows, columns int, err error) {
	switch len(t.Shape) {
	case 1:
		return 1, t.Shape[0], nil
	case 2:
		return t.Shape[0], t.Shape[1], nil
	default:
		return 0, 0, onnx.At(onnx.ErrInput, "shape %v given, a matrix wanted", t.Shape)
	}
}

// checkColumns compares a number of features with the input's type, where the
// type says.
func (n *nodeCompiler) checkColumns(features int) error {
	t := n.inputs[0].typ
	if !t.HasShape {
		return nil
	}
	if len(t.Shape) != 1 && len(t.Shape) != 2 {
		return onnx.Invalid("input 0 is %v, a matrix wanted", t)
	}
	if c := t.Shape[len(t.Shape)-1].Size; c >= 0 && c != features {
		return onnx.Invalid("input 0 has %d columns, the attributes have %d", c, features)
	}
	return nil
}

// labelType is the type of a label output.
func labelType(n *nodeCompiler, classes onnx.Labels) onnx.Type {
	if classes.Strings != nil {
		return n.rows(onnx.String)
	}
	return n.rows(onnx.Int64)
}

// labelTensor turns class indices into labels.
func labelTensor(e *env, classes onnx.Labels, indices []int32) (*onnx.Tensor, error) {
	if classes.Strings != nil {
		t, out, err := alloc[string](e, len(indices))
		if err != nil {
			return nil, err
		}
		for i, c := range indices {
			out[i] = classes.Strings[c]
		}
		return t, nil
	}
	t, out, err := alloc[int64](e, len(indices))
	if err != nil {
		return nil, err
	}
	for i, c := range indices {
		out[i] = classes.Ints[c]
	}
	return t, nil
}
