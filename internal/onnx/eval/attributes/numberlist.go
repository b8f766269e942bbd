package attributes

import (
	"slices"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/numeric"
)

// Numbers reads a list of floats, or its twin in a tensor of doubles, named
// …_as_tensor.
func (r *Reader) Numbers(name string) NumberList {
	list := NumberList{floats: r.Floats(name)}
	t := r.Tensor(name + "_as_tensor")
	if t == nil {
		return list
	}
	switch data := t.Data.(type) {
	case []float64:
		list.Doubles = data
	case []float32:
		list.floats = data
	default:
		r.Fail(onnx.Unsupported("attribute %q has elements of type %v", name+"_as_tensor", t.Type()))
	}
	return list
}

// A NumberList is a list of floats or of doubles.
type NumberList struct {
	floats  []float32
	Doubles []float64
}

// Len returns the number of entries.
func (l NumberList) Len() int { return max(len(l.floats), len(l.Doubles)) }

// At returns entry i in double precision.
func (l NumberList) At(i int) float64 {
	if l.Doubles != nil {
		return l.Doubles[i]
	}
	return float64(l.floats[i])
}

// HasNegative says whether an entry is less than zero.
func (l NumberList) HasNegative() bool {
	return slices.ContainsFunc(l.floats, func(w float32) bool { return w < 0 }) ||
		slices.ContainsFunc(l.Doubles, func(w float64) bool { return w < 0 })
}

// Singles returns the list in single precision: l's own, where it is that.
func (l NumberList) Singles() []float32 {
	if l.Doubles == nil {
		return l.floats
	}
	out := make([]float32, len(l.Doubles))
	numeric.Convert(out, l.Doubles)
	return out
}

// EmptyOfLength makes a list of n zeros in the precision of l.
func (l NumberList) EmptyOfLength(n int) NumberList {
	if l.Doubles != nil {
		return NumberList{Doubles: make([]float64, n)}
	}
	return NumberList{floats: make([]float32, n)}
}

// CopyFrom sets entry i to entry j of a list of the same precision.
func (l NumberList) CopyFrom(i int, from NumberList, j int) {
	if l.Doubles != nil {
		l.Doubles[i] = from.Doubles[j]
	} else {
		l.floats[i] = from.floats[j]
	}
}
