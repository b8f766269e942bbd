package eval

import (
	"github.com/petal-ml/petal/internal/onnx"
	"math"
	"slices"
)

func gatherOperators() []operator {
	extractor := standard("ArrayFeatureExtractor", 1, 2, 2, compileArrayFeatureExtractor)
	extractor.domain = onnx.DomainML
	return []operator{
		standard("Gather", 1, 2, 2, compileGather),
		standard("GatherElements", 11, 2, 2, compileGatherElements),
		standard("Compress", 9, 2, 2, compileCompress),
		standard("NonZero", 9, 1, 1, compileNonZero),
		standard("Constant", 1, 0, 0, compileConstant),
		standard("ConstantOfShape", 9, 1, 1, compileConstantOfShape),
		standard("Range", 11, 3, 3, compileRange),
		extractor,
	}
}

// indicesOf reads indices that may count from the end.
func indicesOf(t *onnx.Tensor, length int) ([]int, error) {
	list, err := intsOf(t)
	if err != nil {
		return nil, err
	}
	out := make([]int, len(list))
	for i, v := range list {
		if v < 0 {
			v += int64(length)
		}
		if v < 0 || v >= int64(length) {
			return nil, onnx.At(onnx.ErrInput, "index %d of %d elements", list[i], length)
		}
		out[i] = int(v)
	}
	return out, nil
}

func compileGather(n *nodeCompiler) (kernel, error) {
	r := n.attributes()
	axis := r.int("axis", 0)
	if r.err != nil {
		return nil, r.err
	}
	element, err := n.elementOf(0)
	if err != nil {
		return nil, err
	}
	if _, err := n.elementOf(1, onnx.Int64, onnx.Int32); err != nil {
		return nil, err
	}
	n.part = selection{}
	n.inferred(element, nil, false)
	if t, ix := n.inputs[0].typ, n.inputs[1].typ; t.HasShape && ix.HasShape {
		i, err := axisOf(axis, len(t.Shape))
		if err != nil {
			return nil, onnx.Invalid("attribute \"axis\": %v", err)
		}
		n.inferred(element, slices.Concat(t.Shape[:i], ix.Shape, t.Shape[i+1:]), true)
	}
	return tensorKernel(func(e *env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		t := in[0]
		i, err := axisOf(axis, len(t.Shape))
		if err != nil {
			return nil, err
		}
		indices, err := indicesOf(in[1], t.Shape[i])
		if err != nil {
			return nil, err
		}
		_, length, inner := split(t.Shape, i)
		k := len(indices)
		return take(e, t, slices.Concat(t.Shape[:i], in[1].Shape, t.Shape[i+1:]), func(at int) int {
			o, rest := at/(k*inner), at%(k*inner)
			return (o*length+indices[rest/inner])*inner + rest%inner
		})
	}).kernel, nil
}

func compileGatherElements(n *nodeCompiler) (kernel, error) {
	r := n.attributes()
	axis := r.int("axis", 0)
	if r.err != nil {
		return nil, r.err
	}
	element, err := n.elementOf(0)
	if err != nil {
		return nil, err
	}
	if _, err := n.elementOf(1, onnx.Int64, onnx.Int32); err != nil {
		return nil, err
	}
	n.inferred(element, n.inputs[1].typ.Shape, n.inputs[1].typ.HasShape)
	return tensorKernel(func(e *env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		t, shape := in[0], in[1].Shape
		i, err := axisOf(axis, len(t.Shape))
		if err != nil {
			return nil, err
		}
		if len(shape) != len(t.Shape) {
			return nil, onnx.At(onnx.ErrInput, "indices of shape %v into shape %v", shape, t.Shape)
		}
		for j := range shape {
			if j != i && shape[j] > t.Shape[j] {
				return nil, onnx.At(onnx.ErrInput, "indices of shape %v into shape %v", shape, t.Shape)
			}
		}
		indices, err := indicesOf(in[1], t.Shape[i])
		if err != nil {
			return nil, err
		}
		own := strides(t.Shape)
		w := &walker{shape: shape, strides: slices.Clone(own), index: make([]int, len(shape))}
		w.strides[i] = 0
		return take(e, t, shape, func(at int) int { return w.next() + indices[at]*own[i] })
	}).kernel, nil
}

func compileCompress(n *nodeCompiler) (kernel, error) {
	r := n.attributes()
	axis := r.get("axis", onnx.AttributeInt)
	if r.err != nil {
		return nil, r.err
	}
	element, err := n.elementOf(0)
	if err != nil {
		return nil, err
	}
	if _, err := n.elementOf(1, onnx.Bool); err != nil {
		return nil, err
	}
	n.inferred(element, nil, false)
	return tensorKernel(func(e *env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		t, position := in[0], 0
		if axis == nil {
			t = reshaped(t, []int{t.Len()})
		} else {
			var err error
			if position, err = axisOf(axis.Int, len(t.Shape)); err != nil {
				return nil, err
			}
		}
		var kept []int
		for i, keep := range in[1].Data.([]bool) {
			if keep && i >= t.Shape[position] {
				return nil, onnx.At(onnx.ErrInput, "condition %d of %d elements", i, t.Shape[position])
			}
			if keep {
				kept = append(kept, i)
			}
		}
		_, length, inner := split(t.Shape, position)
		shape := slices.Clone(t.Shape)
		shape[position] = len(kept)
		k := len(kept)
		return take(e, t, shape, func(at int) int {
			o, rest := at/(k*inner), at%(k*inner)
			return (o*length+kept[rest/inner])*inner + rest%inner
		})
	}).kernel, nil
}

func compileNonZero(n *nodeCompiler) (kernel, error) {
	if _, err := n.elementOf(0, append(numericTypes(), onnx.Bool)...); err != nil {
		return nil, err
	}
	n.inferred(onnx.Int64, []onnx.Dim{onnx.Symbolic(""), onnx.Symbolic("")}, true)
	return tensorKernel(func(e *env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		c, err := castBools(e, in[0])
		if err != nil {
			return nil, err
		}
		var hits []int
		for i, v := range c.Data.([]bool) {
			if v {
				hits = append(hits, i)
			}
		}
		shape := in[0].Shape
		if len(shape) == 0 {
			shape = []int{1}
		}
		out, indices, err := alloc[int64](e, len(shape), len(hits))
		if err != nil {
			return nil, err
		}
		for axis, stride := range strides(shape) {
			for j, at := range hits {
				indices[axis*len(hits)+j] = int64(at / stride % shape[axis])
			}
		}
		return out, nil
	}).kernel, nil
}

func compileConstant(n *nodeCompiler) (kernel, error) {
	r := n.attributes()
	var value *onnx.Tensor
	for _, a := range n.node.Attributes {
		if value != nil {
			return nil, onnx.Invalid("two values")
		}
		switch a.Name {
		case "value":
			value = r.tensor("value")
		case "value_float":
			value = onnx.NewTensor(nil, []float32{r.float("value_float", 0)})
		case "value_floats":
			list := r.floats("value_floats")
			value = onnx.NewTensor([]int{len(list)}, list)
		case "value_int":
			value = onnx.NewTensor(nil, []int64{r.int("value_int", 0)})
		case "value_ints":
			list := r.ints("value_ints")
			value = onnx.NewTensor([]int{len(list)}, list)
		case "value_string":
			value = onnx.NewTensor(nil, []string{r.string("value_string", "")})
		case "value_strings":
			list := r.strings("value_strings")
			value = onnx.NewTensor([]int{len(list)}, list)
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	if value == nil {
		return nil, onnx.Invalid("no value of a kind that is known")
	}
	n.outputs[0] = value.ValueType()
	return func(*env, []Value) ([]Value, error) { return []Value{value}, nil }, nil
}

func compileConstantOfShape(n *nodeCompiler) (kernel, error) {
	r := n.attributes()
	value := r.tensor("value")
	if r.err != nil {
		return nil, r.err
	}
	if value == nil {
		value = onnx.NewTensor([]int{1}, []float32{0})
	}
	if value.Len() != 1 {
		return nil, onnx.Invalid("attribute \"value\" has %d elements, one wanted", value.Len())
	}
	if _, err := n.elementOf(0, onnx.Int64); err != nil {
		return nil, err
	}
	n.inferred(value.Type(), nil, false)
	if t := n.inputs[0].typ; t.HasShape && len(t.Shape) == 1 && t.Shape[0].Size >= 0 && t.Shape[0].Size < 16 {
		shape := make([]onnx.Dim, t.Shape[0].Size)
		for i := range shape {
			shape[i] = onnx.Symbolic("")
		}
		n.inferred(value.Type(), shape, true)
	}
	return tensorKernel(func(e *env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		shape, err := shapeFrom(in[0])
		if err != nil {
			return nil, err
		}
		if slices.Contains(shape, -1) {
			return nil, onnx.At(onnx.ErrInput, "shape %v", shape)
		}
		return take(e, value, shape, func(int) int { return 0 })
	}).kernel, nil
}

func compileRange(n *nodeCompiler) (kernel, error) {
	element, err := n.sameTypes(onnx.Float, onnx.Double, onnx.Int64, onnx.Int32)
	if err != nil {
		return nil, err
	}
	n.inferred(element, []onnx.Dim{onnx.Symbolic("")}, true)
	return tensorKernel(func(e *env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		for _, t := range in {
			if t.Len() != 1 {
				return nil, onnx.At(onnx.ErrInput, "shape %v, a scalar wanted", t.Shape)
			}
		}
		switch element {
		case onnx.Float:
			return arange[float32](e, in)
		case onnx.Double:
			return arange[float64](e, in)
		case onnx.Int32:
			return arange[int32](e, in)
		default:
			return arange[int64](e, in)
		}
	}).kernel, nil
}

func arange[T number](e *env, in []*onnx.Tensor) (*onnx.Tensor, error) {
	start, limit, delta := in[0].Data.([]T)[0], in[1].Data.([]T)[0], in[2].Data.([]T)[0]
	n := math.Max(0, math.Ceil((float64(limit)-float64(start))/float64(delta)))
	if delta == 0 || n != n || n > math.MaxInt32 {
		return nil, onnx.At(onnx.ErrLimit, "a range from %v to %v by %v", start, limit, delta)
	}
	t, out, err := alloc[T](e, int(n))
	if err != nil {
		return nil, err
	}
	for i := range out {
		out[i] = start + T(i)*delta
	}
	return t, nil
}

// compileArrayFeatureExtractor compiles the choice of columns along the last
// axis.
func compileArrayFeatureExtractor(n *nodeCompiler) (kernel, error) {
	element, err := n.elementOf(0, append(numericTypes(), onnx.String)...)
	if err != nil {
		return nil, err
	}
	if _, err := n.elementOf(1, onnx.Int64); err != nil {
		return nil, err
	}
	n.part = selection{}
	n.inferred(element, nil, false)
	if t := n.inputs[0].typ; t.HasShape && len(t.Shape) > 0 {
		count := onnx.Symbolic("")
		if ix, ok := n.constantTensor(1); ok {
			count = onnx.Fixed(ix.Len())
		}
		first := []onnx.Dim{onnx.Fixed(1)}
		if len(t.Shape) > 1 {
			first = slices.Clone(t.Shape[:len(t.Shape)-1])
		}
		n.inferred(element, append(first, count), true)
	}
	return tensorKernel(func(e *env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		t := in[0]
		if len(t.Shape) == 0 {
			return nil, onnx.At(onnx.ErrInput, "features of a scalar")
		}
		columns := t.Shape[len(t.Shape)-1]
		indices, err := indicesOf(in[1], columns)
		if err != nil {
			return nil, err
		}
		shape := []int{1, len(indices)}
		if len(t.Shape) > 1 {
			shape = append(slices.Clone(t.Shape[:len(t.Shape)-1]), len(indices))
		}
		k := len(indices)
		return take(e, t, shape, func(i int) int { return i/k*columns + indices[i%k] })
	}).kernel, nil
}
