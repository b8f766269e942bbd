package eval

import (
	"github.com/petal-ml/petal/internal/onnx"
	"math"
)

func linearOperators() []operator {
	return []operator{
		{
			domain: onnx.DomainML, name: "LinearClassifier", since: 1,
			minInputs: 1, maxInputs: 1, minOutputs: 2, maxOutputs: 2, compile: compileLinearClassifier,
		},
		{
			domain: onnx.DomainML, name: "LinearRegressor", since: 1,
			minInputs: 1, maxInputs: 1, minOutputs: 1, maxOutputs: 1, compile: compileLinearRegressor,
		},
	}
}

// A linear is a matrix of coefficients, one row a target, and what is done to
// the scores: LinearClassifier and LinearRegressor.
type linear struct {
	targets, features int
	coefficients      []float32 // targets × features
	intercepts        []float32
	transform         postTransform

	classes onnx.Labels // of a classifier
	// second says that one row of coefficients scores the second of two
	// classes, and the first gets what is left.
	second bool
}

// columns is the number of features.
func (l *linear) columns() int { return l.features }

// labels are the classes.
func (l *linear) labels() onnx.Labels { return l.classes }

// predict makes a linear a model of the fast path.
func (l *linear) predict(row, scores []float32) int {
	if l.classes.Len() > 0 {
		return l.classify(row, scores)
	}
	l.raw(row, scores)
	l.transform.applyToValues(scores)
	return 0
}

// raw computes the scores of a row before the transform. Sums are kept in
// float32 with one rounding a step, in the order of the features, because that
// is what onnxruntime's matrix product does: ties and overflows come out alike.
func (l *linear) raw(row, scores []float32) {
	row = row[:l.features]
	for k := range l.targets {
		w := l.coefficients[k*l.features:][:len(row)]
		sum := float32(0)
		for j, x := range row {
			sum = float32(float64(x)*float64(w[j]) + float64(sum))
		}
		scores[k] = sum + l.intercepts[k]
	}
}

// classify scores a row and returns the index of its class. scores has room for
// width() numbers.
func (l *linear) classify(row, scores []float32) int {
	l.raw(row, scores)
	return l.finish(scores)
}

// finish picks the class by the raw scores and transforms them.
func (l *linear) finish(scores []float32) int {
	if l.targets > 1 {
		class := argmax(scores[:l.targets])
		l.transform.apply(scores[:l.targets])
		return class
	}
	s := scores[0]
	class := 0
	if s > 0 {
		class = 1
	}
	if l.transform == transformLogistic {
		s = logistic(s)
	}
	if l.second {
		scores[0], scores[1] = 1-s, s
	} else {
		scores[0] = s
	}
	return class
}

// width is the number of scores a row gets.
func (l *linear) width() int {
	if l.second {
		return 2
	}
	return l.targets
}

func compileLinearClassifier(n *nodeCompiler) (kernel, error) {
	r := n.attributes()
	l := &linear{
		coefficients: r.floats("coefficients"), intercepts: r.floats("intercepts"),
		transform: r.postTransform(), classes: r.labels("classlabels_ints"),
	}
	r.int("multi_class", 0)
	if r.err != nil {
		return nil, r.err
	}
	if _, err := n.elementOf(0, onnx.Float, onnx.Double, onnx.Int64, onnx.Int32); err != nil {
		return nil, err
	}
	l.targets = len(l.intercepts)
	if l.targets == 0 {
		// Without intercepts there is a row of coefficients a class.
		l.targets = l.classes.Len()
		l.intercepts = make([]float32, l.targets)
	}
	if err := l.check(n); err != nil {
		return nil, err
	}
	l.second = l.targets == 1 && l.classes.Len() == 2
	switch {
	case l.targets == 1 && l.classes.Len() > 2, l.targets > 1 && l.classes.Len() != l.targets:
		return nil, onnx.Invalid("%d labels, but %d rows of coefficients", l.classes.Len(), l.targets)
	case l.targets == 1 && !l.second:
		return nil, onnx.Unsupported("one label only")
	case l.second && l.transform == transformProbit:
		return nil, onnx.Unsupported("attribute \"post_transform\": PROBIT with one row of coefficients")
	}
	n.part = l
	n.outputs[0] = labelType(n, l.classes)
	n.outputs[1] = n.rows(onnx.Float, onnx.Fixed(l.width()))
	return l.kernel, nil
}

// check compares the sizes of coefficients, intercepts and, where it is known,
// the input.
func (l *linear) check(n *nodeCompiler) error {
	if len(l.coefficients) == 0 || len(l.coefficients)%l.targets != 0 {
		return onnx.Invalid("attribute \"coefficients\" has %d numbers, which %d targets do not divide", len(l.coefficients), l.targets)
	}
	l.features = len(l.coefficients) / l.targets
	return n.checkColumns(l.features)
}

func (l *linear) kernel(e *env, in []Value) ([]Value, error) {
	x, rows, columns, err := featureMatrix(e, in[0])
	if err != nil {
		return nil, err
	}
	if columns != l.features {
		return nil, onnx.At(onnx.ErrInput, "%d features given, %d wanted", columns, l.features)
	}
	out, scores, err := alloc[float32](e, rows, l.width())
	if err != nil {
		return nil, err
	}
	classes := make([]int32, rows)
	for i := range rows {
		classes[i] = int32(l.classify(x[i*columns:(i+1)*columns], scores[i*l.width():(i+1)*l.width()])) //nolint:gosec // An index of a label.
	}
	labels, err := labelTensor(e, l.classes, classes)
	return []Value{labels, out}, err
}

func compileLinearRegressor(n *nodeCompiler) (kernel, error) {
	r := n.attributes()
	l := &linear{
		coefficients: r.floats("coefficients"), intercepts: r.floats("intercepts"),
		transform: r.postTransform(), targets: int(r.int("targets", 1)),
	}
	if r.err != nil {
		return nil, r.err
	}
	if _, err := n.elementOf(0, onnx.Float, onnx.Double, onnx.Int64, onnx.Int32); err != nil {
		return nil, err
	}
	if l.targets < 1 || l.targets > math.MaxInt32 {
		return nil, onnx.Invalid("attribute \"targets\" is %d", l.targets)
	}
	if err := l.check(n); err != nil {
		return nil, err
	}
	switch len(l.intercepts) {
	case 0:
		l.intercepts = make([]float32, l.targets)
	case l.targets:
	default:
		return nil, onnx.Invalid("attribute \"intercepts\" has %d numbers for %d targets", len(l.intercepts), l.targets)
	}
	n.part = l
	n.outputs[0] = n.rows(onnx.Float, onnx.Fixed(l.targets))
	return l.regressorKernel, nil
}

func (l *linear) regressorKernel(e *env, in []Value) ([]Value, error) {
	x, rows, columns, err := featureMatrix(e, in[0])
	if err != nil {
		return nil, err
	}
	if columns != l.features {
		return nil, onnx.At(onnx.ErrInput, "%d features given, %d wanted", columns, l.features)
	}
	out, scores, err := alloc[float32](e, rows, l.targets)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		s := scores[i*l.targets : (i+1)*l.targets]
		l.raw(x[i*columns:(i+1)*columns], s)
		l.transform.applyToValues(s)
	}
	return []Value{out}, nil
}
