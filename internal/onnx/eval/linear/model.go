// Package linear reads and scores the linear models of ai.onnx.ml:
// LinearClassifier and LinearRegressor.
package linear

import (
	"math"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/attributes"
	"github.com/petal-ml/petal/internal/onnx/eval/numeric"
)

// A Model is a matrix of coefficients, one row a target, and what is done to
// the scores: LinearClassifier and LinearRegressor.
type Model struct {
	targets, Features int
	coefficients      []float32 // targets × features
	intercepts        []float32
	transform         numeric.Transform

	Classes onnx.Labels // of a classifier
	// second says that one row of coefficients scores the second of two
	// classes, and the first gets what is left.
	second bool
}

// ReadClassifier reads the attributes of a LinearClassifier.
func ReadClassifier(r *attributes.Reader) (*Model, error) {
	l := &Model{
		coefficients: r.Floats("coefficients"), intercepts: r.Floats("intercepts"),
		transform: r.PostTransform(), Classes: r.Labels("classlabels_ints"),
	}
	r.Int("multi_class", 0)
	if r.Err != nil {
		return nil, r.Err
	}
	l.targets = len(l.intercepts)
	if l.targets == 0 {
		// Without intercepts there is a row of coefficients a class.
		l.targets = l.Classes.Len()
		l.intercepts = make([]float32, l.targets)
	}
	if err := l.divide(); err != nil {
		return nil, err
	}
	l.second = l.targets == 1 && l.Classes.Len() == 2
	switch {
	case l.targets == 1 && l.Classes.Len() > 2, l.targets > 1 && l.Classes.Len() != l.targets:
		return nil, onnx.Invalid("%d labels, but %d rows of coefficients", l.Classes.Len(), l.targets)
	case l.targets == 1 && !l.second:
		return nil, onnx.Unsupported("one label only")
	case l.second && l.transform == numeric.TransformProbit:
		return nil, onnx.Unsupported("attribute \"post_transform\": PROBIT with one row of coefficients")
	}
	return l, nil
}

// ReadRegressor reads the attributes of a LinearRegressor.
func ReadRegressor(r *attributes.Reader) (*Model, error) {
	l := &Model{
		coefficients: r.Floats("coefficients"), intercepts: r.Floats("intercepts"),
		transform: r.PostTransform(), targets: int(r.Int("targets", 1)),
	}
	if r.Err != nil {
		return nil, r.Err
	}
	if l.targets < 1 || l.targets > math.MaxInt32 {
		return nil, onnx.Invalid("attribute \"targets\" is %d", l.targets)
	}
	if err := l.divide(); err != nil {
		return nil, err
	}
	switch len(l.intercepts) {
	case 0:
		l.intercepts = make([]float32, l.targets)
	case l.targets:
	default:
		return nil, onnx.Invalid("attribute \"intercepts\" has %d numbers for %d targets", len(l.intercepts), l.targets)
	}
	return l, nil
}

// divide finds the number of features by those of coefficients and targets.
func (l *Model) divide() error {
	if len(l.coefficients) == 0 || len(l.coefficients)%l.targets != 0 {
		return onnx.Invalid("attribute \"coefficients\" has %d numbers, which %d targets do not divide", len(l.coefficients), l.targets)
	}
	l.Features = len(l.coefficients) / l.targets
	return nil
}

// Predict scores one row and returns its class, 0 for a regressor. scores has
// room for width() numbers.
func (l *Model) Predict(row, scores []float32) int {
	l.raw(row, scores)
	if l.Classes.Len() > 0 {
		return l.finish(scores)
	}
	l.transform.ApplyToValues(scores)
	return 0
}

// raw computes the scores of a row before the transform. Sums are kept in
// float32 with one rounding a step, in the order of the features, because that
// is what onnxruntime's matrix product does: ties and overflows come out alike.
func (l *Model) raw(row, scores []float32) {
	row = row[:l.Features]
	for k := range l.targets {
		w := l.coefficients[k*l.Features:][:len(row)]
		sum := float32(0)
		for j, x := range row {
			sum = float32(float64(x)*float64(w[j]) + float64(sum))
		}
		scores[k] = sum + l.intercepts[k]
	}
}

// finish picks the class by the raw scores and transforms them.
func (l *Model) finish(scores []float32) int {
	if l.targets > 1 {
		class := numeric.Argmax(scores[:l.targets])
		l.transform.Apply(scores[:l.targets])
		return class
	}
	s := scores[0]
	class := 0
	if s > 0 {
		class = 1
	}
	if l.transform == numeric.TransformLogistic {
		s = numeric.Logistic(s)
	}
	if l.second {
		scores[0], scores[1] = 1-s, s
	} else {
		scores[0] = s
	}
	return class
}

// Width is the number of scores a row gets.
func (l *Model) Width() int {
	if l.second {
		return 2
	}
	return l.targets
}

// Targets is the number of rows of coefficients.
func (l *Model) Targets() int { return l.targets }

// Explain sets contributions, a number a feature, to what each feature of a row
// adds to the raw score of a target: coefficient times value. It returns the
// baseline to which they are added, the intercept.
func (l *Model) Explain(row []float32, target int, contributions []float64) (baseline float64) {
	for i, w := range l.coefficients[target*l.Features:][:l.Features] {
		contributions[i] = float64(w) * float64(row[i])
	}
	return float64(l.intercepts[target])
}
