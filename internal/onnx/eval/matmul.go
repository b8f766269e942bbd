package eval

import (
	"github.com/petal-ml/petal/internal/onnx"
	"math"
	"slices"
)

func matrixOperators() []operator {
	cdist := standard("CDist", 1, 2, 2, compileCDist)
	cdist.domain = onnx.DomainMicrosoft
	return []operator{
		standard("MatMul", 1, 2, 2, compileMatMul),
		standard("Gemm", 7, 2, 3, compileGemm),
		cdist,
	}
}

// dot adds up products with one rounding a step, in blocks as long as those of
// onnxruntime's matrix product: sums, ties and overflows come out alike.
func dot[T float32 | float64](x, y []T, stride int) T {
	const block = 128
	total := T(0)
	for first := 0; first < len(x); first += block {
		sum := T(0)
		for k := first; k < min(first+block, len(x)); k++ {
			sum = T(float64(x[k])*float64(y[k*stride]) + float64(sum))
		}
		if first == 0 {
			total = sum
		} else {
			total += sum
		}
	}
	return total
}

func compileMatMul(n *nodeCompiler) (kernel, error) {
	element, err := n.sameTypes(onnx.Float, onnx.Double, onnx.Int64, onnx.Int32)
	if err != nil {
		return nil, err
	}
	if err := n.matMulShape(element); err != nil {
		return nil, err
	}
	return tensorKernel(func(e *env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		switch element {
		case onnx.Float:
			return matMul(e, in[0], in[1], dot[float32])
		case onnx.Double:
			return matMul(e, in[0], in[1], dot[float64])
		case onnx.Int64:
			return matMul(e, in[0], in[1], dotInts[int64])
		default:
			return matMul(e, in[0], in[1], dotInts[int32])
		}
	}).kernel, nil
}

func dotInts[T number](x, y []T, stride int) T {
	var sum T
	for k, v := range x {
		sum += v * y[k*stride]
	}
	return sum
}

func (n *nodeCompiler) matMulShape(e onnx.ElementType) error {
	a, b := n.inputs[0].typ, n.inputs[1].typ
	if !a.HasShape || !b.HasShape || len(a.Shape) == 0 || len(b.Shape) == 0 {
		n.inferred(e, nil, false)
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
	shape, err := broadcastDims(x[:len(x)-2], y[:len(y)-2])
	if err != nil {
		return err
	}
	if !vectorA {
		shape = append(shape, x[len(x)-2])
	}
	if !vectorB {
		shape = append(shape, y[len(y)-1])
	}
	n.inferred(e, shape, true)
	return nil
}

// matMul multiplies stacks of matrices as NumPy does.
func matMul[T number](e *env, a, b *onnx.Tensor, dot func(x, y []T, stride int) T) (*onnx.Tensor, error) {
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
	stack, err := broadcastShapes(sa[:len(sa)-2], sb[:len(sb)-2])
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
	out, z, err := alloc[T](e, shape...)
	if err != nil || len(z) == 0 {
		return out, err
	}
	x, y := a.Data.([]T), b.Data.([]T)
	wa, wb := newWalker(sa[:len(sa)-2], stack), newWalker(sb[:len(sb)-2], stack)
	for s := range product(stack) {
		left, right := x[wa.next()*m*k:], y[wb.next()*k*n:]
		for i := range m {
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

func compileGemm(n *nodeCompiler) (kernel, error) {
	r := n.attributes()
	alpha, beta := r.float("alpha", 1), r.float("beta", 1)
	transA, transB := r.bool("transA", false), r.bool("transB", false)
	if r.err != nil {
		return nil, r.err
	}
	element, err := n.sameTypes(onnx.Float, onnx.Double)
	if err != nil {
		return nil, err
	}
	rows, columns := onnx.Symbolic(""), onnx.Symbolic("")
	for i, of := range []struct {
		dim   *onnx.Dim
		trans bool
		axis  int
	}{{&rows, transA, 0}, {&columns, !transB, 0}} {
		t := n.inputs[i].typ
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
	n.inferred(element, []onnx.Dim{rows, columns}, true)
	return tensorKernel(func(e *env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		var c *onnx.Tensor
		if len(in) > 2 {
			c = in[2]
		}
		if element == onnx.Double {
			return gemm[float64](e, in[0], in[1], c, float64(alpha), float64(beta), transA, transB)
		}
		return gemm(e, in[0], in[1], c, alpha, beta, transA, transB)
	}).kernel, nil
}

func gemm[T float32 | float64](e *env, a, b, c *onnx.Tensor, alpha, beta T, transA, transB bool) (*onnx.Tensor, error) {
	var err error
	if len(a.Shape) != 2 || len(b.Shape) != 2 {
		return nil, onnx.At(onnx.ErrInput, "shapes %v and %v, matrices wanted", a.Shape, b.Shape)
	}
	if transA {
		if a, err = transpose[T](e, a, []int{1, 0}); err != nil {
			return nil, err
		}
	}
	if transB {
		if b, err = transpose[T](e, b, []int{1, 0}); err != nil {
			return nil, err
		}
	}
	out, err := matMul(e, a, b, dot[T])
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
	shape, err := broadcastShapes(out.Shape, c.Shape)
	if err != nil || !slices.Equal(shape, out.Shape) {
		return nil, onnx.At(onnx.ErrInput, "shape %v does not stretch to %v", c.Shape, out.Shape)
	}
	return apply2(e, out, c, func(x, y T) T { return x + beta*y })
}

// compileCDist compiles the distances between all rows of two matrices.
func compileCDist(n *nodeCompiler) (kernel, error) {
	r := n.attributes()
	metric := r.oneOf("metric", "sqeuclidean", "euclidean")
	if r.err != nil {
		return nil, r.err
	}
	element, err := n.sameTypes(onnx.Float, onnx.Double)
	if err != nil {
		return nil, err
	}
	n.inferred(element, []onnx.Dim{onnx.Symbolic(""), onnx.Symbolic("")}, true)
	return tensorKernel(func(e *env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		if element == onnx.Double {
			return cdist[float64](e, in[0], in[1], metric == "euclidean")
		}
		return cdist[float32](e, in[0], in[1], metric == "euclidean")
	}).kernel, nil
}

func cdist[T float32 | float64](e *env, a, b *onnx.Tensor, root bool) (*onnx.Tensor, error) {
	if len(a.Shape) != 2 || len(b.Shape) != 2 || a.Shape[1] != b.Shape[1] {
		return nil, onnx.At(onnx.ErrInput, "distances between shapes %v and %v", a.Shape, b.Shape)
	}
	out, z, err := alloc[T](e, a.Shape[0], b.Shape[0])
	if err != nil {
		return nil, err
	}
	x, y, k := a.Data.([]T), b.Data.([]T), a.Shape[1]
	for i := range a.Shape[0] {
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
