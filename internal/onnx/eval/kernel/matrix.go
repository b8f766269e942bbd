package kernel

import (
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/numeric"
)

// FeatureMatrix sees a tensor as the operators of ai.onnx.ml see their input: a
// matrix of float32, one row an instance. One dimension means one row.
func FeatureMatrix(e *Env, v Value) (x []float32, rows, columns int, err error) {
	t, err := TensorOf(v)
	if err != nil {
		return nil, 0, 0, err
	}
	if rows, columns, err = MatrixShape(t); err != nil {
		return nil, 0, 0, err
	}
	if x, ok := t.Data.([]float32); ok {
		return x, rows, columns, nil
	}
	c, err := CastTensor(e, t, onnx.Float)
	if err != nil {
		return nil, 0, 0, err
	}
	return c.Data.([]float32), rows, columns, nil
}

// MatrixShape returns a tensor's rows and columns.
func MatrixShape(t *onnx.Tensor) (rows, columns int, err error) {
	switch len(t.Shape) {
	case 1:
		return 1, t.Shape[0], nil
	case 2:
		return t.Shape[0], t.Shape[1], nil
	default:
		return 0, 0, onnx.At(onnx.ErrInput, "shape %v given, a matrix wanted", t.Shape)
	}
}

// LabelTensor turns class indices into labels.
func LabelTensor(e *Env, classes onnx.Labels, indices []int32) (*onnx.Tensor, error) {
	if classes.Strings != nil {
		t, out, err := Alloc[string](e, len(indices))
		if err != nil {
			return nil, err
		}
		for i, c := range indices {
			out[i] = classes.Strings[c]
		}
		return t, nil
	}
	t, out, err := Alloc[int64](e, len(indices))
	if err != nil {
		return nil, err
	}
	for i, c := range indices {
		out[i] = classes.Ints[c]
	}
	return t, nil
}

// LabelsOf reads a constant as classes.
func LabelsOf(t *onnx.Tensor) onnx.Labels {
	switch data := t.Data.(type) {
	case []string:
		return onnx.Labels{Strings: data}
	case []int64:
		return onnx.Labels{Ints: data}
	case []int32:
		l := onnx.Labels{Ints: make([]int64, len(data))}
		numeric.Convert(l.Ints, data)
		return l
	default:
		return onnx.Labels{}
	}
}
