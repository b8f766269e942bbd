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
	var table []compile.Operator
	for _, name := range []string{
		"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSumSquare",
		"ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp",
	} {
		table = append(table, compile.Standard(name, 1, 1, 2, compileReduce))
	}
	topK := compile.Standard("TopK", 10, 2, 2, compileTopK)
	topK.MinOutputs, topK.MaxOutputs = 2, 2
	return append(table,
		compile.Standard("ArgMax", 1, 1, 1, compileArg),
		compile.Standard("ArgMin", 1, 1, 1, compileArg),
		compile.Standard("Softmax", 1, 1, 1, compileSoftmax),
		compile.Standard("LogSoftmax", 1, 1, 1, compileSoftmax),
		compile.Standard("CumSum", 11, 2, 2, compileCumSum),
		compile.Standard("LpNormalization", 1, 1, 1, compileLpNormalization),
		topK,
	)
}

// A reduction folds numbers in float64: step takes one more, done ends it.
type reduction struct {
	start float64
	step  func(sum, x float64) float64
	done  func(sum float64, n int) float64
}

func reductionOf(name string) reduction {
	same := func(sum float64, _ int) float64 { return sum }
	add := func(sum, x float64) float64 { return sum + x }
	switch name {
	case "ReduceMean":
		return reduction{0, add, func(sum float64, n int) float64 { return sum / float64(n) }}
	case "ReduceMax":
		return reduction{math.Inf(-1), math.Max, same}
	case "ReduceMin":
		return reduction{math.Inf(1), math.Min, same}
	case "ReduceProd":
		return reduction{1, func(sum, x float64) float64 { return sum * x }, same}
	case "ReduceSumSquare":
		return reduction{0, func(sum, x float64) float64 { return sum + x*x }, same}
	case "ReduceL1":
		return reduction{0, func(sum, x float64) float64 { return sum + math.Abs(x) }, same}
	case "ReduceL2":
		return reduction{0, func(sum, x float64) float64 { return sum + x*x }, func(sum float64, _ int) float64 { return math.Sqrt(sum) }}
	case "ReduceLogSum":
		return reduction{0, add, func(sum float64, _ int) float64 { return math.Log(sum) }}
	default:
		return reduction{0, add, same}
	}
}

func compileReduce(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	name := n.Node.Operator
	keep := r.Bool("keepdims", true)
	fromInput := n.Opset >= 18 || name == "ReduceSum" && n.Opset >= 13
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
	if r.Err != nil {
		return nil, r.Err
	}
	allowed := compile.NumericTypes()
	if name == "ReduceMax" || name == "ReduceMin" {
		allowed = append(allowed, onnx.Bool)
	}
	element, err := n.ElementOf(0, allowed...)
	if err != nil {
		return nil, err
	}
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
			if name == "ReduceSumSquare" || name == "ReduceL1" || name == "ReduceL2" || name == "ReduceLogSum" {
				return reduceAxes(e, in[0], name, []int{}, true)
			}
			return in[0], nil
		}
		positions, err := reducedAxes(axes, len(in[0].Shape))
		if err != nil {
			return nil, err
		}
		return reduceAxes(e, in[0], name, positions, keep)
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
func reduceAxes(e *kernel.Env, t *onnx.Tensor, name string, axes []int, keep bool) (*onnx.Tensor, error) {
	element := t.Type()
	if element == onnx.Int64 && (name == "ReduceSum" || name == "ReduceProd" || name == "ReduceMax" || name == "ReduceMin") {
		return reduceInts(e, t, name, axes, keep)
	}
	x, err := kernel.CastTensor(e, t, onnx.Double)
	if err != nil {
		return nil, err
	}
	var out *onnx.Tensor
	if name == "ReduceLogSumExp" {
		out, err = logSumExp(e, x, axes, keep)
	} else {
		r := reductionOf(name)
		if element == onnx.Bool && name == "ReduceMax" {
			r.start = 0 // None of nothing is true.
		}
		out, err = fold(e, x, axes, keep, r)
	}
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

func fold(e *kernel.Env, t *onnx.Tensor, axes []int, keep bool, r reduction) (*onnx.Tensor, error) {
	shape, w := groups(t.Shape, axes, keep)
	out, sums, err := kernel.Alloc[float64](e, shape...)
	if err != nil {
		return nil, err
	}
	x := t.Data.([]float64)
	for i := range sums {
		sums[i] = r.start
	}
	for _, v := range x {
		i := w.Next()
		sums[i] = r.step(sums[i], v)
	}
	for i := range sums {
		sums[i] = r.done(sums[i], len(x)/max(len(sums), 1))
	}
	return out, nil
}

// logSumExp subtracts the maximum first, so that nothing overflows.
func logSumExp(e *kernel.Env, t *onnx.Tensor, axes []int, keep bool) (*onnx.Tensor, error) {
	tops, err := fold(e, t, axes, true, reductionOf("ReduceMax"))
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

// reduceInts folds int64, which float64 could not hold exactly.
func reduceInts(e *kernel.Env, t *onnx.Tensor, name string, axes []int, keep bool) (*onnx.Tensor, error) {
	shape, w := groups(t.Shape, axes, keep)
	out, sums, err := kernel.Alloc[int64](e, shape...)
	if err != nil {
		return nil, err
	}
	start := map[string]int64{"ReduceProd": 1, "ReduceMax": math.MinInt64, "ReduceMin": math.MaxInt64}[name]
	for i := range sums {
		sums[i] = start
	}
	for _, v := range t.Data.([]int64) {
		i := w.Next()
		switch name {
		case "ReduceSum":
			sums[i] += v
		case "ReduceProd":
			sums[i] *= v
		case "ReduceMax":
			sums[i] = max(sums[i], v)
		default:
			sums[i] = min(sums[i], v)
		}
	}
	return out, nil
}

func compileArg(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	axis, keep, last := r.Int("axis", 0), r.Bool("keepdims", true), r.Bool("select_last_index", false)
	if r.Err != nil {
		return nil, r.Err
	}
	if _, err := n.ElementOf(0, compile.NumericTypes()...); err != nil {
		return nil, err
	}
	if err := reducedShape(n, onnx.Int64, []int64{axis}, keep, false, true); err != nil {
		return nil, err
	}
	smallest := n.Node.Operator == "ArgMin"
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

func compileSoftmax(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	flat := n.Opset < 13 // Older versions see the tensor as a matrix.
	def := int64(-1)
	if flat {
		def = 1
	}
	axis := r.Int("axis", def)
	if r.Err != nil {
		return nil, r.Err
	}
	element, err := n.ElementOf(0, onnx.Float, onnx.Double)
	if err != nil {
		return nil, err
	}
	n.SameShape(element)
	log := n.Node.Operator == "LogSoftmax"
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		t := in[0]
		i, err := kernel.AxisOf(axis, len(t.Shape))
		if err != nil {
			return nil, err
		}
		outer, length, inner := kernel.Split(t.Shape, i)
		if flat {
			length, inner = length*inner, 1
		}
		if element == onnx.Double {
			return softmaxAlong[float64](e, t, outer, length, inner, log)
		}
		return softmaxAlong[float32](e, t, outer, length, inner, log)
	}).Kernel, nil
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

func compileCumSum(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	exclusive, reverse := r.Bool("exclusive", false), r.Bool("reverse", false)
	if r.Err != nil {
		return nil, r.Err
	}
	element, err := n.ElementOf(0, onnx.Float, onnx.Double, onnx.Int64, onnx.Int32)
	if err != nil {
		return nil, err
	}
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
		switch element {
		case onnx.Float:
			return cumSum[float32](e, in[0], axis, exclusive, reverse)
		case onnx.Double:
			return cumSum[float64](e, in[0], axis, exclusive, reverse)
		case onnx.Int32:
			return cumSum[int32](e, in[0], axis, exclusive, reverse)
		default:
			return cumSum[int64](e, in[0], axis, exclusive, reverse)
		}
	}).Kernel, nil
}

func cumSum[T numeric.Number](e *kernel.Env, t *onnx.Tensor, axis int, exclusive, reverse bool) (*onnx.Tensor, error) {
	x := t.Data.([]T)
	r, out, err := kernel.Alloc[T](e, t.Shape...)
	if err != nil {
		return nil, err
	}
	outer, length, inner := kernel.Split(t.Shape, axis)
	for o := range outer {
		for i := range inner {
			var sum T
			for k := range length {
				if reverse {
					k = length - 1 - k
				}
				at := (o*length+k)*inner + i
				if exclusive {
					out[at] = sum
				}
				sum += x[at]
				if !exclusive {
					out[at] = sum
				}
			}
		}
	}
	return r, nil
}

func compileLpNormalization(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	axis, p := r.Int("axis", -1), r.Int("p", 2)
	if r.Err != nil {
		return nil, r.Err
	}
	if p != 1 && p != 2 {
		return nil, onnx.Invalid("attribute \"p\" is %d, 1 or 2 wanted", p)
	}
	element, err := n.ElementOf(0, onnx.Float, onnx.Double)
	if err != nil {
		return nil, err
	}
	n.SameShape(element)
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		i, err := kernel.AxisOf(axis, len(in[0].Shape))
		if err != nil {
			return nil, err
		}
		x, err := kernel.CastTensor(e, in[0], onnx.Double)
		if err != nil {
			return nil, err
		}
		norms, err := fold(e, x, []int{i}, true, reductionOf(map[int64]string{1: "ReduceL1", 2: "ReduceL2"}[p]))
		if err != nil {
			return nil, err
		}
		out, err := kernel.Apply2(e, x, norms, func(v, norm float64) float64 {
			if norm == 0 {
				return 0
			}
			return v / norm
		})
		if err != nil {
			return nil, err
		}
		return kernel.CastTensor(e, out, element)
	}).Kernel, nil
}

func compileTopK(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	axis := r.Int("axis", -1)
	largest := true
	if n.Opset >= 11 {
		largest = r.Bool("largest", true)
		r.Bool("sorted", true) // Sorted output is right either way.
	}
	if r.Err != nil {
		return nil, r.Err
	}
	element, err := n.ElementOf(0, onnx.Float, onnx.Double, onnx.Int64, onnx.Int32, onnx.Uint64)
	if err != nil {
		return nil, err
	}
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
		kt, err := kernel.TensorOf(in[1])
		if err != nil {
			return nil, err
		}
		ks, err := kernel.IntsOf(kt)
		if err != nil || len(ks) != 1 {
			return nil, onnx.At(onnx.ErrInput, "k is no whole number")
		}
		i, err := kernel.AxisOf(axis, len(x.Shape))
		if err != nil {
			return nil, err
		}
		if ks[0] < 0 || ks[0] > int64(x.Shape[i]) {
			return nil, onnx.At(onnx.ErrInput, "k is %d, the axis has %d elements", ks[0], x.Shape[i])
		}
		switch element {
		case onnx.Float:
			return topK[float32](e, x, i, int(ks[0]), largest)
		case onnx.Double:
			return topK[float64](e, x, i, int(ks[0]), largest)
		case onnx.Int32:
			return topK[int32](e, x, i, int(ks[0]), largest)
		case onnx.Uint64:
			return topK[uint64](e, x, i, int(ks[0]), largest)
		default:
			return topK[int64](e, x, i, int(ks[0]), largest)
		}
	}, nil
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
