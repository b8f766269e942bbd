package eval

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
)

// A modelMaker turns bytes into what trainers export: a matrix, some preparation,
// a model of ai.onnx.ml, its label and its scores.
type modelMaker struct {
	*graphMaker
	x       refValue
	classes []float64 // by row, undetermined where rounding decides; nil of a regressor
	labels  refValue  // by class: Int64 or String
	scores  refValue
}

// FuzzModels compares models that the bytes describe with the reference: the
// graph as a whole and, where it has one, the fast path, row by row and in
// batches. Numbers are small halves, so that sums are exact and thresholds are
// met; missing values and infinities stand among them.
func FuzzModels(f *testing.F) {
	addSeeds(f, 150)
	f.Fuzz(func(t *testing.T, data []byte) {
		m := &modelMaker{graphMaker: newGraphMaker(data)}
		m.x = m.input()
		m.add("x", m.x)
		m.graph.Inputs = []onnx.ValueInfo{{Name: "x", Type: onnx.TensorType(m.x.kind, onnx.Symbolic("N"), onnx.Fixed(m.x.shape[1]))}}
		from := "x"
		for range m.next(3) {
			from = m.prepare(from)
		}
		m.model(from)
		s, err := NewSession(&onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 15}, {Domain: onnx.DomainML, Version: 5}}, Graph: m.graph})
		require.NoError(t, err, "%s", describe(m.graph))
		out, err := s.Run(map[string]kernel.Value{"x": m.tensor("", m.x)})
		require.NoError(t, err, "%s", describe(m.graph))
		for i, info := range s.Outputs() {
			requireAlike(t, m.values[info.Name], out[i], info.Name+" of "+describe(m.graph))
		}
		m.requirePredictions(t, s)
	})
}

// requirePredictions compares what a predictor says, one row at a time and many.
func (m *modelMaker) requirePredictions(t *testing.T, s *Session) {
	t.Helper()
	p, err := NewPredictor(s)
	if err != nil {
		require.ErrorIs(t, err, onnx.ErrUnsupported)
		return
	}
	const repeats = 40 // more rows than one block of trees takes
	width, rows := m.scores.shape[1], m.x.shape[0]
	x, scores, classes := as[float32](m.x.data), make([]float32, rows*repeats*width), make([]int, rows*repeats)
	require.NoError(t, p.PredictRows(slices.Repeat(x, repeats), classes, scores), "%s", describe(m.graph))
	for i := range rows * repeats {
		m.requirePrediction(t, i%rows, classes[i], scores[i*width:(i+1)*width], "of many")
	}
	for i := range rows {
		class, err := p.PredictRow(x[i*m.x.shape[1]:(i+1)*m.x.shape[1]], scores[:width])
		require.NoError(t, err)
		m.requirePrediction(t, i, class, scores[:width], "alone")
	}
}

func (m *modelMaker) requirePrediction(t *testing.T, row, class int, scores []float32, what string) {
	t.Helper()
	what += ": " + describe(m.graph)
	if m.classes != nil && !math.IsNaN(m.classes[row]) {
		require.Equal(t, m.classes[row], float64(class), what)
	}
	for k, s := range scores {
		requireNear(t, m.scores, m.scores.data[row*len(scores)+k], float64(s), what)
	}
}

// half is a small half, of which sums and products are exact.
func (g *graphMaker) half() float64 { return float64(g.next(13)-6) / 2 }

func (g *graphMaker) halves(n int) []float64 {
	list := make([]float64, n)
	for i := range list {
		list[i] = g.half()
	}
	return list
}

// input is the matrix of features.
func (m *modelMaker) input() refValue {
	kind := []onnx.ElementType{onnx.Float, onnx.Float, onnx.Double, onnx.Int64}[m.next(4)]
	wild := []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 4096}
	return fill(kind, true, []int{1 + m.next(4), 1 + m.next(4)}, func([]int) float64 {
		switch {
		case kind == onnx.Int64:
			return float64(m.next(13) - 6)
		case m.next(6) == 0:
			return wild[m.next(len(wild))]
		default:
			return m.half()
		}
	})
}

// prepare adds one step of preparation.
func (m *modelMaker) prepare(from string) string {
	v := m.values[from]
	columns := v.shape[1]
	switch m.next(5) {
	case 0:
		offset, scale := m.halves([]int{1, columns}[m.next(2)]), m.halves([]int{1, columns}[m.next(2)])
		out := refRows(v, func(row []float64) []float64 {
			row = slices.Clone(row)
			for j := range row {
				row[j] = (row[j] - offset[j%len(offset)]) * scale[j%len(scale)]
			}
			return row
		})
		return m.emitML("Scaler", []string{from}, []onnx.Attribute{onnx.FloatsAttribute("offset", as[float32](offset)...), onnx.FloatsAttribute("scale", as[float32](scale)...)}, out)
	case 1:
		return m.impute(from)
	case 2:
		threshold := m.half()
		out := fill(v.kind, true, v.shape, func(c []int) float64 { return boolTo(v.at(c) > threshold) })
		return m.emitML("Binarizer", []string{from}, []onnx.Attribute{onnx.FloatAttribute("threshold", float32(threshold))}, out)
	case 3:
		return m.normalize(from)
	default:
		m.emit("Identity", []string{from}, nil, v)
		return m.graph.Nodes[len(m.graph.Nodes)-1].Outputs[0]
	}
}

func (m *modelMaker) impute(from string) string {
	v := m.values[from]
	imputed, replaced := m.halves([]int{1, v.shape[1]}[m.next(2)]), math.NaN()
	if m.next(3) == 0 || v.kind == onnx.Int64 {
		replaced = m.half()
	}
	attributes := []onnx.Attribute{onnx.FloatsAttribute("imputed_value_floats", as[float32](imputed)...), onnx.FloatAttribute("replaced_value_float", float32(replaced))}
	if v.kind == onnx.Int64 {
		replaced = math.Trunc(replaced)
		for i := range imputed {
			imputed[i] = math.Trunc(imputed[i])
		}
		attributes = []onnx.Attribute{onnx.IntsAttribute("imputed_value_int64s", as[int64](imputed)...), onnx.IntAttribute("replaced_value_int64", int64(replaced))}
	}
	return m.emitML("Imputer", []string{from}, attributes, fill(v.kind, v.exact, v.shape, func(c []int) float64 {
		if x := v.at(c); x != replaced && (x == x || replaced == replaced) {
			return x
		}
		return imputed[c[1]%len(imputed)]
	}))
}

func (m *modelMaker) normalize(from string) string {
	norm := []string{"MAX", "L1", "L2"}[m.next(3)]
	out := refRows(m.values[from], func(row []float64) []float64 { return refNormalize(row, norm) })
	out.exact, out.slack = false, m.values[from].slack
	return m.emitML("Normalizer", []string{from}, []onnx.Attribute{onnx.StringAttribute("norm", norm)}, out)
}

// model adds the model and makes the graph's outputs of it.
func (m *modelMaker) model(from string) {
	makers := []func(string){m.linearClassifier, m.linearRegressor, m.svmClassifier, m.svmRegressor, m.treeClassifier, m.treeRegressor, m.treeEnsemble}
	v := m.values[from]
	if !v.exact { // a threshold would be met or not, as the rounding has it
		makers = makers[:4]
	}
	first := len(m.graph.Nodes)
	makers[m.next(len(makers))](from)
	outputs := slices.Clone(m.graph.Nodes[first].Outputs)
	last := outputs[len(outputs)-1]
	if len(outputs) > 1 {
		// Of a small probability 1−p leaves few digits, which dividing would show.
		vanishing := slices.ContainsFunc(m.values[last].data, func(x float64) bool { return x != 0 && math.Abs(x) < 0.01 })
		switch {
		case m.next(3) == 0 && !vanishing:
			last = m.normalize(last)
		case m.next(2) == 0 && m.values[last].shape[1] == m.labels.shape[0]:
			last = m.emitML("ZipMap", []string{last}, []onnx.Attribute{m.labelAttribute("classlabels_int64s")}, m.values[last])
		}
		outputs[1] = last
	}
	m.scores = m.values[last]
	for _, name := range outputs {
		m.graph.Outputs = append(m.graph.Outputs, onnx.ValueInfo{Name: name, Type: onnx.Type{Kind: onnx.KindTensor, Element: m.values[name].kind}})
	}
	if m.graph.Nodes[len(m.graph.Nodes)-1].Operator == "ZipMap" {
		m.graph.Outputs[1].Type = onnx.ProbabilityMapsType(m.labels.kind)
	}
}

// chooseLabels makes the labels of a classifier.
func (m *modelMaker) chooseLabels(classes int) {
	kind := []onnx.ElementType{onnx.Int64, onnx.String}[m.next(2)]
	m.labels = fill(kind, true, []int{classes}, func(c []int) float64 { return float64(10 - 3*c[0]) })
}

func (m *modelMaker) labelAttribute(ints string) onnx.Attribute {
	if m.labels.kind == onnx.String {
		return onnx.StringsAttribute("classlabels_strings", m.tensor("", m.labels).Data.([]string)...)
	}
	return onnx.IntsAttribute(ints, as[int64](m.labels.data)...)
}

// postTransform chooses a post_transform. What has been rounded may lie on either
// side of the ends of PROBIT, and of zero, which SOFTMAX_ZERO leaves out.
func (m *modelMaker) postTransform(exact bool) string {
	names := []string{"NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT"}
	if !exact {
		names = names[:3]
	}
	return names[m.next(len(names))]
}

// transformed says how exact scores are after a post_transform.
func transformed(v refValue, name string) refValue {
	v.exact = v.exact && name == "NONE"
	if name == "PROBIT" {
		v.slack = 5e-3 // Winitzki's approximation has an error of 2e-3
	}
	return v
}

// emitClassifier runs a classifier of the reference over the rows and adds its
// node.
func (m *modelMaker) emitClassifier(operator, from, transform string, attributes []onnx.Attribute, of func(row []float64) (float64, []float64)) {
	v := m.values[from]
	label := refValue{kind: m.labels.kind, shape: []int{v.shape[0]}}
	scores := transformed(refRows(v, func(row []float64) []float64 {
		class, scores := of(row)
		if !v.exact || math.IsNaN(class) {
			class = undetermined
		}
		m.classes = append(m.classes, class)
		if math.IsNaN(class) {
			label.data = append(label.data, undetermined)
		} else {
			label.data = append(label.data, m.labels.data[int(class)])
		}
		return scores
	}), transform)
	m.emitML(operator, []string{from}, append(attributes, onnx.StringAttribute("post_transform", transform)), label, scores)
}

func (m *modelMaker) linear(v refValue, targets int) refLinear {
	l := refLinear{intercepts: m.halves(targets), transform: m.postTransform(v.exact)}
	for range targets {
		l.coefficients = append(l.coefficients, m.halves(v.shape[1]))
	}
	return l
}

func (l refLinear) attributes() []onnx.Attribute {
	return []onnx.Attribute{
		onnx.FloatsAttribute("coefficients", as[float32](slices.Concat(l.coefficients...))...),
		onnx.FloatsAttribute("intercepts", as[float32](l.intercepts)...),
	}
}

func (m *modelMaker) linearClassifier(from string) {
	classes := 2 + m.next(9) // the vector instructions begin with eight
	m.chooseLabels(classes)
	targets := classes
	if classes == 2 && m.next(2) == 0 {
		targets = 1
	}
	l := m.linear(m.values[from], targets)
	if targets == 1 && l.transform == "PROBIT" {
		l.transform = "NONE" // refused by name
	}
	m.emitClassifier("LinearClassifier", from, l.transform, append(l.attributes(), m.labelAttribute("classlabels_ints")), l.classify)
}

func (m *modelMaker) linearRegressor(from string) {
	v := m.values[from]
	l := m.linear(v, 1+m.next(3))
	out := transformed(refRows(v, func(row []float64) []float64 { return refValues(l.transform, l.raw(row)) }), l.transform)
	attributes := append(l.attributes(), onnx.IntAttribute("targets", int64(len(l.intercepts))), onnx.StringAttribute("post_transform", l.transform))
	m.emitML("LinearRegressor", []string{from}, attributes, out)
}

func (m *modelMaker) svm(v refValue) *refSVM {
	s := &refSVM{
		kernel: []string{"LINEAR", "POLY", "RBF", "SIGMOID"}[m.next(4)],
		gamma:  0.25, coef0: m.half(), degree: float64(1 + m.next(3)), transform: "NONE",
	}
	// Powers of large numbers round by more than what is compared.
	if s.kernel == "POLY" && slices.ContainsFunc(v.data, func(x float64) bool { return !(math.Abs(x) <= 10) }) {
		s.kernel = "LINEAR"
	}
	return s
}

func (s *refSVM) attributes(vectors [][]float64, coefficients []float64) []onnx.Attribute {
	return []onnx.Attribute{
		onnx.StringAttribute("kernel_type", s.kernel),
		onnx.FloatsAttribute("kernel_params", float32(s.gamma), float32(s.coef0), float32(s.degree)),
		onnx.FloatsAttribute("support_vectors", as[float32](slices.Concat(vectors...))...),
		onnx.FloatsAttribute("coefficients", as[float32](coefficients)...),
		onnx.FloatsAttribute("rho", as[float32](s.rho)...),
	}
}

func (m *modelMaker) svmClassifier(from string) {
	features, k := m.values[from].shape[1], 2+m.next(3)
	s := m.svm(m.values[from])
	s.transform = []string{"NONE", "LOGISTIC", "SOFTMAX"}[m.next(3)]
	m.chooseLabels(k)
	var vectors [][]float64
	var perClass []int64
	for range k {
		var own [][]float64
		for range 1 + m.next(3) {
			own = append(own, m.halves(features))
		}
		s.vectors = append(s.vectors, own)
		vectors, perClass = append(vectors, own...), append(perClass, int64(len(own)))
	}
	var coefficients []float64
	for range k - 1 { // a row for each of the other classes
		var row [][]float64
		for c := range k {
			row = append(row, m.halves(len(s.vectors[c])))
			coefficients = append(coefficients, row[c]...)
		}
		s.coefficients = append(s.coefficients, row)
	}
	pairs := k * (k - 1) / 2
	s.rho = m.halves(pairs)
	attributes := s.attributes(vectors, coefficients)
	finite := !slices.ContainsFunc(m.values[from].data, func(x float64) bool { return x-x != 0 })
	if finite && m.next(2) == 0 { // the coupling has no meaning for infinities
		s.probA, s.probB = m.halves(pairs), m.halves(pairs)
		attributes = append(attributes, onnx.FloatsAttribute("prob_a", as[float32](s.probA)...), onnx.FloatsAttribute("prob_b", as[float32](s.probB)...))
	}
	m.emitClassifier("SVMClassifier", from, s.transform,
		append(attributes, onnx.IntsAttribute("vectors_per_class", perClass...), m.labelAttribute("classlabels_ints")), s.classify)
	m.loosen(s, 0.02) // the coupling stops when it is near enough
}

// loosen lets the last node's scores be as far off as rounding in a kernel, or
// the stopping rule of the coupling, takes them.
func (m *modelMaker) loosen(s *refSVM, coupled float64) {
	outputs := m.graph.Nodes[len(m.graph.Nodes)-1].Outputs
	name := outputs[len(outputs)-1]
	v := m.values[name]
	v.exact = v.exact && s.kernel == "LINEAR" && len(s.probA) == 0
	if len(s.probA) > 0 {
		v.slack = coupled
	}
	if s.kernel == "POLY" {
		v.slack = max(v.slack, 5e-3)
	}
	m.values[name] = v
}

func (m *modelMaker) svmRegressor(from string) {
	v := m.values[from]
	s := m.svm(v)
	s.rho = []float64{m.half()}
	var vectors [][]float64
	for range 1 + m.next(3) {
		vectors = append(vectors, m.halves(v.shape[1]))
	}
	coefficients := m.halves(len(vectors))
	out := refRows(v, func(row []float64) []float64 {
		sum := s.rho[0]
		for i, y := range vectors {
			sum += coefficients[i] * s.alike(row, y)
		}
		return []float64{sum}
	})
	m.emitML("SVMRegressor", []string{from}, append(s.attributes(vectors, coefficients), onnx.IntAttribute("n_supports", int64(len(vectors)))), out)
	m.loosen(s, 0)
}
