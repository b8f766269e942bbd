package onnx

import "encoding/binary"

// An IntList is a list of integers that takes as few bytes an entry as its
// largest one needs: the lists of a forest have hundreds of thousands of
// entries, nearly all of which fit into one byte or two.
type IntList struct {
	width int // bytes an entry: 1, 2, 4 or 8; 0 where the list has no entry
	data  []byte
}

// NewIntList makes a list of the values.
func NewIntList(values ...int64) IntList {
	var bits uint64
	for _, v := range values {
		bits |= magnitude(v)
	}
	l := IntList{width: widthOf(bits)}
	for _, v := range values {
		l.add(v)
	}
	return l
}

// magnitude is a number that has as many bits as v needs beside its sign.
func magnitude(v int64) uint64 { return uint64(v ^ v>>63) }

// widthOf returns the bytes of an entry whose magnitude has the bits.
func widthOf(bits uint64) int {
	switch {
	case bits < 1<<7:
		return 1
	case bits < 1<<15:
		return 2
	case bits < 1<<31:
		return 4
	default:
		return 8
	}
}

// Len returns the number of entries.
func (l IntList) Len() int {
	if l.width == 0 {
		return 0
	}
	return len(l.data) / l.width
}

// At returns entry i.
func (l IntList) At(i int) int64 {
	switch l.width {
	case 1:
		return int64(int8(l.data[i]))
	case 2:
		return int64(int16(binary.LittleEndian.Uint16(l.data[2*i:])))
	case 4:
		return int64(int32(binary.LittleEndian.Uint32(l.data[4*i:])))
	default:
		return int64(binary.LittleEndian.Uint64(l.data[8*i:]))
	}
}

// Slice returns the entries as a slice of its own, nil where there are none.
func (l IntList) Slice() []int64 {
	if l.Len() == 0 {
		return nil
	}
	out := make([]int64, l.Len())
	for i := range out {
		out[i] = l.At(i)
	}
	return out
}

// add appends an entry, which the width must hold.
func (l *IntList) add(v int64) {
	switch l.width {
	case 1:
		l.data = append(l.data, byte(v))
	case 2:
		l.data = binary.LittleEndian.AppendUint16(l.data, uint16(v))
	case 4:
		l.data = binary.LittleEndian.AppendUint32(l.data, uint32(v))
	default:
		l.data = binary.LittleEndian.AppendUint64(l.data, uint64(v))
	}
}
