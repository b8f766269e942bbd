package eval

import (
	"github.com/petal-ml/petal/internal/onnx"
	"sync"
)

func treeOperators() []operator {
	return []operator{
		{
			domain: onnx.DomainML, name: "TreeEnsembleClassifier", since: 1,
			minInputs: 1, maxInputs: 1, minOutputs: 2, maxOutputs: 2, compile: compileTreeClassifier,
		},
		{
			domain: onnx.DomainML, name: "TreeEnsembleRegressor", since: 1,
			minInputs: 1, maxInputs: 1, minOutputs: 1, maxOutputs: 1, compile: compileTreeRegressor,
		},
		{
			domain: onnx.DomainML, name: "TreeEnsemble", since: 5,
			minInputs: 1, maxInputs: 1, minOutputs: 1, maxOutputs: 1, compile: compileTreeEnsemble,
		},
	}
}

// A treeModel is a compiled ensemble: the trees, and what becomes of their sums.
type treeModel struct {
	scorer    *treeScorer
	base      []float64
	transform postTransform
	output    onnx.ElementType // of the scores
	pool      sync.Pool        // of *scratch[float32]

	// Of a classifier only:
	classes onnx.Labels
	single  bool // two classes, and weights for one of them only
	target  int  // that one
	half    bool // no weight is negative: the threshold is ½, not 0
}

// columns is the number of features that the trees look at; a row may have more.
func (m *treeModel) columns() int { return m.scorer.forest.features }

func (m *treeModel) labels() onnx.Labels { return m.classes }

func compileTreeClassifier(n *nodeCompiler) (kernel, error) {
	r := n.attributes()
	m := &treeModel{classes: r.labels("classlabels_int64s"), transform: r.postTransform(), output: onnx.Float}
	base := r.numbers("base_values")
	if r.err != nil {
		return nil, r.err
	}
	f, err := readForest(r, "class", m.classes.Len())
	if err != nil {
		return nil, err
	}
	if err := m.setBase(base, f.targets); err != nil {
		return nil, err
	}
	if err := m.binary(f); err != nil {
		return nil, err
	}
	m.use(f, aggregateSum, n.inputs[0].typ.Element)
	if err := m.checkInput(n); err != nil {
		return nil, err
	}
	n.part = m
	n.outputs[0] = labelType(n, m.classes)
	n.outputs[1] = n.rows(onnx.Float, onnx.Fixed(m.classes.Len()))
	return m.classifierKernel, nil
}

// setBase takes base values, of which there may be none, one, or one a target.
func (m *treeModel) setBase(base numberList, targets int) error {
	for i := range base.len() {
		m.base = append(m.base, base.at(i))
	}
	if len(m.base) > max(targets, 1) {
		return onnx.Invalid("attribute \"base_values\" has %d numbers for %d targets", len(m.base), targets)
	}
	return nil
}

// binary finds out whether all weights of a two-class model are for one class.
func (m *treeModel) binary(f *forest) error {
	if m.classes.Len() != 2 {
		return nil
	}
	m.half = !f.weights.hasNegative()
	m.single = len(f.targetIDs) > 0
	for _, id := range f.targetIDs {
		m.single = m.single && id == f.targetIDs[0]
	}
	if !m.single {
		return nil
	}
	m.target = int(f.targetIDs[0])
	if len(m.base) == 2 {
		return onnx.Unsupported("attribute \"base_values\": two values where all weights are for one class")
	}
	if m.transform == transformProbit {
		return onnx.Unsupported("attribute \"post_transform\": PROBIT where all weights are for one class")
	}
	// Only one target is left, which lets the fast layout keep one sum.
	clear(f.targetIDs)
	f.targets = 1
	return nil
}

// checkInput checks element type and width of the input.
func (m *treeModel) checkInput(n *nodeCompiler) error {
	if _, err := n.elementOf(0, onnx.Float, onnx.Double, onnx.Int64, onnx.Int32); err != nil {
		return err
	}
	t := n.inputs[0].typ
	if !t.HasShape || len(t.Shape) == 0 || len(t.Shape) > 2 {
		return nil
	}
	if c := t.Shape[len(t.Shape)-1].Size; c >= 0 && c < m.columns() {
		return onnx.Invalid("input 0 has %d columns, the trees ask for feature %d", c, m.columns()-1)
	}
	return nil
}

// A scratch is room for the sums of one row.
type scratch[T float32 | float64] struct {
	sums []T
	has  []bool
}

// sums fills s with the sums of one row.
func sums[T float32 | float64](m *treeModel, row []T, s *scratch[T]) {
	if floats, ok := any(row).([]float32); ok && m.scorer.fast != nil {
		out, _ := any(s.sums).([]float32)
		m.scorer.fast.score(floats, out)
		if m.scorer.aggregate == aggregateAverage {
			for i := range out {
				out[i] /= float32(len(m.scorer.forest.roots))
			}
		}
		for i := range s.has {
			s.has[i] = true
		}
		return
	}
	accumulate(m.scorer, row, s.sums, s.has)
}

func newScratch[T float32 | float64](targets int) *scratch[T] {
	return &scratch[T]{sums: make([]T, targets), has: make([]bool, targets)}
}

// finishClass turns sums into scores and returns the class. It follows
// onnxruntime 1.32, whose rules for two classes go beyond the specification.
func finishClass[T float32 | float64](m *treeModel, s *scratch[T], scores []float32) int {
	switch {
	case m.single:
		return m.finishSingle(float64(s.sums[0]), scores)
	case m.classes.Len() == 2:
		return finishPair(m, s, scores)
	}
	for k, b := range m.base {
		s.sums[k] += T(b)
		s.has[k] = true
	}
	best := -1
	for k, sum := range s.sums {
		if s.has[k] && (best < 0 || sum > s.sums[best]) {
			best = k
		}
		scores[k] = float32(sum)
	}
	m.transform.apply(scores)
	return max(best, 0)
}

// finishSingle is the rule for two classes of which one has all the weights: the
// label depends on the signs of the weights, the scores on the transform as
// well.
func (m *treeModel) finishSingle(v float64, scores []float32) int {
	if len(m.base) == 1 {
		v = float64(float32(v) + float32(m.base[0]))
	}
	class, limit := 0, 0.0
	if m.half {
		limit = 0.5
	}
	if v > limit {
		class = 1
	}
	f := float32(v)
	switch {
	case m.transform == transformLogistic:
		scores[0], scores[1] = logistic(-f), logistic(f)
	case m.half:
		scores[0], scores[1] = 1-f, f
	default:
		scores[0], scores[1] = -f, f
	}
	return class
}

// finishPair is the rule for two classes that both have weights: the second one
// wins where its score is positive.
func finishPair[T float32 | float64](m *treeModel, s *scratch[T], scores []float32) int {
	switch len(m.base) {
	case 2:
		s.sums[0] += T(m.base[0])
		s.sums[1] += T(m.base[1])
	case 1:
		s.sums[0] += T(m.base[0])
	}
	decisive := s.sums[1]
	if !s.has[1] {
		decisive = s.sums[0]
	}
	class := 0
	if decisive > 0 {
		class = 1
	}
	scores[0], scores[1] = float32(s.sums[0]), float32(s.sums[1])
	if !s.has[1] && len(m.base) < 2 {
		if m.transform == transformLogistic {
			scores[0], scores[1] = logistic(-scores[0]), logistic(scores[0])
		} else {
			scores[0], scores[1] = -scores[0], scores[0]
		}
		return class
	}
	m.transform.apply(scores)
	return class
}

// width is the number of scores of a row.
func (m *treeModel) width() int {
	if m.classes.Len() > 0 {
		return m.classes.Len()
	}
	return m.scorer.forest.targets
}

// predictRow scores one row of any type.
func predictRow[T float32 | float64](m *treeModel, row []T, s *scratch[T], scores []float32) int {
	sums(m, row, s)
	if m.classes.Len() > 0 {
		return finishClass(m, s, scores)
	}
	m.finishValues32(s, scores)
	return 0
}

func (m *treeModel) finishValues32(s any, scores []float32) {
	switch s := s.(type) {
	case *scratch[float32]:
		finishValues(m, s, scores)
	case *scratch[float64]:
		finishValues(m, s, scores)
	}
}

// finishValues adds base values to a regressor's sums and transforms them. As in
// onnxruntime, a target that no leaf has a weight for stays zero.
func finishValues[T float32 | float64, O float32 | float64](m *treeModel, s *scratch[T], out []O) {
	for k := range out {
		v := s.sums[k]
		switch {
		case !s.has[k] && len(out) > 1:
		case len(m.base) == len(out):
			v += T(m.base[k])
		case len(m.base) == 1 && len(out) == 1:
			v += T(m.base[0])
		}
		out[k] = O(v)
	}
	if floats, ok := any(out).([]float32); ok {
		m.transform.applyToValues(floats)
	} else if m.transform != transformNone {
		floats := make([]float32, len(out))
		convert(floats, out)
		m.transform.applyToValues(floats)
		convert(out, floats)
	}
}
