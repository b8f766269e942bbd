package operators

import (
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/compile"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
	"github.com/petal-ml/petal/internal/onnx/eval/trees"
)

func treeOperators() []compile.Operator {
	return []compile.Operator{
		compile.Row("TreeEnsembleClassifier", 1, 1, 1, compileTreeClassifier).Of(onnx.DomainML).Outputs(2, 2),
		compile.Row("TreeEnsembleRegressor", 1, 1, 1, compileTreeRegressor).Of(onnx.DomainML),
		compile.Row("TreeEnsemble", 5, 1, 1, compileTreeEnsemble).Of(onnx.DomainML),
	}
}

func compileTreeClassifier(n *compile.Node) (kernel.Kernel, error) {
	m, err := trees.ReadClassifier(n.Attributes(), n.Inputs[0].Type.Element)
	if err != nil {
		return nil, err
	}
	useTrees(n, m)
	n.Outputs[0] = n.LabelType(m.Classes)
	n.Outputs[1] = n.Rows(onnx.Float, onnx.Fixed(m.Width()))
	return func(e *kernel.Env, in []kernel.Value) ([]kernel.Value, error) {
		classes, scores, err := scoreTrees(e, m, in[0])
		if err != nil {
			return nil, err
		}
		labels, err := kernel.LabelTensor(e, m.Classes, classes)
		return []kernel.Value{labels, scores}, err
	}, nil
}

func compileTreeRegressor(n *compile.Node) (kernel.Kernel, error) {
	m, err := trees.ReadRegressor(n.Attributes(), n.Inputs[0].Type.Element)
	if err != nil {
		return nil, err
	}
	return treeRegression(n, m, onnx.Float), nil
}

// compileTreeEnsemble compiles the operator whose output has the type of its
// input.
func compileTreeEnsemble(n *compile.Node) (kernel.Kernel, error) {
	element := n.ElementOf(0, onnx.Float, onnx.Double)
	m, err := trees.ReadEnsemble(n.Attributes(), element)
	if err != nil {
		return nil, err
	}
	return treeRegression(n, m, element), nil
}

func treeRegression(n *compile.Node, m *trees.Model, output onnx.ElementType) kernel.Kernel {
	useTrees(n, m)
	n.Outputs[0] = n.Rows(output, onnx.Fixed(m.Width()))
	if output == onnx.Double {
		n.Part = nil // A predictor's rows are float32.
		return func(e *kernel.Env, in []kernel.Value) ([]kernel.Value, error) {
			t, rows, columns, err := treeInput(m, in[0])
			if err != nil {
				return nil, err
			}
			x, ok := t.Data.([]float64)
			if !ok {
				return nil, onnx.At(onnx.ErrInput, "%v given, double wanted", t.Type())
			}
			out, values, err := kernel.Alloc[float64](e, rows, m.Width())
			if err != nil {
				return nil, err
			}
			m.ScoreDoubles(x, columns, values)
			return []kernel.Value{out}, nil
		}
	}
	return func(e *kernel.Env, in []kernel.Value) ([]kernel.Value, error) {
		_, values, err := scoreTrees(e, m, in[0])
		return []kernel.Value{values}, err
	}
}

// useTrees checks the input of an ensemble, which may be wider than the trees
// need.
func useTrees(n *compile.Node, m *trees.Model) {
	n.Part = compile.ModelPart{Scorer: m, Columns: m.Columns(), Labels: m.Classes}
	n.ElementOf(0, onnx.Float, onnx.Double, onnx.Int64, onnx.Int32)
	t := n.Inputs[0].Type
	if !t.HasShape || len(t.Shape) == 0 || len(t.Shape) > 2 {
		return
	}
	if c := t.Shape[len(t.Shape)-1].Size; c >= 0 && c < m.Columns() {
		n.Fail(onnx.Invalid("input 0 has %d columns, the trees ask for feature %d", c, m.Columns()-1))
	}
}

// treeInput returns the matrix of an input that is wide enough.
func treeInput(m *trees.Model, v kernel.Value) (t *onnx.Tensor, rows, columns int, err error) {
	if t, err = kernel.TensorOf(v); err != nil {
		return nil, 0, 0, err
	}
	if rows, columns, err = kernel.MatrixShape(t); err != nil {
		return nil, 0, 0, err
	}
	if columns < m.Columns() {
		return nil, 0, 0, onnx.At(onnx.ErrInput, "%d features given, the trees ask for feature %d", columns, m.Columns()-1)
	}
	return t, rows, columns, nil
}

// scoreTrees scores a matrix of any number type; whole numbers are compared as
// floats. The classes are those of a classifier.
func scoreTrees(e *kernel.Env, m *trees.Model, v kernel.Value) (classes []int32, scores *onnx.Tensor, err error) {
	t, rows, columns, err := treeInput(m, v)
	if err != nil {
		return nil, nil, err
	}
	scores, out, err := kernel.Alloc[float32](e, rows, m.Width())
	if err != nil {
		return nil, nil, err
	}
	classes = make([]int32, rows)
	if rows == 0 {
		return classes, scores, nil
	}
	if doubles, ok := t.Data.([]float64); ok {
		trees.ScoreRows(m, doubles, columns, out, classes)
		return classes, scores, nil
	}
	c, err := kernel.CastTensor(e, t, onnx.Float)
	if err != nil {
		return nil, nil, err
	}
	trees.ScoreRows(m, c.Data.([]float32), columns, out, classes)
	return classes, scores, nil
}
