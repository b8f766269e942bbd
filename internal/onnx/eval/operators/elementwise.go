package operators

import (
	"cmp"
	"math"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/compile"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
	"github.com/petal-ml/petal/internal/onnx/eval/numeric"
)

func elementwiseOperators() []compile.Operator {
	return []compile.Operator{
		binary("Add", 7, add[float32], add[float64], add[int64], add[int32], add[int16], add[int8], add[uint64], add[uint32], add[uint16], add[uint8]),
		binary("Sub", 7, sub[float32], sub[float64], sub[int64], sub[int32], sub[int16], sub[int8], sub[uint64], sub[uint32], sub[uint16], sub[uint8]),
		binary("Mul", 7, mul[float32], mul[float64], mul[int64], mul[int32], mul[int16], mul[int8], mul[uint64], mul[uint32], mul[uint16], mul[uint8]),
		elementwise("Div", 7, 2, sameType, of2(div[float32]), of2(div[float64]), notByZero(div[int64]), notByZero(div[int32]), notByZero(div[int16]), notByZero(div[int8]),
			notByZero(div[uint64]), notByZero(div[uint32]), notByZero(div[uint16]), notByZero(div[uint8])),
		compile.Row("Pow", 7, 2, 2, compilePow),

		variadic(binary("Sum", 6, add[float32], add[float64], add[int64], add[int32], add[int16], add[int8], add[uint64], add[uint32], add[uint16], add[uint8])),
		variadic(binary("Max", 6, larger[float32], larger[float64], larger[int64], larger[int32], larger[int16], larger[int8], larger[uint64], larger[uint32], larger[uint16], larger[uint8])),
		variadic(binary("Min", 6, smaller[float32], smaller[float64], smaller[int64], smaller[int32], smaller[int16], smaller[int8], smaller[uint64], smaller[uint32], smaller[uint16], smaller[uint8])),
		mean(variadic(elementwise("Mean", 6, 2, sameType, of2(add[float32]), of2(add[float64])))),

		comparison("Equal", 7, equal[float32], equal[float64], equal[int64], equal[int32], equal[int16], equal[int8], equal[uint64], equal[uint32], equal[uint16], equal[uint8], of2(equal[bool]), of2(equal[string])),
		comparison("Less", 7, less[float32], less[float64], less[int64], less[int32], less[int16], less[int8], less[uint64], less[uint32], less[uint16], less[uint8]),
		comparison("Greater", 7, greater[float32], greater[float64], greater[int64], greater[int32], greater[int16], greater[int8], greater[uint64], greater[uint32], greater[uint16], greater[uint8]),
		comparison("LessOrEqual", 12, atMost[float32], atMost[float64], atMost[int64], atMost[int32], atMost[int16], atMost[int8], atMost[uint64], atMost[uint32], atMost[uint16], atMost[uint8]),
		comparison("GreaterOrEqual", 12, atLeast[float32], atLeast[float64], atLeast[int64], atLeast[int32], atLeast[int16], atLeast[int8], atLeast[uint64], atLeast[uint32], atLeast[uint16], atLeast[uint8]),

		elementwise("And", 7, 2, onnx.Bool, of2(func(x, y bool) bool { return x && y })),
		elementwise("Or", 7, 2, onnx.Bool, of2(func(x, y bool) bool { return x || y })),
		elementwise("Xor", 7, 2, onnx.Bool, of2(func(x, y bool) bool { return x != y })),
		elementwise("Not", 1, 1, onnx.Bool, of1(func(x bool) bool { return !x })),
		elementwise("IsNaN", 9, 1, onnx.Bool, of1(isNaN[float32]), of1(isNaN[float64])),
		compile.Row("IsInf", 10, 1, 1, compileIsInf),

		unary("Sqrt", 6, math.Sqrt),
		unary("Exp", 6, math.Exp),
		unary("Log", 6, math.Log),
		unary("Sigmoid", 6, sigmoid),
		unary("Tanh", 6, math.Tanh),
		unary("Erf", 9, math.Erf),
		unary("Floor", 6, math.Floor),
		unary("Ceil", 6, math.Ceil),
		unary("Round", 11, math.RoundToEven),
		unary("Reciprocal", 6, func(x float64) float64 { return 1 / x }),
		unary("Sin", 7, math.Sin),
		unary("Cos", 7, math.Cos),
		unary("Tan", 7, math.Tan),
		unary("Asin", 7, math.Asin),
		unary("Acos", 7, math.Acos),
		unary("Atan", 7, math.Atan),
		unary("Sinh", 9, math.Sinh),
		unary("Cosh", 9, math.Cosh),
		unary("Asinh", 9, math.Asinh),
		unary("Acosh", 9, math.Acosh),
		unary("Atanh", 9, math.Atanh),
		unaryNumber("Abs", 6, math.Abs, func(x int64) int64 { return max(x, -x) }),
		unaryNumber("Neg", 6, func(x float64) float64 { return -x }, func(x int64) int64 { return -x }),
		unaryNumber("Relu", 6, relu, func(x int64) int64 { return max(x, 0) }),
		unaryNumber("Sign", 9, sign, func(x int64) int64 { return max(-1, min(1, x)) }),

		compile.Row("Clip", 6, 1, 3, compileClip),
		compile.Row("Where", 9, 3, 3, compileWhere),
	}
}

func add[T numeric.Number](x, y T) T { return x + y }
func sub[T numeric.Number](x, y T) T { return x - y }
func mul[T numeric.Number](x, y T) T { return x * y }
func div[T numeric.Number](x, y T) T { return x / y }

// larger is the maximum; a NaN on either side wins.
func larger[T numeric.Number](x, y T) T {
	if x > y || x != x {
		return x
	}
	return y
}

// smaller is the minimum; a NaN on either side wins.
func smaller[T numeric.Number](x, y T) T {
	if x < y || x != x {
		return x
	}
	return y
}

func equal[T comparable](x, y T) bool    { return x == y }
func less[T cmp.Ordered](x, y T) bool    { return x < y }
func greater[T cmp.Ordered](x, y T) bool { return x > y }
func atMost[T cmp.Ordered](x, y T) bool  { return x <= y }
func atLeast[T cmp.Ordered](x, y T) bool { return x >= y }

func isNaN[T float32 | float64](x T) bool { return x != x }

func sigmoid(x float64) float64 {
	if x < 0 {
		e := math.Exp(x)
		return e / (1 + e)
	}
	return 1 / (1 + math.Exp(-x))
}

func relu(x float64) float64 {
	if x < 0 {
		return 0
	}
	return x
}

func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	default:
		return x
	}
}

// mean divides the sums of an operator by the number of its inputs.
func mean(sum compile.Operator) compile.Operator {
	compileSum := sum.Compile
	sum.Compile = func(n *compile.Node) (kernel.Kernel, error) {
		k, err := compileSum(n)
		return func(e *kernel.Env, in []kernel.Value) ([]kernel.Value, error) {
			out, err := k(e, in)
			if err != nil {
				return nil, err
			}
			t, err := kernel.TensorOf(out[0])
			if err != nil {
				return nil, err
			}
			if t.Type() == onnx.Double {
				t, err = kernel.Apply1(e, t, func(x float64) float64 { return x / float64(len(in)) })
			} else {
				t, err = kernel.Apply1(e, t, func(x float32) float32 { return x / float32(len(in)) })
			}
			return []kernel.Value{t}, err
		}, err
	}
	return sum
}

// compilePow compiles Pow, whose exponent may have another type than its base.
func compilePow(n *compile.Node) (kernel.Kernel, error) {
	element := n.ElementOf(0, onnx.Float, onnx.Double, onnx.Int64, onnx.Int32)
	n.ElementOf(1, compile.NumericTypes()...)
	n.BroadcastOutput(element)
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		base, err := kernel.CastTensor(e, in[0], onnx.Double)
		if err != nil {
			return nil, err
		}
		exponent, err := kernel.CastTensor(e, in[1], onnx.Double)
		if err != nil {
			return nil, err
		}
		power, err := kernel.Apply2(e, base, exponent, math.Pow)
		if err != nil {
			return nil, err
		}
		return kernel.CastTensor(e, power, element)
	}).Kernel, nil
}

func compileIsInf(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	positive, negative := r.Bool("detect_positive", true), r.Bool("detect_negative", true)
	n.ElementOf(0, onnx.Float, onnx.Double)
	n.SameShape(onnx.Bool)
	is := func(x float64) bool { return positive && math.IsInf(x, 1) || negative && math.IsInf(x, -1) }
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		if in[0].Type() == onnx.Double {
			return kernel.Apply1(e, in[0], is)
		}
		return kernel.Apply1(e, in[0], func(x float32) bool { return is(float64(x)) })
	}).Kernel, nil
}

var bounders = kernel.PerNumber(bounded[float32], bounded[float64], bounded[int64], bounded[int32], bounded[int16], bounded[int8],
	bounded[uint64], bounded[uint32], bounded[uint16], bounded[uint8])

// bounded keeps elements above a bound, or below one.
func bounded[T numeric.Number](e *kernel.Env, t, bound *onnx.Tensor, upper bool) (*onnx.Tensor, error) {
	if upper {
		return kernel.Apply2(e, t, bound, smaller[T])
	}
	return kernel.Apply2(e, t, bound, larger[T])
}

// compileClip compiles Clip, whose bounds are attributes before version 11 and
// inputs from then on.
func compileClip(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	var bounds [2]*onnx.Tensor
	if n.Opset < 11 {
		lo, hi := r.Float("min", -math.MaxFloat32), r.Float("max", math.MaxFloat32)
		bounds = [2]*onnx.Tensor{onnx.NewTensor(nil, []float32{lo}), onnx.NewTensor(nil, []float32{hi})}
	}
	element := n.SameTypes(compile.NumericTypes()...)
	n.SameShape(element)
	bound := bounders.Of(element)
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		out := in[0]
		for i, limit := range bounds {
			if limit == nil && i+1 < len(in) {
				limit = in[i+1]
			}
			if limit == nil {
				continue
			}
			if limit.Len() != 1 {
				return nil, onnx.At(onnx.ErrInput, "a bound of shape %v, a scalar wanted", limit.Shape)
			}
			limit, err := kernel.CastTensor(e, kernel.Reshaped(limit, nil), element)
			if err != nil {
				return nil, err
			}
			if out, err = bound(e, out, limit, i == 1); err != nil {
				return nil, err
			}
		}
		return out, nil
	}).Kernel, nil
}

var choosers = kernel.PerElement[kernel.TensorKernel](where[float32], where[float64], where[int64], where[int32], where[int16], where[int8],
	where[uint64], where[uint32], where[uint16], where[uint8], where[bool], where[string])

func compileWhere(n *compile.Node) (kernel.Kernel, error) {
	n.ElementOf(0, onnx.Bool)
	element := n.ElementOf(1)
	if other := n.ElementOf(2); other != element {
		return nil, onnx.Invalid("input 2 is %v, input 1 is %v", n.Inputs[2].Type, element)
	}
	n.BroadcastOutput(element)
	choose := choosers.Of(element)
	if choose == nil {
		return nil, onnx.Unsupported("Where of %v", element)
	}
	return choose.Kernel, nil
}

func where[T onnx.Element](e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
	shape, err := kernel.BroadcastShapes(in[1].Shape, in[2].Shape)
	if err != nil {
		return nil, err
	}
	if shape, err = kernel.BroadcastShapes(shape, in[0].Shape); err != nil {
		return nil, err
	}
	condition, _ := in[0].Data.([]bool)
	x, ok := in[1].Data.([]T)
	y, ok2 := in[2].Data.([]T)
	if condition == nil && in[0].Len() > 0 || !ok || !ok2 {
		return nil, onnx.At(onnx.ErrInput, "elements of types %v, %v and %v", in[0].Type(), in[1].Type(), in[2].Type())
	}
	t, out, err := kernel.Alloc[T](e, shape...)
	if err != nil {
		return nil, err
	}
	wc, wx, wy := kernel.NewWalker(in[0].Shape, shape), kernel.NewWalker(in[1].Shape, shape), kernel.NewWalker(in[2].Shape, shape)
	for i := range out {
		c, a, b := wc.Next(), wx.Next(), wy.Next()
		if condition[c] {
			out[i] = x[a]
		} else {
			out[i] = y[b]
		}
	}
	return t, nil
}
