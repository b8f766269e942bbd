package onnx

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// The lists of a forest's attributes hold hundreds of thousands of entries, and
// Python writes each with a tag of its own. The functions here take runs of such
// entries in tight loops; whatever has another form is left to [next].

// Tags of unpacked list entries: field number and wire type in one byte.
const (
	tagFloat  = attributeFloats<<3 | byte(protowire.Fixed32Type)
	tagInt    = attributeInts<<3 | byte(protowire.VarintType)
	tagString = attributeStrings<<3 | byte(protowire.BytesType)
)

// countRun counts the entries at the start of data that have the same tag, and
// returns the bits that hold each of them, if they are integers, and what follows.
func countRun(data []byte) (tag byte, n int, bits uint64, rest []byte) {
	if len(data) == 0 {
		return 0, 0, 0, data
	}
	tag = data[0]
	switch tag {
	case tagFloat:
		for len(data) >= 5 && data[0] == tagFloat {
			data = data[5:]
			n++
		}
	case tagInt:
		for len(data) >= 3 && data[0] == tagInt {
			switch {
			case data[1] < 0x80:
				data = data[2:]
				bits |= 1<<7 - 1
			case data[2] < 0x80:
				data = data[3:]
				bits |= 1<<14 - 1
			default:
				return tag, n, bits, data
			}
			n++
		}
	case tagString:
		for len(data) >= 2 && data[0] == tagString && data[1] < 0x80 && len(data) >= 2+int(data[1]) {
			data = data[2+int(data[1]):]
			n++
		}
	}
	return tag, n, bits, data
}

// takeRun decodes the entries that [countRun] counts.
func (d *decoder) takeRun(a *Attribute, data []byte) (rest []byte, err error) {
	if len(data) == 0 {
		return data, nil
	}
	switch data[0] {
	case tagFloat:
		list := a.Floats
		for len(data) >= 5 && data[0] == tagFloat {
			list = append(list, math.Float32frombits(binary.LittleEndian.Uint32(data[1:])))
			data = data[5:]
		}
		a.Floats = list
	case tagInt:
		data = takeInts(data, &a.Ints)
	case tagString:
		list, last := a.Strings, ""
		for len(data) >= 2 && data[0] == tagString && data[1] < 0x80 && len(data) >= 2+int(data[1]) {
			value := data[2 : 2+int(data[1])]
			if len(list) == 0 || string(value) != last {
				f := field{number: attributeStrings, wire: protowire.BytesType, bytes: value}
				if last, err = d.string(f); err != nil {
					return nil, err
				}
			}
			list = append(list, last)
			data = data[2+len(value):]
		}
		a.Strings = list
	}
	return data, nil
}

// takeInts decodes integers of one or two bytes.
func takeInts(data []byte, list *IntList) (rest []byte) {
	for len(data) >= 3 && data[0] == tagInt {
		switch {
		case data[1] < 0x80:
			list.add(int64(data[1]))
			data = data[2:]
		case data[2] < 0x80:
			list.add(int64(data[1]&0x7f) | int64(data[2])<<7)
			data = data[3:]
		default:
			return data
		}
	}
	return data
}
