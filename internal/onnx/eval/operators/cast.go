package operators

import (
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/compile"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
)

func castOperators() []compile.Operator {
	return []compile.Operator{
		compile.Row("Cast", 6, 1, 1, compileCast),
		compile.Row("CastLike", 15, 2, 2, compileCastLike),
		compile.Row("Identity", 1, 1, 1, compileIdentity),
		compile.Row("ZipMap", 1, 1, 1, compileZipMap).Of(onnx.DomainML),
	}
}

func compileIdentity(n *compile.Node) (kernel.Kernel, error) {
	n.Outputs[0] = n.Inputs[0].Type
	n.Part = compile.CastPart{}
	return func(_ *kernel.Env, in []kernel.Value) ([]kernel.Value, error) { return []kernel.Value{in[0]}, nil }, nil
}

func compileCast(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	to := onnx.ElementType(r.Int("to", 0))
	r.Int("saturate", 1)       // about 8-bit floats only
	r.Text("round_mode", "up") // likewise
	if !to.Known() {
		return nil, onnx.Unsupported("attribute \"to\" is %v", to)
	}
	return castTo(n, to), nil
}

// compileCastLike compiles the cast to the type of the second input.
func compileCastLike(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	r.Int("saturate", 1)
	r.Text("round_mode", "up")
	return castTo(n, n.ElementOf(1)), nil
}

func castTo(n *compile.Node, to onnx.ElementType) kernel.Kernel {
	from := n.ElementOf(0)
	n.Outputs[0] = n.Inputs[0].Type
	n.Outputs[0].Element = to
	n.Part = compile.CastPart{From: from, To: to}
	return func(e *kernel.Env, in []kernel.Value) ([]kernel.Value, error) {
		t, err := kernel.TensorOf(in[0])
		if err != nil {
			return nil, err
		}
		out, err := kernel.CastTensor(e, t, to)
		return []kernel.Value{out}, err
	}
}

// A zipMap pairs scores with labels.
type zipMap struct{ labels onnx.Labels }

func compileZipMap(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	z := zipMap{r.Labels("classlabels_int64s")}
	// The specification wants float; skl2onnx writes double as well.
	n.ElementOf(0, onnx.Float, onnx.Double)
	n.CheckColumns(z.labels.Len())
	n.Part = compile.MapsPart{Labels: z.labels}
	n.Outputs[0] = onnx.ProbabilityMapsType(onnx.Int64)
	if z.labels.Strings != nil {
		n.Outputs[0] = onnx.ProbabilityMapsType(onnx.String)
	}
	return z.kernel, nil
}

func (z zipMap) kernel(e *kernel.Env, in []kernel.Value) ([]kernel.Value, error) {
	x, rows, columns, err := kernel.FeatureMatrix(e, in[0])
	if err != nil {
		return nil, err
	}
	if columns != z.labels.Len() {
		return nil, onnx.At(onnx.ErrInput, "%d scores a row for %d labels", columns, z.labels.Len())
	}
	return []kernel.Value{&kernel.ProbabilityMaps{Keys: z.labels, Scores: onnx.NewTensor([]int{rows, columns}, x)}}, nil
}
