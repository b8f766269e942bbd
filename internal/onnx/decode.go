package onnx

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// A decoder turns protobuf into a [Model]. It counts what it allocates against
// the limits before it allocates: a few bytes of a file can ask for a lot.
type decoder struct {
	limits   Limits
	memory   int64 // bytes still allowed
	nodes    int   // nodes still allowed
	err      error // of makeList: the first
	interned map[string]string

	functions []function
}

// charge takes n values of type T off the memory that is left.
func charge[T any](d *decoder, n int) error {
	var zero T
	size := int64(unsafe.Sizeof(zero))
	if int64(n) > d.memory/size {
		return At(ErrLimit, "the model takes more than %d bytes of memory", d.limits.Memory)
	}
	d.memory -= int64(n) * size
	return nil
}

// makeList allocates a list of capacity n within the limits, nil where n is 0. A
// limit that is reached is kept in d.err.
func makeList[T any](d *decoder, n int) []T {
	if n == 0 || d.err != nil {
		return nil
	}
	if d.err = charge[T](d, n); d.err != nil {
		return nil
	}
	return make([]T, 0, n)
}

func (d *decoder) model(data []byte) (*Model, error) {
	counts, err := count(data)
	if err != nil {
		return nil, err
	}
	m := &Model{Opsets: makeList[Opset](d, counts[modelOpset]), Metadata: makeList[Property](d, counts[modelMetadata])}
	if d.err != nil {
		return nil, d.err
	}
	for len(data) > 0 {
		var f field
		if f, data, err = next(data); err != nil {
			return nil, err
		}
		if err := d.modelField(m, f); err != nil {
			return nil, err
		}
	}
	if m.Graph == nil {
		return nil, Invalid("the model has no graph")
	}
	return m, d.inline(m)
}

func (d *decoder) modelField(m *Model, f field) (err error) {
	switch f.number {
	case modelIRVersion:
		m.IRVersion, err = f.int()
	case modelProducerName:
		m.ProducerName, err = d.string(f)
	case modelProducerVersion:
		m.ProducerVersion, err = d.string(f)
	case modelDomain:
		m.Domain, err = d.string(f)
	case modelVersion:
		m.ModelVersion, err = f.int()
	case modelDocString:
		m.DocString, err = d.string(f)
	case modelGraph:
		if m.Graph != nil {
			return Invalid("the model has two graphs")
		}
		m.Graph, err = d.graph(f, 1)
		if err != nil {
			return At(err, "graph")
		}
	case modelOpset:
		var o Opset
		o.Domain, o.Version, err = d.opset(f)
		m.Opsets = append(m.Opsets, o)
	case modelMetadata:
		var p Property
		p.Key, p.Value, err = d.property(f)
		m.Metadata = append(m.Metadata, p)
	case modelTraining:
		return Unsupported("training information")
	case modelFunctions:
		err = d.function(f)
	}
	if err != nil {
		return At(err, "model")
	}
	return nil
}

func (d *decoder) opset(f field) (domain string, version int64, err error) {
	err = d.each(f, func(f field) (err error) {
		switch f.number {
		case opsetDomain:
			domain, err = d.string(f)
		case opsetVersion:
			version, err = f.int()
		}
		return err
	})
	return domain, version, err
}

func (d *decoder) property(f field) (key, value string, err error) {
	err = d.each(f, func(f field) (err error) {
		switch f.number {
		case entryKey:
			key, err = d.string(f)
		case entryValue:
			value, err = d.string(f)
		}
		return err
	})
	return key, value, err
}

// each calls do for every field of a small message.
func (d *decoder) each(f field, do func(field) error) error {
	data, err := f.message()
	if err != nil {
		return err
	}
	for len(data) > 0 {
		if f, data, err = next(data); err != nil {
			return err
		}
		if err := do(f); err != nil {
			return err
		}
	}
	return nil
}

// string decodes a string. Equal short strings share their memory: a forest
// repeats the name of its branch mode once a node.
func (d *decoder) string(f field) (string, error) {
	data, err := f.message()
	if err != nil {
		return "", err
	}
	if len(data) > 64 {
		if err := charge[byte](d, len(data)); err != nil {
			return "", err
		}
		return string(data), text(data)
	}
	if s, ok := d.interned[string(data)]; ok {
		return s, nil
	}
	if err := text(data); err != nil {
		return "", err
	}
	const entry = 48 // what a map entry costs, roughly
	if err := charge[byte](d, len(data)+entry); err != nil {
		return "", err
	}
	s := string(data)
	d.interned[s] = s
	return s, nil
}

func (d *decoder) graph(f field, depth int) (*Graph, error) {
	if depth > d.limits.Depth {
		return nil, At(ErrLimit, "graphs nested more than %d deep", d.limits.Depth)
	}
	data, err := f.message()
	if err != nil {
		return nil, err
	}
	g, err := d.newGraph(data)
	if err != nil {
		return nil, err
	}
	for len(data) > 0 {
		if f, data, err = next(data); err != nil {
			return nil, err
		}
		if err := d.graphField(g, f, depth); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// newGraph allocates a graph with room for what data holds.
func (d *decoder) newGraph(data []byte) (*Graph, error) {
	counts, err := count(data)
	if err != nil {
		return nil, err
	}
	if d.nodes -= counts[graphNode]; d.nodes < 0 {
		return nil, At(ErrLimit, "more than %d nodes", d.limits.Nodes)
	}
	if err := charge[Graph](d, 1); err != nil {
		return nil, err
	}
	g := &Graph{
		Nodes: makeList[Node](d, counts[graphNode]), Initializers: makeList[*Tensor](d, counts[graphInitializer]),
		Inputs: makeList[ValueInfo](d, counts[graphInput]), Outputs: makeList[ValueInfo](d, counts[graphOutput]),
		Values: makeList[ValueInfo](d, counts[graphValueInfo]),
	}
	return g, d.err
}

func (d *decoder) graphField(g *Graph, f field, depth int) (err error) {
	switch f.number {
	case graphNode:
		n, err := d.node(f, depth)
		g.Nodes = append(g.Nodes, n)
		if err != nil {
			return At(err, "%s", g.NodeLabel(len(g.Nodes)-1))
		}
	case graphName:
		g.Name, err = d.string(f)
	case graphDocString:
		g.DocString, err = d.string(f)
	case graphInitializer:
		t, err := d.tensor(f)
		if err != nil {
			return At(err, "initializer %d", len(g.Initializers))
		}
		g.Initializers = append(g.Initializers, t)
	case graphInput:
		err = d.appendValue(&g.Inputs, f, "input")
	case graphOutput:
		err = d.appendValue(&g.Outputs, f, "output")
	case graphValueInfo:
		err = d.appendValue(&g.Values, f, "value_info")
	case graphSparse:
		return Unsupported("sparse initializers")
	}
	return err
}

func (d *decoder) appendValue(values *[]ValueInfo, f field, what string) error {
	var v ValueInfo
	err := d.each(f, func(f field) (err error) {
		switch f.number {
		case valueName:
			v.Name, err = d.string(f)
		case valueType:
			v.Type, err = d.valueType(f, 1)
		case valueDocString:
			v.DocString, err = d.string(f)
		}
		return err
	})
	if err != nil {
		return At(err, "%s %d %q", what, len(*values), v.Name)
	}
	*values = append(*values, v)
	return nil
}

// valueType decodes a TypeProto. Kinds that this package does not have, such as
// optional values, stay unknown: they matter only where they are used.
func (d *decoder) valueType(f field, depth int) (Type, error) {
	if depth > d.limits.Depth {
		return Type{}, At(ErrLimit, "types nested more than %d deep", d.limits.Depth)
	}
	var t Type
	err := d.each(f, func(f field) (err error) {
		switch f.number {
		case typeTensor:
			t, err = d.tensorType(f)
		case typeSequence:
			t, err = d.containerType(f, KindSequence, depth)
		case typeMap:
			t, err = d.containerType(f, KindMap, depth)
		}
		return err
	})
	return t, err
}

// containerType decodes TypeProto.Sequence and TypeProto.Map.
func (d *decoder) containerType(f field, kind Kind, depth int) (Type, error) {
	if err := charge[Type](d, 1); err != nil {
		return Type{}, err
	}
	t := Type{Kind: kind, Value: &Type{}}
	err := d.each(f, func(f field) (err error) {
		switch {
		case kind == KindSequence && f.number == sequenceElement, kind == KindMap && f.number == mapValue:
			*t.Value, err = d.valueType(f, depth+1)
		case kind == KindMap && f.number == mapKey:
			t.Element, err = d.elementType(f)
		}
		return err
	})
	return t, err
}

func (d *decoder) elementType(f field) (ElementType, error) {
	v, err := f.int()
	if err == nil && (v < 0 || v > math.MaxInt16) {
		err = Invalid("element type %d", v)
	}
	return ElementType(v), err
}

func (d *decoder) tensorType(f field) (Type, error) {
	t := Type{Kind: KindTensor}
	err := d.each(f, func(f field) (err error) {
		switch f.number {
		case tensorTypeElement:
			t.Element, err = d.elementType(f)
		case tensorTypeShape:
			t.HasShape = true
			err = d.shape(&t, f)
		}
		return err
	})
	return t, err
}

func (d *decoder) shape(t *Type, f field) error {
	counts, err := f.counts()
	if err != nil {
		return err
	}
	if t.Shape = makeList[Dim](d, counts[shapeDim]); d.err != nil {
		return d.err
	}
	return d.each(f, func(f field) error {
		if f.number != shapeDim {
			return nil
		}
		dim := Symbolic("")
		err := d.each(f, func(f field) (err error) {
			switch f.number {
			case dimSize:
				var v int64
				if v, err = f.int(); err == nil && (v < -1 || v > math.MaxInt32) {
					err = Invalid("dimension %d is not from -1 to %d", v, math.MaxInt32)
				}
				dim.Size = int(v)
			case dimName:
				dim.Name, err = d.string(f)
			}
			return err
		})
		t.Shape = append(t.Shape, dim)
		return err
	})
}

func (d *decoder) node(f field, depth int) (n Node, err error) {
	counts, err := f.counts()
	if err != nil {
		return n, err
	}
	n.Inputs, n.Outputs = makeList[string](d, counts[nodeInput]), makeList[string](d, counts[nodeOutput])
	if n.Attributes = makeList[Attribute](d, counts[nodeAttribute]); d.err != nil {
		return n, d.err
	}
	err = d.each(f, func(f field) error { return d.nodeField(&n, f, depth) })
	return n, err
}

func (d *decoder) nodeField(n *Node, f field, depth int) (err error) {
	var s string
	switch f.number {
	case nodeInput:
		s, err = d.string(f)
		n.Inputs = append(n.Inputs, s)
	case nodeOutput:
		s, err = d.string(f)
		n.Outputs = append(n.Outputs, s)
	case nodeName:
		n.Name, err = d.string(f)
	case nodeOperator:
		n.Operator, err = d.string(f)
	case nodeDomain:
		n.Domain, err = d.string(f)
	case nodeDocString:
		n.DocString, err = d.string(f)
	case nodeOverload:
		n.overload, err = d.string(f)
	case nodeAttribute:
		n.Attributes = append(n.Attributes, Attribute{})
		a := &n.Attributes[len(n.Attributes)-1]
		if err := d.attribute(a, f, depth); err != nil {
			return At(err, "attribute %q", a.Name)
		}
	}
	return err
}

func (d *decoder) attribute(a *Attribute, f field, depth int) error {
	data, err := f.message()
	if err != nil {
		return err
	}
	counts, err := d.attributeSizes(a, data)
	if err != nil {
		return err
	}
	for len(data) > 0 {
		before := len(data)
		if data, err = d.takeRun(a, data); err != nil {
			return err
		}
		if len(data) < before {
			continue
		}
		if f, data, err = next(data); err != nil {
			return err
		}
		if err := d.attributeField(a, f, depth); err != nil {
			return err
		}
	}
	return a.inferType(counts)
}

// attributeSizes allocates the lists of an attribute and counts its fields.
func (d *decoder) attributeSizes(a *Attribute, data []byte) (counts [32]int, err error) {
	var sizes [attributeStrings + 1]int
	var bits uint64 // those that the integers need
	for rest := data; len(rest) > 0; {
		tag, n, widest, after := countRun(rest)
		if n > 0 {
			bits |= widest
			counts[tag>>3] += n
			sizes[tag>>3] += n
			rest = after
			continue
		}
		var f field
		if f, rest, err = next(rest); err != nil {
			return counts, err
		}
		if f.number < 32 {
			counts[f.number]++
		}
		switch f.number {
		case attributeFloats:
			sizes[attributeFloats] += f.size(4)
		case attributeInts:
			sizes[attributeInts] += f.size(0)
			bits |= f.magnitude()
		case attributeStrings:
			sizes[attributeStrings]++
		}
	}
	a.Floats, a.Strings = makeList[float32](d, sizes[attributeFloats]), makeList[string](d, sizes[attributeStrings])
	a.Ints.width = widthOf(bits)
	a.Ints.data = makeList[byte](d, sizes[attributeInts]*a.Ints.width)
	return counts, d.err
}

func (d *decoder) attributeField(a *Attribute, f field, depth int) (err error) {
	switch f.number {
	case attributeName:
		a.Name, err = d.string(f)
	case attributeFloat:
		a.Float, err = f.float()
	case attributeInt:
		a.Int, err = f.int()
	case attributeString:
		a.String, err = d.string(f)
	case attributeTensor:
		a.Tensor, err = d.tensor(f)
	case attributeGraph:
		a.Graph, err = d.graph(f, depth+1)
	case attributeFloats:
		a.Floats, err = appendFloats(a.Floats, f)
	case attributeInts:
		err = addInts(&a.Ints, f)
	case attributeStrings:
		var s string
		s, err = d.string(f)
		a.Strings = append(a.Strings, s)
	case attributeType:
		var v int64
		if v, err = f.int(); err == nil && (v < 0 || v > math.MaxInt16) {
			err = Invalid("attribute type %d", v)
		}
		a.Type = AttributeType(v)
	case attributeRef:
		a.reference, err = d.string(f)
	case attributeTensors, attributeGraphs, attributeSparse, attributeSparses, attributeTypeOf, attributeTypes:
		return Unsupported("lists of tensors or graphs, sparse tensors and types (field %d)", f.number)
	}
	return err
}

// inferType fills the type of an attribute whose file does not say it, as old
// files do not, and checks it otherwise.
func (a *Attribute) inferType(counts [32]int) error {
	fields := map[int]AttributeType{
		attributeFloat: AttributeFloat, attributeInt: AttributeInt, attributeString: AttributeString,
		attributeTensor: AttributeTensor, attributeGraph: AttributeGraph, attributeFloats: AttributeFloats,
		attributeInts: AttributeInts, attributeStrings: AttributeStrings,
	}
	for number := attributeFloat; number <= attributeStrings; number++ {
		if counts[number] == 0 {
			continue
		}
		if a.Type == 0 {
			a.Type = fields[number]
		}
		if a.Type != fields[number] {
			return Invalid("declared as %v, but holds %v", a.Type, fields[number])
		}
	}
	switch {
	case a.reference != "":
		return nil // Whoever calls the function has the value.
	case a.Type < AttributeFloat || a.Type > AttributeStrings:
		return Unsupported("attribute %v", a.Type)
	case a.Type == AttributeTensor && a.Tensor == nil, a.Type == AttributeGraph && a.Graph == nil:
		return Invalid("declared as %v, but holds none", a.Type)
	}
	return nil
}

// A tensorFields is a TensorProto before its values are put together.
type tensorFields struct {
	shape   []int
	element ElementType
	raw     []byte
	hasRaw  bool
	lists   []field // the typed lists, undecoded
	count   int     // values in those lists
}

func (d *decoder) tensor(f field) (*Tensor, error) {
	var fields tensorFields
	if err := charge[Tensor](d, 1); err != nil {
		return nil, err
	}
	t := &Tensor{}
	err := d.each(f, func(f field) error { return d.tensorField(t, &fields, f) })
	if err != nil {
		return nil, At(err, "tensor %q", t.Name)
	}
	t.Shape = fields.shape
	if t.Data, err = d.tensorData(&fields); err != nil {
		return nil, At(err, "tensor %q", t.Name)
	}
	return t, nil
}

func (d *decoder) tensorField(t *Tensor, fields *tensorFields, f field) (err error) {
	switch f.number {
	case tensorDims:
		return d.tensorDims(fields, f)
	case tensorType:
		fields.element, err = d.elementType(f)
	case tensorName:
		t.Name, err = d.string(f)
	case tensorRaw:
		fields.hasRaw = true
		fields.raw, err = f.message()
	case tensorFloats, tensorInt32s, tensorInt64s, tensorDoubles, tensorUint64s, tensorStrings:
		width := map[int]int{tensorFloats: 4, tensorDoubles: 8}[int(f.number)]
		if f.number == tensorStrings {
			fields.count++
		} else {
			fields.count += f.size(width)
		}
		fields.lists = append(fields.lists, f)
	case tensorExternal:
		return Unsupported("data outside the file (external_data); save the model with its data inside")
	case tensorLocation:
		var v int64
		if v, err = f.int(); err == nil && v != 0 {
			return Unsupported("data outside the file (data_location %d); save the model with its data inside", v)
		}
	case tensorSegment:
		return Unsupported("tensors in segments")
	}
	return err
}

func (d *decoder) tensorDims(fields *tensorFields, f field) error {
	if err := charge[int64](d, 2*f.size(0)); err != nil {
		return err
	}
	dims, err := appendInts(nil, f)
	if err != nil {
		return err
	}
	for _, dim := range dims {
		if dim < 0 || dim > math.MaxInt32 {
			return Invalid("dimension %d is not from 0 to %d", dim, math.MaxInt32)
		}
		fields.shape = append(fields.shape, int(dim))
	}
	return nil
}

// tensorData decodes a tensor's elements after comparing the number that the
// shape declares with what the file holds.
func (d *decoder) tensorData(fields *tensorFields) (any, error) {
	if !fields.element.Known() {
		return nil, Unsupported("tensors of %v", fields.element)
	}
	n, err := ElementCount(fields.shape)
	if err != nil {
		return nil, err
	}
	if fields.hasRaw && len(fields.lists) > 0 {
		return nil, Invalid("values given twice, as raw_data and as a list")
	}
	if !fields.hasRaw && fields.count != n {
		return nil, Invalid("shape %v declares %d elements, the file holds %d", fields.shape, n, fields.count)
	}
	switch fields.element {
	case Float:
		return decodeElements(d, fields, n, 4, tensorFloats, math.Float32frombits, le32)
	case Double:
		return decodeElements(d, fields, n, 8, tensorDoubles, math.Float64frombits, le64)
	case Int64:
		return decodeElements(d, fields, n, 8, tensorInt64s, func(v uint64) int64 { return int64(v) }, le64)
	case Int32:
		return decodeElements(d, fields, n, 4, tensorInt32s, func(v uint32) int32 { return int32(v) }, le32)
	case Uint32:
		return decodeElements(d, fields, n, 4, tensorUint64s, func(v uint32) uint32 { return v }, le32)
	case Uint64:
		return decodeElements(d, fields, n, 8, tensorUint64s, func(v uint64) uint64 { return v }, le64)
	case Int16:
		return decodeElements(d, fields, n, 2, tensorInt32s, func(v uint16) int16 { return int16(v) }, le16)
	case Uint16:
		return decodeElements(d, fields, n, 2, tensorInt32s, func(v uint16) uint16 { return v }, le16)
	case Int8:
		return decodeElements(d, fields, n, 1, tensorInt32s, func(v uint8) int8 { return int8(v) }, le8)
	case Uint8:
		return decodeElements(d, fields, n, 1, tensorInt32s, func(v uint8) uint8 { return v }, le8)
	case Bool:
		return decodeElements(d, fields, n, 1, tensorInt32s, func(v uint8) bool { return v != 0 }, le8)
	case String:
		return d.tensorStrings(fields, n)
	default:
		return nil, Unsupported("tensors of %v", fields.element)
	}
}

func le8(b []byte) uint8   { return b[0] }
func le16(b []byte) uint16 { return binary.LittleEndian.Uint16(b) }
func le32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
func le64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// decodeElements decodes the elements from raw_data, width bytes each, or from
// the typed list that onnx.proto prescribes for the element type.
func decodeElements[T any, B uint8 | uint16 | uint32 | uint64](
	d *decoder, fields *tensorFields, n, width int, list int, from func(B) T, load func([]byte) B,
) ([]T, error) {
	if fields.hasRaw && len(fields.raw) != n*width {
		return nil, Invalid("shape %v declares %d elements of %d bytes, raw_data holds %d bytes",
			fields.shape, n, width, len(fields.raw))
	}
	if err := charge[T](d, n); err != nil {
		return nil, err
	}
	out := make([]T, 0, n)
	if fields.hasRaw {
		for b := fields.raw; len(b) > 0; b = b[width:] {
			out = append(out, from(load(b)))
		}
		return out, nil
	}
	for _, f := range fields.lists {
		if int(f.number) != list {
			return nil, Invalid("%v elements stand in field %d, which is not their place", fields.element, f.number)
		}
		if err := eachBits(f, func(v uint64) { out = append(out, from(B(v))) }); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// eachBits hands on the bits of the numbers in a typed list.
func eachBits(f field, do func(uint64)) error {
	switch f.number {
	case tensorFloats:
		list, err := appendFloats(nil, f)
		for _, v := range list {
			do(uint64(math.Float32bits(v)))
		}
		return err
	case tensorDoubles:
		list, err := appendDoubles(nil, f)
		for _, v := range list {
			do(math.Float64bits(v))
		}
		return err
	default:
		list, err := appendInts(nil, f)
		for _, v := range list {
			do(uint64(v))
		}
		return err
	}
}

func (d *decoder) tensorStrings(fields *tensorFields, n int) ([]string, error) {
	if fields.hasRaw {
		return nil, Invalid("strings stand in raw_data; string_data is their place")
	}
	out := makeList[string](d, n)
	if d.err != nil {
		return nil, d.err
	}
	for _, f := range fields.lists {
		if f.number != tensorStrings {
			return nil, Invalid("string elements stand in field %d, which is not their place", f.number)
		}
		s, err := d.string(f)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	if out == nil {
		out = []string{}
	}
	return out, nil
}
