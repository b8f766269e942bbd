// Package attributes reads the attributes of an operator's node.
package attributes

import (
	"slices"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/numeric"
)

// A Reader reads the attributes of a node one after another and keeps
// the first error, so that a compile function checks once.
type Reader struct {
	Node *onnx.Node
	read []string // attributes that were asked for
	Err  error
}

// Get returns an attribute of the type wanted, nil where it is absent.
func (r *Reader) Get(name string, want onnx.AttributeType) *onnx.Attribute {
	r.read = append(r.read, name)
	a := r.Node.Attribute(name)
	if a != nil && a.Type != want {
		r.Fail(onnx.Invalid("attribute %q is %v, %v wanted", name, a.Type, want))
		return nil
	}
	return a
}

// Fail keeps an error, unless there was one before.
func (r *Reader) Fail(err error) {
	if r.Err == nil {
		r.Err = err
	}
}

// Int reads a whole number; def is what an absent attribute means.
func (r *Reader) Int(name string, def int64) int64 {
	if a := r.Get(name, onnx.AttributeInt); a != nil {
		return a.Int
	}
	return def
}

// Bool reads a whole number as true where it is not 0.
func (r *Reader) Bool(name string, def bool) bool {
	v := int64(0)
	if def {
		v = 1
	}
	return r.Int(name, v) != 0
}

// Float reads a number.
func (r *Reader) Float(name string, def float32) float32 {
	if a := r.Get(name, onnx.AttributeFloat); a != nil {
		return a.Float
	}
	return def
}

// OneOf reads a string attribute that must be one of a list; the first is the
// default.
func (r *Reader) OneOf(name string, allowed ...string) string {
	a := r.Get(name, onnx.AttributeString)
	if a == nil {
		return allowed[0]
	}
	if !slices.Contains(allowed, a.String) {
		r.Fail(onnx.Invalid("attribute %q is %q, one of %q wanted", name, a.String, allowed))
	}
	return a.String
}

// Text reads a string.
func (r *Reader) Text(name, def string) string {
	if a := r.Get(name, onnx.AttributeString); a != nil {
		return a.String
	}
	return def
}

// Floats reads a list of numbers, nil where it is absent.
func (r *Reader) Floats(name string) []float32 {
	if a := r.Get(name, onnx.AttributeFloats); a != nil {
		return a.Floats
	}
	return nil
}

// IntList reads a list of whole numbers as the file holds it.
func (r *Reader) IntList(name string) onnx.IntList {
	if a := r.Get(name, onnx.AttributeInts); a != nil {
		return a.Ints
	}
	return onnx.IntList{}
}

// Ints reads a list of whole numbers, nil where it is absent.
func (r *Reader) Ints(name string) []int64 { return r.IntList(name).Slice() }

// Strings reads a list of strings, nil where it is absent.
func (r *Reader) Strings(name string) []string {
	if a := r.Get(name, onnx.AttributeStrings); a != nil {
		return a.Strings
	}
	return nil
}

// Tensor reads a tensor, nil where it is absent.
func (r *Reader) Tensor(name string) *onnx.Tensor {
	if a := r.Get(name, onnx.AttributeTensor); a != nil {
		return a.Tensor
	}
	return nil
}

// Labels reads a pair of class label attributes, of which one must be there.
// The list of strings has one name everywhere, that of numbers has two.
func (r *Reader) Labels(intsName string) onnx.Labels {
	const stringsName = "classlabels_strings"
	l := onnx.Labels{Strings: r.Strings(stringsName), Ints: r.Ints(intsName)}
	if len(l.Strings) > 0 {
		l.Ints = nil // onnxruntime prefers the strings as well.
	} else {
		l.Strings = nil
	}
	if l.Len() == 0 {
		r.Fail(onnx.Invalid("neither attribute %q nor %q has labels", stringsName, intsName))
	}
	return l
}

// Unread refuses attributes that the operator did not ask for: a meaning that is
// not known must not be ignored.
func (r *Reader) Unread() error {
	for i := range r.Node.Attributes {
		if name := r.Node.Attributes[i].Name; !slices.Contains(r.read, name) {
			return onnx.Unsupported("attribute %q", name)
		}
	}
	return nil
}

// PostTransform reads what becomes of raw scores.
func (r *Reader) PostTransform() numeric.Transform {
	names := []string{"NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT"}
	name := r.OneOf("post_transform", names...)
	for i, n := range names {
		if n == name {
			return numeric.Transform(i)
		}
	}
	return numeric.TransformNone
}

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
