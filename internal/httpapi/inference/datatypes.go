package inference

import (
	"encoding/binary"
	"math"

	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/onnx"
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
func reading(datatype string, data []byte) func(i int) float64 {
	le := binary.LittleEndian
	switch datatype {
	case typeFP32:
		return func(i int) float64 { return float64(math.Float32frombits(le.Uint32(data[4*i:]))) }
	case typeFP64:
		return func(i int) float64 { return math.Float64frombits(le.Uint64(data[8*i:])) }
	case "INT8":
		return func(i int) float64 { return float64(int8(data[i])) } //nolint:gosec // the bits of a signed number
	case "INT16":
		return func(i int) float64 { return float64(int16(le.Uint16(data[2*i:]))) } //nolint:gosec // the bits of a signed number
	case "INT32":
		return func(i int) float64 { return float64(int32(le.Uint32(data[4*i:]))) } //nolint:gosec // the bits of a signed number
	case "INT64":
		return func(i int) float64 { return float64(int64(le.Uint64(data[8*i:]))) } //nolint:gosec // the bits of a signed number
	case "UINT8", typeBool:
		return func(i int) float64 { return float64(data[i]) }
	case "UINT16":
		return func(i int) float64 { return float64(le.Uint16(data[2*i:])) }
	case "UINT32":
		return func(i int) float64 { return float64(le.Uint32(data[4*i:])) }
	default: // UINT64
		return func(i int) float64 { return float64(le.Uint64(data[8*i:])) }
	}
}
