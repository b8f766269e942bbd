package operators

import (
	"math"
	"slices"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/compile"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
)

// compilePad compiles Pad, whose pads are an attribute before version 11 and an
// input from then on.
func compilePad(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	mode := r.OneOf("mode", "constant", "reflect", "edge", "wrap")
	element := n.ElementOf(0)
	var pads []int64
	var fill *onnx.Tensor
	if n.Opset < 11 {
		pads, fill = r.Ints("pads"), onnx.NewTensor([]int{1}, []float32{r.Float("value", 0)})
	} else if len(n.Inputs) < 2 {
		return nil, onnx.Invalid("pads are missing")
	}
	shape := make([]onnx.Dim, len(n.Inputs[0].Type.Shape))
	for i := range shape {
		shape[i] = onnx.Symbolic("")
	}
	n.Inferred(element, shape, n.Inputs[0].Type.HasShape)
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		p, err := newPadding(in, pads, mode)
		if err != nil {
			return nil, err
		}
		fill := fill
		if len(in) > 2 && in[2] != nil {
			fill = in[2]
		}
		return p.pad(e, in[0], fill)
	}).Kernel, nil
}

// A padding says how many elements are added to each axis; fewer than none cuts.
type padding struct {
	mode          string
	before, after []int
}

func newPadding(in []*onnx.Tensor, pads []int64, mode string) (*padding, error) {
	rank := len(in[0].Shape)
	var err error
	if len(in) > 1 {
		if pads, err = kernel.IntsOf(in[1]); err != nil {
			return nil, err
		}
	}
	axes := make([]int64, rank)
	for i := range axes {
		axes[i] = int64(i)
	}
	if len(in) > 3 && in[3] != nil {
		if axes, err = kernel.IntsOf(in[3]); err != nil {
			return nil, err
		}
	}
	if len(pads) != 2*len(axes) {
		return nil, onnx.At(onnx.ErrInput, "%d pads for %d axes", len(pads), len(axes))
	}
	p := &padding{mode, make([]int, rank), make([]int, rank)}
	for i, a := range axes {
		axis, err := kernel.AxisOf(a, rank)
		if err != nil {
			return nil, err
		}
		before, after := pads[i], pads[len(axes)+i]
		if max(before, after) > math.MaxInt32 || min(before, after) < -math.MaxInt32 {
			return nil, onnx.At(onnx.ErrLimit, "pads of %d and %d", before, after)
		}
		p.before[axis], p.after[axis] = int(before), int(after)
	}
	return p, nil
}

func (p *padding) pad(e *kernel.Env, t, fill *onnx.Tensor) (*onnx.Tensor, error) {
	shape := slices.Clone(t.Shape)
	for i := range shape {
		if shape[i] += p.before[i] + p.after[i]; shape[i] < 0 {
			return nil, onnx.At(onnx.ErrInput, "pads %d and %d of an axis of %d", p.before[i], p.after[i], t.Shape[i])
		}
		if p.mode != "constant" && t.Shape[i] == 0 && shape[i] > 0 {
			return nil, onnx.At(onnx.ErrInput, "mode %s of an axis without elements", p.mode)
		}
	}
	// The element to fill in stands behind all others.
	all := kernel.Reshaped(t, []int{t.Len()})
	last := onnx.NewTensor([]int{1}, []float32{0})
	if fill != nil && fill.Len() == 1 {
		last = kernel.Reshaped(fill, []int{1})
	}
	if t.Type() == onnx.String && last.Type() != onnx.String {
		last = onnx.NewTensor([]int{1}, []string{""})
	}
	last, err := kernel.CastTensor(e, last, t.Type())
	if err != nil {
		return nil, err
	}
	if all, err = kernel.Join(e, []*onnx.Tensor{all, last}, []int{t.Len() + 1}, 0); err != nil {
		return nil, err
	}
	w := &kernel.Walker{Shape: shape, Strides: make([]int, len(shape)), Index: make([]int, len(shape))}
	own := kernel.Strides(t.Shape)
	return kernel.Take(e, all, shape, func(int) int {
		at := 0
		for axis, i := range w.Index {
			k := p.source(i-p.before[axis], t.Shape[axis])
			if k < 0 {
				at = t.Len()
				break
			}
			at += k * own[axis]
		}
		w.Next()
		return at
	})
}

// source is the place along an axis that place i takes its element from; −1 where
// it is filled in.
func (p *padding) source(i, length int) int {
	if i >= 0 && i < length {
		return i
	}
	switch p.mode {
	case "edge":
		return max(0, min(i, length-1))
	case "wrap":
		return (i%length + length) % length
	case "reflect":
		if length == 1 {
			return 0
		}
		period := 2 * (length - 1)
		i = (i%period + period) % period
		return min(i, period-i)
	default:
		return -1
	}
}

// compileTrilu compiles the upper or lower triangle of matrices.
func compileTrilu(n *compile.Node) (kernel.Kernel, error) {
	upper := n.Attributes().Bool("upper", true)
	element := n.ElementOf(0)
	n.SameShape(element)
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		t, k := in[0], int64(0)
		if len(in) > 1 && in[1] != nil {
			list, err := kernel.IntsOf(in[1])
			if err != nil || len(list) != 1 {
				return nil, onnx.At(onnx.ErrInput, "the diagonal is no whole number")
			}
			k = list[0]
		}
		rank := len(t.Shape)
		if rank < 2 {
			return nil, onnx.At(onnx.ErrInput, "shape %v, matrices wanted", t.Shape)
		}
		keep, kept, err := kernel.Alloc[bool](e, t.Shape...)
		if err != nil {
			return nil, err
		}
		rows, columns := t.Shape[rank-2], t.Shape[rank-1]
		for i := range kept {
			over := int64(i%columns - i/columns%rows)
			kept[i] = upper && over >= k || !upper && over <= k
		}
		zero, err := kernel.CastTensor(e, onnx.NewTensor(nil, []float32{0}), element)
		if err != nil {
			return nil, err
		}
		return choosers.Of(element)(e, []*onnx.Tensor{keep, t, zero})
	}).Kernel, nil
}

func compileEyeLike(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	k, to := r.Int("k", 0), onnx.ElementType(r.Int("dtype", int64(n.ElementOf(0))))
	if !to.Known() || to == onnx.String {
		return nil, onnx.Unsupported("attribute \"dtype\" is %v", to)
	}
	n.SameShape(to)
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		if len(in[0].Shape) != 2 {
			return nil, onnx.At(onnx.ErrInput, "shape %v, a matrix wanted", in[0].Shape)
		}
		out, data, err := kernel.Alloc[uint8](e, in[0].Shape...)
		if err != nil {
			return nil, err
		}
		for i := range data {
			if int64(i%in[0].Shape[1]-i/in[0].Shape[1]) == k {
				data[i] = 1
			}
		}
		return kernel.CastTensor(e, out, to)
	}).Kernel, nil
}

// compileDropout compiles Dropout as it is after training: nothing is dropped.
func compileDropout(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	r.Int("seed", 0)
	if n.Opset < 12 {
		r.Float("ratio", 0.5)
	}
	if n.Opset < 12 && len(n.Inputs) > 1 {
		return nil, onnx.Invalid("the ratio as an input before it was one")
	}
	n.SameShape(n.ElementOf(0))
	if len(n.Outputs) > 1 {
		n.Outputs[1] = n.Outputs[0]
		n.Outputs[1].Element = onnx.Bool
	}
	outputs := len(n.Outputs)
	return func(e *kernel.Env, in []kernel.Value) ([]kernel.Value, error) {
		if len(in) > 2 && in[2] != nil {
			training, err := kernel.TensorOf(in[2])
			if err != nil {
				return nil, err
			}
			if on, ok := training.Data.([]bool); !ok || slices.Contains(on, true) {
				return nil, onnx.Unsupported("training_mode")
			}
		}
		if outputs == 1 {
			return in[:1], nil
		}
		x, err := kernel.TensorOf(in[0])
		if err != nil {
			return nil, err
		}
		mask, all, err := kernel.Alloc[bool](e, x.Shape...)
		for i := range all {
			all[i] = true
		}
		return []kernel.Value{in[0], mask}, err
	}, nil
}
