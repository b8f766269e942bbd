package onnx

import (
	"encoding/binary"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of onnx.proto, message by message.
const (
	modelIRVersion       = 1
	modelProducerName    = 2
	modelProducerVersion = 3
	modelDomain          = 4
	modelVersion         = 5
	modelDocString       = 6
	modelGraph           = 7
	modelOpset           = 8
	modelMetadata        = 14
	modelTraining        = 20
	modelFunctions       = 25

	functionName      = 1
	functionInput     = 4
	functionOutput    = 5
	functionAttribute = 6
	functionNode      = 7
	functionOpset     = 9
	functionDomain    = 10
	functionDefault   = 11
	functionOverload  = 13

	entryKey   = 1
	entryValue = 2

	opsetDomain  = 1
	opsetVersion = 2

	graphNode        = 1
	graphName        = 2
	graphInitializer = 5
	graphDocString   = 10
	graphInput       = 11
	graphOutput      = 12
	graphValueInfo   = 13
	graphSparse      = 15

	nodeInput     = 1
	nodeOutput    = 2
	nodeName      = 3
	nodeOperator  = 4
	nodeAttribute = 5
	nodeDocString = 6
	nodeDomain    = 7
	nodeOverload  = 8

	attributeName    = 1
	attributeFloat   = 2
	attributeInt     = 3
	attributeString  = 4
	attributeTensor  = 5
	attributeGraph   = 6
	attributeFloats  = 7
	attributeInts    = 8
	attributeStrings = 9
	attributeTensors = 10
	attributeGraphs  = 11
	attributeTypeOf  = 14
	attributeTypes   = 15
	attributeType    = 20
	attributeRef     = 21
	attributeSparse  = 22
	attributeSparses = 23

	tensorDims     = 1
	tensorType     = 2
	tensorSegment  = 3
	tensorFloats   = 4
	tensorInt32s   = 5
	tensorStrings  = 6
	tensorInt64s   = 7
	tensorName     = 8
	tensorRaw      = 9
	tensorDoubles  = 10
	tensorUint64s  = 11
	tensorExternal = 13
	tensorLocation = 14

	valueName      = 1
	valueType      = 2
	valueDocString = 3

	typeTensor   = 1
	typeSequence = 4
	typeMap      = 5

	tensorTypeElement = 1
	tensorTypeShape   = 2

	sequenceElement = 1

	mapKey   = 1
	mapValue = 2

	shapeDim = 1

	dimSize = 1
	dimName = 2
)

// A field is one field of a protobuf message as it stands on the wire.
type field struct {
	number protowire.Number
	wire   protowire.Type
	bits   uint64 // of a varint, fixed32 or fixed64
	bytes  []byte // of a length-delimited field
}

// next takes the first field off data. It is written out, with the short forms
// first, because forests consist of hundreds of thousands of tiny fields.
func next(data []byte) (field, []byte, error) {
	tag, n := protowire.ConsumeVarint(data)
	if n < 0 {
		return field{}, nil, Invalid("truncated or malformed field tag")
	}
	number, wire := protowire.DecodeTag(tag)
	if number < protowire.MinValidNumber {
		return field{}, nil, Invalid("field number %d", tag>>3)
	}
	f := field{number: number, wire: wire}
	data = data[n:]
	switch wire {
	case protowire.VarintType:
		f.bits, n = protowire.ConsumeVarint(data)
	case protowire.Fixed32Type:
		var v uint32
		v, n = protowire.ConsumeFixed32(data)
		f.bits = uint64(v)
	case protowire.Fixed64Type:
		f.bits, n = protowire.ConsumeFixed64(data)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(data)
	default:
		return field{}, nil, Invalid("field %d has wire type %d, which ONNX does not use", number, wire)
	}
	if n < 0 {
		return field{}, nil, Invalid("field %d is truncated or malformed", number)
	}
	return f, data[n:], nil
}

// count says how often each field below 32 occurs in a message, so that lists
// are allocated once and at their size.
func count(data []byte) (counts [32]int, err error) {
	var f field
	for len(data) > 0 {
		if f, data, err = next(data); err != nil {
			return counts, err
		}
		if f.number < 32 {
			counts[f.number]++
		}
	}
	return counts, nil
}

// counts is count of the message that a field holds.
func (f field) counts() (counts [32]int, err error) {
	data, err := f.message()
	if err != nil {
		return counts, err
	}
	return count(data)
}

func (f field) message() ([]byte, error) {
	if f.wire != protowire.BytesType {
		return nil, Invalid("field %d has wire type %d instead of bytes", f.number, f.wire)
	}
	return f.bytes, nil
}

func (f field) int() (int64, error) {
	if f.wire != protowire.VarintType {
		return 0, Invalid("field %d has wire type %d instead of varint", f.number, f.wire)
	}
	return int64(f.bits), nil
}

func (f field) float() (float32, error) {
	if f.wire != protowire.Fixed32Type {
		return 0, Invalid("field %d has wire type %d instead of fixed32", f.number, f.wire)
	}
	return math.Float32frombits(uint32(f.bits)), nil
}

// size is the number of values that a repeated numeric field holds: one, or
// those of a packed list. A width of 0 means varints.
func (f field) size(width int) int {
	switch {
	case f.wire != protowire.BytesType:
		return 1
	case width > 0:
		return len(f.bytes) / width
	default:
		n := 0
		for _, b := range f.bytes {
			if b < 0x80 {
				n++
			}
		}
		return n
	}
}

// appendInts decodes a repeated integer field, packed or not.
func appendInts(dst []int64, f field) ([]int64, error) {
	if f.wire != protowire.BytesType {
		v, err := f.int()
		return append(dst, v), err
	}
	for data := f.bytes; len(data) > 0; {
		v, n := protowire.ConsumeVarint(data)
		if n < 0 {
			return nil, Invalid("field %d: truncated or malformed varint", f.number)
		}
		dst = append(dst, int64(v))
		data = data[n:]
	}
	return dst, nil
}

// addInts decodes a repeated integer field, packed or not, into a list wide enough.
func addInts(dst *IntList, f field) error {
	if f.wire != protowire.BytesType {
		v, err := f.int()
		dst.add(v)
		return err
	}
	for data := f.bytes; len(data) > 0; {
		v, n := protowire.ConsumeVarint(data)
		if n < 0 {
			return Invalid("field %d: truncated or malformed varint", f.number)
		}
		dst.add(int64(v))
		data = data[n:]
	}
	return nil
}

// magnitude tells how wide the integers of a repeated field are, packed or not,
// up to one that is malformed.
func (f field) magnitude() (bits uint64) {
	if f.wire != protowire.BytesType {
		return magnitude(int64(f.bits))
	}
	for data := f.bytes; len(data) > 0; {
		v, n := protowire.ConsumeVarint(data)
		if n < 0 {
			return bits
		}
		bits |= magnitude(int64(v))
		data = data[n:]
	}
	return bits
}

// appendFloats decodes a repeated float field, packed or not.
func appendFloats(dst []float32, f field) ([]float32, error) {
	if f.wire != protowire.BytesType {
		v, err := f.float()
		return append(dst, v), err
	}
	if len(f.bytes)%4 != 0 {
		return nil, Invalid("field %d: %d bytes are no whole number of floats", f.number, len(f.bytes))
	}
	for data := f.bytes; len(data) > 0; data = data[4:] {
		dst = append(dst, math.Float32frombits(binary.LittleEndian.Uint32(data)))
	}
	return dst, nil
}

// appendDoubles decodes a repeated double field, packed or not.
func appendDoubles(dst []float64, f field) ([]float64, error) {
	if f.wire == protowire.Fixed64Type {
		return append(dst, math.Float64frombits(f.bits)), nil
	}
	if f.wire != protowire.BytesType || len(f.bytes)%8 != 0 {
		return nil, Invalid("field %d: not a list of doubles", f.number)
	}
	for data := f.bytes; len(data) > 0; data = data[8:] {
		dst = append(dst, math.Float64frombits(binary.LittleEndian.Uint64(data)))
	}
	return dst, nil
}

// text checks that a string is UTF-8.
func text(data []byte) error {
	if !utf8.Valid(data) {
		return Invalid("%.40q is not UTF-8", data)
	}
	return nil
}
