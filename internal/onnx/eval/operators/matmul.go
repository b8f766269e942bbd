package operators

import (
	"math"
	"slices"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/compile"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
	"github.com/petal-ml/petal/internal/onnx/eval/numeric"
)

func matrixOperators() []compile.Operator {
	return []compile.Operator{
		compile.Row("MatMul", 1, 2, 2, compileMatMul),
		compile.Row("Gemm", 7, 2, 3, compileGemm),
		compile.Row("CDist", 1, 2, 2, compileCDist).Of(onnx.DomainMicrosoft),
	}
}

func compileMatMul(n *compile.Node) (kernel.Kernel, error) {
	element := n.SameTypes(onnx.Float, onnx.Double, onnx.Int64, onnx.Int32)
	if err := matMulShape(n, element); err != nil {
		return nil, err
	}
	return products[element].Kernel, nil
}

var products = map[onnx.ElementType]kernel.TensorKernel{
	onnx.Float: product(numeric.Dot[float32]), onnx.Double: product(numeric.Dot[float64]),
	onnx.Int64: product(dotInts[int64]), onnx.Int32: product(dotInts[int32]),
}

// product makes the kernel of a matrix product out of that of two vectors.
func product[T numeric.Number](dot func(x, y []T, stride int) T) kernel.TensorKernel {
	return func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) { return matMul(e, in[0], in[1], dot) }
}

func dotInts[T numeric.Number](x, y []T, stride int) T {
	var sum T
	for k, v := range x {
		sum += v * y[k*stride]
	}
	return sum
}

func matMulShape(n *compile.Node, e onnx.ElementType) error {
	a, b := n.Inputs[0].Type, n.Inputs[1].Type
	if !a.HasShape || !b.HasShape || len(a.Shape) == 0 || len(b.Shape) == 0 {
		n.Inferred(e, nil, false)
		return nil
	}
	x, y := a.Shape, b.Shape
	vectorA, vectorB := len(x) == 1, len(y) == 1
	if vectorA {
		x = []onnx.Dim{onnx.Fixed(1), x[0]}
	}
	if vectorB {
		y = []onnx.Dim{y[0], onnx.Fixed(1)}
	}
	if i, j := x[len(x)-1].Size, y[len(y)-2].Size; i >= 0 && j >= 0 && i != j {
		return onnx.Invalid("a product of %v and %v", a, b)
	}
	shape, err := compile.BroadcastDims(x[:len(x)-2], y[:len(y)-2])
	if err != nil {
		return err
	}
	if !vectorA {
		shape = append(shape, x[len(x)-2])
	}
	if !vectorB {
		shape = append(shape, y[len(y)-1])
	}
	n.Inferred(e, shape, true)
	return nil
}

// matMul multiplies stacks of matrices as NumPy does.
func matMul[T numeric.Number](e *kernel.Env, a, b *onnx.Tensor, dot func(x, y []T, stride int) T) (*onnx.Tensor, error) {
	if len(a.Shape) == 0 || len(b.Shape) == 0 {
		return nil, onnx.At(onnx.ErrInput, "a product of shapes %v and %v", a.Shape, b.Shape)
	}
	sa, sb := a.Shape, b.Shape
	vectorA, vectorB := len(sa) == 1, len(sb) == 1
	if vectorA {
		sa = []int{1, sa[0]}
	}
	if vectorB {
		sb = []int{sb[0], 1}
	}
	m, k, n := sa[len(sa)-2], sa[len(sa)-1], sb[len(sb)-1]
	if sb[len(sb)-2] != k {
		return nil, onnx.At(onnx.ErrInput, "a product of shapes %v and %v", a.Shape, b.Shape)
	}
	stack, err := kernel.BroadcastShapes(sa[:len(sa)-2], sb[:len(sb)-2])
	if err != nil {
		return nil, err
	}
	shape := slices.Clone(stack)
	if !vectorA {
		shape = append(shape, m)
	}
	if !vectorB {
		shape = append(shape, n)
	}
	out, z, err := kernel.Alloc[T](e, shape...)
	if err != nil || len(z) == 0 {
		return out, err
	}
	x, y := a.Data.([]T), b.Data.([]T)
	wa, wb := kernel.NewWalker(sa[:len(sa)-2], stack), kernel.NewWalker(sb[:len(sb)-2], stack)
	for s := range kernel.Product(stack) {
		left, right := x[wa.Next()*m*k:], y[wb.Next()*k*n:]
		for i := range m {
			if err := e.Spend(k * n); err != nil {
				return nil, err
			}
			for j := range n {
				if k == 0 {
					continue
				}
				z[(s*m+i)*n+j] = dot(left[i*k:(i+1)*k], right[j:], n)
			}
		}
	}
	return out, nil
}

func compileGemm(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	alpha, beta := r.Float("alpha", 1), r.Float("beta", 1)
	transA, transB := r.Bool("transA", false), r.Bool("transB", false)
	element := n.SameTypes(onnx.Float, onnx.Double)
	rows, columns := onnx.Symbolic(""), onnx.Symbolic("")
	for i, of := range []struct {
		dim   *onnx.Dim
		trans bool
		axis  int
	}{{&rows, transA, 0}, {&columns, !transB, 0}} {
		t := n.Inputs[i].Type
		if t.HasShape && len(t.Shape) != 2 {
			return nil, onnx.Invalid("input %d is %v, a matrix wanted", i, t)
		}
		if t.HasShape {
			*of.dim = t.Shape[0]
			if of.trans {
				*of.dim = t.Shape[1]
			}
		}
	}
	n.Inferred(element, []onnx.Dim{rows, columns}, true)
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		var c *onnx.Tensor
		if len(in) > 2 {
			c = in[2]
		}
		if element == onnx.Double {
			return gemm[float64](e, in[0], in[1], c, float64(alpha), float64(beta), transA, transB)
		}
		return gemm(e, in[0], in[1], c, alpha, beta, transA, transB)
	}).Kernel, nil
}

func gemm[T float32 | float64](e *kernel.Env, a, b, c *onnx.Tensor, alpha, beta T, transA, transB bool) (*onnx.Tensor, error) {
	var err error
	if len(a.Shape) != 2 || len(b.Shape) != 2 {
		return nil, onnx.At(onnx.ErrInput, "shapes %v and %v, matrices wanted", a.Shape, b.Shape)
	}
	if transA {
		if a, err = kernel.Transpose[T](e, a, []int{1, 0}); err != nil {
			return nil, err
		}
	}
	if transB {
		if b, err = kernel.Transpose[T](e, b, []int{1, 0}); err != nil {
			return nil, err
		}
	}
	out, err := matMul(e, a, b, numeric.Dot[T])
	if err != nil {
		return nil, err
	}
	z := out.Data.([]T)
	for i := range z {
		z[i] *= alpha
	}
	if c == nil {
		return out, nil
	}
	shape, err := kernel.BroadcastShapes(out.Shape, c.Shape)
	if err != nil || !slices.Equal(shape, out.Shape) {
		return nil, onnx.At(onnx.ErrInput, "shape %v does not stretch to %v", c.Shape, out.Shape)
	}
	return kernel.Apply2(e, out, c, func(x, y T) T { return x + beta*y })
}

// compileCDist compiles the distances between all rows of two matrices.
func compileCDist(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	metric := r.OneOf("metric", "sqeuclidean", "euclidean")
	element := n.SameTypes(onnx.Float, onnx.Double)
	n.Inferred(element, []onnx.Dim{onnx.Symbolic(""), onnx.Symbolic("")}, true)
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		if element == onnx.Double {
			return cdist[float64](e, in[0], in[1], metric == "euclidean")
		}
		return cdist[float32](e, in[0], in[1], metric == "euclidean")
	}).Kernel, nil
}

func cdist[T float32 | float64](e *kernel.Env, a, b *onnx.Tensor, root bool) (*onnx.Tensor, error) {
	if len(a.Shape) != 2 || len(b.Shape) != 2 || a.Shape[1] != b.Shape[1] {
		return nil, onnx.At(onnx.ErrInput, "distances between shapes %v and %v", a.Shape, b.Shape)
	}
	out, z, err := kernel.Alloc[T](e, a.Shape[0], b.Shape[0])
	if err != nil {
		return nil, err
	}
	x, y, k := a.Data.([]T), b.Data.([]T), a.Shape[1]
	for i := range a.Shape[0] {
		if err := e.Spend(k * b.Shape[0]); err != nil {
			return nil, err
		}
		for j := range b.Shape[0] {
			sum := 0.0
			for l := range k {
				d := float64(x[i*k+l]) - float64(y[j*k+l])
				sum += d * d
			}
			if root {
				sum = math.Sqrt(sum)
			}
			z[i*b.Shape[0]+j] = T(sum)
		}
	}
	return out, nil
}
