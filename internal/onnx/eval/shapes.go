package eval

import (
	"github.com/petal-ml/petal/internal/onnx"
	"math"
	"slices"
)

func shapeOperators() []operator {
	splitting := standard("Split", 2, 1, 2, compileSplit)
	splitting.maxOutputs = many
	return []operator{
		standard("Reshape", 5, 2, 2, compileReshape),
		standard("Flatten", 1, 1, 1, compileFlatten),
		standard("Transpose", 1, 1, 1, compileTranspose),
		standard("Squeeze", 1, 1, 2, compileSqueeze),
		standard("Unsqueeze", 1, 1, 2, compileUnsqueeze),
		standard("Concat", 4, 1, many, compileConcat),
		standard("Slice", 1, 1, 5, compileSlice),
		standard("Tile", 6, 2, 2, compileTile),
		standard("Expand", 8, 2, 2, compileExpand),
		standard("Shape", 1, 1, 1, compileShape),
		splitting,
	}
}

// shapeFrom reads a shape from a tensor, keeping 0 and −1 as they are.
func shapeFrom(t *onnx.Tensor) ([]int, error) {
	list, err := intsOf(t)
	if err != nil {
		return nil, err
	}
	shape := make([]int, len(list))
	for i, d := range list {
		if d < -1 || d > math.MaxInt32 {
			return nil, onnx.At(onnx.ErrInput, "dimension %d", d)
		}
		shape[i] = int(d)
	}
	return shape, nil
}

func compileReshape(n *nodeCompiler) (kernel, error) {
	r := n.attributes()
	allowZero := r.bool("allowzero", false)
	if r.err != nil {
		return nil, r.err
	}
	element, err := n.elementOf(0)
	if err != nil {
		return nil, err
	}
	n.inferred(element, nil, false)
	if t, ok := n.constantTensor(1); ok {
		if err := n.reshapedType(element, t, allowZero); err != nil {
			return nil, err
		}
	}
	return tensorKernel(func(_ *env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		shape, err := shapeFrom(in[1])
		if err != nil {
			return nil, err
		}
		if shape, err = resolveShape(in[0].Shape, shape, allowZero); err != nil {
			return nil, err
		}
		return reshaped(in[0], shape), nil
	}).kernel, nil
}

// reshapedType infers the output of a Reshape to a constant shape.
func (n *nodeCompiler) reshapedType(e onnx.ElementType, t *onnx.Tensor, allowZero bool) error {
	shape, err := shapeFrom(t)
	if err != nil {
		return onnx.Invalid("input 1: %v", err)
	}
	in := n.inputs[0].typ
	dims := make([]onnx.Dim, len(shape))
	for i, d := range shape {
		dims[i] = onnx.Dim{Size: d}
		if d == 0 && !allowZero {
			dims[i] = onnx.Symbolic("")
			if in.HasShape && i < len(in.Shape) {
				dims[i] = in.Shape[i]
			}
		}
	}
	n.inferred(e, dims, true)
	return nil
}

// resolveShape replaces 0 by the dimension of the input and −1 by what is left.
func resolveShape(from, shape []int, allowZero bool) ([]int, error) {
	out := slices.Clone(shape)
	free := -1
	for i, d := range out {
		switch {
		case d == 0 && !allowZero:
			if i >= len(from) {
				return nil, onnx.At(onnx.ErrInput, "shape %v copies a dimension that %v does not have", shape, from)
			}
			out[i] = from[i]
		case d < 0 && free >= 0:
			return nil, onnx.At(onnx.ErrInput, "shape %v leaves two dimensions open", shape)
		case d < 0:
			free = i
			out[i] = 1
		}
	}
	total := product(from)
	n, err := onnx.ElementCount(out)
	if err != nil {
		return nil, err
	}
	if free >= 0 && n > 0 {
		out[free] = total / n
		n *= out[free]
	}
	if n != total {
		return nil, onnx.At(onnx.ErrInput, "%v does not reshape to %v", from, shape)
	}
	return out, nil
}

func compileFlatten(n *nodeCompiler) (kernel, error) {
	r := n.attributes()
	axis := r.int("axis", 1)
	if r.err != nil {
		return nil, r.err
	}
	element, err := n.elementOf(0)
	if err != nil {
		return nil, err
	}
	n.inferred(element, []onnx.Dim{onnx.Symbolic(""), onnx.Symbolic("")}, true)
	if t := n.inputs[0].typ; t.HasShape && len(t.Shape) == 2 && axis == 1 {
		n.sameShape(element)
	}
	return tensorKernel(func(_ *env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		rank := len(in[0].Shape)
		i := axis
		if i < 0 {
			i += int64(rank)
		}
		if i < 0 || i > int64(rank) {
			return nil, onnx.At(onnx.ErrInput, "axis %d of a tensor of %d dimensions", axis, rank)
		}
		return reshaped(in[0], []int{product(in[0].Shape[:i]), product(in[0].Shape[i:])}), nil
	}).kernel, nil
}

func compileTranspose(n *nodeCompiler) (kernel, error) {
	r := n.attributes()
	order := r.ints("perm")
	if r.err != nil {
		return nil, r.err
	}
	element, err := n.elementOf(0)
	if err != nil {
		return nil, err
	}
	t := n.inputs[0].typ
	n.inferred(element, nil, false)
	if t.HasShape {
		perm, err := permutation(order, len(t.Shape))
		if err != nil {
			return nil, onnx.Invalid("attribute \"perm\": %v", err)
		}
		shape := make([]onnx.Dim, len(perm))
		for i, p := range perm {
			shape[i] = t.Shape[p]
		}
		n.inferred(element, shape, true)
	}
	return tensorKernel(func(e *env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		perm, err := permutation(order, len(in[0].Shape))
		if err != nil {
			return nil, err
		}
		shape, w := permuted(in[0].Shape, perm)
		return take(e, in[0], shape, func(int) int { return w.next() })
	}).kernel, nil
}

// permutation checks an order of axes; none means reversed.
func permutation(order []int64, rank int) ([]int, error) {
	perm := make([]int, rank)
	if len(order) == 0 {
		for i := range perm {
			perm[i] = rank - 1 - i
		}
		return perm, nil
	}
	if len(order) != rank {
		return nil, onnx.At(onnx.ErrInput, "%d axes for a tensor of %d dimensions", len(order), rank)
	}
	seen := make([]bool, rank)
	for i, a := range order {
		p, err := axisOf(a, rank)
		if err != nil {
			return nil, err
		}
		if seen[p] {
			return nil, onnx.At(onnx.ErrInput, "axis %d stands twice", p)
		}
		perm[i], seen[p] = p, true
	}
	return perm, nil
}

// axesArgument reads axes that are an attribute before a version and an input
// from then on. known is false where only a run tells.
func (n *nodeCompiler) axesArgument(inputSince int64) (axes []int64, known bool, err error) {
	if n.opset < inputSince {
		r := n.attributes()
		return r.ints("axes"), true, r.err
	}
	if len(n.inputs) < 2 || !n.inputs[1].present {
		return nil, true, nil
	}
	t, ok := n.constantTensor(1)
	if !ok {
		return nil, false, nil
	}
	axes, err = intsOf(t)
	return axes, true, err
}

// axesOfRun returns the axes of a run: the input's, where there is one.
func axesOfRun(axes []int64, in []*onnx.Tensor) ([]int64, error) {
	if len(in) > 1 && in[1] != nil {
		return intsOf(in[1])
	}
	return axes, nil
}

func compileSqueeze(n *nodeCompiler) (kernel, error) {
	axes, known, err := n.axesArgument(13)
	if err != nil {
		return nil, err
	}
	element, err := n.elementOf(0)
	if err != nil {
		return nil, err
	}
	t := n.inputs[0].typ
	n.inferred(element, nil, false)
	if t.HasShape && known && len(axes) > 0 {
		drop, err := axesOf(axes, len(t.Shape))
		if err != nil {
			return nil, onnx.Invalid("axes: %v", err)
		}
		shape := []onnx.Dim{}
		for i, d := range t.Shape {
			if !slices.Contains(drop, i) {
				shape = append(shape, d)
			}
		}
		n.inferred(element, shape, true)
	}
	return tensorKernel(func(_ *env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		axes, err := axesOfRun(axes, in)
		if err != nil {
			return nil, err
		}
		drop, err := axesOf(axes, len(in[0].Shape))
		if err != nil {
			return nil, err
		}
		shape := []int{}
		for i, d := range in[0].Shape {
			switch {
			case !slices.Contains(drop, i) && (len(axes) > 0 || d != 1):
				shape = append(shape, d)
			case d != 1:
				return nil, onnx.At(onnx.ErrInput, "axis %d of shape %v is not 1", i, in[0].Shape)
			}
		}
		return reshaped(in[0], shape), nil
	}).kernel, nil
}

func compileUnsqueeze(n *nodeCompiler) (kernel, error) {
	axes, known, err := n.axesArgument(13)
	if err != nil {
		return nil, err
	}
	element, err := n.elementOf(0)
	if err != nil {
		return nil, err
	}
	t := n.inputs[0].typ
	n.inferred(element, nil, false)
	if t.HasShape && known {
		at, err := axesOf(axes, len(t.Shape)+len(axes))
		if err != nil {
			return nil, onnx.Invalid("axes: %v", err)
		}
		n.inferred(element, insertOnes(t.Shape, at, onnx.Fixed(1)), true)
	}
	return tensorKernel(func(_ *env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		axes, err := axesOfRun(axes, in)
		if err != nil {
			return nil, err
		}
		at, err := axesOf(axes, len(in[0].Shape)+len(axes))
		if err != nil {
			return nil, err
		}
		return reshaped(in[0], insertOnes(in[0].Shape, at, 1)), nil
	}).kernel, nil
}

// insertOnes inserts a dimension at each of the places given, which are sorted
// and count in the result.
func insertOnes[D any](shape []D, places []int, one D) []D {
	out := make([]D, 0, len(shape)+len(places))
	rest := shape
	for i := range len(shape) + len(places) {
		if slices.Contains(places, i) {
			out = append(out, one)
			continue
		}
		out = append(out, rest[0])
		rest = rest[1:]
	}
	return out
}

func compileConcat(n *nodeCompiler) (kernel, error) {
	r := n.attributes()
	axis := r.int("axis", 0)
	if r.err != nil {
		return nil, r.err
	}
	element, err := n.sameTypes()
	if err != nil {
		return nil, err
	}
	if err := n.concatShape(element, axis); err != nil {
		return nil, err
	}
	return tensorKernel(func(e *env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		i, err := axisOf(axis, len(in[0].Shape))
		if err != nil {
			return nil, err
		}
		shape := slices.Clone(in[0].Shape)
		for _, t := range in[1:] {
			if len(t.Shape) != len(shape) {
				return nil, onnx.At(onnx.ErrInput, "shapes %v and %v side by side", in[0].Shape, t.Shape)
			}
			for j, d := range t.Shape {
				if j != i && d != shape[j] {
					return nil, onnx.At(onnx.ErrInput, "shapes %v and %v side by side", in[0].Shape, t.Shape)
				}
			}
			shape[i] += t.Shape[i]
		}
		return join(e, in, shape, i)
	}).kernel, nil
}

func (n *nodeCompiler) concatShape(e onnx.ElementType, axis int64) error {
	var shape []onnx.Dim
	for k, in := range n.inputs {
		if !in.typ.HasShape {
			n.inferred(e, nil, false)
			return nil
		}
		i, err := axisOf(axis, len(in.typ.Shape))
		if err != nil {
			return onnx.Invalid("attribute \"axis\": %v", err)
		}
		if k == 0 {
			shape = slices.Clone(in.typ.Shape)
			continue
		}
		if len(in.typ.Shape) != len(shape) {
			return onnx.Invalid("input %d is %v, input 0 is %v", k, in.typ, n.inputs[0].typ)
		}
		for j, d := range in.typ.Shape {
			switch {
			case j == i && shape[j].Size >= 0 && d.Size >= 0:
				shape[j] = onnx.Fixed(shape[j].Size + d.Size)
			case j == i:
				shape[j] = onnx.Symbolic("")
			case shape[j].Size < 0:
				shape[j] = d
			case d.Size >= 0 && d.Size != shape[j].Size:
				return onnx.Invalid("input %d is %v, input 0 is %v", k, in.typ, n.inputs[0].typ)
			}
		}
	}
	n.inferred(e, shape, true)
	return nil
}

// A sliceSpec is one axis of a Slice.
type sliceSpec struct{ start, end, step int64 }

// sliceArguments reads starts, ends, axes and steps, which are attributes before
// version 10 and inputs from then on.
func sliceArguments(in []*onnx.Tensor, starts, ends, axes []int64, rank int) (map[int]sliceSpec, error) {
	var steps []int64
	lists := [4]*[]int64{&starts, &ends, &axes, &steps}
	for i := 1; i < len(in); i++ {
		if in[i] == nil {
			continue
		}
		list, err := intsOf(in[i])
		if err != nil {
			return nil, err
		}
		*lists[i-1] = list
	}
	if len(axes) == 0 {
		for i := range starts {
			axes = append(axes, int64(i))
		}
	}
	if len(ends) != len(starts) || len(axes) != len(starts) || len(steps) != 0 && len(steps) != len(starts) {
		return nil, onnx.At(onnx.ErrInput, "%d starts, %d ends, %d axes, %d steps", len(starts), len(ends), len(axes), len(steps))
	}
	specs := make(map[int]sliceSpec, len(starts))
	for i := range starts {
		axis, err := axisOf(axes[i], rank)
		if err != nil {
			return nil, err
		}
		s := sliceSpec{starts[i], ends[i], 1}
		if len(steps) > 0 {
			s.step = steps[i]
		}
		if s.step == 0 {
			return nil, onnx.At(onnx.ErrInput, "a step of 0")
		}
		specs[axis] = s
	}
	return specs, nil
}

// resolve returns the first index and the number of elements along an axis.
func (s sliceSpec) resolve(dim int) (start, n int) {
	d := int64(dim)
	clamp := func(v, lo, hi int64) int64 {
		if v < 0 {
			v += d
		}
		return max(lo, min(v, hi))
	}
	if s.step > 0 {
		first, last := clamp(s.start, 0, d), clamp(s.end, 0, d)
		if last <= first {
			return 0, 0
		}
		return int(first), int((last-first-1)/s.step) + 1
	}
	// A start before the first element is the first element: the specification
	// and onnxruntime say so, other than NumPy.
	first, last := clamp(s.start, 0, d-1), clamp(s.end, -1, d-1)
	if d == 0 || first <= last || s.step == math.MinInt64 {
		return 0, 0
	}
	return int(first), int((first-last-1)/-s.step) + 1
}

func compileSlice(n *nodeCompiler) (kernel, error) {
	var starts, ends, axes []int64
	r := n.attributes()
	if n.opset < 10 {
		starts, ends, axes = r.ints("starts"), r.ints("ends"), r.ints("axes")
	} else if len(n.inputs) < 3 {
		return nil, onnx.Invalid("starts and ends are missing")
	}
	if r.err != nil {
		return nil, r.err
	}
	element, err := n.elementOf(0)
	if err != nil {
		return nil, err
	}
	if err := n.slicedShape(element, starts, ends, axes); err != nil {
		return nil, err
	}
	return tensorKernel(func(e *env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		t := in[0]
		specs, err := sliceArguments(in, starts, ends, axes, len(t.Shape))
		if err != nil {
			return nil, err
		}
		shape := slices.Clone(t.Shape)
		w := &walker{shape: shape, strides: strides(t.Shape), index: make([]int, len(shape))}
		for axis, s := range specs {
			start, count := s.resolve(t.Shape[axis])
			shape[axis] = count
			w.offset += start * w.strides[axis]
			if count > 1 {
				w.strides[axis] *= int(s.step)
			}
		}
		return take(e, t, shape, func(int) int { return w.next() })
	}).kernel, nil
}

// slicedShape infers the output of a Slice with constant arguments.
func (n *nodeCompiler) slicedShape(e onnx.ElementType, starts, ends, axes []int64) error {
	t := n.inputs[0].typ
	n.inferred(e, nil, false)
	if !t.HasShape {
		return nil
	}
	shape := make([]onnx.Dim, len(t.Shape))
	for i := range shape {
		shape[i] = onnx.Symbolic("")
	}
	n.inferred(e, shape, true)
	arguments := []*onnx.Tensor{nil}
	for i := 1; i < len(n.inputs); i++ {
		c, ok := n.constantTensor(i)
		if n.inputs[i].present && !ok {
			return nil
		}
		arguments = append(arguments, c)
	}
	specs, err := sliceArguments(arguments, starts, ends, axes, len(t.Shape))
	if err != nil {
		return onnx.Invalid("%v", err)
	}
	for i, d := range t.Shape {
		s, sliced := specs[i]
		switch {
		case !sliced:
			shape[i] = d
		case d.Size >= 0:
			_, count := s.resolve(d.Size)
			shape[i] = onnx.Fixed(count)
		}
	}
	return nil
}

func compileTile(n *nodeCompiler) (kernel, error) {
	element, err := n.elementOf(0)
	if err != nil {
		return nil, err
	}
	t := n.inputs[0].typ
	shape := make([]onnx.Dim, len(t.Shape))
	for i := range shape {
		shape[i] = onnx.Symbolic("")
	}
	n.inferred(element, shape, t.HasShape)
	return tensorKernel(func(e *env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		repeats, err := shapeFrom(in[1])
		if err != nil {
			return nil, err
		}
		from := in[0].Shape
		if len(repeats) != len(from) || slices.Contains(repeats, -1) {
			return nil, onnx.At(onnx.ErrInput, "repeats %v of shape %v", repeats, from)
		}
		shape := make([]int, len(from))
		for i := range from {
			if repeats[i] > 0 && from[i] > math.MaxInt32/repeats[i] {
				return nil, onnx.At(onnx.ErrLimit, "repeats %v of shape %v", repeats, from)
			}
			shape[i] = from[i] * repeats[i]
		}
		to, own := strides(shape), strides(from)
		return take(e, in[0], shape, func(i int) int {
			at := 0
			for axis := range shape {
				at += i / to[axis] % shape[axis] % from[axis] * own[axis]
			}
			return at
		})
	}).kernel, nil
}

func compileExpand(n *nodeCompiler) (kernel, error) {
	element, err := n.elementOf(0)
	if err != nil {
		return nil, err
	}
	n.inferred(element, nil, false)
	return tensorKernel(func(e *env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		wanted, err := shapeFrom(in[1])
		if err != nil {
			return nil, err
		}
		if slices.Contains(wanted, -1) {
			return nil, onnx.At(onnx.ErrInput, "shape %v", wanted)
		}
		shape, err := broadcastShapes(in[0].Shape, wanted)
		if err != nil {
			return nil, err
		}
		if _, err := onnx.ElementCount(shape); err != nil {
			return nil, err
		}
		w := newWalker(in[0].Shape, shape)
		return take(e, in[0], shape, func(int) int { return w.next() })
	}).kernel, nil
}

func compileShape(n *nodeCompiler) (kernel, error) {
	r := n.attributes()
	start, end := r.int("start", 0), r.int("end", math.MaxInt64)
	if r.err != nil {
		return nil, r.err
	}
	n.inferred(onnx.Int64, []onnx.Dim{onnx.Symbolic("")}, true)
	return tensorKernel(func(_ *env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		first, count := sliceSpec{start, end, 1}.resolve(len(in[0].Shape))
		return onnx.NewTensor([]int{count}, shape64(in[0].Shape[first:first+count])), nil
	}).kernel, nil
}

// shape64 returns a shape as the int64 that ONNX gives it.
func shape64(shape []int) []int64 {
	out := make([]int64, len(shape))
	for i, d := range shape {
		out[i] = int64(d)
	}
	return out
}

func compileSplit(n *nodeCompiler) (kernel, error) {
	r := n.attributes()
	axis := r.int("axis", 0)
	var sizes []int64
	if n.opset < 13 {
		sizes = r.ints("split")
	}
	if n.opset >= 18 {
		r.int("num_outputs", 0)
	}
	if r.err != nil {
		return nil, r.err
	}
	element, err := n.elementOf(0)
	if err != nil {
		return nil, err
	}
	t := n.inputs[0].typ
	for i := range n.outputs {
		n.outputs[i] = onnx.Type{Kind: onnx.KindTensor, Element: element, HasShape: t.HasShape, Shape: slices.Clone(t.Shape)}
		if t.HasShape {
			k, err := axisOf(axis, len(t.Shape))
			if err != nil {
				return nil, onnx.Invalid("attribute \"axis\": %v", err)
			}
			n.outputs[i].Shape[k] = onnx.Symbolic("")
		}
	}
	parts := len(n.outputs)
	return func(e *env, in []Value) ([]Value, error) {
		x, err := tensorOf(in[0])
		if err != nil {
			return nil, err
		}
		i, err := axisOf(axis, len(x.Shape))
		if err != nil {
			return nil, err
		}
		sizes := sizes
		if len(in) > 1 && in[1] != nil {
			list, err := tensorOf(in[1])
			if err != nil {
				return nil, err
			}
			if sizes, err = intsOf(list); err != nil {
				return nil, err
			}
		}
		if sizes, err = splitSizes(sizes, parts, x.Shape[i]); err != nil {
			return nil, err
		}
		return splitAlong(e, x, i, sizes)
	}, nil
}

// splitSizes checks the sizes of the parts, or makes equal ones, of which the
// last may be smaller.
func splitSizes(sizes []int64, parts, length int) ([]int64, error) {
	if len(sizes) == 0 {
		chunk := (length + parts - 1) / parts
		for i := range parts {
			sizes = append(sizes, int64(max(0, min(chunk, length-i*chunk))))
		}
	}
	total := int64(0)
	for _, s := range sizes {
		if s < 0 || s > int64(length) {
			return nil, onnx.At(onnx.ErrInput, "a part of size %d", s)
		}
		total += s
	}
	if len(sizes) != parts || total != int64(length) {
		return nil, onnx.At(onnx.ErrInput, "parts of sizes %v, %d elements and %d outputs", sizes, length, parts)
	}
	return sizes, nil
}

func splitAlong(e *env, x *onnx.Tensor, axis int, sizes []int64) ([]Value, error) {
	_, length, inner := split(x.Shape, axis)
	var out []Value
	first := 0
	for _, size := range sizes {
		shape := slices.Clone(x.Shape)
		shape[axis] = int(size)
		n := int(size) * inner
		part, err := take(e, x, shape, func(i int) int { return i/n*length*inner + first + i%n })
		if err != nil {
			return nil, err
		}
		out = append(out, part)
		first += n
	}
	return out, nil
}
