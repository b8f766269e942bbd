package kernel

import "github.com/petal-ml/petal/internal/onnx"

// A ByType holds something for each element type, such as the instances of a
// generic kernel.
type ByType[F any] [onnx.Uint64 + 1]F

// PerNumber fills in the element types that one can calculate with.
func PerNumber[F any](f32, f64, i64, i32, i16, i8, u64, u32, u16, u8 F) (t ByType[F]) {
	t[onnx.Float], t[onnx.Double] = f32, f64
	t[onnx.Int64], t[onnx.Int32], t[onnx.Int16], t[onnx.Int8] = i64, i32, i16, i8
	t[onnx.Uint64], t[onnx.Uint32], t[onnx.Uint16], t[onnx.Uint8] = u64, u32, u16, u8
	return t
}

// PerElement fills in all element types.
func PerElement[F any](f32, f64, i64, i32, i16, i8, u64, u32, u16, u8, boolean, text F) ByType[F] {
	t := PerNumber(f32, f64, i64, i32, i16, i8, u64, u32, u16, u8)
	t[onnx.Bool], t[onnx.String] = boolean, text
	return t
}

// Of returns what belongs to an element type, the zero value where nothing does.
func (t *ByType[F]) Of(e onnx.ElementType) (f F) {
	if e >= 0 && int(e) < len(t) {
		f = t[e]
	}
	return f
}
