package trees

import (
	"sync"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/numeric"
)

// A Model is a compiled ensemble: the trees, and what becomes of their sums.
type Model struct {
	scorer    *treeScorer
	base      []float64
	transform numeric.Transform
	pool      sync.Pool // of *scratch[float32]

	// Of a classifier only:
	Classes onnx.Labels
	single  bool // two classes, and weights for one of them only
	target  int  // that one
	half    bool // no weight is negative: the threshold is ½, not 0
}

// A scratch is room for the sums of one row.
type scratch[T float32 | float64] struct {
	sums []T
	has  []bool
}

// sums fills s with the sums of one row.
func sums[T float32 | float64](m *Model, row []T, s *scratch[T]) {
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
func finishClass[T float32 | float64](m *Model, s *scratch[T], scores []float32) int {
	switch {
	case m.single:
		return m.finishSingle(float64(s.sums[0]), scores)
	case m.Classes.Len() == 2:
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
	m.transform.Apply(scores)
	return max(best, 0)
}

// finishSingle is the rule for two classes of which one has all the weights: the
// label depends on the signs of the weights, the scores on the transform as
// well.
func (m *Model) finishSingle(v float64, scores []float32) int {
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
	case m.transform == numeric.TransformLogistic:
		scores[0], scores[1] = numeric.Logistic(-f), numeric.Logistic(f)
	case m.half:
		scores[0], scores[1] = 1-f, f
	default:
		scores[0], scores[1] = -f, f
	}
	return class
}

// finishPair is the rule for two classes that both have weights: the second one
// wins where its score is positive.
func finishPair[T float32 | float64](m *Model, s *scratch[T], scores []float32) int {
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
		if m.transform == numeric.TransformLogistic {
			scores[0], scores[1] = numeric.Logistic(-scores[0]), numeric.Logistic(scores[0])
		} else {
			scores[0], scores[1] = -scores[0], scores[0]
		}
		return class
	}
	m.transform.Apply(scores)
	return class
}

// Columns is the number of features that the trees look at; a row may have more.
func (m *Model) Columns() int { return m.scorer.forest.features }

// Width is the number of scores of a row.
func (m *Model) Width() int {
	if m.Classes.Len() > 0 {
		return m.Classes.Len()
	}
	return m.scorer.forest.targets
}

// predictRow scores one row of any type.
func predictRow[T float32 | float64](m *Model, row []T, s *scratch[T], scores []float32) int {
	sums(m, row, s)
	if m.Classes.Len() > 0 {
		return finishClass(m, s, scores)
	}
	m.finishValues32(s, scores)
	return 0
}

func (m *Model) finishValues32(s any, scores []float32) {
	switch s := s.(type) {
	case *scratch[float32]:
		finishValues(m, s, scores)
	case *scratch[float64]:
		finishValues(m, s, scores)
	}
}

// finishValues adds base values to a regressor's sums and transforms them. As in
// onnxruntime, a target that no leaf has a weight for stays zero.
func finishValues[T float32 | float64, O float32 | float64](m *Model, s *scratch[T], out []O) {
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
		m.transform.ApplyToValues(floats)
	} else if m.transform != numeric.TransformNone {
		floats := make([]float32, len(out))
		numeric.Convert(floats, out)
		m.transform.ApplyToValues(floats)
		numeric.Convert(out, floats)
	}
}
