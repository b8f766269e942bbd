package operators

import (
	"math"
	"slices"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/compile"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
	"github.com/petal-ml/petal/internal/onnx/eval/numeric"
)

func encoderOperators() []compile.Operator {
	return []compile.Operator{
		compile.Row("LabelEncoder", 1, 1, 1, compileLabelEncoder).Of(onnx.DomainML),
		compile.Row("OneHotEncoder", 1, 1, 1, compileOneHotEncoder).Of(onnx.DomainML),
		compile.Row("CategoryMapper", 1, 1, 1, compileCategoryMapper).Of(onnx.DomainML),
		compile.Row("Imputer", 1, 1, 1, compileImputer).Of(onnx.DomainML),
		compile.Row("Binarizer", 1, 1, 1, compileBinarizer).Of(onnx.DomainML),
		compile.Row("FeatureVectorizer", 1, 1, compile.Many, compileFeatureVectorizer).Of(onnx.DomainML),
	}
}

// A lookup finds the place of each element among keys.
type lookup struct {
	keys   *onnx.Tensor
	values *onnx.Tensor // one element more than keys: the last is for unknown ones
}

// compile makes the kernel that replaces elements by the values of their keys.
func (l lookup) compile() (kernel.Kernel, error) {
	index := indexes[l.keys.Type()]
	if index == nil {
		return nil, onnx.Unsupported("keys of type %v", l.keys.Type())
	}
	find := index(l.keys)
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		places, err := find(in[0])
		if err != nil {
			return nil, err
		}
		return kernel.Take(e, l.values, in[0].Shape, func(i int) int { return places[i] })
	}).Kernel, nil
}

// A finder returns the place of each element among keys, their number where it is
// not there.
type finder func(t *onnx.Tensor) ([]int, error)

var indexes = map[onnx.ElementType]func(keys *onnx.Tensor) finder{
	onnx.String: indexTensor[string], onnx.Int64: indexTensor[int64], onnx.Int32: indexTensor[int32],
	onnx.Float: indexTensor[float32], onnx.Double: indexTensor[float64], onnx.Bool: indexTensor[bool],
}

func indexTensor[K onnx.Element](keys *onnx.Tensor) finder { return indexOf(keys.Data.([]K)) }

// indexOf indexes keys, of which the first of several equal ones counts. NaN is
// equal to NaN here.
func indexOf[K onnx.Element](keys []K) finder {
	index := make(map[K]int, len(keys))
	nan := len(keys)
	for i, k := range keys {
		if k != k {
			nan = min(nan, i)
			continue
		}
		if _, twice := index[k]; !twice {
			index[k] = i
		}
	}
	return func(t *onnx.Tensor) ([]int, error) {
		data, ok := t.Data.([]K)
		if !ok {
			return nil, onnx.At(onnx.ErrInput, "elements of type %v", t.Type())
		}
		places := make([]int, len(data))
		for i, v := range data {
			place, found := index[v]
			switch {
			case v != v:
				place = nan
			case !found:
				place = len(keys)
			}
			places[i] = place
		}
		return places, nil
	}
}

func compileLabelEncoder(n *compile.Node) (kernel.Kernel, error) {
	var l lookup
	var err error
	if n.Opset < 2 {
		l, err = firstLabelEncoder(n)
	} else {
		l, err = labelEncoder(n)
	}
	if err != nil {
		return nil, err
	}
	if element := n.ElementOf(0); element != l.keys.Type() {
		return nil, onnx.Invalid("input 0 is %v, the keys are %v", n.Inputs[0].Type, l.keys.Type())
	}
	n.SameShape(l.values.Type())
	n.Part = compile.LookupPart{Labels: l.labels()}
	return l.compile()
}

// labels are the classes, where the encoder turns class indices into them.
func (l lookup) labels() onnx.Labels {
	keys, ok := l.keys.Data.([]int64)
	if !ok {
		return onnx.Labels{}
	}
	for i, k := range keys {
		if k != int64(i) {
			return onnx.Labels{}
		}
	}
	all := kernel.LabelsOf(l.values)
	if all.Strings != nil {
		return onnx.Labels{Strings: all.Strings[:len(keys)]}
	}
	if all.Ints != nil {
		return onnx.Labels{Ints: all.Ints[:len(keys)]}
	}
	return all
}

// firstLabelEncoder reads version 1: strings to their places, or back.
func firstLabelEncoder(n *compile.Node) (lookup, error) {
	r := n.Attributes()
	classes := r.Strings("classes_strings")
	unknownInt, unknownString := r.Int("default_int64", -1), r.Text("default_string", "_Unused")
	if r.Err != nil {
		return lookup{}, r.Err
	}
	element := n.ElementOf(0, onnx.Int64, onnx.String)
	places := make([]int64, len(classes))
	for i := range places {
		places[i] = int64(i)
	}
	if element == onnx.String {
		return lookup{list(classes), list(append(places, unknownInt))}, nil
	}
	return lookup{list(places), list(append(slices.Clone(classes), unknownString))}, nil
}

// list makes a tensor of one dimension.
func list[T onnx.Element](data []T) *onnx.Tensor { return onnx.NewTensor([]int{len(data)}, data) }

// labelEncoder reads keys and values from lists or, from version 4 on, tensors.
func labelEncoder(n *compile.Node) (lookup, error) {
	r := n.Attributes()
	var l lookup
	unknownString, unknownInt := r.Text("default_string", "_Unused"), r.Int("default_int64", -1)
	unknownFloat := r.Float("default_float", float32(math.Copysign(0, -1)))
	unknown := r.Tensor("default_tensor")
	l.keys, l.values = r.Tensor("keys_tensor"), r.Tensor("values_tensor")
	for _, side := range []struct {
		to   **onnx.Tensor
		name string
	}{{&l.keys, "keys"}, {&l.values, "values"}} {
		if s := r.Strings(side.name + "_strings"); s != nil {
			*side.to = list(s)
		}
		if s := r.Ints(side.name + "_int64s"); s != nil {
			*side.to = list(s)
		}
		if s := r.Floats(side.name + "_floats"); s != nil {
			*side.to = list(s)
		}
	}
	if r.Err != nil {
		return l, r.Err
	}
	if l.keys == nil || l.values == nil || l.keys.Len() != l.values.Len() {
		return l, onnx.Invalid("keys and values are missing, or not the same in number")
	}
	if unknown == nil {
		switch l.values.Type() {
		case onnx.String:
			unknown = list([]string{unknownString})
		case onnx.Float:
			unknown = list([]float32{unknownFloat})
		case onnx.Double:
			unknown = list([]float64{float64(unknownFloat)})
		default:
			unknown = list([]int64{unknownInt})
		}
	}
	if unknown.Len() != 1 || unknown.Type() != l.values.Type() && l.values.Type() == onnx.String {
		return l, onnx.Invalid("attribute \"default_tensor\" has %d elements of type %v", unknown.Len(), unknown.Type())
	}
	unknown, err := kernel.CastTensor(n.Env, kernel.Reshaped(unknown, []int{1}), l.values.Type())
	if err != nil {
		return l, err
	}
	values := kernel.Reshaped(l.values, []int{l.values.Len()})
	l.values, err = kernel.Join(n.Env, []*onnx.Tensor{values, unknown}, []int{values.Len() + 1}, 0)
	return l, err
}

func compileCategoryMapper(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	texts, ints := r.Strings("cats_strings"), r.Ints("cats_int64s")
	unknownString, unknownInt := r.Text("default_string", "_Unused"), r.Int("default_int64", -1)
	if len(texts) == 0 || len(texts) != len(ints) {
		return nil, onnx.Invalid("%d strings for %d numbers", len(texts), len(ints))
	}
	element := n.ElementOf(0, onnx.Int64, onnx.String)
	l := lookup{list(ints), list(append(slices.Clone(texts), unknownString))}
	if element == onnx.String {
		l = lookup{list(texts), list(append(slices.Clone(ints), unknownInt))}
	}
	n.SameShape(l.values.Type())
	return l.compile()
}

func compileOneHotEncoder(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	texts, ints := r.Strings("cats_strings"), r.Ints("cats_int64s")
	zeros := r.Bool("zeros", true)
	if (len(texts) == 0) == (len(ints) == 0) {
		return nil, onnx.Invalid("attributes \"cats_strings\" and \"cats_int64s\" have %d and %d categories, one of them wanted", len(texts), len(ints))
	}
	element := n.ElementOf(0, onnx.String, onnx.Int64, onnx.Int32, onnx.Float, onnx.Double)
	if (element == onnx.String) != (len(texts) > 0) {
		return nil, onnx.Invalid("input 0 has elements of type %v, the categories another", element)
	}
	k := len(texts) + len(ints)
	t := n.Inputs[0].Type
	n.Inferred(onnx.Float, append(slices.Clone(t.Shape), onnx.Fixed(k)), t.HasShape)
	find, whole := indexOf(ints), onnx.Int64
	if element == onnx.String {
		find, whole = indexOf(texts), onnx.String
	}
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		t := in[0]
		if whole != onnx.String {
			var err error
			if t, err = kernel.CastTensor(e, t, whole); err != nil {
				return nil, err
			}
		}
		places, err := find(t)
		if err != nil {
			return nil, err
		}
		out, data, err := kernel.Alloc[float32](e, append(slices.Clone(in[0].Shape), k)...)
		if err != nil {
			return nil, err
		}
		for i, place := range places {
			switch {
			case place < k:
				data[i*k+place] = 1
			case !zeros:
				return nil, onnx.At(onnx.ErrInput, "element %d is none of the categories", i)
			}
		}
		return out, nil
	}).Kernel, nil
}

// An imputer replaces one value, usually NaN, by another, column by column.
type imputer[T numeric.Number] struct {
	replaced T
	imputed  []T
}

func compileImputer(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	floats, ints := r.Floats("imputed_value_floats"), r.Ints("imputed_value_int64s")
	replaced, replacedInt := r.Float("replaced_value_float", 0), r.Int("replaced_value_int64", 0)
	if (len(floats) == 0) == (len(ints) == 0) {
		return nil, onnx.Invalid("%d floats and %d integers to impute, one of them wanted", len(floats), len(ints))
	}
	element := n.ElementOf(0, onnx.Float, onnx.Double, onnx.Int64, onnx.Int32)
	n.SameShape(element)
	switch {
	case element == onnx.Float && len(floats) > 0:
		m := &imputer[float32]{replaced, floats}
		n.Part = compile.RowPart{Step: m, Columns: m.columns()}
		return kernel.TensorKernel(m.kernel).Kernel, nil
	case element == onnx.Double && len(floats) > 0:
		m := &imputer[float64]{float64(replaced), make([]float64, len(floats))}
		numeric.Convert(m.imputed, floats)
		return kernel.TensorKernel(m.kernel).Kernel, nil
	case element == onnx.Int64 && len(ints) > 0:
		m := &imputer[int64]{replacedInt, ints}
		return kernel.TensorKernel(m.kernel).Kernel, nil
	}
	return nil, onnx.Unsupported("values to impute of another type than the input, %v", element)
}

func (m *imputer[T]) kernel(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
	if len(in[0].Shape) == 0 {
		return nil, onnx.At(onnx.ErrInput, "a scalar given, a matrix wanted")
	}
	// As in onnxruntime the second axis is that of the features, whatever follows.
	columns := in[0].Shape[min(1, len(in[0].Shape)-1)]
	out, data, err := kernel.Alloc[T](e, in[0].Shape...)
	if err != nil || columns == 0 {
		return out, err
	}
	x := in[0].Data.([]T)
	for first := 0; first < len(x); first += columns {
		m.Apply(data[first:first+columns], x[first:first+columns])
	}
	return out, nil
}

// columns is the number of features, 0 where any number will do.
func (m *imputer[T]) columns() int {
	if len(m.imputed) > 1 {
		return len(m.imputed)
	}
	return 0
}

// Apply imputes one row. As in onnxruntime, a list of another length than the
// row gives its first value.
func (m *imputer[T]) Apply(out, row []T) {
	perColumn := len(m.imputed) == len(row)
	for j, x := range row {
		if x == m.replaced || x != x && m.replaced != m.replaced {
			x = m.imputed[0]
			if perColumn {
				x = m.imputed[j]
			}
		}
		out[j] = x
	}
}

func compileBinarizer(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	threshold := r.Float("threshold", 0)
	element := n.ElementOf(0, onnx.Float, onnx.Double, onnx.Int64, onnx.Int32)
	n.SameShape(element)
	return kernel.TensorKernel(func(e *kernel.Env, in []*onnx.Tensor) (*onnx.Tensor, error) {
		x, err := kernel.CastTensor(e, in[0], onnx.Double)
		if err != nil {
			return nil, err
		}
		ones, err := kernel.Apply1(e, x, func(x float64) float64 {
			if x > float64(threshold) {
				return 1
			}
			return 0
		})
		if err != nil {
			return nil, err
		}
		return kernel.CastTensor(e, ones, element)
	}).Kernel, nil
}

func compileFeatureVectorizer(n *compile.Node) (kernel.Kernel, error) {
	r := n.Attributes()
	widths := r.Ints("inputdimensions")
	if len(widths) != len(n.Inputs) {
		return nil, onnx.Invalid("attribute \"inputdimensions\" has %d numbers for %d inputs", len(widths), len(n.Inputs))
	}
	total := 0
	for _, w := range widths {
		if w < 0 || w > math.MaxInt16 {
			return nil, onnx.Invalid("attribute \"inputdimensions\": %d", w)
		}
		total += int(w)
	}
	n.SameTypes(onnx.Float, onnx.Double, onnx.Int64, onnx.Int32)
	n.Outputs[0] = n.Rows(onnx.Float, onnx.Fixed(total))
	if t := n.Inputs[0].Type; t.HasShape && len(t.Shape) > 2 {
		n.Outputs[0].Shape[0] = t.Shape[0]
	}
	return func(e *kernel.Env, in []kernel.Value) ([]kernel.Value, error) {
		var out *onnx.Tensor
		var data []float32
		first := 0
		for i, v := range in {
			// What stands behind the first axis is one row of features, as the
			// [N,1,K] of a OneHotEncoder is.
			t, err := kernel.TensorOf(v)
			if err != nil {
				return nil, err
			}
			if len(t.Shape) > 2 {
				v = kernel.Reshaped(t, []int{t.Shape[0], kernel.Product(t.Shape[1:])})
			}
			x, rows, columns, err := kernel.FeatureMatrix(e, v)
			if err != nil {
				return nil, err
			}
			if out == nil {
				if out, data, err = kernel.Alloc[float32](e, rows, total); err != nil {
					return nil, err
				}
			}
			if rows != out.Shape[0] {
				return nil, onnx.At(onnx.ErrInput, "input %d has %d rows, the first %d", i, rows, out.Shape[0])
			}
			// Too few columns leave zeros, too many are cut.
			for k := range rows {
				copy(data[k*total+first:][:widths[i]], x[k*columns:(k+1)*columns])
			}
			first += int(widths[i])
		}
		return []kernel.Value{out}, nil
	}, nil
}
