package operators

import (
	"math"
	"slices"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/compile"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
	"github.com/petal-ml/petal/internal/onnx/eval/numeric"
)

func gatherOperators() []compile.Operator {
	return []compile.Operator{
		compile.Row("Gather", 1, 2, 2, compileGather),
		compile.Row("GatherElements", 11, 2, 2, compileGatherElements),
		compile.Row("Compress", 9, 2, 2, compileCompress),
		compile.Row("NonZero", 9, 1, 1, compileNonZero),
		compile.Row("Constant", 1, 0, 0, compileConstant),
		compile.Row("ConstantOfShape", 9, 1, 1, compileConstantOfShape),
		compile.Row("Range", 11, 3, 3, compileRange),
		compile.Row("ArrayFeatureExtractor", 1, 2, 2, compileArrayFeatureExtractor).Of(onnx.DomainML),
	}
}

// indicesOf reads indices that may count from the end.
func indicesOf(t *onnx.Tensor, length int) ([]int, error) {
	list, err := kernel.IntsOf(t)
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

func compileGather(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	axis := r.Int("axis", 0)
	element := n.ElementOf(0)
	n.ElementOf(1, onnx.Int64, onnx.Int32)
	n.Part = compile.ChoicePart{}
	n.Inferred(element, nil, false)
	if t, ix := n.Inputs[0].Type, n.Inputs[1].Type; t.HasShape && ix.HasShape {
		i, err := kernel.AxisOf(axis, len(t.Shape))
		if err != nil {
			return nil, onnx.Invalid("attribute \"axis\": %v", err)
		}
		n.Inferred(element, slices.Concat(t.Shape[:i], ix.Shape, t.Shape[i+1:]), true)
	}
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		t := in[0]
		i, err := kernel.AxisOf(axis, len(t.Shape))
		if err != nil {
			return nil, err
		}
		indices, err := indicesOf(in[1], t.Shape[i])
		if err != nil {
			return nil, err
		}
		_, length, inner := kernel.Split(t.Shape, i)
		k := len(indices)
		return kernel.Take(e, t, slices.Concat(t.Shape[:i], in[1].Shape, t.Shape[i+1:]), func(at int) int {
			o, rest := at/(k*inner), at%(k*inner)
			return (o*length+indices[rest/inner])*inner + rest%inner
		})
	}).Kernel, nil
}

func compileGatherElements(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	axis := r.Int("axis", 0)
	element := n.ElementOf(0)
	n.ElementOf(1, onnx.Int64, onnx.Int32)
	n.Inferred(element, n.Inputs[1].Type.Shape, n.Inputs[1].Type.HasShape)
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		t, shape := in[0], in[1].Shape
		i, err := kernel.AxisOf(axis, len(t.Shape))
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
		own := kernel.Strides(t.Shape)
		w := &kernel.Walker{Shape: shape, Strides: slices.Clone(own), Index: make([]int, len(shape))}
		w.Strides[i] = 0
		return kernel.Take(e, t, shape, func(at int) int { return w.Next() + indices[at]*own[i] })
	}).Kernel, nil
}

func compileCompress(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	axis := r.Get("axis", onnx.AttributeInt)
	element := n.ElementOf(0)
	n.ElementOf(1, onnx.Bool)
	n.Inferred(element, nil, false)
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		t, position := in[0], 0
		if axis == nil {
			t = kernel.Reshaped(t, []int{t.Len()})
		} else {
			var err error
			if position, err = kernel.AxisOf(axis.Int, len(t.Shape)); err != nil {
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
		_, length, inner := kernel.Split(t.Shape, position)
		shape := slices.Clone(t.Shape)
		shape[position] = len(kept)
		k := len(kept)
		return kernel.Take(e, t, shape, func(at int) int {
			o, rest := at/(k*inner), at%(k*inner)
			return (o*length+kept[rest/inner])*inner + rest%inner
		})
	}).Kernel, nil
}

func compileNonZero(n *compile.Node) (kernel.Kernel, error) {
	n.ElementOf(0, append(compile.NumericTypes(), onnx.Bool)...)
	n.Inferred(onnx.Int64, []onnx.Dim{onnx.Symbolic(""), onnx.Symbolic("")}, true)
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		c, err := kernel.CastBools(e, in[0])
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
		out, indices, err := kernel.Alloc[int64](e, len(shape), len(hits))
		if err != nil {
			return nil, err
		}
		for axis, stride := range kernel.Strides(shape) {
			for j, at := range hits {
				indices[axis*len(hits)+j] = int64(at / stride % shape[axis])
			}
		}
		return out, nil
	}).Kernel, nil
}

func compileConstant(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	var value *onnx.Tensor
	for _, a := range n.Node.Attributes {
		if value != nil {
			return nil, onnx.Invalid("two values")
		}
		switch a.Name {
		case "value":
			value = r.Tensor("value")
		case "value_float":
			value = onnx.NewTensor(nil, []float32{r.Float("value_float", 0)})
		case "value_floats":
			list := r.Floats("value_floats")
			value = onnx.NewTensor([]int{len(list)}, list)
		case "value_int":
			value = onnx.NewTensor(nil, []int64{r.Int("value_int", 0)})
		case "value_ints":
			list := r.Ints("value_ints")
			value = onnx.NewTensor([]int{len(list)}, list)
		case "value_string":
			value = onnx.NewTensor(nil, []string{r.Text("value_string", "")})
		case "value_strings":
			list := r.Strings("value_strings")
			value = onnx.NewTensor([]int{len(list)}, list)
		}
	}
	if value == nil {
		return nil, onnx.Invalid("no value of a kind that is known")
	}
	n.Outputs[0] = value.ValueType()
	return func(*kernel.Env, []kernel.Value) ([]kernel.Value, error) { return []kernel.Value{value}, nil }, nil
}

func compileConstantOfShape(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	value := r.Tensor("value")
	if value == nil {
		value = onnx.NewTensor([]int{1}, []float32{0})
	}
	if value.Len() != 1 {
		return nil, onnx.Invalid("attribute \"value\" has %d elements, one wanted", value.Len())
	}
	n.ElementOf(0, onnx.Int64)
	n.Inferred(value.Type(), nil, false)
	if t := n.Inputs[0].Type; t.HasShape && len(t.Shape) == 1 && t.Shape[0].Size >= 0 && t.Shape[0].Size < 16 {
		shape := make([]onnx.Dim, t.Shape[0].Size)
		for i := range shape {
			shape[i] = onnx.Symbolic("")
		}
		n.Inferred(value.Type(), shape, true)
	}
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		shape, err := kernel.ShapeFrom(in[0])
		if err != nil {
			return nil, err
		}
		if slices.Contains(shape, -1) {
			return nil, onnx.At(onnx.ErrInput, "shape %v", shape)
		}
		return kernel.Take(e, value, shape, func(int) int { return 0 })
	}).Kernel, nil
}

func compileRange(n *compile.Node) (kernel.Kernel, error) {
	element := n.SameTypes(onnx.Float, onnx.Double, onnx.Int64, onnx.Int32)
	n.Inferred(element, []onnx.Dim{onnx.Symbolic("")}, true)
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		for _, t := range in {
			if t.Len() != 1 {
				return nil, onnx.At(onnx.ErrInput, "shape %v, a scalar wanted", t.Shape)
			}
		}
		return aranges[element](e, in)
	}).Kernel, nil
}

var aranges = map[onnx.ElementType]kernel.TensorKernel{
	onnx.Float: arange[float32], onnx.Double: arange[float64], onnx.Int64: arange[int64], onnx.Int32: arange[int32],
}

func arange[T numeric.Number](e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
	start, limit, delta := in[0].Data.([]T)[0], in[1].Data.([]T)[0], in[2].Data.([]T)[0]
	n := math.Max(0, math.Ceil((float64(limit)-float64(start))/float64(delta)))
	if delta == 0 || n != n || n > math.MaxInt32 {
		return nil, onnx.At(onnx.ErrLimit, "a range from %v to %v by %v", start, limit, delta)
	}
	t, out, err := kernel.Alloc[T](e, int(n))
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
func compileArrayFeatureExtractor(n *compile.Node) (kernel.Kernel, error) {
	element := n.ElementOf(0, append(compile.NumericTypes(), onnx.String)...)
	n.ElementOf(1, onnx.Int64)
	n.Part = compile.ChoicePart{}
	n.Inferred(element, nil, false)
	if t := n.Inputs[0].Type; t.HasShape && len(t.Shape) > 0 {
		count := onnx.Symbolic("")
		if ix, ok := n.ConstantTensor(1); ok {
			count = onnx.Fixed(ix.Len())
		}
		first := []onnx.Dim{onnx.Fixed(1)}
		if len(t.Shape) > 1 {
			first = slices.Clone(t.Shape[:len(t.Shape)-1])
		}
		n.Inferred(element, append(first, count), true)
	}
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
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
		return kernel.Take(e, t, shape, func(i int) int { return i/k*columns + indices[i%k] })
	}).Kernel, nil
}
