package operators

import (
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/compile"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
	"github.com/petal-ml/petal/internal/onnx/eval/numeric"
)

// The functions of this file make rows of the operator table out of functions of
// one or two elements. A row names the operator, the operator set version since
// which it has this meaning, and a function for each element type it takes.

// unary makes the row of an operator on floating-point numbers. It is computed in
// double precision and rounded once for float.
func unary(name string, since int64, f func(x float64) float64) compile.Operator {
	return elementwise(name, since, 1, sameType, of1(rounded(f)), of1(f))
}

// unaryNumber makes the row of an operator on numbers of all types: one function
// for floating-point numbers, one for whole ones, which double precision would not
// hold exactly.
func unaryNumber(name string, since int64, f func(x float64) float64, whole func(x int64) int64) compile.Operator {
	return elementwise(name, since, 1, sameType, of1(rounded(f)), of1(f), of1(whole),
		of1(narrow[int32](whole)), of1(narrow[int16](whole)), of1(narrow[int8](whole)),
		of1(narrow[uint64](whole)), of1(narrow[uint32](whole)), of1(narrow[uint16](whole)), of1(narrow[uint8](whole)))
}

func rounded(f func(x float64) float64) func(float32) float32 {
	return func(x float32) float32 { return float32(f(float64(x))) }
}

func narrow[T numeric.Number](f func(x int64) int64) func(T) T {
	return func(x T) T { return T(f(int64(x))) }
}

// binary makes the row of an operator on two tensors of numbers, which are
// broadcast.
func binary(name string, since int64,
	f32 func(x, y float32) float32, f64 func(x, y float64) float64,
	i64 func(x, y int64) int64, i32 func(x, y int32) int32, i16 func(x, y int16) int16, i8 func(x, y int8) int8,
	u64 func(x, y uint64) uint64, u32 func(x, y uint32) uint32, u16 func(x, y uint16) uint16, u8 func(x, y uint8) uint8,
) compile.Operator {
	return elementwise(name, since, 2, sameType,
		of2(f32), of2(f64), of2(i64), of2(i32), of2(i16), of2(i8), of2(u64), of2(u32), of2(u16), of2(u8))
}

// comparison makes the row of an operator that compares two tensors, of numbers or
// of what more says.
func comparison(name string, since int64,
	f32 func(x, y float32) bool, f64 func(x, y float64) bool,
	i64 func(x, y int64) bool, i32 func(x, y int32) bool, i16 func(x, y int16) bool, i8 func(x, y int8) bool,
	u64 func(x, y uint64) bool, u32 func(x, y uint32) bool, u16 func(x, y uint16) bool, u8 func(x, y uint8) bool,
	more ...variant,
) compile.Operator {
	return elementwise(name, since, 2, onnx.Bool, append([]variant{
		of2(f32), of2(f64), of2(i64), of2(i32), of2(i16), of2(i8), of2(u64), of2(u32), of2(u16), of2(u8),
	}, more...)...)
}

// variadic makes the row of an operator that folds any number of tensors out of
// that of one with two.
func variadic(op compile.Operator) compile.Operator {
	compileTwo := op.Compile
	op.MinInputs, op.MaxInputs = 1, compile.Many
	op.Compile = func(n *compile.Node) (kernel.Kernel, error) {
		k, err := compileTwo(n)
		return func(e *kernel.Env, in []kernel.Value) ([]kernel.Value, error) {
			sum := in[:1:1]
			for _, v := range in[1:] {
				var err error
				if sum, err = k(e, []kernel.Value{sum[0], v}); err != nil {
					return nil, err
				}
			}
			return sum, nil
		}, err
	}
	return op
}

// A variant is the kernel of an operator for one element type.
type variant struct {
	element onnx.ElementType
	kernel  kernel.TensorKernel
}

// of1 makes a variant of a function of one element.
func of1[A, R onnx.Element](f func(x A) R) variant {
	return variant{elementType[A](), func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		return kernel.Apply1(e, in[0], f)
	}}
}

// of2 makes a variant of a function of two elements.
func of2[A, R onnx.Element](f func(x, y A) R) variant {
	return variant{elementType[A](), func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		return kernel.Apply2(e, in[0], in[1], f)
	}}
}

func elementType[T onnx.Element]() onnx.ElementType { return (&onnx.Tensor{Data: []T(nil)}).Type() }

// sameType as the result says that the output has the type of the inputs.
const sameType onnx.ElementType = 0

// elementwise makes the row of an operator whose inputs have one element type and
// are broadcast to the shape of its output.
func elementwise(name string, since int64, inputs int, result onnx.ElementType, variants ...variant) compile.Operator {
	allowed := make([]onnx.ElementType, len(variants))
	for i, v := range variants {
		allowed[i] = v.element
	}
	return compile.Row(name, since, inputs, inputs, func(n *compile.Node) (kernel.Kernel, error) {
		element := n.SameTypes(allowed...)
		output := result
		if output == sameType {
			output = element
		}
		n.BroadcastOutput(output)
		for _, v := range variants {
			if v.element == element {
				return v.kernel.Kernel, nil
			}
		}
		return nil, onnx.Unsupported("elements of type %v", element)
	})
}
