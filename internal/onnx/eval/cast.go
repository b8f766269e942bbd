package eval

import (
	"github.com/petal-ml/petal/internal/onnx"
	"math"
	"strconv"
	"strings"
)

func castOperators() []operator {
	return []operator{
		{
			name: "Cast", since: 6,
			minInputs: 1, maxInputs: 1, minOutputs: 1, maxOutputs: 1, compile: compileCast,
		},
		{
			name: "Identity", since: 1,
			minInputs: 1, maxInputs: 1, minOutputs: 1, maxOutputs: 1, compile: compileIdentity,
		},
		{
			domain: onnx.DomainML, name: "ZipMap", since: 1,
			minInputs: 1, maxInputs: 1, minOutputs: 1, maxOutputs: 1, compile: compileZipMap,
		},
	}
}

func compileIdentity(n *nodeCompiler) (kernel, error) {
	n.outputs[0] = n.inputs[0].typ
	n.part = identity{}
	return func(_ *env, in []Value) ([]Value, error) { return []Value{in[0]}, nil }, nil
}

// An identity passes on what it gets.
type identity struct{}

func compileCast(n *nodeCompiler) (kernel, error) {
	r := n.attributes()
	to := onnx.ElementType(r.int("to", 0)) //nolint:gosec // Checked below.
	r.int("saturate", 1)                   // about 8-bit floats only
	r.string("round_mode", "up")           // likewise
	if r.err != nil {
		return nil, r.err
	}
	if !to.Known() {
		return nil, onnx.Unsupported("attribute \"to\" is %v", to)
	}
	from, err := n.elementOf(0)
	if err != nil {
		return nil, err
	}
	n.outputs[0] = n.inputs[0].typ
	n.outputs[0].Element = to
	n.part = cast{from: from, to: to}
	return func(e *env, in []Value) ([]Value, error) {
		t, err := tensorOf(in[0])
		if err != nil {
			return nil, err
		}
		out, err := castTensor(e, t, to)
		return []Value{out}, err
	}, nil
}

// A cast changes the element type.
type cast struct{ from, to onnx.ElementType }

// castTensor converts the elements of a tensor. The tensor itself comes back
// where they have the type already.
func castTensor(e *env, t *onnx.Tensor, to onnx.ElementType) (*onnx.Tensor, error) {
	if t.Type() == to {
		return t, nil
	}
	switch to {
	case onnx.Float:
		return castNumbers[float32](e, t)
	case onnx.Double:
		return castNumbers[float64](e, t)
	case onnx.Int64:
		return castNumbers[int64](e, t)
	case onnx.Int32:
		return castNumbers[int32](e, t)
	case onnx.Int16:
		return castNumbers[int16](e, t)
	case onnx.Int8:
		return castNumbers[int8](e, t)
	case onnx.Uint64:
		return castNumbers[uint64](e, t)
	case onnx.Uint32:
		return castNumbers[uint32](e, t)
	case onnx.Uint16:
		return castNumbers[uint16](e, t)
	case onnx.Uint8:
		return castNumbers[uint8](e, t)
	case onnx.Bool:
		return castBools(e, t)
	case onnx.String:
		return castStrings(e, t)
	default:
		return nil, onnx.Unsupported("a cast to %v", to)
	}
}

func castNumbers[T number](e *env, t *onnx.Tensor) (*onnx.Tensor, error) {
	out, data, err := alloc[T](e, t.Shape...)
	if err != nil {
		return nil, err
	}
	switch in := t.Data.(type) {
	case []float32:
		convert(data, in)
	case []float64:
		convert(data, in)
	case []int64:
		convert(data, in)
	case []int32:
		convert(data, in)
	case []int16:
		convert(data, in)
	case []int8:
		convert(data, in)
	case []uint64:
		convert(data, in)
	case []uint32:
		convert(data, in)
	case []uint16:
		convert(data, in)
	case []uint8:
		convert(data, in)
	case []bool:
		for i, v := range in {
			if v {
				data[i] = 1
			}
		}
	case []string:
		for i, s := range in {
			if data[i], err = parse[T](s); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func convert[T, F number | int](out []T, in []F) {
	for i, v := range in {
		out[i] = T(v)
	}
}

// parse reads a number as the specification of Cast says: decimal or
// scientific, with names for infinities and NaN.
func parse[T number](s string) (T, error) {
	var zero T
	trimmed := strings.TrimSpace(s)
	switch any(zero).(type) {
	case float32, float64:
		v, err := strconv.ParseFloat(trimmed, 64)
		if err != nil && !math.IsInf(v, 0) {
			return zero, onnx.At(onnx.ErrInput, "%.40q is no number", s)
		}
		return T(v), nil
	default:
		v, err := strconv.ParseInt(trimmed, 10, 64)
		if err != nil {
			return zero, onnx.At(onnx.ErrInput, "%.40q is no whole number", s)
		}
		return T(v), nil
	}
}

func castBools(e *env, t *onnx.Tensor) (*onnx.Tensor, error) {
	out, data, err := alloc[bool](e, t.Shape...)
	if err != nil {
		return nil, err
	}
	if in, ok := t.Data.([]string); ok {
		for i, s := range in {
			v, err := parse[float64](s)
			if err != nil {
				return nil, err
			}
			data[i] = v != 0
		}
		return out, nil
	}
	doubles, err := castTensor(e, t, onnx.Double)
	if err != nil {
		return nil, err
	}
	for i, v := range doubles.Data.([]float64) {
		data[i] = v != 0
	}
	return out, nil
}

// castStrings writes numbers as text: floats with the digits that onnxruntime
// gives them, 9 for float and 17 for double at most.
func castStrings(e *env, t *onnx.Tensor) (*onnx.Tensor, error) {
	out, data, err := alloc[string](e, t.Shape...)
	if err != nil {
		return nil, err
	}
	switch in := t.Data.(type) {
	case []float32:
		for i, v := range in {
			data[i] = floatText(float64(v), 8)
		}
	case []float64:
		for i, v := range in {
			data[i] = floatText(v, 17)
		}
	case []bool:
		for i, v := range in {
			data[i] = "0"
			if v {
				data[i] = "1"
			}
		}
	case []uint64:
		for i, v := range in {
			data[i] = strconv.FormatUint(v, 10)
		}
	default:
		ints, err := castTensor(e, t, onnx.Int64)
		if err != nil {
			return nil, err
		}
		for i, v := range ints.Data.([]int64) {
			data[i] = strconv.FormatInt(v, 10)
		}
	}
	return out, nil
}

// floatText writes a number like C's %.*g.
func floatText(v float64, digits int) string {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 1):
		return "INF"
	case math.IsInf(v, -1):
		return "-INF"
	case v == 0 && math.Signbit(v):
		return "-0"
	case v == 0:
		return "0"
	}
	// %e of that precision says which exponent the rounded number has.
	scientific := strconv.FormatFloat(v, 'e', digits-1, 64)
	mantissa, exponent, _ := strings.Cut(scientific, "e")
	exp, _ := strconv.Atoi(exponent)
	if exp < -4 || exp >= digits {
		return trimZeros(mantissa) + "e" + exponent
	}
	return trimZeros(strconv.FormatFloat(v, 'f', digits-1-exp, 64))
}

func trimZeros(s string) string {
	if !strings.Contains(s, ".") {
		return s
	}
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
}

// A zipMap pairs scores with labels.
type zipMap struct{ labels onnx.Labels }

func compileZipMap(n *nodeCompiler) (kernel, error) {
	r := n.attributes()
	z := zipMap{r.labels("classlabels_int64s")}
	if r.err != nil {
		return nil, r.err
	}
	// The specification wants float; skl2onnx writes double as well.
	if _, err := n.elementOf(0, onnx.Float, onnx.Double); err != nil {
		return nil, err
	}
	if err := n.checkColumns(z.labels.Len()); err != nil {
		return nil, err
	}
	n.part = z
	n.outputs[0] = onnx.ProbabilityMapsType(onnx.Int64)
	if z.labels.Strings != nil {
		n.outputs[0] = onnx.ProbabilityMapsType(onnx.String)
	}
	return z.kernel, nil
}

func (z zipMap) kernel(e *env, in []Value) ([]Value, error) {
	x, rows, columns, err := featureMatrix(e, in[0])
	if err != nil {
		return nil, err
	}
	if columns != z.labels.Len() {
		return nil, onnx.At(onnx.ErrInput, "%d scores a row for %d labels", columns, z.labels.Len())
	}
	return []Value{&ProbabilityMaps{Keys: z.labels, Scores: onnx.NewTensor([]int{rows, columns}, x)}}, nil
}
