package operators

import (
	"math"
	"slices"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/compile"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
	"github.com/petal-ml/petal/internal/onnx/eval/numeric"
)

func scatterOperators() []compile.Operator {
	return []compile.Operator{
		compile.Row("GatherND", 11, 2, 2, compileGatherND),
		compile.Row("ScatterND", 11, 3, 3, compileScatterND),
		compile.Row("ScatterElements", 11, 3, 3, compileScatterElements),
		compile.Row("Scatter", 9, 3, 3, compileScatterElements),
		compile.Row("OneHot", 9, 3, 3, compileOneHot),
	}
}

// tuples reads coordinates of a tensor of a shape from the last axis of indices,
// behind batch axes that both have; places are where the blocks that they name
// begin, and block how long each is.
func tuples(indices *onnx.Tensor, shape []int, batch int) (places []int, block int, err error) {
	if len(indices.Shape) == 0 || batch < 0 || batch >= len(indices.Shape) || batch > len(shape) ||
		!slices.Equal(shape[:batch], indices.Shape[:batch]) {
		return nil, 0, onnx.At(onnx.ErrInput, "indices of shape %v into shape %v", indices.Shape, shape)
	}
	length := indices.Shape[len(indices.Shape)-1]
	if length > len(shape)-batch {
		return nil, 0, onnx.At(onnx.ErrInput, "%d indices into shape %v", length, shape[batch:])
	}
	list, err := kernel.IntsOf(indices)
	if err != nil {
		return nil, 0, err
	}
	own := kernel.Strides(shape)
	block = kernel.Product(shape[batch+length:])
	outer := kernel.Product(shape[:batch])
	places = make([]int, kernel.Product(indices.Shape[:len(indices.Shape)-1]))
	for i := range places {
		if outer > 0 {
			places[i] = i / (len(places) / outer) * kernel.Product(shape[batch:])
		}
		for k := range length {
			v, d := list[i*length+k], int64(shape[batch+k])
			if v < 0 {
				v += d
			}
			if v < 0 || v >= d {
				return nil, 0, onnx.At(onnx.ErrInput, "index %d of %d elements", list[i*length+k], d)
			}
			places[i] += int(v) * own[batch+k]
		}
	}
	return places, block, nil
}

func compileGatherND(n *compile.Node) (kernel.Kernel, error) {
	batch := n.Attributes().Int("batch_dims", 0)
	element := n.ElementOf(0)
	n.ElementOf(1, onnx.Int64)
	n.Inferred(element, nil, false)
	if batch < 0 || batch > math.MaxInt16 {
		return nil, onnx.Invalid("attribute \"batch_dims\" is %d", batch)
	}
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		t, indices := in[0], in[1]
		places, block, err := tuples(indices, t.Shape, int(batch))
		if err != nil {
			return nil, err
		}
		last := len(indices.Shape) - 1
		shape := slices.Concat(indices.Shape[:last], t.Shape[int(batch)+indices.Shape[last]:])
		return kernel.Take(e, t, shape, func(i int) int { return places[i/block] + i%block })
	}).Kernel, nil
}

func compileScatterND(n *compile.Node) (kernel.Kernel, error) {
	scatter, err := scatterer(n)
	if err != nil {
		return nil, err
	}
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		t, indices, updates := in[0], in[1], in[2]
		places, block, err := tuples(indices, t.Shape, 0)
		if err != nil {
			return nil, err
		}
		last := len(indices.Shape) - 1
		if wanted := slices.Concat(indices.Shape[:last], t.Shape[indices.Shape[last]:]); !slices.Equal(updates.Shape, wanted) {
			return nil, onnx.At(onnx.ErrInput, "updates of shape %v, %v wanted", updates.Shape, wanted)
		}
		return scatter(e, t, updates, func(i int) int { return places[i/block] + i%block })
	}).Kernel, nil
}

func compileScatterElements(n *compile.Node) (kernel.Kernel, error) {
	axis := n.Attributes().Int("axis", 0)
	scatter, err := scatterer(n)
	if err != nil {
		return nil, err
	}
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		t, shape := in[0], in[1].Shape
		i, err := kernel.AxisOf(axis, len(t.Shape))
		if err != nil {
			return nil, err
		}
		fits := slices.Equal(shape, in[2].Shape) && len(shape) == len(t.Shape)
		for j := range shape {
			fits = fits && (j == i || shape[j] <= t.Shape[j])
		}
		if !fits {
			return nil, onnx.At(onnx.ErrInput, "indices of shape %v and updates of shape %v into shape %v", shape, in[2].Shape, t.Shape)
		}
		indices, err := indicesOf(in[1], t.Shape[i])
		if err != nil {
			return nil, err
		}
		own := kernel.Strides(t.Shape)
		w := &kernel.Walker{Shape: shape, Strides: slices.Clone(own), Index: make([]int, len(shape))}
		w.Strides[i] = 0
		return scatter(e, t, in[2], func(at int) int { return w.Next() + indices[at]*own[i] })
	}).Kernel, nil
}

// A scatterKernel returns a copy of t in which update i is written to place(i), or
// joined with what is there.
type scatterKernel func(e *kernel.Env, t, updates *onnx.Tensor, place func(i int) int) (*onnx.Tensor, error)

// scatterer finds the kernel for the types of a node, whose output is inferred.
func scatterer(n *compile.Node) (scatterKernel, error) {
	join := "none"
	if n.Opset >= 16 {
		join = n.Attributes().OneOf("reduction", "none", "add", "mul", "max", "min")
	}
	element := n.ElementOf(0)
	n.ElementOf(1, onnx.Int64, onnx.Int32)
	n.ElementOf(2, element)
	n.SameShape(element)
	if join == "none" {
		return writers.Of(element), nil
	}
	if of := joinedWriters.Of(element); of != nil {
		return of(join), nil
	}
	return nil, onnx.Unsupported("reduction %s of %v", join, element)
}

var writers = kernel.PerElement[scatterKernel](write[float32], write[float64], write[int64], write[int32], write[int16], write[int8],
	write[uint64], write[uint32], write[uint16], write[uint8], write[bool], write[string])

func write[T onnx.Element](e *kernel.Env, t, updates *onnx.Tensor, place func(i int) int) (*onnx.Tensor, error) {
	return writeJoined(e, t, updates, place, func(_, y T) T { return y })
}

func writeJoined[T onnx.Element](e *kernel.Env, t, updates *onnx.Tensor, place func(i int) int, join func(x, y T) T) (*onnx.Tensor, error) {
	out, data, err := kernel.Alloc[T](e, t.Shape...)
	if err != nil {
		return nil, err
	}
	copy(data, t.Data.([]T))
	for i, v := range updates.Data.([]T) {
		at := place(i)
		data[at] = join(data[at], v)
	}
	return out, nil
}

var joinedWriters = kernel.PerNumber(joinedWriter[float32], joinedWriter[float64], joinedWriter[int64], joinedWriter[int32],
	joinedWriter[int16], joinedWriter[int8], joinedWriter[uint64], joinedWriter[uint32], joinedWriter[uint16], joinedWriter[uint8])

func joinedWriter[T numeric.Number](name string) scatterKernel {
	join := map[string]func(x, y T) T{"add": add[T], "mul": mul[T], "max": larger[T], "min": smaller[T]}[name]
	return func(e *kernel.Env, t, updates *onnx.Tensor, place func(i int) int) (*onnx.Tensor, error) {
		return writeJoined(e, t, updates, place, join)
	}
}

// compileOneHot compiles OneHot, whose values are those for off and on.
func compileOneHot(n *compile.Node) (kernel.Kernel, error) {
	axis := n.Attributes().Int("axis", -1)
	n.ElementOf(0, compile.NumericTypes()...)
	n.ElementOf(1, compile.NumericTypes()...)
	element := n.ElementOf(2)
	n.Inferred(element, nil, false)
	if t := n.Inputs[0].Type; t.HasShape {
		i, err := kernel.AxisOf(axis, len(t.Shape)+1)
		if err != nil {
			return nil, onnx.Invalid("attribute \"axis\": %v", err)
		}
		depth := onnx.Symbolic("")
		if c, ok := n.ConstantTensor(1); ok {
			if d, err := depthOf(n.Env, c); err == nil {
				depth = onnx.Fixed(d)
			}
		}
		n.Inferred(element, slices.Insert(slices.Clone(t.Shape), i, depth), true)
	}
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		depth, err := depthOf(e, in[1])
		if err != nil {
			return nil, err
		}
		i, err := kernel.AxisOf(axis, len(in[0].Shape)+1)
		if err != nil {
			return nil, err
		}
		whole, err := kernel.CastTensor(e, in[0], onnx.Int64)
		if err != nil {
			return nil, err
		}
		if in[2].Len() != 2 {
			return nil, onnx.At(onnx.ErrInput, "values of shape %v, two wanted", in[2].Shape)
		}
		indices, inner := whole.Data.([]int64), kernel.Product(in[0].Shape[i:])
		return kernel.Take(e, in[2], slices.Insert(slices.Clone(in[0].Shape), i, depth), func(at int) int {
			o, rest := at/(depth*inner), at%(depth*inner)
			v := indices[o*inner+rest%inner]
			if v < 0 {
				v += int64(depth)
			}
			if v == int64(rest/inner) {
				return 1
			}
			return 0
		})
	}).Kernel, nil
}

func depthOf(e *kernel.Env, t *onnx.Tensor) (int, error) {
	whole, err := kernel.CastTensor(e, t, onnx.Int64)
	if err != nil {
		return 0, err
	}
	if list := whole.Data.([]int64); len(list) == 1 && list[0] >= 0 && list[0] <= math.MaxInt32 {
		return int(list[0]), nil
	}
	return 0, onnx.At(onnx.ErrInput, "the depth is no whole number from 0 on")
}
