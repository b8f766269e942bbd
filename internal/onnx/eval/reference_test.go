package eval

import (
	"math"
	"slices"
	"sort"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
)

// What follows is a second evaluator of the tensor operators: slow, in float64,
// one element at a time by its coordinates, written from the specification and
// not from the kernels.

// A refValue is a tensor of the reference.
type refValue struct {
	shape []int
	data  []float64 // bools are 0 and 1, strings see textOf
	kind  onnx.ElementType
	// exact says that float32 holds each element without rounding. What jumps,
	// such as a comparison, is asked of exact values only.
	exact bool
	slack float64 // how far what is not exact may be off; 0 means little
}

func (v refValue) at(coord []int) float64 {
	flat := 0
	for i, d := range v.shape {
		flat = flat*d + coord[i]
	}
	return v.data[flat]
}

// spread reads an element by the coordinates of a shape that v is broadcast to.
func (v refValue) spread(coord []int) float64 {
	own := slices.Clone(coord[len(coord)-len(v.shape):])
	for i, d := range v.shape {
		if d == 1 {
			own[i] = 0
		}
	}
	return v.at(own)
}

// fill makes a value from a function of the coordinates.
func fill(kind onnx.ElementType, exact bool, shape []int, of func(coord []int) float64) refValue {
	v := refValue{shape: slices.Clone(shape), kind: kind, exact: exact}
	coord := make([]int, len(shape))
	for range kernel.Product(shape) {
		v.data = append(v.data, of(coord))
		for i := len(coord) - 1; i >= 0; i-- {
			if coord[i]++; coord[i] < shape[i] {
				break
			}
			coord[i] = 0
		}
	}
	return v
}

// refBroadcast is the common shape of two; ok is false where there is none.
func refBroadcast(a, b []int) (shape []int, ok bool) {
	shape = make([]int, max(len(a), len(b)))
	for i := range shape {
		x, y := 1, 1
		if k := i - len(shape) + len(a); k >= 0 {
			x = a[k]
		}
		if k := i - len(shape) + len(b); k >= 0 {
			y = b[k]
		}
		if x != y && x != 1 && y != 1 {
			return nil, false
		}
		shape[i] = max(x, y)
	}
	return shape, true
}

var refBinary = map[string]func(a, b float64) float64{
	"Add": func(a, b float64) float64 { return a + b },
	"Sub": func(a, b float64) float64 { return a - b },
	"Mul": func(a, b float64) float64 { return a * b },
	"Div": func(a, b float64) float64 { return a / b },
	"Max": math.Max,
	"Min": math.Min,
}

var refCompare = map[string]func(a, b float64) bool{
	"Equal":          func(a, b float64) bool { return a == b },
	"Less":           func(a, b float64) bool { return a < b },
	"Greater":        func(a, b float64) bool { return a > b },
	"LessOrEqual":    func(a, b float64) bool { return a <= b },
	"GreaterOrEqual": func(a, b float64) bool { return a >= b },
}

var refLogic = map[string]func(a, b bool) bool{
	"And": func(a, b bool) bool { return a && b },
	"Or":  func(a, b bool) bool { return a || b },
}

var refUnary = map[string]func(x float64) float64{
	"Abs":     math.Abs,
	"Neg":     func(x float64) float64 { return -x },
	"Relu":    func(x float64) float64 { return math.Max(x, 0) },
	"Exp":     math.Exp,
	"Log":     math.Log,
	"Sqrt":    math.Sqrt,
	"Tanh":    math.Tanh,
	"Sigmoid": func(x float64) float64 { return 1 / (1 + math.Exp(-x)) },
	"Erf":     math.Erf,

	"Softplus":    func(x float64) float64 { return math.Log(1 + math.Exp(x)) },
	"Softsign":    func(x float64) float64 { return x / (1 + math.Abs(x)) },
	"HardSwish":   func(x float64) float64 { return x * math.Max(0, math.Min(1, x/6+0.5)) },
	"LeakyRelu":   func(x float64) float64 { return math.Max(0, x) + 0.01*math.Min(0, x) },
	"Elu":         func(x float64) float64 { return math.Max(0, x) + math.Min(0, math.Exp(x)-1) },
	"Selu":        func(x float64) float64 { return 1.0507 * (math.Max(0, x) + 1.67326*math.Min(0, math.Exp(x)-1)) },
	"Celu":        func(x float64) float64 { return math.Max(0, x) + math.Min(0, math.Exp(x)-1) },
	"HardSigmoid": func(x float64) float64 { return math.Max(0, math.Min(1, 0.2*x+0.5)) },
	"Sin":         math.Sin,
	"Cos":         math.Cos,
	"Atan":        math.Atan,
	"Asinh":       func(x float64) float64 { return math.Log(x + math.Sqrt(x*x+1)) },
}

func boolTo(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// refMatMul multiplies matrices, the last two axes of each.
func refMatMul(a, b refValue) (refValue, bool) {
	if len(a.shape) < 2 || len(b.shape) < 2 || a.shape[len(a.shape)-1] != b.shape[len(b.shape)-2] {
		return refValue{}, false
	}
	batch, ok := refBroadcast(a.shape[:len(a.shape)-2], b.shape[:len(b.shape)-2])
	if !ok {
		return refValue{}, false
	}
	inner := a.shape[len(a.shape)-1]
	shape := append(batch, a.shape[len(a.shape)-2], b.shape[len(b.shape)-1])
	return fill(onnx.Float, a.exact && b.exact, shape, func(c []int) float64 {
		n := len(c)
		sum := 0.0
		for k := range inner {
			left, right := slices.Clone(c), slices.Clone(c)
			left[n-1], right[n-2] = k, k
			sum += a.spreadMatrix(left) * b.spreadMatrix(right)
		}
		return sum
	}), true
}

// spreadMatrix is spread for all axes but the last two.
func (v refValue) spreadMatrix(coord []int) float64 {
	own := slices.Clone(coord[len(coord)-len(v.shape):])
	for i := range len(own) - 2 {
		if v.shape[i] == 1 {
			own[i] = 0
		}
	}
	return v.at(own)
}

func refTranspose(v refValue, perm []int) refValue {
	shape := make([]int, len(perm))
	for i, p := range perm {
		shape[i] = v.shape[p]
	}
	return fill(v.kind, v.exact, shape, func(c []int) float64 {
		from := make([]int, len(c))
		for i, p := range perm {
			from[p] = c[i]
		}
		return v.at(from)
	})
}

// along lists the elements along an axis at coordinates.
func (v refValue) along(coord []int, axis int) []float64 {
	c := slices.Clone(coord)
	var list []float64
	for k := range v.shape[axis] {
		c[axis] = k
		list = append(list, v.at(c))
	}
	return list
}

func sumOf(list []float64) float64 {
	sum := 0.0
	for _, x := range list {
		sum += x
	}
	return sum
}

var refReduce = map[string]func(list []float64) float64{
	"ReduceSum":  sumOf,
	"ReduceMean": func(list []float64) float64 { return sumOf(list) / float64(len(list)) },
	"ReduceMax":  func(list []float64) float64 { return slices.Max(list) },
	"ReduceMin":  func(list []float64) float64 { return slices.Min(list) },
	"ReduceSumSquare": func(list []float64) float64 {
		sum := 0.0
		for _, x := range list {
			sum += x * x
		}
		return sum
	},
	"ReduceL1": func(list []float64) float64 {
		sum := 0.0
		for _, x := range list {
			sum += math.Abs(x)
		}
		return sum
	},
}

// refReduceAxis reduces one axis.
func refReduceAxis(v refValue, kind onnx.ElementType, axis int, keep bool, of func([]float64) float64) refValue {
	shape := slices.Clone(v.shape)
	shape[axis] = 1
	out := fill(kind, v.exact, shape, func(c []int) float64 { return of(v.along(c, axis)) })
	if !keep {
		out.shape = slices.Delete(out.shape, axis, axis+1)
	}
	return out
}

// refOrder ranks the elements of a list, equals by place.
func refOrder(list []float64, largest bool) []int {
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool {
		if largest {
			return list[order[a]] > list[order[b]]
		}
		return list[order[a]] < list[order[b]]
	})
	return order
}

func refTopK(v refValue, axis, k int, largest bool) (values, indices refValue) {
	shape := slices.Clone(v.shape)
	shape[axis] = k
	rank := func(c []int) int { return refOrder(v.along(c, axis), largest)[c[axis]] }
	values = fill(v.kind, v.exact, shape, func(c []int) float64 { return v.along(c, axis)[rank(c)] })
	indices = fill(onnx.Int64, true, shape, func(c []int) float64 { return float64(rank(c)) })
	return values, indices
}

func refGather(v refValue, axis int, index []int) refValue {
	shape := slices.Clone(v.shape)
	shape[axis] = len(index)
	return fill(v.kind, v.exact, shape, func(c []int) float64 {
		from := slices.Clone(c)
		if from[axis] = index[c[axis]]; from[axis] < 0 {
			from[axis] += v.shape[axis]
		}
		return v.at(from)
	})
}

// refSlice takes the places start, start+step, … that lie before end.
func refSlice(length, start, end, step int) []int {
	clamp := func(x, low, high int) int {
		if x < 0 {
			x += length
		}
		return min(max(x, low), high)
	}
	var places []int
	if step > 0 {
		for i := clamp(start, 0, length); i < clamp(end, 0, length); i += step {
			places = append(places, i)
		}
		return places
	}
	for i := clamp(start, 0, length-1); i > clamp(end, -1, length-1); i += step {
		places = append(places, i)
	}
	return places
}

func refConcat(a, b refValue, axis int) refValue {
	shape := slices.Clone(a.shape)
	shape[axis] += b.shape[axis]
	return fill(a.kind, a.exact && b.exact, shape, func(c []int) float64 {
		if c[axis] < a.shape[axis] {
			return a.at(c)
		}
		from := slices.Clone(c)
		from[axis] -= a.shape[axis]
		return b.at(from)
	})
}

func refSoftmax(v refValue, axis int, log bool) refValue {
	return fill(onnx.Float, false, v.shape, func(c []int) float64 {
		list := v.along(c, axis)
		top, sum := slices.Max(list), 0.0
		for _, x := range list {
			sum += math.Exp(x - top)
		}
		if log {
			return v.at(c) - top - math.Log(sum)
		}
		return math.Exp(v.at(c)-top) / sum
	})
}
