package inference

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/rows"
)

// Data types of the Open Inference Protocol.
const (
	typeBytes = "BYTES"
	typeBool  = "BOOL"
	typeInt64 = "INT64"
	typeFP32  = "FP32"
	typeFP64  = "FP64"
)

// datatypes are those of the graph's inputs.
var datatypes = map[onnx.ElementType]string{
	onnx.Float: typeFP32, onnx.Double: typeFP64, onnx.Bool: typeBool, onnx.String: typeBytes,
	onnx.Int8: "INT8", onnx.Int16: "INT16", onnx.Int32: "INT32", onnx.Int64: typeInt64,
	onnx.Uint8: "UINT8", onnx.Uint16: "UINT16", onnx.Uint32: "UINT32", onnx.Uint64: "UINT64",
}

func shapeOf(in model.Input, rows int) []int {
	if in.Flat {
		return []int{rows}
	}
	return []int{rows, in.Width}
}

// sizes are the bytes of one element. Those of BYTES differ.
var sizes = map[string]int{
	typeFP32: 4, typeFP64: 8, "INT8": 1, "INT16": 2, "INT32": 4, typeInt64: 8, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8, typeBool: 1,
}

// fitsType says whether a tensor of the datatype can be converted for an input.
func fitsType(datatype string, element onnx.ElementType) bool {
	switch datatype {
	case typeBytes:
		return element == onnx.String
	case typeBool:
		return element == onnx.Bool
	default:
		return sizes[datatype] > 0 && element != onnx.String
	}
}

func expectedTypes(element onnx.ElementType) string {
	if element == onnx.String {
		return "text is expected: BYTES"
	}
	numbers := "floats and integers are expected: FP32, FP64, INT8 to INT64, UINT8 to UINT64"
	if element == onnx.Bool {
		return numbers + ", or BOOL"
	}
	return numbers
}

// reading returns element i of little-endian data.
func reading(datatype string, data []byte) func(i int) model.Cell {
	le := binary.LittleEndian
	number := func(v float64) model.Cell { return model.Cell{Number: v} }
	switch datatype {
	case typeFP32:
		return func(i int) model.Cell { return number(float64(math.Float32frombits(le.Uint32(data[4*i:])))) }
	case typeFP64:
		return func(i int) model.Cell { return number(math.Float64frombits(le.Uint64(data[8*i:]))) }
	case "INT8":
		return func(i int) model.Cell { return number(float64(int8(data[i]))) } //nolint:gosec // the bits of a signed number
	case "INT16":
		return func(i int) model.Cell { return number(float64(int16(le.Uint16(data[2*i:])))) } //nolint:gosec // the bits of a signed number
	case "INT32":
		return func(i int) model.Cell { return number(float64(int32(le.Uint32(data[4*i:])))) } //nolint:gosec // the bits of a signed number
	case typeInt64:
		return func(i int) model.Cell { return rows.WholeCell(int64(le.Uint64(data[8*i:]))) } //nolint:gosec // the bits of a signed number
	case "UINT8", typeBool:
		return func(i int) model.Cell { return number(float64(data[i])) }
	case "UINT16":
		return func(i int) model.Cell { return number(float64(le.Uint16(data[2*i:]))) }
	case "UINT32":
		return func(i int) model.Cell { return number(float64(le.Uint32(data[4*i:]))) }
	default: // UINT64
		return func(i int) model.Cell { return rows.WholeCell(le.Uint64(data[8*i:])) }
	}
}

// bounds are the least and the largest number of the types of whole numbers.
var bounds = map[string][2]string{
	"INT8": {"-128", "127"}, "INT16": {"-32768", "32767"}, "INT32": {"-2147483648", "2147483647"}, typeInt64: {"-9223372036854775808", "9223372036854775807"},
	"UINT8": {"0", "255"}, "UINT16": {"0", "65535"}, "UINT32": {"0", "4294967295"}, "UINT64": {"0", "18446744073709551615"},
}

// holds says whether a number is one of a type of whole numbers.
func holds(datatype string, c model.Cell) bool {
	if c.Text != "" && datatype == "UINT64" {
		_, err := strconv.ParseUint(c.Text, 10, 64)
		return err == nil
	}
	n, whole := c.Whole()
	if datatype == typeInt64 || datatype == "UINT64" {
		return whole && (datatype == typeInt64 || n >= 0)
	}
	bits := 8 * sizes[datatype]
	if datatype[0] == 'U' {
		return whole && n >= 0 && n < 1<<bits
	}
	return whole && n >= -1<<(bits-1) && n < 1<<(bits-1)
}
