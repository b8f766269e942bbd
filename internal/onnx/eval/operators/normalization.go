package operators

import (
	"math"
	"slices"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/compile"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
)

func normalizationOperators() []compile.Operator {
	return []compile.Operator{
		compile.Row("BatchNormalization", 7, 5, 5, compileBatchNormalization).Outputs(1, 5),
		compile.Row("LayerNormalization", 17, 2, 3, compileLayerNormalization(true)).Outputs(1, 3),
		compile.Row("RMSNormalization", 23, 2, 2, compileLayerNormalization(false)),
		compile.Row("InstanceNormalization", 6, 3, 3, compileInstanceNormalization),
		compile.Row("GroupNormalization", 18, 3, 3, compileGroupNormalization),
		compile.Row("MeanVarianceNormalization", 9, 1, 1, compileMeanVariance),
		compile.Row("LpNormalization", 1, 1, 1, compileLpNormalization),
	}
}

// doublesIn returns the inputs in double precision; what is absent stays nil.
func doublesIn(e *kernel.Env, in []*onnx.Tensor) ([][]float64, error) {
	out := make([][]float64, len(in))
	for i, t := range in {
		if t == nil {
			continue
		}
		d, err := kernel.CastTensor(e, t, onnx.Double)
		if err != nil {
			return nil, err
		}
		out[i] = d.Data.([]float64)
	}
	return out, nil
}

// channels returns how many channels a shape has along axis 1, and how many
// elements one step along it skips; fewer than two dimensions are one channel.
func channels(shape []int) (length, inner int) {
	if len(shape) < 2 {
		return 1, 1
	}
	_, length, inner = kernel.Split(shape, 1)
	return length, inner
}

// compileBatchNormalization compiles it as it is after training: mean and
// variance are given.
func compileBatchNormalization(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	epsilon := float64(r.Float("epsilon", 1e-5))
	r.Float("momentum", 0.9)
	if n.Opset >= 14 && r.Bool("training_mode", false) || len(n.Outputs) > 1 {
		return nil, onnx.Unsupported("training_mode")
	}
	if n.Opset < 9 && !r.Bool("spatial", true) {
		return nil, onnx.Unsupported("attribute \"spatial\"")
	}
	element := n.ElementOf(0, onnx.Float, onnx.Double)
	for i := range n.Inputs {
		n.ElementOf(i, onnx.Float, onnx.Double)
	}
	n.SameShape(element)
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		length, inner := channels(in[0].Shape)
		d, err := doublesIn(e, in)
		if err != nil {
			return nil, err
		}
		out, y, err := kernel.Alloc[float64](e, in[0].Shape...)
		if err != nil {
			return nil, err
		}
		for _, list := range d[1:] {
			if len(list) != length {
				return nil, onnx.At(onnx.ErrInput, "%d numbers for %d channels", len(list), length)
			}
		}
		scale, shift := make([]float64, length), make([]float64, length)
		for c := range scale {
			scale[c] = d[1][c] / math.Sqrt(d[4][c]+epsilon)
			shift[c] = d[2][c] - d[3][c]*scale[c]
		}
		for i, x := range d[0] {
			c := i / inner % length
			y[i] = x*scale[c] + shift[c]
		}
		return kernel.CastTensor(e, out, element)
	}).Kernel, nil
}

// A standardized tensor has blocks of mean 0 and variance 1, or of mean square 1.
type standardized struct {
	values, means, deviations []float64 // the last two one a block, 1/deviation
}

// standardize standardizes blocks of elements that lie side by side.
func standardize(e *kernel.Env, x []float64, block int, epsilon float64, center bool) (s standardized, err error) {
	if err := e.Charge(3*len(x), 8); err != nil {
		return s, err
	}
	s.values = make([]float64, len(x))
	for first := 0; first < len(x); first += block {
		part := x[first : first+block]
		mean, square := 0.0, 0.0
		if center {
			for _, v := range part {
				mean += v
			}
			mean /= float64(block)
		}
		for _, v := range part {
			square += (v - mean) * (v - mean)
		}
		by := 1 / math.Sqrt(square/float64(block)+epsilon)
		for i, v := range part {
			s.values[first+i] = (v - mean) * by
		}
		s.means, s.deviations = append(s.means, mean), append(s.deviations, by)
	}
	return s, nil
}

// compileLayerNormalization compiles it, or RMSNormalization, which does not
// center.
func compileLayerNormalization(center bool) func(n *compile.Node) (kernel.Kernel, error) {
	return func(n *compile.Node) (kernel.Kernel, error) {
		r := n.Attributes()
		axis, epsilon := r.Int("axis", -1), float64(r.Float("epsilon", 1e-5))
		r.Int("stash_type", 1)
		element := n.SameTypes(onnx.Float, onnx.Double)
		n.SameShape(element)
		for i := range n.Outputs[1:] {
			n.Outputs[i+1] = onnx.Type{Kind: onnx.KindTensor, Element: onnx.Float}
		}
		outputs := len(n.Outputs)
		return func(e *kernel.Env, in []kernel.Value) ([]kernel.Value, error) {
			return layerNormalization(e, in, element, axis, epsilon, center, outputs)
		}, nil
	}
}

func layerNormalization(
	e *kernel.Env, values []kernel.Value, element onnx.ElementType, axis int64, epsilon float64, center bool, outputs int,
) ([]kernel.Value, error) {
	in := make([]*onnx.Tensor, len(values))
	for i, v := range values {
		if v != nil {
			var err error
			if in[i], err = kernel.TensorOf(v); err != nil {
				return nil, err
			}
		}
	}
	shape := in[0].Shape
	first, err := kernel.AxisOf(axis, len(shape))
	if err != nil {
		return nil, err
	}
	block := kernel.Product(shape[first:])
	if block == 0 {
		return nil, onnx.At(onnx.ErrInput, "shape %v has nothing to normalize", shape)
	}
	d, err := doublesIn(e, in)
	if err != nil {
		return nil, err
	}
	s, err := standardize(e, d[0], block, epsilon, center)
	if err != nil {
		return nil, err
	}
	out := onnx.NewTensor(shape, s.values)
	for i, f := range []func(x, y float64) float64{mul[float64], add[float64]} {
		if i+1 >= len(in) || in[i+1] == nil {
			continue
		}
		by := kernel.Reshaped(onnx.NewTensor([]int{len(d[i+1])}, d[i+1]), in[i+1].Shape)
		if out, err = kernel.Apply2(e, out, by, f); err != nil {
			return nil, err
		}
		if !slices.Equal(out.Shape, shape) {
			return nil, onnx.At(onnx.ErrInput, "shape %v does not stretch to %v", by.Shape, shape)
		}
	}
	if out, err = kernel.CastTensor(e, out, element); err != nil {
		return nil, err
	}
	result := []kernel.Value{out}
	reduced := slices.Clone(shape)
	for i := first; i < len(reduced); i++ {
		reduced[i] = 1
	}
	for _, list := range [][]float64{s.means, s.deviations}[:outputs-1] {
		t, err := kernel.CastTensor(e, onnx.NewTensor(reduced, list), onnx.Float)
		if err != nil {
			return nil, err
		}
		result = append(result, t)
	}
	return result, nil
}

func compileInstanceNormalization(n *compile.Node) (kernel.Kernel, error) {
	epsilon := float64(n.Attributes().Float("epsilon", 1e-5))
	return perChannel(n, epsilon, func(int) int { return -1 }, false), nil
}

// compileGroupNormalization compiles it; before version 21 scale and bias are one
// a group.
func compileGroupNormalization(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	epsilon, groups := float64(r.Float("epsilon", 1e-5)), r.Int("num_groups", 0)
	r.Int("stash_type", 1)
	if groups < 1 || groups > math.MaxInt32 {
		return nil, onnx.Invalid("attribute \"num_groups\" is %d", groups)
	}
	return perChannel(n, epsilon, func(int) int { return int(groups) }, n.Opset < 21), nil
}

// perChannel standardizes groups of channels (−1: each by itself), and scales and
// shifts each channel, or each group.
func perChannel(n *compile.Node, epsilon float64, groupsOf func(channels int) int, byGroup bool) kernel.Kernel {
	element := n.SameTypes(onnx.Float, onnx.Double)
	n.SameShape(element)
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		if len(in[0].Shape) < 2 {
			return nil, onnx.At(onnx.ErrInput, "shape %v has no channels", in[0].Shape)
		}
		length, inner := channels(in[0].Shape)
		groups := groupsOf(length)
		if groups < 0 {
			groups = length
		}
		if groups == 0 || length%groups != 0 {
			return nil, onnx.At(onnx.ErrInput, "%d groups of %d channels", groups, length)
		}
		d, err := doublesIn(e, in)
		if err != nil {
			return nil, err
		}
		wanted, share := length, 1
		if byGroup {
			wanted, share = groups, length/groups
		}
		if len(d[1]) != wanted || len(d[2]) != wanted {
			return nil, onnx.At(onnx.ErrInput, "%d scales and %d shifts, %d wanted", len(d[1]), len(d[2]), wanted)
		}
		s, err := standardize(e, d[0], length/groups*inner, epsilon, true)
		if err != nil {
			return nil, err
		}
		for i := range s.values {
			c := i / inner % length / share
			s.values[i] = s.values[i]*d[1][c] + d[2][c]
		}
		return kernel.CastTensor(e, onnx.NewTensor(in[0].Shape, s.values), element)
	}).Kernel
}

// compileMeanVariance compiles MeanVarianceNormalization, over any axes.
func compileMeanVariance(n *compile.Node) (kernel.Kernel, error) {
	axes := n.Attributes().Ints("axes")
	if axes == nil {
		axes = []int64{0, 2, 3}
	}
	element := n.ElementOf(0, onnx.Float, onnx.Double)
	n.SameShape(element)
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		positions, err := kernel.AxesOf(axes, len(in[0].Shape))
		if err != nil {
			return nil, err
		}
		x, err := kernel.CastTensor(e, in[0], onnx.Double)
		if err != nil {
			return nil, err
		}
		average := reduction{step: plus, done: func(sum float64, n int) float64 { return sum / float64(n) }}
		means, err := average.fold(e, x, positions, true)
		if err != nil {
			return nil, err
		}
		if x, err = kernel.Apply2(e, x, means, sub[float64]); err != nil {
			return nil, err
		}
		average.step = plusSquare
		variances, err := average.fold(e, x, positions, true)
		if err != nil {
			return nil, err
		}
		out, err := kernel.Apply2(e, x, variances, func(v, variance float64) float64 { return v / (math.Sqrt(variance) + 1e-9) })
		if err != nil {
			return nil, err
		}
		return kernel.CastTensor(e, out, element)
	}).Kernel, nil
}

func compileLpNormalization(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	axis, p := r.Int("axis", -1), r.Int("p", 2)
	if p != 1 && p != 2 {
		return nil, onnx.Invalid("attribute \"p\" is %d, 1 or 2 wanted", p)
	}
	norm := absolute
	if p == 2 {
		norm = euclidean
	}
	element := n.ElementOf(0, onnx.Float, onnx.Double)
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
		norms, err := norm.fold(e, x, []int{i}, true)
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
