package operators

import (
	"math"
	"slices"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/attributes"
	"github.com/petal-ml/petal/internal/onnx/eval/compile"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
	"github.com/petal-ml/petal/internal/onnx/eval/numeric"
)

func activationOperators() []compile.Operator {
	return []compile.Operator{
		unary("Softplus", 1, softplus),
		unary("Softsign", 1, func(x float64) float64 { return x / (1 + math.Abs(x)) }),
		unary("HardSwish", 14, func(x float64) float64 { return x * hardSigmoid(x, 1./6, 0.5) }),
		unary("Mish", 18, func(x float64) float64 { return x * math.Tanh(softplus(x)) }),
		activation("LeakyRelu", 6, leakyRelu),
		activation("Affine", 1, func(r *attributes.Reader) function { // an experiment of old, which ML.NET wrote
			alpha, beta := float64(r.Float("alpha", 1)), float64(r.Float("beta", 0))
			return func(x float64) float64 { return alpha*x + beta }
		}),
		activation("ThresholdedRelu", 10, thresholdedRelu),
		activation("Elu", 6, elu),
		activation("Selu", 6, selu),
		activation("Celu", 12, celu),
		activation("Gelu", 20, gelu),
		activation("Gelu", 1, func(*attributes.Reader) function { return exactGelu }).Of(onnx.DomainMicrosoft),
		activation("HardSigmoid", 6, func(r *attributes.Reader) function {
			alpha, beta := float64(r.Float("alpha", 0.2)), float64(r.Float("beta", 0.5))
			return func(x float64) float64 { return hardSigmoid(x, alpha, beta) }
		}),
		activation("Swish", 24, swish(1)),
		activation("QuickGelu", 1, swish(1.702)).Of(onnx.DomainMicrosoft),
		compile.Row("Shrink", 9, 1, 1, compileShrink),
		compile.Row("PRelu", 7, 2, 2, compilePRelu),
		compile.Row("Hardmax", 1, 1, 1, compileHardmax),
	}
}

// A function is applied to one element after another.
type function = func(x float64) float64

// activation makes the row of a function of floating-point numbers that has
// attributes.
func activation(name string, since int64, read func(r *attributes.Reader) function) compile.Operator {
	return compile.Row(name, since, 1, 1, func(n *compile.Node) (kernel.Kernel, error) {
		return unary(name, since, read(n.Attributes())).Compile(n)
	})
}

// softplus is ln(1+eˣ), written so that eˣ does not overflow.
func softplus(x float64) float64 { return math.Max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

func hardSigmoid(x, alpha, beta float64) float64 { return math.Max(0, math.Min(1, alpha*x+beta)) }

// swish is x·σ(alpha·x).
func swish(def float32) func(r *attributes.Reader) function {
	return func(r *attributes.Reader) function {
		alpha := float64(r.Float("alpha", def))
		return func(x float64) float64 { return x * sigmoid(alpha*x) }
	}
}

func leakyRelu(r *attributes.Reader) function {
	alpha := float64(r.Float("alpha", 0.01))
	return func(x float64) float64 {
		if x < 0 {
			return alpha * x
		}
		return x
	}
}

func thresholdedRelu(r *attributes.Reader) function {
	alpha := float64(r.Float("alpha", 1))
	return func(x float64) float64 {
		if x > alpha {
			return x
		}
		return 0
	}
}

func elu(r *attributes.Reader) function {
	alpha := float64(r.Float("alpha", 1))
	return func(x float64) float64 {
		if x < 0 {
			return alpha * math.Expm1(x)
		}
		return x
	}
}

func selu(r *attributes.Reader) function {
	alpha, gamma := float64(r.Float("alpha", 1.6732632)), float64(r.Float("gamma", 1.050701))
	return func(x float64) float64 {
		if x > 0 {
			return gamma * x
		}
		return gamma * alpha * math.Expm1(x)
	}
}

func celu(r *attributes.Reader) function {
	alpha := float64(r.Float("alpha", 1))
	return func(x float64) float64 { return math.Max(0, x) + math.Min(0, alpha*math.Expm1(x/alpha)) }
}

func gelu(r *attributes.Reader) function {
	if r.OneOf("approximate", "none", "tanh") == "none" {
		return exactGelu
	}
	return func(x float64) float64 {
		return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
	}
}

func exactGelu(x float64) float64 { return 0.5 * x * (1 + math.Erf(x/math.Sqrt2)) }

// compileShrink compiles Shrink, which brings numbers nearer to zero, and those
// that are near to zero.
func compileShrink(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	bias, lambda := float64(r.Float("bias", 0)), float64(r.Float("lambd", 0.5))
	element := n.ElementOf(0, compile.NumericTypes()...)
	n.SameShape(element)
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		x, err := kernel.CastTensor(e, in[0], onnx.Double)
		if err != nil {
			return nil, err
		}
		out, err := kernel.Apply1(e, x, func(x float64) float64 {
			switch {
			case x < -lambda:
				return x + bias
			case x > lambda:
				return x - bias
			default:
				return 0
			}
		})
		if err != nil {
			return nil, err
		}
		return kernel.CastTensor(e, out, element)
	}).Kernel, nil
}

var leaks = kernel.PerNumber[kernel.TensorKernel](leak[float32], leak[float64], leak[int64], leak[int32], leak[int16], leak[int8],
	leak[uint64], leak[uint32], leak[uint16], leak[uint8])

// compilePRelu compiles PRelu, whose slope stretches to the shape of x, and not
// the other way round.
func compilePRelu(n *compile.Node) (kernel.Kernel, error) {
	element := n.SameTypes(compile.NumericTypes()...)
	n.SameShape(element)
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		shape, err := kernel.BroadcastShapes(in[0].Shape, in[1].Shape)
		if err != nil || !slices.Equal(shape, in[0].Shape) {
			return nil, onnx.At(onnx.ErrInput, "a slope of shape %v for shape %v", in[1].Shape, in[0].Shape)
		}
		return leaks.Of(element)(e, in)
	}).Kernel, nil
}

func leak[T numeric.Number](e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
	return kernel.Apply2(e, in[0], in[1], func(x, slope T) T {
		if x < 0 {
			return slope * x
		}
		return x
	})
}

// compileHardmax compiles the one-hot form of an ArgMax.
func compileHardmax(n *compile.Node) (kernel.Kernel, error) {
	axis, flat := softmaxAxis(n)
	element := n.ElementOf(0, onnx.Float, onnx.Double)
	n.SameShape(element)
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		t := in[0]
		outer, length, inner, err := softmaxSplit(t.Shape, axis, flat)
		if err != nil {
			return nil, err
		}
		x, err := kernel.CastTensor(e, t, onnx.Double)
		if err != nil {
			return nil, err
		}
		out, y, err := kernel.Alloc[float64](e, t.Shape...)
		if err != nil {
			return nil, err
		}
		best := make([]int64, outer*inner)
		if length > 0 {
			argBest(x.Data.([]float64), best, []int{outer, length, inner}, 1, false, false)
			for i, k := range best {
				y[(i/inner*length+int(k))*inner+i%inner] = 1
			}
		}
		return kernel.CastTensor(e, out, element)
	}).Kernel, nil
}
