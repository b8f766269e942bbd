package eval

import (
	"github.com/petal-ml/petal/internal/onnx"
	"math"
)

func preprocessingOperators() []operator {
	return []operator{
		{
			domain: onnx.DomainML, name: "Scaler", since: 1,
			minInputs: 1, maxInputs: 1, minOutputs: 1, maxOutputs: 1, compile: compileScaler,
		},
		{
			domain: onnx.DomainML, name: "Normalizer", since: 1,
			minInputs: 1, maxInputs: 1, minOutputs: 1, maxOutputs: 1, compile: compileNormalizer,
		},
	}
}

// A scaler computes (x − offset)·scale, column by column; a single offset or
// scale holds for all columns.
type scaler struct{ offset, scale []float32 }

func compileScaler(n *nodeCompiler) (kernel, error) {
	r := n.attributes()
	s := &scaler{offset: r.floats("offset"), scale: r.floats("scale")}
	if r.err != nil {
		return nil, r.err
	}
	if _, err := n.elementOf(0, onnx.Float, onnx.Double, onnx.Int64, onnx.Int32); err != nil {
		return nil, err
	}
	for name, list := range map[string][]float32{"offset": s.offset, "scale": s.scale} {
		switch len(list) {
		case 0:
			return nil, onnx.Invalid("attribute %q has no numbers", name)
		case 1:
		default:
			if err := n.checkColumns(len(list)); err != nil {
				return nil, onnx.At(err, "attribute %q", name)
			}
		}
	}
	if len(s.offset) > 1 && len(s.scale) > 1 && len(s.offset) != len(s.scale) {
		return nil, onnx.Invalid("attribute \"offset\" has %d numbers, \"scale\" %d", len(s.offset), len(s.scale))
	}
	n.part = s
	n.outputs[0] = n.inputs[0].typ
	n.outputs[0].Element = onnx.Float
	return s.kernel, nil
}

func (s *scaler) kernel(e *env, in []Value) ([]Value, error) {
	x, rows, columns, err := featureMatrix(e, in[0])
	if err != nil {
		return nil, err
	}
	if width := max(len(s.offset), len(s.scale)); width > 1 && width != columns {
		return nil, onnx.At(onnx.ErrInput, "%d features given, %d wanted", columns, width)
	}
	out, data, err := alloc[float32](e, in[0].(*onnx.Tensor).Shape...)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		s.apply(data[i*columns:(i+1)*columns], x[i*columns:(i+1)*columns])
	}
	return []Value{out}, nil
}

// columns is the number of features, 0 where any number will do.
func (s *scaler) columns() int {
	if n := max(len(s.offset), len(s.scale)); n > 1 {
		return n
	}
	return 0
}

// apply scales one row.
func (s *scaler) apply(out, row []float32) {
	for j, x := range row {
		offset, scale := s.at(j)
		out[j] = (x - offset) * scale
	}
}

// at returns the offset and the scale of a column.
func (s *scaler) at(column int) (offset, scale float32) {
	offset, scale = s.offset[0], s.scale[0]
	if len(s.offset) > 1 {
		offset = s.offset[column]
	}
	if len(s.scale) > 1 {
		scale = s.scale[column]
	}
	return offset, scale
}

// A normalizer divides each row by its norm.
type normalizer struct{ norm string }

func compileNormalizer(n *nodeCompiler) (kernel, error) {
	r := n.attributes()
	z := normalizer{r.oneOf("norm", "MAX", "L1", "L2")}
	if r.err != nil {
		return nil, r.err
	}
	if _, err := n.elementOf(0, onnx.Float, onnx.Double, onnx.Int64, onnx.Int32); err != nil {
		return nil, err
	}
	n.part = z
	n.outputs[0] = n.inputs[0].typ
	n.outputs[0].Element = onnx.Float
	return z.kernel, nil
}

func (z normalizer) kernel(e *env, in []Value) ([]Value, error) {
	x, rows, columns, err := featureMatrix(e, in[0])
	if err != nil {
		return nil, err
	}
	out, data, err := alloc[float32](e, in[0].(*onnx.Tensor).Shape...)
	if err != nil {
		return nil, err
	}
	copy(data, x)
	for i := range rows {
		z.apply(data[i*columns : (i+1)*columns])
	}
	return []Value{out}, nil
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
