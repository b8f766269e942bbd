package eval

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
	"github.com/petal-ml/petal/internal/onnx/eval/numeric"
)

// A graphMaker turns bytes into a graph and, beside it, what the reference
// evaluator makes of each of its values.
type graphMaker struct {
	data   []byte
	graph  *onnx.Graph
	values map[string]refValue
	names  []string
}

// next is a number below n.
func (g *graphMaker) next(n int) int {
	if len(g.data) == 0 || n <= 1 {
		return 0
	}
	b := int(g.data[0])
	g.data = g.data[1:]
	return b % n
}

// FuzzGraph compares small graphs of tensor operators and encoders with the
// reference evaluator. Every value of a graph is one of its outputs; operands
// are constants too, so that folding is tried as well.
func FuzzGraph(f *testing.F) {
	addSeeds(f, 60)
	f.Fuzz(func(t *testing.T, data []byte) {
		g := newGraphMaker(data)
		x := g.numbers([]int{1 + g.next(4), 1 + g.next(4)})
		g.graph.Inputs = []onnx.ValueInfo{{Name: "x", Type: onnx.TensorType(onnx.Float, onnx.Symbolic("N"), onnx.Fixed(x.shape[1]))}}
		g.add("x", x)
		for range 2 {
			g.constant(g.numbers(g.shape()))
		}
		for len(g.data) > 0 && len(g.graph.Nodes) < 24 {
			g.node()
		}
		for _, n := range g.graph.Nodes {
			for _, name := range n.Outputs {
				g.graph.Outputs = append(g.graph.Outputs, onnx.ValueInfo{Name: name, Type: onnx.Type{Kind: onnx.KindTensor, Element: g.values[name].kind}})
			}
		}
		if len(g.graph.Outputs) == 0 {
			return
		}
		s, err := NewSession(&onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 15}, {Domain: onnx.DomainML, Version: 3}}, Graph: g.graph})
		require.NoError(t, err, "%s", describe(g.graph))
		out, err := s.Run(map[string]kernel.Value{"x": g.tensor("", x)})
		require.NoError(t, err, "%s", describe(g.graph))
		for i, info := range s.Outputs() {
			requireAlike(t, g.values[info.Name], out[i], info.Name+" of "+describe(g.graph))
		}
	})
}

// addSeeds gives the fuzzer random bytes to begin with.
func addSeeds(f *testing.F, n int) {
	r := rand.New(rand.NewPCG(11, 12))
	for range n {
		seed := make([]byte, 120)
		for i := range seed {
			seed[i] = byte(r.Uint32())
		}
		f.Add(seed)
	}
}

func newGraphMaker(data []byte) *graphMaker {
	return &graphMaker{data: data, graph: &onnx.Graph{Name: "g"}, values: map[string]refValue{}}
}

func describe(g *onnx.Graph) string {
	text := ""
	for _, n := range g.Nodes {
		text += fmt.Sprintf("%v = %s%v; ", n.Outputs, n.Operator, n.Inputs)
	}
	return text
}

func requireAlike(t *testing.T, want refValue, v kernel.Value, what string) {
	t.Helper()
	if maps, ok := v.(*kernel.ProbabilityMaps); ok {
		v = maps.Scores
	}
	got, err := kernel.TensorOf(v)
	require.NoError(t, err)
	require.Equal(t, want.kind, got.Type(), what)
	require.Equal(t, fmt.Sprint(want.shape), fmt.Sprint(got.Shape), what)
	switch data := got.Data.(type) {
	case []bool:
		for i, b := range data {
			require.Equal(t, want.data[i] != 0, b, what)
		}
	case []string:
		for i, text := range data {
			if !math.IsNaN(want.data[i]) {
				require.Equal(t, textOf(want.data[i]), text, what)
			}
		}
	default:
		double, err := kernel.CastTensor(kernel.NewEnv(1<<30), got, onnx.Double)
		require.NoError(t, err)
		for i, x := range double.Data.([]float64) {
			if want.kind != onnx.Int64 || !math.IsNaN(want.data[i]) {
				requireNear(t, want, want.data[i], x, what)
			}
		}
	}
}

// textOf is the text that stands for a number in values of strings.
func textOf(v float64) string { return fmt.Sprintf("é%v", v) }

// requireNear compares one number.
func requireNear(t *testing.T, of refValue, want, got float64, what string) {
	t.Helper()
	switch {
	case math.IsNaN(want) || math.IsInf(want, 0):
		require.Equal(t, fmt.Sprint(want), fmt.Sprint(got), what)
	case of.exact:
		require.Equal(t, want, got, what)
	default:
		slack := max(of.slack, 1e-4)
		require.InDelta(t, want, got, slack*max(1, math.Abs(want)), what)
	}
}

// add keeps a value. One that float32 may have rounded is not exact.
func (g *graphMaker) add(name string, v refValue) {
	g.values[name] = v
	for _, x := range v.data {
		if v.exact && v.kind == onnx.Float && x == x && float64(float32(x)) != x {
			v.exact = false
			g.values[name] = v
		}
		if math.IsNaN(x) || math.Abs(x) > 1<<20 {
			return // it is compared, and not used any more
		}
	}
	if len(v.data) > 0 && len(v.data) < 300 && len(v.shape) < 5 {
		g.names = append(g.names, name)
	}
}

func (g *graphMaker) shape() []int {
	shape := make([]int, g.next(4))
	for i := range shape {
		shape[i] = 1 + g.next(3)
	}
	return shape
}

// numbers are small halves, of which sums and products are exact.
func (g *graphMaker) numbers(shape []int) refValue {
	return fill(onnx.Float, true, shape, func([]int) float64 { return float64(g.next(13)-6) / 2 })
}

func (g *graphMaker) tensor(name string, v refValue) *onnx.Tensor {
	switch v.kind {
	case onnx.Double:
		return onnx.NamedTensor(name, v.shape, slices.Clone(v.data))
	case onnx.Int64:
		return onnx.NamedTensor(name, v.shape, as[int64](v.data))
	case onnx.String:
		data := make([]string, len(v.data))
		for i, x := range v.data {
			data[i] = textOf(x)
		}
		return onnx.NamedTensor(name, v.shape, data)
	default:
		return onnx.NamedTensor(name, v.shape, as[float32](v.data))
	}
}

func as[T float32 | int64](list []float64) []T {
	out := make([]T, len(list))
	numeric.Convert(out, list)
	return out
}

func (g *graphMaker) constant(v refValue) string {
	name := fmt.Sprintf("c%d", len(g.graph.Initializers))
	g.graph.Initializers = append(g.graph.Initializers, g.tensor(name, v))
	g.add(name, v)
	return name
}

// ints makes a constant of whole numbers.
func (g *graphMaker) ints(list ...int) string {
	data := make([]int64, len(list))
	for i, v := range list {
		data[i] = int64(v)
	}
	name := fmt.Sprintf("c%d", len(g.graph.Initializers))
	g.graph.Initializers = append(g.graph.Initializers, onnx.NamedTensor(name, []int{len(data)}, data))
	return name
}

// pick chooses a value of a kind; empty where there is none.
func (g *graphMaker) pick(kind onnx.ElementType, exact bool, rank int) string {
	var fit []string
	for _, name := range g.names {
		if v := g.values[name]; v.kind == kind && (v.exact || !exact) && len(v.shape) >= rank {
			fit = append(fit, name)
		}
	}
	if len(fit) == 0 {
		return ""
	}
	return fit[g.next(len(fit))]
}

func pickKey[V any](g *graphMaker, of map[string]V) string {
	keys := make([]string, 0, len(of))
	for k := range of {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys[g.next(len(keys))]
}

func (g *graphMaker) emit(operator string, inputs []string, attributes []onnx.Attribute, outputs ...refValue) {
	node := onnx.Node{Operator: operator, Inputs: inputs, Attributes: attributes}
	for i, v := range outputs {
		name := fmt.Sprintf("v%d_%d", len(g.graph.Nodes), i)
		node.Outputs = append(node.Outputs, name)
		g.add(name, v)
	}
	g.graph.Nodes = append(g.graph.Nodes, node)
}

// node adds one node, where its operands are there.
func (g *graphMaker) node() {
	makers := append(g.encoderMakers(), []func(){
		g.binary, g.unary, g.compare, g.logic, g.where, g.matMul, g.gemm, g.reduce, g.arg, g.topK,
		g.gather, g.slice, g.transpose, g.concat, g.softmax, g.reshape, g.expand, g.tile, g.split,
		g.scatter, g.gatherND, g.tensorOneHot,
	}...)
	makers[g.next(len(makers))]()
}

func (g *graphMaker) binary() {
	op := pickKey(g, refBinary)
	a, b := g.pick(onnx.Float, false, 0), g.pick(onnx.Float, false, 0)
	va, vb := g.values[a], g.values[b]
	shape, ok := refBroadcast(va.shape, vb.shape)
	if !ok {
		return
	}
	if op == "Div" && slices.Contains(vb.data, 0) && !vb.exact { // the sign of a zero may be rounding
		return
	}
	of := refBinary[op]
	g.emit(op, []string{a, b}, nil, fill(onnx.Float, va.exact && vb.exact && op != "Div", shape, func(c []int) float64 {
		return of(va.spread(c), vb.spread(c))
	}))
}

func (g *graphMaker) unary() {
	op := pickKey(g, refUnary)
	continuous := op != "Log" && op != "Sqrt" // those blow up roundings near zero
	a := g.pick(onnx.Float, !continuous, 0)
	if a == "" {
		return
	}
	v, of := g.values[a], refUnary[op]
	exact := v.exact && (op == "Abs" || op == "Neg" || op == "Relu")
	g.emit(op, []string{a}, nil, fill(onnx.Float, exact, v.shape, func(c []int) float64 { return of(v.at(c)) }))
}

func (g *graphMaker) compare() {
	op := pickKey(g, refCompare)
	a, b := g.pick(onnx.Float, true, 0), g.pick(onnx.Float, true, 0)
	if a == "" {
		return
	}
	va, vb := g.values[a], g.values[b]
	if shape, ok := refBroadcast(va.shape, vb.shape); ok {
		g.emit(op, []string{a, b}, nil, fill(onnx.Bool, true, shape, func(c []int) float64 {
			return boolTo(refCompare[op](va.spread(c), vb.spread(c)))
		}))
	}
}

func (g *graphMaker) logic() {
	a, b := g.pick(onnx.Bool, true, 0), g.pick(onnx.Bool, true, 0)
	if a == "" {
		return
	}
	va, vb := g.values[a], g.values[b]
	if g.next(3) == 0 {
		g.emit("Not", []string{a}, nil, fill(onnx.Bool, true, va.shape, func(c []int) float64 { return 1 - va.at(c) }))
		return
	}
	op := pickKey(g, refLogic)
	if shape, ok := refBroadcast(va.shape, vb.shape); ok {
		g.emit(op, []string{a, b}, nil, fill(onnx.Bool, true, shape, func(c []int) float64 {
			return boolTo(refLogic[op](va.spread(c) != 0, vb.spread(c) != 0))
		}))
	}
}

func (g *graphMaker) where() {
	c, a, b := g.pick(onnx.Bool, true, 0), g.pick(onnx.Float, false, 0), g.pick(onnx.Float, false, 0)
	if c == "" {
		return
	}
	vc, va, vb := g.values[c], g.values[a], g.values[b]
	shape, ok := refBroadcast(va.shape, vb.shape)
	if ok {
		shape, ok = refBroadcast(shape, vc.shape)
	}
	if !ok {
		return
	}
	g.emit("Where", []string{c, a, b}, nil, fill(onnx.Float, va.exact && vb.exact, shape, func(coord []int) float64 {
		if vc.spread(coord) != 0 {
			return va.spread(coord)
		}
		return vb.spread(coord)
	}))
}

func (g *graphMaker) matMul() {
	a, b := g.pick(onnx.Float, false, 2), g.pick(onnx.Float, false, 2)
	if a == "" {
		return
	}
	va, vb := g.values[a], g.values[b]
	if va.shape[len(va.shape)-1] != vb.shape[max(0, len(vb.shape)-2)] { // make one that fits
		vb = g.numbers([]int{va.shape[len(va.shape)-1], 1 + g.next(9)})
		b = g.constant(vb)
	}
	if out, ok := refMatMul(va, vb); ok {
		g.emit("MatMul", []string{a, b}, nil, out)
	}
}

func (g *graphMaker) gemm() {
	a := g.pick(onnx.Float, false, 2)
	va := g.values[a]
	if a == "" || len(va.shape) != 2 {
		return
	}
	transA, transB := g.next(2), g.next(2)
	left := va
	if transA == 1 {
		left = refTranspose(va, []int{1, 0})
	}
	right := g.numbers([]int{left.shape[1], 1 + g.next(9)})
	given := right
	if transB == 1 {
		given = refTranspose(right, []int{1, 0})
	}
	alpha, beta := float64(g.next(5)-2)/2, float64(g.next(5)-2)/2
	out, _ := refMatMul(left, right)
	inputs := []string{a, g.constant(given)}
	product := func(c []int) float64 { return alpha * out.at(c) }
	value := product // without a bias nothing is added: -0 stays -0
	if g.next(3) > 0 {
		bias := g.numbers([][]int{{1}, {out.shape[1]}, {1, out.shape[1]}, {out.shape[0], 1}, out.shape}[g.next(5)])
		inputs = append(inputs, g.constant(bias))
		value = func(c []int) float64 { return product(c) + beta*bias.spread(c) }
	}
	g.emit("Gemm", inputs, []onnx.Attribute{
		onnx.IntAttribute("transA", int64(transA)), onnx.IntAttribute("transB", int64(transB)),
		onnx.FloatAttribute("alpha", float32(alpha)), onnx.FloatAttribute("beta", float32(beta)),
	}, fill(onnx.Float, left.exact, out.shape, value))
}

func (g *graphMaker) reduce() {
	op := pickKey(g, refReduce)
	a := g.pick(onnx.Float, false, 1)
	if a == "" {
		return
	}
	v, keep := g.values[a], g.next(2)
	axis := g.next(len(v.shape))
	inputs, attributes := []string{a}, []onnx.Attribute{onnx.IntAttribute("keepdims", int64(keep))}
	given := axis - g.next(2)*len(v.shape) // from the front or from the back
	if op == "ReduceSum" {
		inputs = append(inputs, g.ints(given))
	} else {
		attributes = append(attributes, onnx.IntsAttribute("axes", int64(given)))
	}
	g.emit(op, inputs, attributes, refReduceAxis(v, onnx.Float, axis, keep == 1, refReduce[op]))
}

func (g *graphMaker) arg() {
	a := g.pick(onnx.Float, true, 1)
	if a == "" {
		return
	}
	v, keep, last, largest := g.values[a], g.next(2), g.next(2), g.next(2) == 1
	axis := g.next(len(v.shape))
	op := "ArgMin"
	if largest {
		op = "ArgMax"
	}
	g.emit(op, []string{a}, []onnx.Attribute{
		onnx.IntAttribute("axis", int64(axis)), onnx.IntAttribute("keepdims", int64(keep)), onnx.IntAttribute("select_last_index", int64(last)),
	}, refReduceAxis(v, onnx.Int64, axis, keep == 1, func(list []float64) float64 {
		best := refOrder(list, largest)[0]
		for i := range list {
			if last == 1 && list[i] == list[best] {
				best = max(best, i)
			}
		}
		return float64(best)
	}))
}

func (g *graphMaker) topK() {
	a := g.pick(onnx.Float, true, 1)
	if a == "" {
		return
	}
	v, largest := g.values[a], g.next(2)
	axis := g.next(len(v.shape))
	k := 1 + g.next(v.shape[axis])
	values, indices := refTopK(v, axis, k, largest == 1)
	g.emit("TopK", []string{a, g.ints(k)}, []onnx.Attribute{onnx.IntAttribute("axis", int64(axis)), onnx.IntAttribute("largest", int64(largest))}, values, indices)
}

func (g *graphMaker) gather() {
	a := g.pick(onnx.Float, false, 1)
	if a == "" {
		return
	}
	v := g.values[a]
	axis := g.next(len(v.shape))
	index := make([]int, 1+g.next(4))
	for i := range index {
		index[i] = g.next(2*v.shape[axis]) - v.shape[axis]
	}
	g.emit("Gather", []string{a, g.ints(index...)}, []onnx.Attribute{onnx.IntAttribute("axis", int64(axis))}, refGather(v, axis, index))
}

func (g *graphMaker) slice() {
	a := g.pick(onnx.Float, false, 1)
	if a == "" {
		return
	}
	v := g.values[a]
	axis := g.next(len(v.shape))
	start, end, step := g.next(13)-6, g.next(13)-6, []int{1, 2, 3, -1, -2}[g.next(5)]
	if end == 6 {
		end = math.MaxInt64
	}
	places := refSlice(v.shape[axis], start, end, step)
	g.emit("Slice", []string{a, g.ints(start), g.ints(end), g.ints(axis), g.ints(step)}, nil, refGather(v, axis, places))
}

func (g *graphMaker) transpose() {
	a := g.pick(onnx.Float, false, 0)
	v := g.values[a]
	perm := make([]int, len(v.shape))
	var wide []int64
	for i := range perm {
		perm[i] = i
	}
	for i := range perm {
		j := i + g.next(len(perm)-i)
		perm[i], perm[j] = perm[j], perm[i]
	}
	for _, p := range perm {
		wide = append(wide, int64(p))
	}
	if len(perm) == 0 {
		return
	}
	g.emit("Transpose", []string{a}, []onnx.Attribute{onnx.IntsAttribute("perm", wide...)}, refTranspose(v, perm))
}

func (g *graphMaker) concat() {
	a := g.pick(onnx.Float, false, 1)
	if a == "" {
		return
	}
	v := g.values[a]
	axis := g.next(len(v.shape))
	shape := slices.Clone(v.shape)
	shape[axis] = 1 + g.next(3)
	other := g.numbers(shape)
	g.emit("Concat", []string{a, g.constant(other)}, []onnx.Attribute{onnx.IntAttribute("axis", int64(axis))}, refConcat(v, other, axis))
}

func (g *graphMaker) softmax() {
	a := g.pick(onnx.Float, false, 1)
	if a == "" {
		return
	}
	v, log := g.values[a], g.next(2) == 1
	axis := g.next(len(v.shape))
	op := "Softmax"
	if log {
		op = "LogSoftmax"
	}
	g.emit(op, []string{a}, []onnx.Attribute{onnx.IntAttribute("axis", int64(axis))}, refSoftmax(v, axis, log))
}

func (g *graphMaker) reshape() {
	a := g.pick(onnx.Float, false, 1)
	if a == "" {
		return
	}
	v := g.values[a]
	out := v
	switch axis := g.next(len(v.shape)); g.next(4) {
	case 0:
		out.shape = []int{kernel.Product(v.shape[:axis]), kernel.Product(v.shape[axis:])}
		g.emit("Flatten", []string{a}, []onnx.Attribute{onnx.IntAttribute("axis", int64(axis))}, out)
	case 1:
		out.shape = slices.Insert(slices.Clone(v.shape), axis, 1)
		g.emit("Unsqueeze", []string{a, g.ints(axis)}, nil, out)
	case 2:
		if v.shape[axis] == 1 {
			out.shape = slices.Delete(slices.Clone(v.shape), axis, axis+1)
			g.emit("Squeeze", []string{a, g.ints(axis)}, nil, out)
		}
	default: // 0 keeps a size, −1 takes what is left
		out.shape = []int{v.shape[0], kernel.Product(v.shape[1:])}
		g.emit("Reshape", []string{a, g.ints(0, -1)}, nil, out)
	}
}

func (g *graphMaker) expand() {
	a := g.pick(onnx.Float, false, 0)
	v := g.values[a]
	target := g.shape()
	if shape, ok := refBroadcast(v.shape, target); ok && len(target) > 0 {
		g.emit("Expand", []string{a, g.ints(target...)}, nil, fill(onnx.Float, v.exact, shape, v.spread))
	}
}

func (g *graphMaker) tile() {
	a := g.pick(onnx.Float, false, 1)
	if a == "" {
		return
	}
	v := g.values[a]
	times, shape := make([]int, len(v.shape)), slices.Clone(v.shape)
	for i := range times {
		times[i] = 1 + g.next(3)
		shape[i] *= times[i]
	}
	g.emit("Tile", []string{a, g.ints(times...)}, nil, fill(onnx.Float, v.exact, shape, func(c []int) float64 {
		from := slices.Clone(c)
		for i := range from {
			from[i] %= v.shape[i]
		}
		return v.at(from)
	}))
}

func (g *graphMaker) split() {
	a := g.pick(onnx.Float, false, 1)
	if a == "" {
		return
	}
	v := g.values[a]
	axis := g.next(len(v.shape))
	first := g.next(v.shape[axis] + 1)
	var parts []refValue
	for _, span := range [][2]int{{0, first}, {first, v.shape[axis]}} {
		parts = append(parts, refGather(v, axis, refSlice(v.shape[axis], span[0], span[1], 1)))
	}
	g.emit("Split", []string{a, g.ints(first, v.shape[axis]-first)}, []onnx.Attribute{onnx.IntAttribute("axis", int64(axis))}, parts...)
}

// places makes a constant of whole numbers below n, some of them from the end.
func (g *graphMaker) places(shape []int, n int) (name string, v refValue) {
	v = fill(onnx.Int64, true, shape, func([]int) float64 { return float64(g.next(2*n) - n) })
	return g.constant(v), v
}

func (g *graphMaker) scatter() {
	a := g.pick(onnx.Float, false, 1)
	if a == "" {
		return
	}
	v := g.values[a]
	axis := g.next(len(v.shape))
	shape := slices.Clone(v.shape)
	shape[axis] = 1 + g.next(3)
	name, indices := g.places(shape, v.shape[axis])
	updates := g.numbers(shape)
	g.emit("ScatterElements", []string{a, name, g.constant(updates)}, []onnx.Attribute{onnx.IntAttribute("axis", int64(axis))},
		fill(onnx.Float, v.exact, v.shape, func(c []int) float64 {
			value, from := v.at(c), slices.Clone(c)
			for k := range shape[axis] { // the last one stays
				from[axis] = k
				if at := int(indices.at(from)); at == c[axis] || at+v.shape[axis] == c[axis] {
					value = updates.at(from)
				}
			}
			return value
		}))
}

func (g *graphMaker) gatherND() {
	a := g.pick(onnx.Float, false, 1)
	if a == "" {
		return
	}
	v, count := g.values[a], 1+g.next(3)
	name, indices := g.places([]int{count, 1}, v.shape[0])
	var places []int
	for _, place := range indices.data {
		places = append(places, int(place))
	}
	g.emit("GatherND", []string{a, name}, nil, refGather(v, 0, places))
}

func (g *graphMaker) tensorOneHot() {
	depth := 1 + g.next(3)
	name, indices := g.places(g.shape(), depth+1) // some are no class at all
	values := g.numbers([]int{2})
	g.emit("OneHot", []string{name, g.ints(depth), g.constant(values)}, nil,
		fill(onnx.Float, true, append(slices.Clone(indices.shape), depth), func(c []int) float64 {
			at := int(indices.at(c[:len(c)-1]))
			if at == c[len(c)-1] || at+depth == c[len(c)-1] {
				return values.data[1]
			}
			return values.data[0]
		}))
}
