package operators

import (
	"math"
	"slices"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/compile"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
)

func shapeOperators() []compile.Operator {
	return []compile.Operator{
		compile.Row("Reshape", 5, 2, 2, compileReshape),
		compile.Row("Flatten", 1, 1, 1, compileFlatten),
		compile.Row("Transpose", 1, 1, 1, compileTranspose),
		compile.Row("Squeeze", 1, 1, 2, compileSqueeze),
		compile.Row("Unsqueeze", 1, 1, 2, compileUnsqueeze),
		compile.Row("Concat", 4, 1, compile.Many, compileConcat),
		compile.Row("Slice", 1, 1, 5, compileSlice),
		compile.Row("Tile", 6, 2, 2, compileTile),
		compile.Row("Expand", 8, 2, 2, compileExpand),
		compile.Row("Shape", 1, 1, 1, compileShape),
		compile.Row("Size", 1, 1, 1, compileSize),
		compile.Row("Split", 2, 1, 2, compileSplit).Outputs(1, compile.Many),
		compile.Row("Pad", 2, 1, 4, compilePad),
		compile.Row("Trilu", 14, 1, 2, compileTrilu),
		compile.Row("EyeLike", 9, 1, 1, compileEyeLike),
		compile.Row("Dropout", 7, 1, 3, compileDropout).Outputs(1, 2),
	}
}

func compileReshape(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	allowZero := r.Bool("allowzero", false)
	element := n.ElementOf(0)
	n.Inferred(element, nil, false)
	if t, ok := n.ConstantTensor(1); ok {
		if err := reshapedType(n, element, t, allowZero); err != nil {
			return nil, err
		}
	}
	return kernel.TensorKernel(func(_ *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		shape, err := kernel.ShapeFrom(in[1])
		if err != nil {
			return nil, err
		}
		if shape, err = resolveShape(in[0].Shape, shape, allowZero); err != nil {
			return nil, err
		}
		return kernel.Reshaped(in[0], shape), nil
	}).Kernel, nil
}

// reshapedType infers the output of a Reshape to a constant shape.
func reshapedType(n *compile.Node, e onnx.ElementType, t *onnx.Tensor, allowZero bool) error {
	shape, err := kernel.ShapeFrom(t)
	if err != nil {
		return onnx.Invalid("input 1: %v", err)
	}
	in := n.Inputs[0].Type
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
	n.Inferred(e, dims, true)
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
	total := kernel.Product(from)
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

func compileFlatten(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	axis := r.Int("axis", 1)
	element := n.ElementOf(0)
	n.Inferred(element, []onnx.Dim{onnx.Symbolic(""), onnx.Symbolic("")}, true)
	if t := n.Inputs[0].Type; t.HasShape && len(t.Shape) == 2 && axis == 1 {
		n.SameShape(element)
	}
	return kernel.TensorKernel(func(_ *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		rank := len(in[0].Shape)
		i := axis
		if i < 0 {
			i += int64(rank)
		}
		if i < 0 || i > int64(rank) {
			return nil, onnx.At(onnx.ErrInput, "axis %d of a tensor of %d dimensions", axis, rank)
		}
		return kernel.Reshaped(in[0], []int{kernel.Product(in[0].Shape[:i]), kernel.Product(in[0].Shape[i:])}), nil
	}).Kernel, nil
}

func compileTranspose(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	order := r.Ints("perm")
	element := n.ElementOf(0)
	t := n.Inputs[0].Type
	n.Inferred(element, nil, false)
	if t.HasShape {
		perm, err := permutation(order, len(t.Shape))
		if err != nil {
			return nil, onnx.Invalid("attribute \"perm\": %v", err)
		}
		shape := make([]onnx.Dim, len(perm))
		for i, p := range perm {
			shape[i] = t.Shape[p]
		}
		n.Inferred(element, shape, true)
	}
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		perm, err := permutation(order, len(in[0].Shape))
		if err != nil {
			return nil, err
		}
		shape, w := kernel.Permuted(in[0].Shape, perm)
		return kernel.Take(e, in[0], shape, func(int) int { return w.Next() })
	}).Kernel, nil
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
		p, err := kernel.AxisOf(a, rank)
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
func axesArgument(n *compile.Node, inputSince int64) (axes []int64, known bool, err error) {
	if n.Opset < inputSince {
		r := n.Attributes()
		return r.Ints("axes"), true, r.Err
	}
	if len(n.Inputs) < 2 || !n.Inputs[1].Present {
		return nil, true, nil
	}
	t, ok := n.ConstantTensor(1)
	if !ok {
		return nil, false, nil
	}
	axes, err = kernel.IntsOf(t)
	return axes, true, err
}

// axesOfRun returns the axes of a run: the input's, where there is one.
func axesOfRun(axes []int64, in []*onnx.Tensor) ([]int64, error) {
	if len(in) > 1 && in[1] != nil {
		return kernel.IntsOf(in[1])
	}
	return axes, nil
}

func compileSqueeze(n *compile.Node) (kernel.Kernel, error) {
	axes, known, err := axesArgument(n, 13)
	if err != nil {
		return nil, err
	}
	element := n.ElementOf(0)
	t := n.Inputs[0].Type
	n.Inferred(element, nil, false)
	if t.HasShape && known && len(axes) > 0 {
		drop, err := kernel.AxesOf(axes, len(t.Shape))
		if err != nil {
			return nil, onnx.Invalid("axes: %v", err)
		}
		shape := []onnx.Dim{}
		for i, d := range t.Shape {
			if !slices.Contains(drop, i) {
				shape = append(shape, d)
			}
		}
		n.Inferred(element, shape, true)
	}
	return kernel.TensorKernel(func(_ *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		axes, err := axesOfRun(axes, in)
		if err != nil {
			return nil, err
		}
		drop, err := kernel.AxesOf(axes, len(in[0].Shape))
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
		return kernel.Reshaped(in[0], shape), nil
	}).Kernel, nil
}

func compileUnsqueeze(n *compile.Node) (kernel.Kernel, error) {
	axes, known, err := axesArgument(n, 13)
	if err != nil {
		return nil, err
	}
	element := n.ElementOf(0)
	t := n.Inputs[0].Type
	n.Inferred(element, nil, false)
	if t.HasShape && known {
		at, err := kernel.AxesOf(axes, len(t.Shape)+len(axes))
		if err != nil {
			return nil, onnx.Invalid("axes: %v", err)
		}
		n.Inferred(element, insertOnes(t.Shape, at, onnx.Fixed(1)), true)
	}
	return kernel.TensorKernel(func(_ *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		axes, err := axesOfRun(axes, in)
		if err != nil {
			return nil, err
		}
		at, err := kernel.AxesOf(axes, len(in[0].Shape)+len(axes))
		if err != nil {
			return nil, err
		}
		return kernel.Reshaped(in[0], insertOnes(in[0].Shape, at, 1)), nil
	}).Kernel, nil
}

// insertOnes inserts a dimension at each of the places given, which are sorted
// and count in the result.
func insertOnes[D any](shape []D, places []int, one D) []D {
	out := slices.Clone(shape)
	for _, at := range places {
		out = slices.Insert(out, at, one)
	}
	return out
}

func compileConcat(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	axis := r.Int("axis", 0)
	element := n.SameTypes()
	if err := concatShape(n, element, axis); err != nil {
		return nil, err
	}
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		i, err := kernel.AxisOf(axis, len(in[0].Shape))
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
		return kernel.Join(e, in, shape, i)
	}).Kernel, nil
}

func concatShape(n *compile.Node, e onnx.ElementType, axis int64) error {
	var shape []onnx.Dim
	for k, in := range n.Inputs {
		if !in.Type.HasShape {
			n.Inferred(e, nil, false)
			return nil
		}
		i, err := kernel.AxisOf(axis, len(in.Type.Shape))
		if err != nil {
			return onnx.Invalid("attribute \"axis\": %v", err)
		}
		if k == 0 {
			shape = slices.Clone(in.Type.Shape)
			continue
		}
		if len(in.Type.Shape) != len(shape) {
			return onnx.Invalid("input %d is %v, input 0 is %v", k, in.Type, n.Inputs[0].Type)
		}
		for j, d := range in.Type.Shape {
			switch {
			case j == i && shape[j].Size >= 0 && d.Size >= 0:
				shape[j] = onnx.Fixed(shape[j].Size + d.Size)
			case j == i:
				shape[j] = onnx.Symbolic("")
			case shape[j].Size < 0:
				shape[j] = d
			case d.Size >= 0 && d.Size != shape[j].Size:
				return onnx.Invalid("input %d is %v, input 0 is %v", k, in.Type, n.Inputs[0].Type)
			}
		}
	}
	n.Inferred(e, shape, true)
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
		list, err := kernel.IntsOf(in[i])
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
		axis, err := kernel.AxisOf(axes[i], rank)
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

func compileSlice(n *compile.Node) (kernel.Kernel, error) {
	var starts, ends, axes []int64
	r := n.Attributes()
	if n.Opset < 10 {
		starts, ends, axes = r.Ints("starts"), r.Ints("ends"), r.Ints("axes")
	} else if len(n.Inputs) < 3 {
		return nil, onnx.Invalid("starts and ends are missing")
	}
	element := n.ElementOf(0)
	if err := slicedShape(n, element, starts, ends, axes); err != nil {
		return nil, err
	}
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		t := in[0]
		specs, err := sliceArguments(in, starts, ends, axes, len(t.Shape))
		if err != nil {
			return nil, err
		}
		shape := slices.Clone(t.Shape)
		w := &kernel.Walker{Shape: shape, Strides: kernel.Strides(t.Shape), Index: make([]int, len(shape))}
		for axis, s := range specs {
			start, count := s.resolve(t.Shape[axis])
			shape[axis] = count
			w.Offset += start * w.Strides[axis]
			if count > 1 {
				w.Strides[axis] *= int(s.step)
			}
		}
		return kernel.Take(e, t, shape, func(int) int { return w.Next() })
	}).Kernel, nil
}

// slicedShape infers the output of a Slice with constant arguments.
func slicedShape(n *compile.Node, e onnx.ElementType, starts, ends, axes []int64) error {
	t := n.Inputs[0].Type
	n.Inferred(e, nil, false)
	if !t.HasShape {
		return nil
	}
	shape := make([]onnx.Dim, len(t.Shape))
	for i := range shape {
		shape[i] = onnx.Symbolic("")
	}
	n.Inferred(e, shape, true)
	arguments := []*onnx.Tensor{nil}
	for i := 1; i < len(n.Inputs); i++ {
		c, ok := n.ConstantTensor(i)
		if n.Inputs[i].Present && !ok {
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

func compileTile(n *compile.Node) (kernel.Kernel, error) {
	element := n.ElementOf(0)
	t := n.Inputs[0].Type
	shape := make([]onnx.Dim, len(t.Shape))
	for i := range shape {
		shape[i] = onnx.Symbolic("")
	}
	n.Inferred(element, shape, t.HasShape)
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		repeats, err := kernel.ShapeFrom(in[1])
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
		to, own := kernel.Strides(shape), kernel.Strides(from)
		return kernel.Take(e, in[0], shape, func(i int) int {
			at := 0
			for axis := range shape {
				at += i / to[axis] % shape[axis] % from[axis] * own[axis]
			}
			return at
		})
	}).Kernel, nil
}

func compileExpand(n *compile.Node) (kernel.Kernel, error) {
	element := n.ElementOf(0)
	n.Inferred(element, nil, false)
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		wanted, err := kernel.ShapeFrom(in[1])
		if err != nil {
			return nil, err
		}
		if slices.Contains(wanted, -1) {
			return nil, onnx.At(onnx.ErrInput, "shape %v", wanted)
		}
		shape, err := kernel.BroadcastShapes(in[0].Shape, wanted)
		if err != nil {
			return nil, err
		}
		if _, err := onnx.ElementCount(shape); err != nil {
			return nil, err
		}
		w := kernel.NewWalker(in[0].Shape, shape)
		return kernel.Take(e, in[0], shape, func(int) int { return w.Next() })
	}).Kernel, nil
}

func compileShape(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	start, end := r.Int("start", 0), r.Int("end", math.MaxInt64)
	n.Inferred(onnx.Int64, []onnx.Dim{onnx.Symbolic("")}, true)
	return kernel.TensorKernel(func(_ *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		first, count := sliceSpec{start, end, 1}.resolve(len(in[0].Shape))
		return onnx.NewTensor([]int{count}, shape64(in[0].Shape[first:first+count])), nil
	}).Kernel, nil
}

func compileSize(n *compile.Node) (kernel.Kernel, error) {
	n.Inferred(onnx.Int64, []onnx.Dim{}, true)
	return kernel.TensorKernel(func(_ *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		return onnx.NewTensor(nil, []int64{int64(in[0].Len())}), nil
	}).Kernel, nil
}

// shape64 returns a shape as the int64 that ONNX gives it.
func shape64(shape []int) []int64 {
	out := make([]int64, len(shape))
	for i, d := range shape {
		out[i] = int64(d)
	}
	return out
}

func compileSplit(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	axis := r.Int("axis", 0)
	var sizes []int64
	if n.Opset < 13 {
		sizes = r.Ints("split")
	}
	if n.Opset >= 18 {
		r.Int("num_outputs", 0)
	}
	element := n.ElementOf(0)
	t := n.Inputs[0].Type
	for i := range n.Outputs {
		n.Outputs[i] = onnx.Type{Kind: onnx.KindTensor, Element: element, HasShape: t.HasShape, Shape: slices.Clone(t.Shape)}
		if t.HasShape {
			k, err := kernel.AxisOf(axis, len(t.Shape))
			if err != nil {
				return nil, onnx.Invalid("attribute \"axis\": %v", err)
			}
			n.Outputs[i].Shape[k] = onnx.Symbolic("")
		}
	}
	parts := len(n.Outputs)
	return func(e *kernel.Env, in []kernel.Value) ([]kernel.Value, error) {
		x, err := kernel.TensorOf(in[0])
		if err != nil {
			return nil, err
		}
		i, err := kernel.AxisOf(axis, len(x.Shape))
		if err != nil {
			return nil, err
		}
		sizes := sizes
		if len(in) > 1 && in[1] != nil {
			list, err := kernel.TensorOf(in[1])
			if err != nil {
				return nil, err
			}
			if sizes, err = kernel.IntsOf(list); err != nil {
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

func splitAlong(e *kernel.Env, x *onnx.Tensor, axis int, sizes []int64) ([]kernel.Value, error) {
	_, length, inner := kernel.Split(x.Shape, axis)
	var out []kernel.Value
	first := 0
	for _, size := range sizes {
		shape := slices.Clone(x.Shape)
		shape[axis] = int(size)
		n := int(size) * inner
		part, err := kernel.Take(e, x, shape, func(i int) int { return i/n*length*inner + first + i%n })
		if err != nil {
			return nil, err
		}
		out = append(out, part)
		first += n
	}
	return out, nil
}
