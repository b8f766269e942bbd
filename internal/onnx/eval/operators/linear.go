package operators

import (
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/compile"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
	"github.com/petal-ml/petal/internal/onnx/eval/linear"
)

func linearOperators() []compile.Operator {
	return []compile.Operator{
		compile.Row("LinearClassifier", 1, 1, 1, compileLinearClassifier).Of(onnx.DomainML).Outputs(2, 2),
		compile.Row("LinearRegressor", 1, 1, 1, compileLinearRegressor).Of(onnx.DomainML),
	}
}

func compileLinearClassifier(n *compile.Node) (kernel.Kernel, error) {
	l, err := linear.ReadClassifier(n.Attributes())
	if err != nil {
		return nil, err
	}
	useLinear(n, l)
	n.Outputs[0] = n.LabelType(l.Classes)
	n.Outputs[1] = n.Rows(onnx.Float, onnx.Fixed(l.Width()))
	return func(e *kernel.Env, in []kernel.Value) ([]kernel.Value, error) {
		classes, scores, err := scoreLinear(e, l, in[0])
		if err != nil {
			return nil, err
		}
		labels, err := kernel.LabelTensor(e, l.Classes, classes)
		return []kernel.Value{labels, scores}, err
	}, nil
}

func compileLinearRegressor(n *compile.Node) (kernel.Kernel, error) {
	l, err := linear.ReadRegressor(n.Attributes())
	if err != nil {
		return nil, err
	}
	useLinear(n, l)
	n.Outputs[0] = n.Rows(onnx.Float, onnx.Fixed(l.Width()))
	return func(e *kernel.Env, in []kernel.Value) ([]kernel.Value, error) {
		_, scores, err := scoreLinear(e, l, in[0])
		return []kernel.Value{scores}, err
	}, nil
}

// useLinear checks the input of a linear model.
func useLinear(n *compile.Node, l *linear.Model) {
	n.Part = compile.ModelPart{Scorer: l, Columns: l.Features, Labels: l.Classes}
	n.ElementOf(0, onnx.Float, onnx.Double, onnx.Int64, onnx.Int32)
	n.CheckColumns(l.Features)
}

// scoreLinear scores a matrix row by row.
func scoreLinear(e *kernel.Env, l *linear.Model, v kernel.Value) (classes []int32, scores *onnx.Tensor, err error) {
	x, rows, columns, err := kernel.FeatureMatrix(e, v)
	if err != nil {
		return nil, nil, err
	}
	if columns != l.Features {
		return nil, nil, onnx.At(onnx.ErrInput, "%d features given, %d wanted", columns, l.Features)
	}
	width := l.Width()
	scores, out, err := kernel.Alloc[float32](e, rows, width)
	if err != nil {
		return nil, nil, err
	}
	classes = make([]int32, rows)
	for i := range rows {
		classes[i] = int32(l.Predict(x[i*columns:(i+1)*columns], out[i*width:(i+1)*width]))
	}
	return classes, scores, nil
}
