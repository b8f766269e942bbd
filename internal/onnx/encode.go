package onnx

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Marshal writes the model as a file. The same model gives the same bytes:
// fields stand in the order of their numbers, lists in the order of the model.
func (m *Model) Marshal() []byte {
	var b []byte
	b = putInt(b, modelIRVersion, m.IRVersion)
	b = putString(b, modelProducerName, m.ProducerName)
	b = putString(b, modelProducerVersion, m.ProducerVersion)
	b = putString(b, modelDomain, m.Domain)
	b = putInt(b, modelVersion, m.ModelVersion)
	b = putString(b, modelDocString, m.DocString)
	if m.Graph != nil {
		b = putBytes(b, modelGraph, encodeGraph(m.Graph))
	}
	for _, o := range m.Opsets {
		entry := putString(nil, opsetDomain, o.Domain)
		b = putBytes(b, modelOpset, protowire.AppendVarint(
			protowire.AppendTag(entry, opsetVersion, protowire.VarintType), uint64(o.Version)))
	}
	for _, p := range m.Metadata {
		b = putBytes(b, modelMetadata, putString(putString(nil, entryKey, p.Key), entryValue, p.Value))
	}
	return b
}

func encodeGraph(g *Graph) []byte {
	var b []byte
	for i := range g.Nodes {
		b = putBytes(b, graphNode, encodeNode(&g.Nodes[i]))
	}
	b = putString(b, graphName, g.Name)
	for _, t := range g.Initializers {
		b = putBytes(b, graphInitializer, encodeTensor(t))
	}
	b = putString(b, graphDocString, g.DocString)
	for _, v := range g.Inputs {
		b = putBytes(b, graphInput, encodeValue(v))
	}
	for _, v := range g.Outputs {
		b = putBytes(b, graphOutput, encodeValue(v))
	}
	for _, v := range g.Values {
		b = putBytes(b, graphValueInfo, encodeValue(v))
	}
	return b
}

func encodeNode(n *Node) []byte {
	var b []byte
	for _, in := range n.Inputs {
		b = putBytes(b, nodeInput, []byte(in))
	}
	for _, out := range n.Outputs {
		b = putBytes(b, nodeOutput, []byte(out))
	}
	b = putString(b, nodeName, n.Name)
	b = putString(b, nodeOperator, n.Operator)
	for i := range n.Attributes {
		b = putBytes(b, nodeAttribute, encodeAttribute(&n.Attributes[i]))
	}
	b = putString(b, nodeDocString, n.DocString)
	return putString(b, nodeDomain, n.Domain)
}

func encodeAttribute(a *Attribute) []byte {
	b := putString(nil, attributeName, a.Name)
	switch a.Type {
	case AttributeFloat:
		b = protowire.AppendTag(b, attributeFloat, protowire.Fixed32Type)
		b = protowire.AppendFixed32(b, math.Float32bits(a.Float))
	case AttributeInt:
		b = protowire.AppendTag(b, attributeInt, protowire.VarintType)
		b = protowire.AppendVarint(b, uint64(a.Int))
	case AttributeString:
		b = putBytes(b, attributeString, []byte(a.String))
	case AttributeTensor:
		b = putBytes(b, attributeTensor, encodeTensor(a.Tensor))
	case AttributeGraph:
		b = putBytes(b, attributeGraph, encodeGraph(a.Graph))
	case AttributeFloats:
		for _, v := range a.Floats {
			b = protowire.AppendTag(b, attributeFloats, protowire.Fixed32Type)
			b = protowire.AppendFixed32(b, math.Float32bits(v))
		}
	case AttributeInts:
		for i := range a.Ints.Len() {
			b = protowire.AppendTag(b, attributeInts, protowire.VarintType)
			b = protowire.AppendVarint(b, uint64(a.Ints.At(i)))
		}
	case AttributeStrings:
		for _, v := range a.Strings {
			b = putBytes(b, attributeStrings, []byte(v))
		}
	}
	return putInt(b, attributeType, int64(a.Type))
}

func encodeTensor(t *Tensor) []byte {
	var b []byte
	for _, dim := range t.Shape {
		b = protowire.AppendTag(b, tensorDims, protowire.VarintType)
		b = protowire.AppendVarint(b, uint64(dim))
	}
	b = putInt(b, tensorType, int64(t.Type()))
	if list, ok := t.Data.([]string); ok {
		for _, v := range list {
			b = putBytes(b, tensorStrings, []byte(v))
		}
		return putString(b, tensorName, t.Name)
	}
	b = putString(b, tensorName, t.Name)
	return putBytes(b, tensorRaw, rawData(t))
}

// rawData writes a tensor's elements in little-endian order, as raw_data wants.
func rawData(t *Tensor) []byte {
	if list, ok := t.Data.([]bool); ok {
		b := make([]byte, len(list))
		for i, v := range list {
			if v {
				b[i] = 1
			}
		}
		return b
	}
	b, err := binary.Append(nil, binary.LittleEndian, t.Data)
	if err != nil {
		return nil // Not a type of [Element]: Validate refuses it by name.
	}
	return b
}

func encodeValue(v ValueInfo) []byte {
	b := putString(nil, valueName, v.Name)
	if v.Type.Kind != KindUnknown {
		b = putBytes(b, valueType, encodeType(v.Type))
	}
	return putString(b, valueDocString, v.DocString)
}

func encodeType(t Type) []byte {
	switch t.Kind {
	case KindTensor:
		b := putInt(nil, tensorTypeElement, int64(t.Element))
		if t.HasShape {
			b = putBytes(b, tensorTypeShape, encodeShape(t.Shape))
		}
		return putBytes(nil, typeTensor, b)
	case KindSequence:
		return putBytes(nil, typeSequence, putBytes(nil, sequenceElement, encodeType(*t.Value)))
	case KindMap:
		b := putInt(nil, mapKey, int64(t.Element))
		return putBytes(nil, typeMap, putBytes(b, mapValue, encodeType(*t.Value)))
	default:
		return nil
	}
}

func encodeShape(shape []Dim) []byte {
	var b []byte
	for _, d := range shape {
		var dim []byte
		if d.Size >= 0 {
			dim = protowire.AppendTag(dim, dimSize, protowire.VarintType)
			dim = protowire.AppendVarint(dim, uint64(d.Size))
		} else {
			dim = putString(dim, dimName, d.Name)
		}
		b = putBytes(b, shapeDim, dim)
	}
	return b
}

// putInt writes an integer field, and nothing where it is 0.
func putInt(b []byte, number protowire.Number, v int64) []byte {
	if v == 0 {
		return b
	}
	b = protowire.AppendTag(b, number, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(v))
}

// putString writes a string field, and nothing where it is empty.
func putString(b []byte, number protowire.Number, v string) []byte {
	if v == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), v)
}

func putBytes(b []byte, number protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), v)
}
