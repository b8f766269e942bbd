package operators

import (
	"math"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/compile"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
	"github.com/petal-ml/petal/internal/onnx/eval/numeric"
)

func elementwiseOperators() []compile.Operator {
	table := []compile.Operator{
		compile.Standard("Not", 1, 1, 1, compileNot),
		compile.Standard("IsNaN", 9, 1, 1, compileIsNaN),
		compile.Standard("IsInf", 10, 1, 1, compileIsInf),
		compile.Standard("Clip", 6, 1, 3, compileClip),
		compile.Standard("Where", 9, 3, 3, compileWhere),
	}
	for _, name := range []string{"Add", "Sub", "Mul", "Div"} {
		table = append(table, compile.Standard(name, 7, 2, 2, compileArithmetic))
	}
	table = append(table, compile.Standard("Pow", 7, 2, 2, compilePow))
	for _, name := range []string{"Max", "Min", "Sum", "Mean"} {
		table = append(table, compile.Standard(name, 6, 1, compile.Many, compileVariadic))
	}
	for _, name := range []string{"Equal", "Less", "Greater"} {
		table = append(table, compile.Standard(name, 7, 2, 2, compileComparison))
	}
	for _, name := range []string{"LessOrEqual", "GreaterOrEqual"} {
		table = append(table, compile.Standard(name, 12, 2, 2, compileComparison))
	}
	for _, name := range []string{"And", "Or", "Xor"} {
		table = append(table, compile.Standard(name, 7, 2, 2, compileLogic))
	}
	for _, name := range []string{
		"Sqrt", "Exp", "Log", "Abs", "Neg", "Sigmoid", "Tanh", "Relu", "Erf", "Floor", "Ceil", "Round", "Sign", "Reciprocal",
	} {
		since := map[string]int64{"Erf": 9, "Sign": 9, "Round": 11}[name]
		table = append(table, compile.Standard(name, max(since, 6), 1, 1, compileUnary))
	}
	return table
}

// arithmetic returns the function of a binary operator on numbers.
func arithmetic[T numeric.Number](name string) func(x, y T) T {
	switch name {
	case "Add", "Sum", "Mean":
		return func(x, y T) T { return x + y }
	case "Sub":
		return func(x, y T) T { return x - y }
	case "Mul":
		return func(x, y T) T { return x * y }
	case "Div":
		return func(x, y T) T { return x / y }
	case "Max":
		return func(x, y T) T {
			if x > y || x != x { // A NaN on either side wins.
				return x
			}
			return y
		}
	default: // Min
		return func(x, y T) T {
			if x < y || x != x {
				return x
			}
			return y
		}
	}
}

// arithmetic2 applies a binary operator to tensors of any number type.
func arithmetic2(e *kernel.Env, name string, a, b *onnx.Tensor) (*onnx.Tensor, error) {
	if name == "Div" {
		if err := checkDivisor(b); err != nil {
			return nil, err
		}
	}
	switch a.Type() {
	case onnx.Float:
		return kernel.Apply2(e, a, b, arithmetic[float32](name))
	case onnx.Double:
		return kernel.Apply2(e, a, b, arithmetic[float64](name))
	case onnx.Int64:
		return kernel.Apply2(e, a, b, arithmetic[int64](name))
	case onnx.Int32:
		return kernel.Apply2(e, a, b, arithmetic[int32](name))
	case onnx.Int16:
		return kernel.Apply2(e, a, b, arithmetic[int16](name))
	case onnx.Int8:
		return kernel.Apply2(e, a, b, arithmetic[int8](name))
	case onnx.Uint64:
		return kernel.Apply2(e, a, b, arithmetic[uint64](name))
	case onnx.Uint32:
		return kernel.Apply2(e, a, b, arithmetic[uint32](name))
	case onnx.Uint16:
		return kernel.Apply2(e, a, b, arithmetic[uint16](name))
	case onnx.Uint8:
		return kernel.Apply2(e, a, b, arithmetic[uint8](name))
	default:
		return nil, onnx.At(onnx.ErrInput, "%s of %v", name, a.Type())
	}
}

// checkDivisor refuses a whole zero, on which the CPU would trap.
func checkDivisor(t *onnx.Tensor) error {
	zero := false
	switch data := t.Data.(type) {
	case []int64:
		zero = hasZero(data)
	case []int32:
		zero = hasZero(data)
	case []int16:
		zero = hasZero(data)
	case []int8:
		zero = hasZero(data)
	case []uint64:
		zero = hasZero(data)
	case []uint32:
		zero = hasZero(data)
	case []uint16:
		zero = hasZero(data)
	case []uint8:
		zero = hasZero(data)
	}
	if zero {
		return onnx.At(onnx.ErrInput, "division of whole numbers by zero")
	}
	return nil
}

func hasZero[T numeric.Number](data []T) bool {
	for _, v := range data {
		if v == 0 {
			return true
		}
	}
	return false
}

func compileArithmetic(n *compile.Node) (kernel.Kernel, error) {
	element, err := n.SameTypes(compile.NumericTypes()...)
	if err != nil {
		return nil, err
	}
	if err := n.BroadcastOutput(element); err != nil {
		return nil, err
	}
	name := n.Node.Operator
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		return arithmetic2(e, name, in[0], in[1])
	}).Kernel, nil
}

// compileVariadic compiles operators that fold any number of inputs.
func compileVariadic(n *compile.Node) (kernel.Kernel, error) {
	element, err := n.SameTypes(compile.NumericTypes()...)
	if err != nil {
		return nil, err
	}
	if err := n.BroadcastOutput(element); err != nil {
		return nil, err
	}
	name := n.Node.Operator
	if name == "Mean" && element != onnx.Float && element != onnx.Double {
		return nil, onnx.Unsupported("Mean of %v", element)
	}
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		sum := in[0]
		var err error
		for _, t := range in[1:] {
			if sum, err = arithmetic2(e, name, sum, t); err != nil {
				return nil, err
			}
		}
		if name == "Mean" {
			count, err := kernel.CastTensor(e, onnx.NewTensor(nil, []int64{int64(len(in))}), element)
			if err != nil {
				return nil, err
			}
			return arithmetic2(e, "Div", sum, count)
		}
		return sum, nil
	}).Kernel, nil
}

// compilePow compiles Pow, whose exponent may have another type than its base.
func compilePow(n *compile.Node) (kernel.Kernel, error) {
	element, err := n.ElementOf(0, onnx.Float, onnx.Double, onnx.Int64, onnx.Int32)
	if err != nil {
		return nil, err
	}
	if _, err := n.ElementOf(1, compile.NumericTypes()...); err != nil {
		return nil, err
	}
	if err := n.BroadcastOutput(element); err != nil {
		return nil, err
	}
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

// comparison returns the function of a comparison.
func comparison[T numeric.Number | string](name string) func(x, y T) bool {
	switch name {
	case "Equal":
		return func(x, y T) bool { return x == y }
	case "Less":
		return func(x, y T) bool { return x < y }
	case "Greater":
		return func(x, y T) bool { return x > y }
	case "LessOrEqual":
		return func(x, y T) bool { return x <= y }
	default:
		return func(x, y T) bool { return x >= y }
	}
}

func compileComparison(n *compile.Node) (kernel.Kernel, error) {
	name := n.Node.Operator
	allowed := compile.NumericTypes()
	if name == "Equal" {
		allowed = append(allowed, onnx.Bool, onnx.String)
	}
	if _, err := n.SameTypes(allowed...); err != nil {
		return nil, err
	}
	if err := n.BroadcastOutput(onnx.Bool); err != nil {
		return nil, err
	}
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		return compare(e, name, in[0], in[1])
	}).Kernel, nil
}

func compare(e *kernel.Env, name string, a, b *onnx.Tensor) (*onnx.Tensor, error) {
	switch a.Type() {
	case onnx.Float:
		return kernel.Apply2(e, a, b, comparison[float32](name))
	case onnx.Double:
		return kernel.Apply2(e, a, b, comparison[float64](name))
	case onnx.Int64:
		return kernel.Apply2(e, a, b, comparison[int64](name))
	case onnx.Int32:
		return kernel.Apply2(e, a, b, comparison[int32](name))
	case onnx.Int16:
		return kernel.Apply2(e, a, b, comparison[int16](name))
	case onnx.Int8:
		return kernel.Apply2(e, a, b, comparison[int8](name))
	case onnx.Uint64:
		return kernel.Apply2(e, a, b, comparison[uint64](name))
	case onnx.Uint32:
		return kernel.Apply2(e, a, b, comparison[uint32](name))
	case onnx.Uint16:
		return kernel.Apply2(e, a, b, comparison[uint16](name))
	case onnx.Uint8:
		return kernel.Apply2(e, a, b, comparison[uint8](name))
	case onnx.String:
		return kernel.Apply2(e, a, b, comparison[string](name))
	case onnx.Bool:
		return kernel.Apply2(e, a, b, func(x, y bool) bool { return x == y })
	default:
		return nil, onnx.At(onnx.ErrInput, "%s of %v", name, a.Type())
	}
}

func compileLogic(n *compile.Node) (kernel.Kernel, error) {
	if _, err := n.SameTypes(onnx.Bool); err != nil {
		return nil, err
	}
	if err := n.BroadcastOutput(onnx.Bool); err != nil {
		return nil, err
	}
	f := map[string]func(x, y bool) bool{
		"And": func(x, y bool) bool { return x && y },
		"Or":  func(x, y bool) bool { return x || y },
		"Xor": func(x, y bool) bool { return x != y },
	}[n.Node.Operator]
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		return kernel.Apply2(e, in[0], in[1], f)
	}).Kernel, nil
}

// apply1 computes f over a tensor, element by element.
func apply1[A, R onnx.Element](e *kernel.Env, t *onnx.Tensor, f func(x A) R) (*onnx.Tensor, error) {
	x, ok := t.Data.([]A)
	if !ok {
		return nil, onnx.At(onnx.ErrInput, "elements of type %v", t.Type())
	}
	r, out, err := kernel.Alloc[R](e, t.Shape...)
	if err != nil {
		return nil, err
	}
	for i, v := range x {
		out[i] = f(v)
	}
	return r, nil
}

func compileNot(n *compile.Node) (kernel.Kernel, error) {
	if _, err := n.ElementOf(0, onnx.Bool); err != nil {
		return nil, err
	}
	n.SameShape(onnx.Bool)
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		return apply1(e, in[0], func(x bool) bool { return !x })
	}).Kernel, nil
}

func compileIsNaN(n *compile.Node) (kernel.Kernel, error) {
	if _, err := n.ElementOf(0, onnx.Float, onnx.Double); err != nil {
		return nil, err
	}
	n.SameShape(onnx.Bool)
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		if in[0].Type() == onnx.Double {
			return apply1(e, in[0], func(x float64) bool { return x != x })
		}
		return apply1(e, in[0], func(x float32) bool { return x != x })
	}).Kernel, nil
}

func compileIsInf(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	positive, negative := r.Bool("detect_positive", true), r.Bool("detect_negative", true)
	if r.Err != nil {
		return nil, r.Err
	}
	if _, err := n.ElementOf(0, onnx.Float, onnx.Double); err != nil {
		return nil, err
	}
	n.SameShape(onnx.Bool)
	is := func(x float64) bool { return positive && math.IsInf(x, 1) || negative && math.IsInf(x, -1) }
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		if in[0].Type() == onnx.Double {
			return apply1(e, in[0], is)
		}
		return apply1(e, in[0], func(x float32) bool { return is(float64(x)) })
	}).Kernel, nil
}

// unary returns the function of an operator on one floating-point number. It is
// computed in float64 and rounded once for float.
func unary(name string) func(x float64) float64 {
	return map[string]func(x float64) float64{
		"Sqrt": math.Sqrt, "Exp": math.Exp, "Log": math.Log, "Abs": math.Abs, "Tanh": math.Tanh, "Erf": math.Erf,
		"Floor": math.Floor, "Ceil": math.Ceil, "Round": math.RoundToEven,
		"Neg":        func(x float64) float64 { return -x },
		"Reciprocal": func(x float64) float64 { return 1 / x },
		"Sigmoid": func(x float64) float64 {
			if x < 0 {
				e := math.Exp(x)
				return e / (1 + e)
			}
			return 1 / (1 + math.Exp(-x))
		},
		"Relu": func(x float64) float64 {
			if x < 0 {
				return 0
			}
			return x
		},
		"Sign": func(x float64) float64 {
			switch {
			case x > 0:
				return 1
			case x < 0:
				return -1
			default:
				return x
			}
		},
	}[name]
}

func compileUnary(n *compile.Node) (kernel.Kernel, error) {
	name := n.Node.Operator
	allowed := []onnx.ElementType{onnx.Float, onnx.Double}
	switch name {
	case "Abs", "Neg", "Sign", "Relu":
		allowed = compile.NumericTypes()
	}
	element, err := n.ElementOf(0, allowed...)
	if err != nil {
		return nil, err
	}
	n.SameShape(element)
	f := unary(name)
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		switch element {
		case onnx.Double:
			return apply1(e, in[0], f)
		case onnx.Float:
			return apply1(e, in[0], func(x float32) float32 { return float32(f(float64(x))) })
		case onnx.Int64: // Exact where float64 is not.
			return apply1(e, in[0], func(x int64) int64 { return unaryInt(name, x) })
		}
		wide, err := kernel.CastTensor(e, in[0], onnx.Int64)
		if err != nil {
			return nil, err
		}
		if wide, err = apply1(e, wide, func(x int64) int64 { return unaryInt(name, x) }); err != nil {
			return nil, err
		}
		return kernel.CastTensor(e, wide, element)
	}).Kernel, nil
}

func unaryInt(name string, x int64) int64 {
	switch name {
	case "Abs":
		return max(x, -x)
	case "Neg":
		return -x
	case "Relu":
		return max(x, 0)
	default: // Sign
		return max(-1, min(1, x))
	}
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
	if r.Err != nil {
		return nil, r.Err
	}
	element, err := n.SameTypes(compile.NumericTypes()...)
	if err != nil {
		return nil, err
	}
	n.SameShape(element)
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		out := in[0]
		for i, name := range []string{"Max", "Min"} {
			bound := bounds[i]
			if bound == nil && i+1 < len(in) {
				bound = in[i+1]
			}
			if bound == nil {
				continue
			}
			if bound.Len() != 1 {
				return nil, onnx.At(onnx.ErrInput, "a bound of shape %v, a scalar wanted", bound.Shape)
			}
			bound, err := kernel.CastTensor(e, kernel.Reshaped(bound, nil), element)
			if err != nil {
				return nil, err
			}
			if out, err = arithmetic2(e, name, out, bound); err != nil {
				return nil, err
			}
		}
		return out, nil
	}).Kernel, nil
}

func compileWhere(n *compile.Node) (kernel.Kernel, error) {
	if _, err := n.ElementOf(0, onnx.Bool); err != nil {
		return nil, err
	}
	element, err := n.ElementOf(1)
	if err != nil {
		return nil, err
	}
	if other, err := n.ElementOf(2); err != nil || other != element {
		return nil, onnx.Invalid("input 2 is %v, input 1 is %v", n.Inputs[2].Type, element)
	}
	if err := n.BroadcastOutput(element); err != nil {
		return nil, err
	}
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		switch element {
		case onnx.Float:
			return where[float32](e, in)
		case onnx.Double:
			return where[float64](e, in)
		case onnx.Int64:
			return where[int64](e, in)
		case onnx.Int32:
			return where[int32](e, in)
		case onnx.Bool:
			return where[bool](e, in)
		case onnx.String:
			return where[string](e, in)
		case onnx.Uint8:
			return where[uint8](e, in)
		case onnx.Int8:
			return where[int8](e, in)
		case onnx.Uint16:
			return where[uint16](e, in)
		case onnx.Int16:
			return where[int16](e, in)
		case onnx.Uint32:
			return where[uint32](e, in)
		case onnx.Uint64:
			return where[uint64](e, in)
		default:
			return nil, onnx.Unsupported("Where of %v", element)
		}
	}).Kernel, nil
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
