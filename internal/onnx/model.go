package onnx

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Domains of operators. The default domain is written as an empty string in
// most files; [Load] keeps what it finds, and both spellings mean the same.
const (
	DomainONNX      = ""
	DomainML        = "ai.onnx.ml"
	DomainMicrosoft = "com.microsoft"
)

// A Model is an ONNX file: a graph, and what is said about it.
type Model struct {
	IRVersion       int64
	Opsets          []Opset // which version of which operator set the graph speaks
	ProducerName    string
	ProducerVersion string
	Domain          string // reverse-DNS name space of the model, usually empty
	ModelVersion    int64
	DocString       string
	Metadata        []Property // in file order; keys are unique
	Graph           *Graph
}

// OrderInputs puts the inputs that a caller has to give in the order of names,
// and says whether it could: names must be those of all of them, each once.
func (m *Model) OrderInputs(names []string) bool {
	free := make(map[string]ValueInfo)
	for _, in := range m.Inputs() {
		free[in.Name] = in
	}
	if len(names) != len(free) {
		return false
	}
	ordered := make([]ValueInfo, 0, len(m.Graph.Inputs))
	for _, in := range m.Graph.Inputs {
		if _, is := free[in.Name]; !is { // it has a default
			ordered = append(ordered, in)
		}
	}
	for _, name := range names {
		in, is := free[name]
		if !is {
			return false
		}
		delete(free, name)
		ordered = append(ordered, in)
	}
	m.Graph.Inputs = ordered
	return true
}

// An Opset is one operator set that a model imports.
type Opset struct {
	Domain  string
	Version int64
}

// A Property is one entry of a model's free-form metadata.
type Property struct{ Key, Value string }

// Inputs returns the inputs that a caller has to give: those of the graph that
// have no initializer as default.
func (m *Model) Inputs() []ValueInfo { return m.Graph.freeInputs() }

// Outputs returns what the graph computes, in order.
func (m *Model) Outputs() []ValueInfo { return m.Graph.Outputs }

// Opset returns the version of an operator set that the model imports.
func (m *Model) Opset(domain string) (int64, bool) {
	for _, o := range m.Opsets {
		if CanonicalDomain(o.Domain) == domain {
			return o.Version, true
		}
	}
	return 0, false
}

// OpsetOf returns the version of the operator set that a node speaks.
func (m *Model) OpsetOf(n *Node) (int64, bool) {
	if n.Version > 0 {
		return n.Version, true
	}
	return m.Opset(CanonicalDomain(n.Domain))
}

// A Graph is a list of nodes that pass values to one another by name.
type Graph struct {
	Name         string
	DocString    string
	Nodes        []Node
	Initializers []*Tensor // constants; Tensor.Name is the value's name
	Inputs       []ValueInfo
	Outputs      []ValueInfo
	Values       []ValueInfo // optional types of intermediate values
}

func (g *Graph) freeInputs() []ValueInfo {
	given := make(map[string]bool, len(g.Initializers))
	for _, t := range g.Initializers {
		given[t.Name] = true
	}
	free := make([]ValueInfo, 0, len(g.Inputs))
	for _, in := range g.Inputs {
		if !given[in.Name] {
			free = append(free, in)
		}
	}
	return free
}

// A Node applies one operator. An empty name among Inputs or Outputs means an
// optional one that is not there.
type Node struct {
	Name       string
	Operator   string // such as "Scaler"
	Domain     string // such as [DomainML]
	DocString  string
	Inputs     []string
	Outputs    []string
	Attributes []Attribute
	// Version is that of the operator set, where it is another than the model's: a
	// function of the file has its own.
	Version  int64
	overload string // of a function
}

// Attribute returns the named attribute, or nil.
func (n *Node) Attribute(name string) *Attribute {
	for i := range n.Attributes {
		if n.Attributes[i].Name == name {
			return &n.Attributes[i]
		}
	}
	return nil
}

// AttributeType says which field of an [Attribute] holds its value. The numbers
// are those of onnx.proto.
type AttributeType int32

// The attribute types that this package reads and writes.
const (
	AttributeFloat   AttributeType = 1
	AttributeInt     AttributeType = 2
	AttributeString  AttributeType = 3
	AttributeTensor  AttributeType = 4
	AttributeGraph   AttributeType = 5
	AttributeFloats  AttributeType = 6
	AttributeInts    AttributeType = 7
	AttributeStrings AttributeType = 8
)

// String returns the type's name in the specification.
func (t AttributeType) String() string {
	names := [...]string{"UNDEFINED", "FLOAT", "INT", "STRING", "TENSOR", "GRAPH", "FLOATS", "INTS", "STRINGS"}
	if t >= 0 && int(t) < len(names) {
		return names[t]
	}
	return "type " + strconv.Itoa(int(t))
}

// An Attribute is a named constant of a node. Use [FloatAttribute] and its
// siblings to make one.
type Attribute struct {
	Name    string
	Type    AttributeType
	Float   float32
	Int     int64
	String  string
	Tensor  *Tensor
	Graph   *Graph
	Floats  []float32
	Ints    IntList
	Strings []string

	reference string // in a function: the caller's attribute whose value it has
}

// FloatAttribute makes an attribute of one number.
func FloatAttribute(name string, v float32) Attribute {
	return Attribute{Name: name, Type: AttributeFloat, Float: v}
}

// IntAttribute makes an attribute of one integer.
func IntAttribute(name string, v int64) Attribute {
	return Attribute{Name: name, Type: AttributeInt, Int: v}
}

// StringAttribute makes an attribute of one string.
func StringAttribute(name, v string) Attribute {
	return Attribute{Name: name, Type: AttributeString, String: v}
}

// TensorAttribute makes an attribute of one tensor.
func TensorAttribute(name string, v *Tensor) Attribute {
	return Attribute{Name: name, Type: AttributeTensor, Tensor: v}
}

// GraphAttribute makes an attribute of one subgraph.
func GraphAttribute(name string, v *Graph) Attribute {
	return Attribute{Name: name, Type: AttributeGraph, Graph: v}
}

// FloatsAttribute makes an attribute of a list of numbers.
func FloatsAttribute(name string, v ...float32) Attribute {
	return Attribute{Name: name, Type: AttributeFloats, Floats: v}
}

// IntsAttribute makes an attribute of a list of integers.
func IntsAttribute(name string, v ...int64) Attribute {
	return Attribute{Name: name, Type: AttributeInts, Ints: NewIntList(v...)}
}

// StringsAttribute makes an attribute of a list of strings.
func StringsAttribute(name string, v ...string) Attribute {
	return Attribute{Name: name, Type: AttributeStrings, Strings: v}
}

// A ValueInfo declares the type of a named value.
type ValueInfo struct {
	Name      string
	DocString string
	Type      Type
}

// Kind tells tensors from sequences and maps.
type Kind uint8

// The kinds of [Type]. The zero Kind is a type that is not known.
const (
	KindUnknown Kind = iota
	KindTensor
	KindSequence
	KindMap
)

// A Type is the type of a value: a tensor of elements, a sequence of values, or
// a map from keys to values.
type Type struct {
	Kind Kind
	// Element is the tensor's element type, or the map's key type.
	Element ElementType
	// HasShape says that the tensor's rank is known, and is len(Shape).
	HasShape bool
	Shape    []Dim
	// Value is what a sequence or map holds.
	Value *Type
}

// TensorType makes the type of a tensor of known rank.
func TensorType(e ElementType, shape ...Dim) Type {
	return Type{Kind: KindTensor, Element: e, HasShape: true, Shape: shape}
}

// SequenceType makes the type of a sequence of values of one type.
func SequenceType(of Type) Type { return Type{Kind: KindSequence, Value: &of} }

// MapType makes the type of a map; keys are [Int64] or [String].
func MapType(key ElementType, of Type) Type {
	return Type{Kind: KindMap, Element: key, Value: &of}
}

// ProbabilityMapsType makes the type that ZipMap gives its output: a sequence,
// one map a row, from label to score.
func ProbabilityMapsType(key ElementType) Type {
	return SequenceType(MapType(key, Type{Kind: KindTensor, Element: Float, HasShape: true}))
}

// String writes the type as the ONNX documents do, such as "tensor(float)[N,4]"
// or "seq(map(string,tensor(float)))".
func (t Type) String() string {
	switch t.Kind {
	case KindTensor:
		s := "tensor(" + t.Element.String() + ")"
		if !t.HasShape || len(t.Shape) == 0 {
			return s
		}
		dims := make([]string, len(t.Shape))
		for i, d := range t.Shape {
			dims[i] = d.String()
		}
		return s + "[" + strings.Join(dims, ",") + "]"
	case KindSequence:
		return "seq(" + t.Value.String() + ")"
	case KindMap:
		return "map(" + t.Element.String() + "," + t.Value.String() + ")"
	default:
		return "unknown"
	}
}

// A Dim is one dimension of a declared shape: a size, or one that only a run
// knows and that may carry a name, such as N for the number of rows.
type Dim struct {
	Size int // −1 where only a run knows
	Name string
}

// Fixed makes a dimension of known size.
func Fixed(size int) Dim { return Dim{Size: size} }

// Symbolic makes a dimension whose size only a run knows. The name may be empty.
func Symbolic(name string) Dim { return Dim{Size: -1, Name: name} }

// String returns the size, the name, or "?".
func (d Dim) String() string {
	switch {
	case d.Size >= 0:
		return strconv.Itoa(d.Size)
	case d.Name != "":
		return d.Name
	default:
		return "?"
	}
}

// ElementType is the type of a tensor's elements. The numbers are those of
// onnx.proto's TensorProto.DataType.
type ElementType int32

// The element types that this package can hold.
const (
	Float  ElementType = 1
	Uint8  ElementType = 2
	Int8   ElementType = 3
	Uint16 ElementType = 4
	Int16  ElementType = 5
	Int32  ElementType = 6
	Int64  ElementType = 7
	String ElementType = 8
	Bool   ElementType = 9
	Double ElementType = 11
	Uint32 ElementType = 12
	Uint64 ElementType = 13
)

// String returns the type's name in the specification, such as "float" or
// "int64".
func (e ElementType) String() string {
	names := [...]string{
		"undefined", "float", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool",
		"float16", "double", "uint32", "uint64", "complex64", "complex128", "bfloat16",
	}
	if e >= 0 && int(e) < len(names) {
		return names[e]
	}
	return "element type " + strconv.Itoa(int(e))
}

// Known says whether this package has tensors of such elements.
func (e ElementType) Known() bool {
	return e >= Float && e <= Bool || e >= Double && e <= Uint64
}

// Element lists the Go types of a tensor's elements.
type Element interface {
	float32 | float64 | int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | bool | string
}

// A Tensor is an array of elements of one type, in row-major order.
type Tensor struct {
	Name  string // of an initializer; empty otherwise
	Shape []int  // empty for a scalar
	// Data is a slice of one of the types of [Element] and holds as many
	// elements as Shape says.
	Data any
}

// NewTensor makes a tensor over data, which it keeps. It panics when the shape
// and the number of elements differ: that is a fault of the program.
func NewTensor[T Element](shape []int, data []T) *Tensor {
	n := 1
	for _, d := range shape {
		n *= d
	}
	if n != len(data) {
		panic(fmt.Sprintf("onnx: shape %v does not hold %d elements", shape, len(data)))
	}
	return &Tensor{Shape: slices.Clone(shape), Data: data}
}

// NamedTensor is [NewTensor] with a name, as initializers need one.
func NamedTensor[T Element](name string, shape []int, data []T) *Tensor {
	t := NewTensor(shape, data)
	t.Name = name
	return t
}

// Type returns the type of the elements, 0 where Data is none of them.
func (t *Tensor) Type() ElementType {
	switch t.Data.(type) {
	case []float32:
		return Float
	case []float64:
		return Double
	case []int64:
		return Int64
	case []int32:
		return Int32
	case []string:
		return String
	case []bool:
		return Bool
	case []uint8:
		return Uint8
	case []int8:
		return Int8
	case []uint16:
		return Uint16
	case []int16:
		return Int16
	case []uint32:
		return Uint32
	case []uint64:
		return Uint64
	default:
		return 0
	}
}

// ValueType returns the type of the tensor as a value: its elements and its shape.
func (t *Tensor) ValueType() Type {
	typ := Type{Kind: KindTensor, Element: t.Type(), HasShape: true, Shape: make([]Dim, len(t.Shape))}
	for i, d := range t.Shape {
		typ.Shape[i] = Fixed(d)
	}
	return typ
}

// DataLen returns the number of elements of Data, which is a slice.
func (t *Tensor) DataLen() int { return reflect.ValueOf(t.Data).Len() }

// Len returns the number of elements that Shape says.
func (t *Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Elements returns the tensor's elements; ok is false where they are of another
// type.
func Elements[T Element](t *Tensor) (elements []T, ok bool) {
	elements, ok = t.Data.([]T)
	return elements, ok
}

// ElementCount multiplies the dimensions, refusing what no memory can hold.
func ElementCount(shape []int) (int, error) {
	n, zero := 1, false
	for _, dim := range shape {
		if dim == 0 {
			zero = true
			continue
		}
		if n > math.MaxInt32/dim {
			return 0, At(ErrLimit, "shape %v has more than %d elements", shape, math.MaxInt32)
		}
		n *= dim
	}
	if zero {
		return 0, nil
	}
	return n, nil
}

// Labels are the classes of a classifier, in the order of its scores. Exactly
// one of the two slices is used.
type Labels struct {
	Strings []string
	Ints    []int64
}

// Len returns the number of classes.
func (l Labels) Len() int { return max(len(l.Strings), len(l.Ints)) }

// Text returns the i-th label as text.
func (l Labels) Text(i int) string {
	if l.Strings != nil {
		return l.Strings[i]
	}
	return strconv.FormatInt(l.Ints[i], 10)
}

// Value returns the i-th label as what it is, a string or an int64.
func (l Labels) Value(i int) any {
	if l.Strings != nil {
		return l.Strings[i]
	}
	return l.Ints[i]
}
