package operators

import (
	"math"
	"slices"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/compile"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
	"github.com/petal-ml/petal/internal/onnx/eval/numeric"
)

// wholeOperators are about whole numbers and their bits.
func wholeOperators() []compile.Operator {
	return []compile.Operator{
		compile.Row("Mod", 10, 2, 2, compileMod),
		compile.Row("BitShift", 11, 2, 2, compileBitShift),
		bitwise("BitwiseAnd", and[int64], and[int32], and[int16], and[int8], and[uint64], and[uint32], and[uint16], and[uint8]),
		bitwise("BitwiseOr", or[int64], or[int32], or[int16], or[int8], or[uint64], or[uint32], or[uint16], or[uint8]),
		bitwise("BitwiseXor", xor[int64], xor[int32], xor[int16], xor[int8], xor[uint64], xor[uint32], xor[uint16], xor[uint8]),
		elementwise("BitwiseNot", 18, 1, sameType, of1(not[int64]), of1(not[int32]), of1(not[int16]), of1(not[int8]),
			of1(not[uint64]), of1(not[uint32]), of1(not[uint16]), of1(not[uint8])),
	}
}

type wholeNumber interface {
	int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64
}

func and[T wholeNumber](x, y T) T { return x & y }
func or[T wholeNumber](x, y T) T  { return x | y }
func xor[T wholeNumber](x, y T) T { return x ^ y }
func not[T wholeNumber](x T) T    { return ^x }

func bitwise(name string,
	i64 func(x, y int64) int64, i32 func(x, y int32) int32, i16 func(x, y int16) int16, i8 func(x, y int8) int8,
	u64 func(x, y uint64) uint64, u32 func(x, y uint32) uint32, u16 func(x, y uint16) uint16, u8 func(x, y uint8) uint8,
) compile.Operator {
	return elementwise(name, 18, 2, sameType, of2(i64), of2(i32), of2(i16), of2(i8), of2(u64), of2(u32), of2(u16), of2(u8))
}

var shifts = map[onnx.ElementType]func(left bool) kernel.TensorKernel{
	onnx.Uint64: shift[uint64], onnx.Uint32: shift[uint32], onnx.Uint16: shift[uint16], onnx.Uint8: shift[uint8],
	onnx.Int64: shift[int64], onnx.Int32: shift[int32], onnx.Int16: shift[int16], onnx.Int8: shift[int8],
}

func compileBitShift(n *compile.Node) (kernel.Kernel, error) {
	left := n.Attributes().OneOf("direction", "LEFT", "RIGHT") == "LEFT"
	element := n.SameTypes(wholeTypes()...)
	n.BroadcastOutput(element)
	if of := shifts[element]; of != nil {
		return of(left).Kernel, nil
	}
	return nil, onnx.Unsupported("elements of type %v", element)
}

func wholeTypes() []onnx.ElementType {
	return slices.DeleteFunc(compile.NumericTypes(), func(e onnx.ElementType) bool { return e == onnx.Float || e == onnx.Double })
}

func shift[T wholeNumber](left bool) kernel.TensorKernel {
	by := func(x, y T) T { return x >> min(uint64(y), 64) }
	if left {
		by = func(x, y T) T { return x << min(uint64(y), 64) }
	}
	return func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		return kernel.Apply2(e, in[0], in[1], by)
	}
}

// compileMod compiles the remainder, which has the sign of the divisor, or with
// fmod that of the dividend, as in C.
func compileMod(n *compile.Node) (kernel.Kernel, error) {
	asInC := n.Attributes().Bool("fmod", false)
	element := n.SameTypes(compile.NumericTypes()...)
	n.BroadcastOutput(element)
	switch element {
	case onnx.Float:
		return of2(func(x, y float32) float32 { return float32(modulo(float64(x), float64(y), asInC)) }).kernel.Kernel, nil
	case onnx.Double:
		return of2(func(x, y float64) float64 { return modulo(x, y, asInC) }).kernel.Kernel, nil
	default:
		return remainders.Of(element)(asInC).Kernel, nil
	}
}

func modulo(x, y float64, asInC bool) float64 {
	rest := math.Mod(x, y)
	switch {
	case asInC:
	case rest == 0:
		return math.Copysign(0, y)
	case (rest < 0) != (y < 0):
		return rest + y
	}
	return rest
}

var remainders = kernel.PerNumber(nil, nil, remainder[int64], remainder[int32], remainder[int16], remainder[int8],
	remainder[uint64], remainder[uint32], remainder[uint16], remainder[uint8])

func remainder[T wholeNumber](asInC bool) kernel.TensorKernel {
	return notByZero(func(x, y T) T {
		rest := x % y
		if !asInC && rest != 0 && (rest < 0) != (y < 0) {
			rest += y
		}
		return rest
	}).kernel
}

// notByZero is a variant for whole numbers that refuses to divide by zero: the CPU
// would trap.
func notByZero[T numeric.Number](divide func(x, y T) T) variant {
	quotient := of2(divide)
	return variant{quotient.element, func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		if by, ok := in[1].Data.([]T); ok && slices.Contains(by, 0) {
			return nil, onnx.At(onnx.ErrInput, "division of whole numbers by zero")
		}
		return quotient.kernel(e, in)
	}}
}
