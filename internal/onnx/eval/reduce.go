package eval

import (
	"github.com/petal-ml/petal/internal/onnx"
	"math"
	"slices"
	"sort"
)

func reductionOperators() []operator {
	var table []operator
	for _, name := range []string{
		"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSumSquare",
		"ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp",
	} {
		table = append(table, standard(name, 1, 1, 2, compileReduce))
	}
	topK := standard("TopK", 10, 2, 2, compileTopK)
	topK.minOutputs, topK.maxOutputs = 2, 2
	return append(table,
		standard("ArgMax", 1, 1, 1, compileArg),
		standard("ArgMin", 1, 1, 1, compileArg),
		standard("Softmax", 1, 1, 1, compileSoftmax),
		standard("LogSoftmax", 1, 1, 1, compileSoftmax),
		standard("CumSum", 11, 2, 2, compileCumSum),
		standard("LpNormalization", 1, 1, 1, compileLpNormalization),
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

func compileReduce(n *nodeCompiler) (kernel, error) {
	r := n.attributes()
	name := n.node.Operator
	keep := r.bool("keepdims", true)
	fromInput := n.opset >= 18 || name == "ReduceSum" && n.opset >= 13
	var axes []int64
	skipEmpty := false
	if fromInput {
		skipEmpty = r.bool("noop_with_empty_axes", false)
		if t, ok := n.constantTensor(1); ok {
			var err error
			if axes, err = intsOf(t); err != nil {
				return nil, err
			}
		}
	} else {
		axes = r.ints("axes")
		if len(n.inputs) > 1 {
			return nil, onnx.Invalid("axes as an input before they were one")
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	allowed := numericTypes()
	if name == "ReduceMax" || name == "ReduceMin" {
		allowed = append(allowed, onnx.Bool)
	}
	element, err := n.elementOf(0, allowed...)
	if err != nil {
		return nil, err
	}
	known := !fromInput || len(n.inputs) < 2 || !n.inputs[1].present
	if _, ok := n.constantTensor(1); ok {
		known = true
	}
	if err := n.reducedShape(element, axes, keep, skipEmpty, known); err != nil {
		return nil, err
	}
	return tensorKernel(func(e *env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		axes := axes
		if fromInput && len(in) > 1 && in[1] != nil {
			var err error
			if axes, err = intsOf(in[1]); err != nil {
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
	}).kernel, nil
}

// reducedAxes is axesOf, where none means all.
func reducedAxes(axes []int64, rank int) ([]int, error) {
	if len(axes) > 0 {
		return axesOf(axes, rank)
	}
	all := make([]int, rank)
	for i := range all {
		all[i] = i
	}
	return all, nil
}

// reducedShape infers the output of a reduction.
func (n *nodeCompiler) reducedShape(e onnx.ElementType, axes []int64, keep, skipEmpty, known bool) error {
	t := n.inputs[0].typ
	if !t.HasShape || !known {
		n.inferred(e, nil, false)
		return nil
	}
	if len(axes) == 0 && skipEmpty {
		n.sameShape(e)
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
	n.inferred(e, shape, true)
	return nil
}

// reduceAxes folds a tensor along the axes given.
func reduceAxes(e *env, t *onnx.Tensor, name string, axes []int, keep bool) (*onnx.Tensor, error) {
	element := t.Type()
	if element == onnx.Int64 && (name == "ReduceSum" || name == "ReduceProd" || name == "ReduceMax" || name == "ReduceMin") {
		return reduceInts(e, t, name, axes, keep)
	}
	x, err := castTensor(e, t, onnx.Double)
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
	return castTensor(e, out, element)
}

// groups gives each element of a shape the number of the output it belongs to.
func groups(shape, axes []int, keep bool) (out []int, w *walker) {
	full := slices.Clone(shape)
	for _, a := range axes {
		full[a] = 1
	}
	w = newWalker(full, shape)
	for i, d := range full {
		if keep || !slices.Contains(axes, i) {
			out = append(out, d)
		}
	}
	return out, w
}

func fold(e *env, t *onnx.Tensor, axes []int, keep bool, r reduction) (*onnx.Tensor, error) {
	shape, w := groups(t.Shape, axes, keep)
	out, sums, err := alloc[float64](e, shape...)
	if err != nil {
		return nil, err
	}
	x := t.Data.([]float64)
	for i := range sums {
		sums[i] = r.start
	}
	for _, v := range x {
		i := w.next()
		sums[i] = r.step(sums[i], v)
	}
	for i := range sums {
		sums[i] = r.done(sums[i], len(x)/max(len(sums), 1))
	}
	return out, nil
}

// logSumExp subtracts the maximum first, so that nothing overflows.
func logSumExp(e *env, t *onnx.Tensor, axes []int, keep bool) (*onnx.Tensor, error) {
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
	out, sums, err := alloc[float64](e, shape...)
	if err != nil {
		return nil, err
	}
	for _, v := range t.Data.([]float64) {
		i := w.next()
		sums[i] += math.Exp(v - top[i])
	}
	for i := range sums {
		sums[i] = math.Log(sums[i]) + top[i]
	}
	return out, nil
}

// reduceInts folds int64, which float64 could not hold exactly.
func reduceInts(e *env, t *onnx.Tensor, name string, axes []int, keep bool) (*onnx.Tensor, error) {
	shape, w := groups(t.Shape, axes, keep)
	out, sums, err := alloc[int64](e, shape...)
	if err != nil {
		return nil, err
	}
	start := map[string]int64{"ReduceProd": 1, "ReduceMax": math.MinInt64, "ReduceMin": math.MaxInt64}[name]
	for i := range sums {
		sums[i] = start
	}
	for _, v := range t.Data.([]int64) {
		i := w.next()
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

func compileArg(n *nodeCompiler) (kernel, error) {
	r := n.attributes()
	axis, keep, last := r.int("axis", 0), r.bool("keepdims", true), r.bool("select_last_index", false)
	if r.err != nil {
		return nil, r.err
	}
	if _, err := n.elementOf(0, numericTypes()...); err != nil {
		return nil, err
	}
	if err := n.reducedShape(onnx.Int64, []int64{axis}, keep, false, true); err != nil {
		return nil, err
	}
	smallest := n.node.Operator == "ArgMin"
	n.part = selector{}
	return tensorKernel(func(e *env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		t := in[0]
		i, err := axisOf(axis, len(t.Shape))
		if err != nil {
			return nil, err
		}
		shape, _ := groups(t.Shape, []int{i}, keep)
		out, best, err := alloc[int64](e, shape...)
		if err != nil {
			return nil, err
		}
		if t.Shape[i] == 0 && len(best) > 0 {
			return nil, onnx.At(onnx.ErrInput, "%s of an empty axis", n.node.Operator)
		}
		switch x := t.Data.(type) {
		case []float32:
			argBest(x, best, t.Shape, i, smallest, last)
		case []float64:
			argBest(x, best, t.Shape, i, smallest, last)
		case []int64:
			argBest(x, best, t.Shape, i, smallest, last)
		default:
			c, err := castTensor(e, t, onnx.Double)
			if err != nil {
				return nil, err
			}
			argBest(c.Data.([]float64), best, t.Shape, i, smallest, last)
		}
		return out, nil
	}).kernel, nil
}

// A selector picks a class by its score.
type selector struct{}

func argBest[T number](x []T, best []int64, shape []int, axis int, smallest, last bool) {
	outer, length, inner := split(shape, axis)
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

func compileSoftmax(n *nodeCompiler) (kernel, error) {
	r := n.attributes()
	flat := n.opset < 13 // Older versions see the tensor as a matrix.
	def := int64(-1)
	if flat {
		def = 1
	}
	axis := r.int("axis", def)
	if r.err != nil {
		return nil, r.err
	}
	element, err := n.elementOf(0, onnx.Float, onnx.Double)
	if err != nil {
		return nil, err
	}
	n.sameShape(element)
	log := n.node.Operator == "LogSoftmax"
	return tensorKernel(func(e *env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		t := in[0]
		i, err := axisOf(axis, len(t.Shape))
		if err != nil {
			return nil, err
		}
		outer, length, inner := split(t.Shape, i)
		if flat {
			length, inner = length*inner, 1
		}
		if element == onnx.Double {
			return softmaxAlong[float64](e, t, outer, length, inner, log)
		}
		return softmaxAlong[float32](e, t, outer, length, inner, log)
	}).kernel, nil
}

func softmaxAlong[T float32 | float64](e *env, t *onnx.Tensor, outer, length, inner int, log bool) (*onnx.Tensor, error) {
	x := t.Data.([]T)
	r, out, err := alloc[T](e, t.Shape...)
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

func compileCumSum(n *nodeCompiler) (kernel, error) {
	r := n.attributes()
	exclusive, reverse := r.bool("exclusive", false), r.bool("reverse", false)
	if r.err != nil {
		return nil, r.err
	}
	element, err := n.elementOf(0, onnx.Float, onnx.Double, onnx.Int64, onnx.Int32)
	if err != nil {
		return nil, err
	}
	n.sameShape(element)
	return tensorKernel(func(e *env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		axes, err := intsOf(in[1])
		if err != nil || len(axes) != 1 {
			return nil, onnx.At(onnx.ErrInput, "the axis is no whole number")
		}
		axis, err := axisOf(axes[0], len(in[0].Shape))
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
	}).kernel, nil
}

func cumSum[T number](e *env, t *onnx.Tensor, axis int, exclusive, reverse bool) (*onnx.Tensor, error) {
	x := t.Data.([]T)
	r, out, err := alloc[T](e, t.Shape...)
	if err != nil {
		return nil, err
	}
	outer, length, inner := split(t.Shape, axis)
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

func compileLpNormalization(n *nodeCompiler) (kernel, error) {
	r := n.attributes()
	axis, p := r.int("axis", -1), r.int("p", 2)
	if r.err != nil {
		return nil, r.err
	}
	if p != 1 && p != 2 {
		return nil, onnx.Invalid("attribute \"p\" is %d, 1 or 2 wanted", p)
	}
	element, err := n.elementOf(0, onnx.Float, onnx.Double)
	if err != nil {
		return nil, err
	}
	n.sameShape(element)
	return tensorKernel(func(e *env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		i, err := axisOf(axis, len(in[0].Shape))
		if err != nil {
			return nil, err
		}
		x, err := castTensor(e, in[0], onnx.Double)
		if err != nil {
			return nil, err
		}
		norms, err := fold(e, x, []int{i}, true, reductionOf(map[int64]string{1: "ReduceL1", 2: "ReduceL2"}[p]))
		if err != nil {
			return nil, err
		}
		out, err := apply2(e, x, norms, func(v, norm float64) float64 {
			if norm == 0 {
				return 0
			}
			return v / norm
		})
		if err != nil {
			return nil, err
		}
		return castTensor(e, out, element)
	}).kernel, nil
}

func compileTopK(n *nodeCompiler) (kernel, error) {
	r := n.attributes()
	axis := r.int("axis", -1)
	largest := true
	if n.opset >= 11 {
		largest = r.bool("largest", true)
		r.bool("sorted", true) // Sorted output is right either way.
	}
	if r.err != nil {
		return nil, r.err
	}
	element, err := n.elementOf(0, onnx.Float, onnx.Double, onnx.Int64, onnx.Int32, onnx.Uint64)
	if err != nil {
		return nil, err
	}
	t := n.inputs[0].typ
	n.outputs[0] = onnx.Type{Kind: onnx.KindTensor, Element: element}
	if t.HasShape {
		n.outputs[0] = onnx.TensorType(element, slices.Clone(t.Shape)...)
		i, err := axisOf(axis, len(t.Shape))
		if err != nil {
			return nil, onnx.Invalid("attribute \"axis\": %v", err)
		}
		n.outputs[0].Shape[i] = onnx.Symbolic("")
		if k, ok := n.constantTensor(1); ok {
			if ks, err := intsOf(k); err == nil && len(ks) == 1 && ks[0] >= 0 && ks[0] <= math.MaxInt32 {
				n.outputs[0].Shape[i] = onnx.Fixed(int(ks[0]))
			}
		}
	}
	n.outputs[1] = n.outputs[0]
	n.outputs[1].Element = onnx.Int64
	return func(e *env, in []Value) ([]Value, error) {
		x, err := tensorOf(in[0])
		if err != nil {
			return nil, err
		}
		kt, err := tensorOf(in[1])
		if err != nil {
			return nil, err
		}
		ks, err := intsOf(kt)
		if err != nil || len(ks) != 1 {
			return nil, onnx.At(onnx.ErrInput, "k is no whole number")
		}
		i, err := axisOf(axis, len(x.Shape))
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
func topK[T number](e *env, t *onnx.Tensor, axis, k int, largest bool) ([]Value, error) {
	x := t.Data.([]T)
	shape := slices.Clone(t.Shape)
	shape[axis] = k
	values, v, err := alloc[T](e, shape...)
	if err != nil {
		return nil, err
	}
	indices, ix, err := alloc[int64](e, shape...)
	if err != nil {
		return nil, err
	}
	outer, length, inner := split(t.Shape, axis)
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
	return []Value{values, indices}, nil
}
