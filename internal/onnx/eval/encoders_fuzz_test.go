package eval

import (
	"math"
	"slices"

	"github.com/petal-ml/petal/internal/onnx"
)

// encoderMakers are the nodes of [FuzzGraph] that change what kind of elements
// there are, or pick among them by their values.
func (g *graphMaker) encoderMakers() []func() {
	return []func(){g.cast, g.labelEncoder, g.categoryMapper, g.oneHot, g.extract, g.gatherElements, g.clip, g.vectorize}
}

// whole makes a constant list of small whole numbers, each once.
func (g *graphMaker) whole() []float64 {
	var list []float64
	for range 1 + g.next(4) {
		if v := float64(g.next(7) - 2); !slices.Contains(list, v) {
			list = append(list, v)
		}
	}
	return list
}

func (g *graphMaker) texts(list []float64) []string {
	return g.tensor("", refValue{kind: onnx.String, shape: []int{len(list)}, data: list}).Data.([]string)
}

// emitML adds a node of ai.onnx.ml and returns the name of its last output.
func (g *graphMaker) emitML(operator string, inputs []string, attributes []onnx.Attribute, outputs ...refValue) string {
	g.emit(operator, inputs, attributes, outputs...)
	node := &g.graph.Nodes[len(g.graph.Nodes)-1]
	node.Domain = onnx.DomainML
	return node.Outputs[len(node.Outputs)-1]
}

func (g *graphMaker) cast() {
	from := []onnx.ElementType{onnx.Float, onnx.Int64, onnx.Bool}[g.next(3)]
	to := []onnx.ElementType{onnx.Int64, onnx.Float, onnx.Bool}[g.next(3)]
	a := g.pick(from, true, 0)
	if a == "" {
		return
	}
	v := g.values[a]
	g.emit("Cast", []string{a}, []onnx.Attribute{onnx.IntAttribute("to", int64(to))}, fill(to, true, v.shape, func(c []int) float64 {
		switch to {
		case onnx.Int64:
			return math.Trunc(v.at(c))
		case onnx.Bool:
			return boolTo(v.at(c) != 0)
		default:
			return v.at(c)
		}
	}))
}

// replace looks each element up among keys; the last value is for the others.
func replace(v refValue, to onnx.ElementType, keys, values []float64) refValue {
	return fill(to, true, v.shape, func(c []int) float64 {
		if i := slices.Index(keys, v.at(c)); i >= 0 {
			return values[i]
		}
		return values[len(values)-1]
	})
}

func (g *graphMaker) labelEncoder() {
	from, to := []onnx.ElementType{onnx.Int64, onnx.String}[g.next(2)], []onnx.ElementType{onnx.Int64, onnx.String, onnx.Float}[g.next(3)]
	a := g.pick(from, true, 0)
	if a == "" {
		return
	}
	keys := g.whole()
	values := make([]float64, len(keys)+1)
	for i := range values {
		values[i] = float64(g.next(5))
	}
	keyAttribute := onnx.IntsAttribute("keys_int64s", as[int64](keys)...)
	if from == onnx.String {
		keyAttribute = onnx.StringsAttribute("keys_strings", g.texts(keys)...)
	}
	last := values[len(keys)]
	attributes := []onnx.Attribute{keyAttribute}
	switch to {
	case onnx.Int64:
		attributes = append(attributes, onnx.IntsAttribute("values_int64s", as[int64](values[:len(keys)])...), onnx.IntAttribute("default_int64", int64(last)))
	case onnx.String:
		attributes = append(attributes, onnx.StringsAttribute("values_strings", g.texts(values[:len(keys)])...), onnx.StringAttribute("default_string", textOf(last)))
	default:
		attributes = append(attributes, onnx.FloatsAttribute("values_floats", as[float32](values[:len(keys)])...), onnx.FloatAttribute("default_float", float32(last)))
	}
	g.emitML("LabelEncoder", []string{a}, attributes, replace(g.values[a], to, keys, values))
}

func (g *graphMaker) categoryMapper() {
	from := []onnx.ElementType{onnx.Int64, onnx.String}[g.next(2)]
	a := g.pick(from, true, 0)
	if a == "" {
		return
	}
	keys := g.whole()
	values := append(slices.Clone(keys), 9)
	slices.Reverse(values[:len(keys)])
	attributes := []onnx.Attribute{
		onnx.IntsAttribute("cats_int64s", as[int64](keys)...), onnx.StringsAttribute("cats_strings", g.texts(values[:len(keys)])...),
		onnx.IntAttribute("default_int64", 9), onnx.StringAttribute("default_string", textOf(9)),
	}
	if from == onnx.Int64 {
		g.emitML("CategoryMapper", []string{a}, attributes, replace(g.values[a], onnx.String, keys, values))
		return
	}
	g.emitML("CategoryMapper", []string{a}, attributes, replace(g.values[a], onnx.Int64, values[:len(keys)], append(keys, 9)))
}

func (g *graphMaker) oneHot() {
	from := []onnx.ElementType{onnx.Float, onnx.Int64, onnx.String}[g.next(3)]
	a := g.pick(from, true, 0)
	if a == "" {
		return
	}
	v, categories := g.values[a], g.whole()
	attribute := onnx.IntsAttribute("cats_int64s", as[int64](categories)...)
	if from == onnx.String {
		attribute = onnx.StringsAttribute("cats_strings", g.texts(categories)...)
	}
	g.emitML("OneHotEncoder", []string{a}, []onnx.Attribute{attribute}, fill(onnx.Float, true, append(slices.Clone(v.shape), len(categories)), func(c []int) float64 {
		return boolTo(math.Trunc(v.at(c[:len(c)-1])) == categories[c[len(c)-1]])
	}))
}

// extract is ArrayFeatureExtractor: Gather along the last axis.
func (g *graphMaker) extract() {
	a := g.pick([]onnx.ElementType{onnx.Float, onnx.Int64, onnx.String}[g.next(3)], false, 2)
	if a == "" {
		return
	}
	v := g.values[a]
	index := make([]int, 1+g.next(4))
	for i := range index {
		index[i] = g.next(v.shape[len(v.shape)-1])
	}
	g.emitML("ArrayFeatureExtractor", []string{a, g.ints(index...)}, nil, refGather(v, len(v.shape)-1, index))
}

// gatherElements takes places that another node found, where there is one.
func (g *graphMaker) gatherElements() {
	a, b := g.pick(onnx.Float, false, 1), g.pick(onnx.Int64, true, 1)
	if a == "" || b == "" {
		return
	}
	v, places := g.values[a], g.values[b]
	axis := g.next(len(v.shape))
	if len(places.shape) != len(v.shape) {
		return
	}
	for i, d := range places.shape {
		if i != axis && d > v.shape[i] {
			return
		}
	}
	length := float64(v.shape[axis])
	if slices.ContainsFunc(places.data, func(x float64) bool { return x < -length || x >= length }) {
		return
	}
	g.emit("GatherElements", []string{a, b}, []onnx.Attribute{onnx.IntAttribute("axis", int64(axis))}, fill(onnx.Float, v.exact, places.shape, func(c []int) float64 {
		from := slices.Clone(c)
		if from[axis] = int(places.at(c)); from[axis] < 0 {
			from[axis] += v.shape[axis]
		}
		return v.at(from)
	}))
}

func (g *graphMaker) clip() {
	a := g.pick(onnx.Float, false, 0)
	low := g.numbers(nil)
	high := refValue{kind: onnx.Float, exact: true, data: []float64{low.data[0] + float64(g.next(4))}}
	v := g.values[a]
	g.emit("Clip", []string{a, g.constant(low), g.constant(high)}, nil, fill(onnx.Float, v.exact, v.shape, func(c []int) float64 {
		return math.Min(math.Max(v.at(c), low.data[0]), high.data[0])
	}))
}

// vectorize is FeatureVectorizer: matrices side by side, cut or filled with
// zeros to the widths given.
func (g *graphMaker) vectorize() {
	a := g.pick(onnx.Float, false, 2)
	v := g.values[a]
	if a == "" || len(v.shape) != 2 {
		return
	}
	other := g.numbers([]int{v.shape[0], 1 + g.next(3)})
	widths := []int{1 + g.next(5), 1 + g.next(5)}
	out := fill(onnx.Float, v.exact, []int{v.shape[0], widths[0] + widths[1]}, func(c []int) float64 {
		from, column := v, c[1]
		if column >= widths[0] {
			from, column = other, column-widths[0]
		}
		if column >= from.shape[1] {
			return 0
		}
		return from.at([]int{c[0], column})
	})
	g.emitML("FeatureVectorizer", []string{a, g.constant(other)}, []onnx.Attribute{onnx.IntsAttribute("inputdimensions", int64(widths[0]), int64(widths[1]))}, out)
}
