package kernel

import (
	"math"
	"strconv"
	"strings"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/numeric"
)

var casts = PerNumber(castNumbers[float32], castNumbers[float64], castNumbers[int64], castNumbers[int32], castNumbers[int16],
	castNumbers[int8], castNumbers[uint64], castNumbers[uint32], castNumbers[uint16], castNumbers[uint8])

// CastTensor converts the elements of a tensor. The tensor itself comes back
// where they have the type already.
func CastTensor(e *Env, t *onnx.Tensor, to onnx.ElementType) (*onnx.Tensor, error) {
	switch {
	case t.Type() == to:
		return t, nil
	case to == onnx.Bool:
		return CastBools(e, t)
	case to == onnx.String:
		return castStrings(e, t)
	case !to.Known():
		return nil, onnx.Unsupported("a cast to %v", to)
	}
	return casts[to](e, t)
}

func castNumbers[T numeric.Number](e *Env, t *onnx.Tensor) (*onnx.Tensor, error) {
	out, data, err := Alloc[T](e, t.Shape...)
	if err != nil {
		return nil, err
	}
	switch in := t.Data.(type) {
	case []float32:
		numeric.Convert(data, in)
	case []float64:
		numeric.Convert(data, in)
	case []int64:
		numeric.Convert(data, in)
	case []int32:
		numeric.Convert(data, in)
	case []int16:
		numeric.Convert(data, in)
	case []int8:
		numeric.Convert(data, in)
	case []uint64:
		numeric.Convert(data, in)
	case []uint32:
		numeric.Convert(data, in)
	case []uint16:
		numeric.Convert(data, in)
	case []uint8:
		numeric.Convert(data, in)
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

// parse reads a number as the specification of Cast says: decimal or
// scientific, with names for infinities and NaN.
func parse[T numeric.Number](s string) (T, error) {
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

// CastBools makes true of every element but zero.
func CastBools(e *Env, t *onnx.Tensor) (*onnx.Tensor, error) {
	out, data, err := Alloc[bool](e, t.Shape...)
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
	doubles, err := CastTensor(e, t, onnx.Double)
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
func castStrings(e *Env, t *onnx.Tensor) (*onnx.Tensor, error) {
	out, data, err := Alloc[string](e, t.Shape...)
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
		ints, err := CastTensor(e, t, onnx.Int64)
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
