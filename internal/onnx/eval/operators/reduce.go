package operators

import (
	"math"
	"slices"
	"sort"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/compile"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
	"github.com/petal-ml/petal/internal/onnx/eval/numeric"
)

func reductionOperators() []compile.Operator {
	return []compile.Operator{
		reduce("ReduceSum", 13, reduction{step: plus, wholeStep: add[int64]}),
		reduce("ReduceMean", 18, reduction{step: plus, done: func(sum float64, n int) float64 { return sum / float64(n) }}),
		reduce("ReduceMax", 18, largest, onnx.Bool),
		reduce("ReduceMin", 18, reduction{
			start: math.Inf(1), step: math.Min, wholeStart: math.MaxInt64, wholeStep: func(a, b int64) int64 { return min(a, b) },
		}, onnx.Bool),
		reduce("ReduceProd", 18, reduction{start: 1, step: mul[float64], wholeStart: 1, wholeStep: mul[int64]}),
		reduce("ReduceSumSquare", 18, reduction{step: plusSquare, each: true}),
		reduce("ReduceL1", 18, absolute),
		reduce("ReduceL2", 18, euclidean),
		reduce("ReduceLogSum", 18, reduction{step: plus, done: func(sum float64, _ int) float64 { return math.Log(sum) }, each: true}),
		reduce("ReduceLogSumExp", 18, reduction{along: logSumExp}),
		compile.Row("ArgMax", 1, 1, 1, compileArg(false)),
		compile.Row("ArgMin", 1, 1, 1, compileArg(true)),
		compile.Row("Softmax", 1, 1, 1, compileSoftmax(false)),
		compile.Row("LogSoftmax", 1, 1, 1, compileSoftmax(true)),
		compile.Row("CumSum", 11, 2, 2, compileCumulative(cumSums)),
		compile.Row("CumProd", 26, 2, 2, compileCumulative(cumProducts)),
		compile.Row("TopK", 1, 1, 2, compileTopK).Outputs(2, 2),
	}
}

// A reduction folds numbers in float64: step takes one more, done, which may be
// nil, ends it.
type reduction struct {
	start float64
	step  func(sum, x float64) float64
	done  func(sum float64, n int) float64
	// wholeStep folds int64, which float64 would not hold exactly; nil where
	// float64 will do.
	wholeStart int64
	wholeStep  func(sum, x int64) int64
	// along reduces in another way.
	along func(e *kernel.Env, x *onnx.Tensor, axes []int, keep bool) (*onnx.Tensor, error)
	// each says that elements change even where no axis is reduced.
	each bool
}

func plus(sum, x float64) float64       { return sum + x }
func plusSquare(sum, x float64) float64 { return sum + x*x }

var (
	largest = reduction{
		start: math.Inf(-1), step: math.Max, wholeStart: math.MinInt64, wholeStep: func(a, b int64) int64 { return max(a, b) },
	}
	absolute  = reduction{step: func(sum, x float64) float64 { return sum + math.Abs(x) }, each: true}
	euclidean = reduction{step: plusSquare, done: func(sum float64, _ int) float64 { return math.Sqrt(sum) }, each: true}
)

// reduce makes the row of a reduction of numbers and the types in more. Its axes
// are an input from version axesSince of the operator set on, an attribute before.
func reduce(name string, axesSince int64, r reduction, more ...onnx.ElementType) compile.Operator {
	return compile.Row(name, 1, 1, 2, func(n *compile.Node) (kernel.Kernel, error) {
		return compileReduce(n, n.Opset >= axesSince, r, append(compile.NumericTypes(), more...))
	})
}

func compileReduce(n *compile.Node, fromInput bool, by reduction, allowed []onnx.ElementType) (kernel.Kernel, error) {
	r := n.Attributes()
	keep := r.Bool("keepdims", true)
	var axes []int64
	skipEmpty := false
	if fromInput {
		skipEmpty = r.Bool("noop_with_empty_axes", false)
		if t, ok := n.ConstantTensor(1); ok {
			var err error
			if axes, err = kernel.IntsOf(t); err != nil {
				return nil, err
			}
		}
	} else {
		axes = r.Ints("axes")
		if len(n.Inputs) > 1 {
			return nil, onnx.Invalid("axes as an input before they were one")
		}
	}
	element := n.ElementOf(0, allowed...)
	known := !fromInput || len(n.Inputs) < 2 || !n.Inputs[1].Present
	if _, ok := n.ConstantTensor(1); ok {
		known = true
	}
	if err := reducedShape(n, element, axes, keep, skipEmpty, known); err != nil {
		return nil, err
	}
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		axes := axes
		if fromInput && len(in) > 1 && in[1] != nil {
			var err error
			if axes, err = kernel.IntsOf(in[1]); err != nil {
				return nil, err
			}
		}
		if len(axes) == 0 && skipEmpty {
			if by.each {
				return reduceAxes(e, in[0], by, []int{}, true)
			}
			return in[0], nil
		}
		positions, err := reducedAxes(axes, len(in[0].Shape))
		if err != nil {
			return nil, err
		}
		return reduceAxes(e, in[0], by, positions, keep)
	}).Kernel, nil
}

// reducedAxes is axesOf, where none means all.
func reducedAxes(axes []int64, rank int) ([]int, error) {
	if len(axes) > 0 {
		return kernel.AxesOf(axes, rank)
	}
	all := make([]int, rank)
	for i := range all {
		all[i] = i
	}
	return all, nil
}

// reducedShape infers the output of a reduction.
func reducedShape(n *compile.Node, e onnx.ElementType, axes []int64, keep, skipEmpty, known bool) error {
	t := n.Inputs[0].Type
	if !t.HasShape || !known {
		n.Inferred(e, nil, false)
		return nil
	}
	if len(axes) == 0 && skipEmpty {
		n.SameShape(e)
		return nil
	}
	positions, err := reducedAxes(axes, len(t.Shape))
	if err != nil {
		return onnx.Invalid("attribute \"axes\": %v", err)
	}
	shape := []onnx.Dim{}
	for i, d := range t.Shape {
		switch {
		case !slices.Contains(positions, i):
			shape = append(shape, d)
		case keep:
			shape = append(shape, onnx.Fixed(1))
		}
	}
	n.Inferred(e, shape, true)
	return nil
}

// reduceAxes folds a tensor along the axes given.
func reduceAxes(e *kernel.Env, t *onnx.Tensor, by reduction, axes []int, keep bool) (*onnx.Tensor, error) {
	element := t.Type()
	if element == onnx.Int64 && by.wholeStep != nil {
		return foldAs(e, t, axes, keep, by.wholeStart, by.wholeStep)
	}
	x, err := kernel.CastTensor(e, t, onnx.Double)
	if err != nil {
		return nil, err
	}
	if element == onnx.Bool && math.IsInf(by.start, -1) {
		by.start = 0 // None of nothing is true.
	}
	along := by.along
	if along == nil {
		along = by.fold
	}
	out, err := along(e, x, axes, keep)
	if err != nil {
		return nil, err
	}
	return kernel.CastTensor(e, out, element)
}

// groups gives each element of a shape the number of the output it belongs to.
func groups(shape, axes []int, keep bool) (out []int, w *kernel.Walker) {
	full := slices.Clone(shape)
	for _, a := range axes {
		full[a] = 1
	}
	w = kernel.NewWalker(full, shape)
	for i, d := range full {
		if keep || !slices.Contains(axes, i) {
			out = append(out, d)
		}
	}
	return out, w
}

// fold reduces numbers in float64.
func (r reduction) fold(e *kernel.Env, t *onnx.Tensor, axes []int, keep bool) (*onnx.Tensor, error) {
	out, err := foldAs(e, t, axes, keep, r.start, r.step)
	if err != nil || r.done == nil {
		return out, err
	}
	sums := out.Data.([]float64)
	for i := range sums {
		sums[i] = r.done(sums[i], t.Len()/max(len(sums), 1))
	}
	return out, nil
}

func foldAs[T numeric.Number](e *kernel.Env, t *onnx.Tensor, axes []int, keep bool, start T, step func(sum, x T) T) (*onnx.Tensor, error) {
	shape, w := groups(t.Shape, axes, keep)
	out, sums, err := kernel.Alloc[T](e, shape...)
	if err != nil {
		return nil, err
	}
	for i := range sums {
		sums[i] = start
	}
	for _, v := range t.Data.([]T) {
		i := w.Next()
		sums[i] = step(sums[i], v)
	}
	return out, nil
}

// logSumExp subtracts the maximum first, so that nothing overflows.
func logSumExp(e *kernel.Env, t *onnx.Tensor, axes []int, keep bool) (*onnx.Tensor, error) {
	tops, err := largest.fold(e, t, axes, true)
	if err != nil {
		return nil, err
	}
	top := tops.Data.([]float64)
	for i, v := range top {
		if math.IsInf(v, 0) || v != v {
			top[i] = 0
		}
	}
	shape, w := groups(t.Shape, axes, keep)
	out, sums, err := kernel.Alloc[float64](e, shape...)
	if err != nil {
		return nil, err
	}
	for _, v := range t.Data.([]float64) {
		i := w.Next()
		sums[i] += math.Exp(v - top[i])
	}
	for i := range sums {
		sums[i] = math.Log(sums[i]) + top[i]
	}
	return out, nil
}

func compileArg(smallest bool) func(n *compile.Node) (kernel.Kernel, error) {
	return func(n *compile.Node) (kernel.Kernel, error) {
		r := n.Attributes()
		axis, keep, last := r.Int("axis", 0), r.Bool("keepdims", true), r.Bool("select_last_index", false)
		n.ElementOf(0, compile.NumericTypes()...)
		if err := reducedShape(n, onnx.Int64, []int64{axis}, keep, false, true); err != nil {
			return nil, err
		}
		return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
			t := in[0]
			i, err := kernel.AxisOf(axis, len(t.Shape))
			if err != nil {
				return nil, err
			}
			shape, _ := groups(t.Shape, []int{i}, keep)
			out, best, err := kernel.Alloc[int64](e, shape...)
			if err != nil {
				return nil, err
			}
			if t.Shape[i] == 0 && len(best) > 0 {
				return nil, onnx.At(onnx.ErrInput, "%s of an empty axis", n.Node.Operator)
			}
			switch x := t.Data.(type) {
			case []float32:
				argBest(x, best, t.Shape, i, smallest, last)
			case []float64:
				argBest(x, best, t.Shape, i, smallest, last)
			case []int64:
				argBest(x, best, t.Shape, i, smallest, last)
			default:
				c, err := kernel.CastTensor(e, t, onnx.Double)
				if err != nil {
					return nil, err
				}
				argBest(c.Data.([]float64), best, t.Shape, i, smallest, last)
			}
			return out, nil
		}).Kernel, nil
	}
}

func argBest[T numeric.Number](x []T, best []int64, shape []int, axis int, smallest, last bool) {
	outer, length, inner := kernel.Split(shape, axis)
	for o := range outer {
		for i := range inner {
			at := x[o*length*inner+i:]
			winner := 0
			for k := 1; k < length; k++ {
				v, top := at[k*inner], at[winner*inner]
				if smallest && v < top || !smallest && v > top || last && v == top {
					winner = k
				}
			}
			best[o*inner+i] = int64(winner)
		}
	}
}

func compileSoftmax(log bool) func(n *compile.Node) (kernel.Kernel, error) {
	return func(n *compile.Node) (kernel.Kernel, error) {
		axis, flat := softmaxAxis(n)
		if !log {
			n.Part = compile.SoftmaxPart{}
		}
		element := n.ElementOf(0, onnx.Float, onnx.Double)
		n.SameShape(element)
		return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
			t := in[0]
			outer, length, inner, err := softmaxSplit(t.Shape, axis, flat)
			if err != nil {
				return nil, err
			}
			if element == onnx.Double {
				return softmaxAlong[float64](e, t, outer, length, inner, log)
			}
			return softmaxAlong[float32](e, t, outer, length, inner, log)
		}).Kernel, nil
	}
}

// softmaxAxis reads the axis; flat says that the tensor is seen as a matrix, as
// versions before 13 did.
func softmaxAxis(n *compile.Node) (axis int64, flat bool) {
	if n.Opset < 13 {
		return n.Attributes().Int("axis", 1), true
	}
	return n.Attributes().Int("axis", -1), false
}

func softmaxSplit(shape []int, axis int64, flat bool) (outer, length, inner int, err error) {
	i, err := kernel.AxisOf(axis, len(shape))
	if err != nil {
		return 0, 0, 0, err
	}
	outer, length, inner = kernel.Split(shape, i)
	if flat {
		length, inner = length*inner, 1
	}
	return outer, length, inner, nil
}

func softmaxAlong[T float32 | float64](e *kernel.Env, t *onnx.Tensor, outer, length, inner int, log bool) (*onnx.Tensor, error) {
	x := t.Data.([]T)
	r, out, err := kernel.Alloc[T](e, t.Shape...)
	if err != nil {
		return nil, err
	}
	for o := range outer {
		for i := range inner {
			first := o*length*inner + i
			top := math.Inf(-1)
			for k := range length {
				top = math.Max(top, float64(x[first+k*inner]))
			}
			sum := 0.0
			for k := range length {
				sum += math.Exp(float64(x[first+k*inner]) - top)
			}
			for k := range length {
				v := float64(x[first+k*inner]) - top
				if log {
					out[first+k*inner] = T(v - math.Log(sum))
				} else {
					out[first+k*inner] = T(math.Exp(v) / sum)
				}
			}
		}
	}
	return r, nil
}

// cumulatives hold a kernel by element type.
type cumulatives = map[onnx.ElementType]func(e *kernel.Env, t *onnx.Tensor, axis int, exclusive, reverse bool) (*onnx.Tensor, error)

func compileCumulative(kernels cumulatives) func(n *compile.Node) (kernel.Kernel, error) {
	return func(n *compile.Node) (kernel.Kernel, error) {
		r := n.Attributes()
		exclusive, reverse := r.Bool("exclusive", false), r.Bool("reverse", false)
		element := n.ElementOf(0, onnx.Float, onnx.Double, onnx.Int64, onnx.Int32)
		n.SameShape(element)
		return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
			axes, err := kernel.IntsOf(in[1])
			if err != nil || len(axes) != 1 {
				return nil, onnx.At(onnx.ErrInput, "the axis is no whole number")
			}
			axis, err := kernel.AxisOf(axes[0], len(in[0].Shape))
			if err != nil {
				return nil, err
			}
			return kernels[element](e, in[0], axis, exclusive, reverse)
		}).Kernel, nil
	}
}

var (
	cumSums = cumulatives{
		onnx.Float: cumulative(0, add[float32]), onnx.Double: cumulative(0, add[float64]),
		onnx.Int64: cumulative(0, add[int64]), onnx.Int32: cumulative(0, add[int32]),
	}
	cumProducts = cumulatives{
		onnx.Float: cumulative(1, mul[float32]), onnx.Double: cumulative(1, mul[float64]),
		onnx.Int64: cumulative(1, mul[int64]), onnx.Int32: cumulative(1, mul[int32]),
	}
)

// cumulative joins each element with those before it along an axis.
func cumulative[T numeric.Number](start T, join func(x, y T) T) func(*kernel.Env, *onnx.Tensor, int, bool, bool) (*onnx.Tensor, error) {
	return func(e *kernel.Env, t *onnx.Tensor, axis int, exclusive, reverse bool) (*onnx.Tensor, error) {
		return accumulate(e, t, axis, exclusive, reverse, start, join)
	}
}

func accumulate[T numeric.Number](
	e *kernel.Env, t *onnx.Tensor, axis int, exclusive, reverse bool, start T, join func(x, y T) T,
) (*onnx.Tensor, error) {
	x := t.Data.([]T)
	r, out, err := kernel.Alloc[T](e, t.Shape...)
	if err != nil {
		return nil, err
	}
	outer, length, inner := kernel.Split(t.Shape, axis)
	for o := range outer {
		for i := range inner {
			sum := start
			for k := range length {
				if reverse {
					k = length - 1 - k
				}
				at := (o*length+k)*inner + i
				if exclusive {
					out[at] = sum
				}
				sum = join(sum, x[at])
				if !exclusive {
					out[at] = sum
				}
			}
		}
	}
	return r, nil
}

func compileTopK(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	axis := r.Int("axis", -1)
	largest, fixed := true, int64(-1) // k is an attribute before version 10
	if n.Opset >= 11 {
		largest = r.Bool("largest", true)
		r.Bool("sorted", true) // Sorted output is right either way.
	}
	if n.Opset < 10 {
		fixed = r.Int("k", -1)
	}
	if (fixed >= 0) == (len(n.Inputs) > 1) {
		return nil, onnx.Invalid("%d inputs, and the attribute \"k\" is %d", len(n.Inputs), fixed)
	}
	element := n.ElementOf(0, onnx.Float, onnx.Double, onnx.Int64, onnx.Int32, onnx.Uint64)
	t := n.Inputs[0].Type
	n.Outputs[0] = onnx.Type{Kind: onnx.KindTensor, Element: element}
	if t.HasShape {
		n.Outputs[0] = onnx.TensorType(element, slices.Clone(t.Shape)...)
		i, err := kernel.AxisOf(axis, len(t.Shape))
		if err != nil {
			return nil, onnx.Invalid("attribute \"axis\": %v", err)
		}
		n.Outputs[0].Shape[i] = onnx.Symbolic("")
		if k, ok := n.ConstantTensor(1); ok {
			if ks, err := kernel.IntsOf(k); err == nil && len(ks) == 1 && ks[0] >= 0 && ks[0] <= math.MaxInt32 {
				n.Outputs[0].Shape[i] = onnx.Fixed(int(ks[0]))
			}
		}
	}
	n.Outputs[1] = n.Outputs[0]
	n.Outputs[1].Element = onnx.Int64
	return func(e *kernel.Env, in []kernel.Value) ([]kernel.Value, error) {
		x, err := kernel.TensorOf(in[0])
		if err != nil {
			return nil, err
		}
		ks := []int64{fixed}
		if fixed < 0 {
			kt, err := kernel.TensorOf(in[1])
			if err != nil {
				return nil, err
			}
			if ks, err = kernel.IntsOf(kt); err != nil || len(ks) != 1 {
				return nil, onnx.At(onnx.ErrInput, "k is no whole number")
			}
		}
		i, err := kernel.AxisOf(axis, len(x.Shape))
		if err != nil {
			return nil, err
		}
		if ks[0] < 0 || ks[0] > int64(x.Shape[i]) {
			return nil, onnx.At(onnx.ErrInput, "k is %d, the axis has %d elements", ks[0], x.Shape[i])
		}
		return topKs[element](e, x, i, int(ks[0]), largest)
	}, nil
}

var topKs = map[onnx.ElementType]func(*kernel.Env, *onnx.Tensor, int, int, bool) ([]kernel.Value, error){
	onnx.Float: topK[float32], onnx.Double: topK[float64], onnx.Int64: topK[int64], onnx.Int32: topK[int32], onnx.Uint64: topK[uint64],
}

// topK sorts each line along the axis; of equal elements the first comes first.
func topK[T numeric.Number](e *kernel.Env, t *onnx.Tensor, axis, k int, largest bool) ([]kernel.Value, error) {
	x := t.Data.([]T)
	shape := slices.Clone(t.Shape)
	shape[axis] = k
	values, v, err := kernel.Alloc[T](e, shape...)
	if err != nil {
		return nil, err
	}
	indices, ix, err := kernel.Alloc[int64](e, shape...)
	if err != nil {
		return nil, err
	}
	outer, length, inner := kernel.Split(t.Shape, axis)
	order := make([]int, length)
	for o := range outer {
		for i := range inner {
			line := func(j int) T { return x[(o*length+j)*inner+i] }
			for j := range order {
				order[j] = j
			}
			sort.SliceStable(order, func(a, b int) bool {
				if largest {
					return line(order[a]) > line(order[b])
				}
				return line(order[a]) < line(order[b])
			})
			for j := range k {
				at := (o*k+j)*inner + i
				v[at], ix[at] = line(order[j]), int64(order[j])
			}
		}
	}
	return []kernel.Value{values, indices}, nil
}
