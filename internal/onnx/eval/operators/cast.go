package operators

import (
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/compile"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
)

func castOperators() []compile.Operator {
	return []compile.Operator{
		{
			Name: "Cast", Since: 6,
			MinInputs: 1, MaxInputs: 1, MinOutputs: 1, MaxOutputs: 1, Compile: compileCast,
		},
		{
			Name: "Identity", Since: 1,
			MinInputs: 1, MaxInputs: 1, MinOutputs: 1, MaxOutputs: 1, Compile: compileIdentity,
		},
		{
			Domain: onnx.DomainML, Name: "ZipMap", Since: 1,
			MinInputs: 1, MaxInputs: 1, MinOutputs: 1, MaxOutputs: 1, Compile: compileZipMap,
		},
	}
}

func compileIdentity(n *compile.Node) (kernel.Kernel, error) {
	n.Outputs[0] = n.Inputs[0].Type
	n.Part = compile.CastPart{}
	return func(_ *kernel.Env, in []kernel.Value) ([]kernel.Value, error) { return []kernel.Value{in[0]}, nil }, nil
}

func compileCast(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	to := onnx.ElementType(r.Int("to", 0)) //nolint:gosec // Checked below.
	r.Int("saturate", 1)                   // about 8-bit floats only
	r.Text("round_mode", "up")             // likewise
	if r.Err != nil {
		return nil, r.Err
	}
	if !to.Known() {
		return nil, onnx.Unsupported("attribute \"to\" is %v", to)
	}
	from, err := n.ElementOf(0)
	if err != nil {
		return nil, err
	}
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
	}, nil
}

// A zipMap pairs scores with labels.
type zipMap struct{ labels onnx.Labels }

func compileZipMap(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	z := zipMap{r.Labels("classlabels_int64s")}
	if r.Err != nil {
		return nil, r.Err
	}
	// The specification wants float; skl2onnx writes double as well.
	if _, err := n.ElementOf(0, onnx.Float, onnx.Double); err != nil {
		return nil, err
	}
	if err := n.CheckColumns(z.labels.Len()); err != nil {
		return nil, err
	}
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
