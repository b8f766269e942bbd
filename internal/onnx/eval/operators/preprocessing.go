package operators

import (
	"math"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/compile"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
	"github.com/petal-ml/petal/internal/onnx/eval/linear"
)

func preprocessingOperators() []compile.Operator {
	return []compile.Operator{
		compile.Row("Scaler", 1, 1, 1, compileScaler).Of(onnx.DomainML),
		compile.Row("Normalizer", 1, 1, 1, compileNormalizer).Of(onnx.DomainML),
	}
}

func compileScaler(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	s := &linear.Scaler{Offset: r.Floats("offset"), Scale: r.Floats("scale")}
	n.ElementOf(0, onnx.Float, onnx.Double, onnx.Int64, onnx.Int32)
	for name, list := range map[string][]float32{"offset": s.Offset, "scale": s.Scale} {
		switch len(list) {
		case 0:
			return nil, onnx.Invalid("attribute %q has no numbers", name)
		case 1:
		default:
			n.CheckColumns(len(list))
		}
	}
	if len(s.Offset) > 1 && len(s.Scale) > 1 && len(s.Offset) != len(s.Scale) {
		return nil, onnx.Invalid("attribute \"offset\" has %d numbers, \"scale\" %d", len(s.Offset), len(s.Scale))
	}
	n.Part = compile.RowPart{Step: s, Columns: s.Columns()}
	n.Outputs[0] = n.Inputs[0].Type
	n.Outputs[0].Element = onnx.Float
	return func(e *kernel.Env, in []kernel.Value) ([]kernel.Value, error) { return scale(e, s, in) }, nil
}

func scale(e *kernel.Env, s *linear.Scaler, in []kernel.Value) ([]kernel.Value, error) {
	x, rows, columns, err := kernel.FeatureMatrix(e, in[0])
	if err != nil {
		return nil, err
	}
	if width := max(len(s.Offset), len(s.Scale)); width > 1 && width != columns {
		return nil, onnx.At(onnx.ErrInput, "%d features given, %d wanted", columns, width)
	}
	out, data, err := kernel.Alloc[float32](e, in[0].(*onnx.Tensor).Shape...)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		s.Apply(data[i*columns:(i+1)*columns], x[i*columns:(i+1)*columns])
	}
	return []kernel.Value{out}, nil
}

// A normalizer divides each row by its norm.
type normalizer struct{ norm string }

func compileNormalizer(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	z := normalizer{r.OneOf("norm", "MAX", "L1", "L2")}
	n.ElementOf(0, onnx.Float, onnx.Double, onnx.Int64, onnx.Int32)
	n.Part = compile.ScorePart{Apply: z.apply, Shares: z.norm == "L1"}
	n.Outputs[0] = n.Inputs[0].Type
	n.Outputs[0].Element = onnx.Float
	return z.kernel, nil
}

func (z normalizer) kernel(e *kernel.Env, in []kernel.Value) ([]kernel.Value, error) {
	x, rows, columns, err := kernel.FeatureMatrix(e, in[0])
	if err != nil {
		return nil, err
	}
	out, data, err := kernel.Alloc[float32](e, in[0].(*onnx.Tensor).Shape...)
	if err != nil {
		return nil, err
	}
	copy(data, x)
	for i := range rows {
		z.apply(data[i*columns : (i+1)*columns])
	}
	return []kernel.Value{out}, nil
}

// apply normalizes one row in place. A row whose norm is zero stays as it is.
// The maximum keeps its sign, and the square root is taken of the quotient,
// both as onnxruntime does.
func (z normalizer) apply(row []float32) {
	switch z.norm {
	case "MAX":
		divide(row, maxOf(row))
	case "L1":
		sum := float32(0)
		for _, v := range row {
			sum += float32(math.Abs(float64(v)))
		}
		divide(row, sum)
	default:
		sum := float32(0)
		for _, v := range row {
			sum += v * v
		}
		if sum == 0 {
			return
		}
		for i, v := range row {
			root := float32(math.Sqrt(float64(v * v / sum)))
			if v < 0 {
				root = -root
			}
			row[i] = root
		}
	}
}

func maxOf(row []float32) float32 {
	top := float32(-math.MaxFloat32)
	for _, v := range row {
		if v > top {
			top = v
		}
	}
	return top
}

func divide(row []float32, by float32) {
	if by == 0 {
		return
	}
	for i := range row {
		row[i] /= by
	}
}
