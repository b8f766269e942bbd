package operators

import (
	"math"
	"slices"
	"unsafe"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/compile"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
)

func quantizationOperators() []compile.Operator {
	return []compile.Operator{
		compile.Row("QuantizeLinear", 10, 2, 3, compileQuantize),
		compile.Row("DequantizeLinear", 10, 2, 3, compileDequantize),
		compile.Row("DynamicQuantizeLinear", 11, 1, 1, compileDynamicQuantize).Outputs(3, 3),
		compile.Row("MatMulInteger", 10, 2, 4, compileMatMulInteger),
		compile.Row("QLinearMatMul", 10, 8, 8, compileQLinearMatMul),
		compile.Row("QGemm", 1, 6, 9, compileQGemm).Of(onnx.DomainMicrosoft),
		compile.Row("QuantizeLinear", 1, 2, 3, compileQuantize).Of(onnx.DomainMicrosoft),
		compile.Row("DequantizeLinear", 1, 2, 3, compileDequantize).Of(onnx.DomainMicrosoft),
	}
}

// quantizedTypes are those that numbers are quantized to.
var quantizedTypes = []onnx.ElementType{onnx.Uint8, onnx.Int8, onnx.Uint16, onnx.Int16}

// A grain says which of several scales, and zero points, an element has: one for
// all, one along an axis, or one a block along the axis.
type grain struct{ axis, block int64 }

// of returns the place of an element's scale among those of a shape.
func (g grain) of(shape, scales []int) (func(i int) int, error) {
	if kernel.Product(scales) == 1 && (len(scales) < 2 || g.block == 0) {
		return func(int) int { return 0 }, nil
	}
	axis, err := kernel.AxisOf(g.axis, len(shape))
	if err != nil {
		return nil, err
	}
	_, length, inner := kernel.Split(shape, axis)
	if g.block == 0 {
		if len(scales) != 1 || scales[0] != length {
			return nil, onnx.At(onnx.ErrInput, "scales of shape %v along axis %d of shape %v", scales, axis, shape)
		}
		return func(i int) int { return i / inner % length }, nil
	}
	if len(scales) != len(shape) || g.block < 0 || g.block > math.MaxInt32 {
		return nil, onnx.At(onnx.ErrInput, "scales of shape %v for blocks of shape %v", scales, shape)
	}
	for i, d := range shape {
		if i == axis && scales[i] != (d+int(g.block)-1)/int(g.block) || i != axis && scales[i] != d {
			return nil, onnx.At(onnx.ErrInput, "scales of shape %v for blocks of shape %v", scales, shape)
		}
	}
	return func(i int) int {
		o, rest := i/(length*inner), i%(length*inner)
		return (o*scales[axis]+rest/inner/int(g.block))*inner + rest%inner
	}, nil
}

// readGrain reads the attributes that say which scale an element has.
func readGrain(n *compile.Node) grain {
	r := n.Attributes()
	g := grain{axis: r.Int("axis", 1)}
	r.Int("saturate", 1) // about 8-bit floats only
	g.block = r.Int("block_size", 0)
	return g
}

// compileQuantize compiles y = round(x / scale) + zero point, kept within what
// the type holds.
func compileQuantize(n *compile.Node) (kernel.Kernel, error) {
	g, r := readGrain(n), n.Attributes()
	to := onnx.Uint8
	if given := onnx.ElementType(r.Int("output_dtype", 0)); given != 0 {
		to = given
	}
	if p := onnx.ElementType(r.Int("precision", 0)); p != 0 && p != onnx.Float {
		return nil, onnx.Unsupported("attribute \"precision\" is %v", p)
	}
	if len(n.Inputs) > 2 && n.Inputs[2].Present {
		to = n.ElementOf(2, quantizedTypes...)
	}
	if !slices.Contains(quantizedTypes, to) {
		return nil, onnx.Unsupported("quantization to %v", to)
	}
	n.ElementOf(0, onnx.Float, onnx.Double, onnx.Int32)
	n.ElementOf(1, onnx.Float)
	n.SameShape(to)
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		x, err := kernel.CastTensor(e, in[0], onnx.Float)
		if err != nil {
			return nil, err
		}
		scaleOf, err := g.scales(e, x.Shape, in[1:])
		if err != nil {
			return nil, err
		}
		return quantizers.Of(to)(e, x, scaleOf)
	}).Kernel, nil
}

// scales reads scales, and the zero points behind them, which may be absent. It
// returns those of an element of a tensor of the shape given.
func (g grain) scales(e *kernel.Env, shape []int, in []*onnx.Tensor) (func(i int) (scale float32, zero int32), error) {
	s, err := kernel.CastTensor(e, in[0], onnx.Float)
	if err != nil {
		return nil, err
	}
	scales := s.Data.([]float32)
	zeros := make([]int32, len(scales))
	if len(in) > 1 && in[1] != nil {
		z, err := kernel.CastTensor(e, in[1], onnx.Int32)
		if err != nil {
			return nil, err
		}
		if zeros = z.Data.([]int32); len(zeros) != len(scales) {
			return nil, onnx.At(onnx.ErrInput, "%d scales and %d zero points", len(scales), len(zeros))
		}
	}
	place, err := g.of(shape, in[0].Shape)
	if err != nil {
		return nil, err
	}
	return func(i int) (float32, int32) {
		p := place(i)
		return scales[p], zeros[p]
	}, nil
}

var quantizers = kernel.PerNumber(nil, nil, nil, nil, quantize[int16], quantize[int8], nil, nil, quantize[uint16], quantize[uint8])

func quantize[T int8 | int16 | uint8 | uint16](e *kernel.Env, x *onnx.Tensor, scaleOf func(i int) (float32, int32)) (*onnx.Tensor, error) {
	out, y, err := kernel.Alloc[T](e, x.Shape...)
	if err != nil {
		return nil, err
	}
	for i, v := range x.Data.([]float32) {
		scale, zero := scaleOf(i)
		y[i] = saturated[T](float64(v/scale), zero)
	}
	return out, nil
}

// saturated rounds half to even and stays within what the type holds; NaN is the
// least.
func saturated[T int8 | int16 | uint8 | uint16](v float64, zero int32) T {
	lowest, highest := float64(0), float64(^T(0))
	if highest < 0 { // a signed type
		highest = math.Exp2(float64(int(unsafe.Sizeof(T(0))*8)-1)) - 1
		lowest = -highest - 1
	}
	v = math.RoundToEven(v) + float64(zero)
	if !(v > lowest) {
		return T(lowest)
	}
	return T(min(v, highest))
}

// compileDequantize compiles y = (x − zero point) · scale.
func compileDequantize(n *compile.Node) (kernel.Kernel, error) {
	g := readGrain(n)
	to := n.ElementOf(1, onnx.Float)
	if given := onnx.ElementType(n.Attributes().Int("output_dtype", int64(to))); given != to {
		return nil, onnx.Unsupported("attribute \"output_dtype\" is %v", given)
	}
	n.ElementOf(0, append(slices.Clone(quantizedTypes), onnx.Int32)...)
	n.SameShape(to)
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		x, err := kernel.CastTensor(e, in[0], onnx.Int32)
		if err != nil {
			return nil, err
		}
		scaleOf, err := g.scales(e, x.Shape, in[1:])
		if err != nil {
			return nil, err
		}
		out, y, err := kernel.Alloc[float32](e, x.Shape...)
		if err != nil {
			return nil, err
		}
		for i, v := range x.Data.([]int32) {
			scale, zero := scaleOf(i)
			y[i] = float32(v-zero) * scale
		}
		return out, nil
	}).Kernel, nil
}

// compileDynamicQuantize compiles the quantization of a tensor by its own least
// and largest element.
func compileDynamicQuantize(n *compile.Node) (kernel.Kernel, error) {
	n.ElementOf(0, onnx.Float)
	n.SameShape(onnx.Uint8)
	n.Outputs[1], n.Outputs[2] = onnx.TensorType(onnx.Float), onnx.TensorType(onnx.Uint8)
	return func(e *kernel.Env, in []kernel.Value) ([]kernel.Value, error) {
		x, err := kernel.TensorOf(in[0])
		if err != nil {
			return nil, err
		}
		lowest, highest := float32(0), float32(0)
		for _, v := range x.Data.([]float32) {
			lowest, highest = min(lowest, v), max(highest, v)
		}
		scale, zero := float32(1), uint8(0)
		if lowest != highest {
			scale = (highest - lowest) / 255
			zero = saturated[uint8](float64(-lowest/scale), 0)
		}
		y, err := quantize[uint8](e, x, func(int) (float32, int32) { return scale, int32(zero) })
		return []kernel.Value{y, onnx.NewTensor(nil, []float32{scale}), onnx.NewTensor(nil, []uint8{zero})}, err
	}, nil
}

// shifted takes the zero points off, which are one for all, one a row (of the
// left matrix) or one a column (of the right one).
func shifted(e *kernel.Env, t, zeros *onnx.Tensor, left bool) (*onnx.Tensor, error) {
	wide, err := kernel.CastTensor(e, t, onnx.Int32)
	if err != nil || zeros == nil {
		return wide, err
	}
	if zeros, err = kernel.CastTensor(e, zeros, onnx.Int32); err != nil {
		return nil, err
	}
	if left && len(zeros.Shape) == 1 && zeros.Shape[0] > 1 {
		zeros = kernel.Reshaped(zeros, []int{zeros.Shape[0], 1})
	}
	if zeros.Len() == 1 {
		zeros = kernel.Reshaped(zeros, nil)
	}
	out, err := kernel.Apply2(e, wide, zeros, sub[int32])
	if err == nil && !slices.Equal(out.Shape, t.Shape) {
		err = onnx.At(onnx.ErrInput, "zero points of shape %v for shape %v", zeros.Shape, t.Shape)
	}
	return out, err
}

func compileMatMulInteger(n *compile.Node) (kernel.Kernel, error) {
	n.ElementOf(0, onnx.Uint8, onnx.Int8)
	n.ElementOf(1, onnx.Uint8, onnx.Int8)
	if err := matMulShape(n, onnx.Int32); err != nil {
		return nil, err
	}
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		var zeros [2]*onnx.Tensor
		copy(zeros[:], in[2:])
		return integerProduct(e, in[0], in[1], zeros[0], zeros[1])
	}).Kernel, nil
}

// integerProduct multiplies matrices of small whole numbers without loss.
func integerProduct(e *kernel.Env, a, b, zeroA, zeroB *onnx.Tensor) (*onnx.Tensor, error) {
	a, err := shifted(e, a, zeroA, true)
	if err != nil {
		return nil, err
	}
	if b, err = shifted(e, b, zeroB, false); err != nil {
		return nil, err
	}
	return matMul(e, a, b, dotInts[int32])
}

// compileQLinearMatMul compiles the product of two quantized matrices, quantized
// again.
func compileQLinearMatMul(n *compile.Node) (kernel.Kernel, error) {
	to := n.ElementOf(7, onnx.Uint8, onnx.Int8)
	n.Inferred(to, nil, false)
	n.ElementOf(0, onnx.Uint8, onnx.Int8)
	n.ElementOf(3, onnx.Uint8, onnx.Int8)
	for _, i := range []int{1, 4, 6} {
		n.ElementOf(i, onnx.Float)
	}
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		sums, err := integerProduct(e, in[0], in[3], in[2], in[5])
		if err != nil {
			return nil, err
		}
		scale, err := productScale(e, in[1], in[4])
		if err != nil {
			return nil, err
		}
		return requantize(e, sums, scale, in[6], in[7])
	}).Kernel, nil
}

// productScale is the scale of a product of two quantized matrices.
func productScale(e *kernel.Env, a, b *onnx.Tensor) (*onnx.Tensor, error) {
	if len(a.Shape) == 1 && a.Shape[0] > 1 {
		a = kernel.Reshaped(a, []int{a.Shape[0], 1})
	}
	return kernel.Apply2(e, a, b, mul[float32])
}

// requantize brings the sums of products to the scale of the result.
func requantize(e *kernel.Env, sums, scale, resultScale, zero *onnx.Tensor) (*onnx.Tensor, error) {
	scale, err := kernel.Apply2(e, scale, resultScale, div[float32])
	if err != nil {
		return nil, err
	}
	x, err := kernel.CastTensor(e, sums, onnx.Float)
	if err != nil {
		return nil, err
	}
	if scale.Len() == 1 {
		scale = kernel.Reshaped(scale, nil)
	}
	if x, err = kernel.Apply2(e, x, scale, mul[float32]); err != nil {
		return nil, err
	}
	if !slices.Equal(x.Shape, sums.Shape) || zero.Len() != 1 {
		return nil, onnx.At(onnx.ErrInput, "scales of shape %v, zero points of shape %v for shape %v", scale.Shape, zero.Shape, sums.Shape)
	}
	zeros, err := kernel.CastTensor(e, zero, onnx.Int32)
	if err != nil {
		return nil, err
	}
	z := zeros.Data.([]int32)[0]
	return quantizers.Of(zero.Type())(e, x, func(int) (float32, int32) { return 1, z })
}

// compileQGemm compiles onnxruntime's product of two quantized matrices with a
// bias; without a scale of the result it is not quantized again.
func compileQGemm(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	alpha := r.Float("alpha", 1)
	transA, transB := r.Bool("transA", false), r.Bool("transB", false)
	n.ElementOf(0, onnx.Uint8, onnx.Int8)
	n.ElementOf(3, onnx.Uint8, onnx.Int8)
	to := onnx.Float
	if len(n.Inputs) > 8 && n.Inputs[7].Present && n.Inputs[8].Present {
		to = n.ElementOf(8, onnx.Uint8, onnx.Int8)
	}
	n.Inferred(to, []onnx.Dim{onnx.Symbolic(""), onnx.Symbolic("")}, true)
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		in = append(slices.Clone(in), make([]*onnx.Tensor, 9-len(in))...)
		a, b := in[0], in[3]
		if len(a.Shape) != 2 || len(b.Shape) != 2 {
			return nil, onnx.At(onnx.ErrInput, "shapes %v and %v, matrices wanted", a.Shape, b.Shape)
		}
		var err error
		for _, side := range []struct {
			t     **onnx.Tensor
			trans bool
		}{{&a, transA}, {&b, transB}} {
			if !side.trans {
				continue
			}
			shape, w := kernel.Permuted((*side.t).Shape, []int{1, 0})
			if *side.t, err = kernel.Take(e, *side.t, shape, func(int) int { return w.Next() }); err != nil {
				return nil, err
			}
		}
		sums, err := integerProduct(e, a, b, in[2], in[5])
		if err != nil {
			return nil, err
		}
		if in[6] != nil {
			if sums, err = kernel.Apply2(e, sums, in[6], add[int32]); err != nil {
				return nil, err
			}
		}
		scale, err := productScale(e, in[1], in[4])
		if err != nil {
			return nil, err
		}
		if scale, err = kernel.Apply1(e, scale, func(s float32) float32 { return alpha * s }); err != nil {
			return nil, err
		}
		if to != onnx.Float {
			return requantize(e, sums, scale, in[7], in[8])
		}
		x, err := kernel.CastTensor(e, sums, onnx.Float)
		if err != nil {
			return nil, err
		}
		return kernel.Apply2(e, x, scale, mul[float32])
	}).Kernel, nil
}
