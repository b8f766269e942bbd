package training

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/dummy"
	"github.com/petal-ml/petal/internal/learn/linear"
	"github.com/petal-ml/petal/internal/learn/preprocessing"
)

// A Candidate is an estimator with its parameters, ready to be fitted any number
// of times.
type Candidate struct {
	// Name is the estimator's name.
	Name string
	// HandlesMissing tells whether rows may have missing values.
	HandlesMissing bool
	// New returns an unfitted one, its preprocessing included.
	New func() learn.Classifier
}

// Describe is the candidate with the parameters it has, such as
// "LogisticRegression(C=1, max_iter=1000, tol=1e-08)".
func (c Candidate) Describe() string {
	params := c.New().Params()
	parts := make([]string, 0, len(params))
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if !strings.Contains(name, "__") { // those of preprocessing steps
			parts = append(parts, fmt.Sprintf("%s=%v", name, params[name]))
		}
	}
	return c.Name + "(" + strings.Join(parts, ", ") + ")"
}

// estimators are the names that params.yaml may use.
const estimators = "LogisticRegression or DummyClassifier"

// newCandidate makes a candidate of what params.yaml says. Its fault is an
// [*InputError].
func newCandidate(spec Spec) (Candidate, error) {
	values := &values{estimator: spec.Estimator, left: maps.Clone(spec.Params)}
	var c Candidate
	switch spec.Estimator {
	case "LogisticRegression":
		c = logisticRegression(values)
	case "DummyClassifier":
		values.choice("strategy", "prior")
		c = Candidate{HandlesMissing: true, New: func() learn.Classifier { return &dummy.Classifier{} }}
	case "":
		return Candidate{}, &InputError{Where: "estimator", Problem: "is missing", Remedy: "write " + estimators}
	default:
		return Candidate{}, &InputError{Where: "estimator", Problem: fmt.Sprintf("%q is not known", spec.Estimator), Remedy: "write " + estimators}
	}
	c.Name = spec.Estimator
	return c, values.fault()
}

func logisticRegression(v *values) Candidate {
	defaults := linear.NewLogisticRegression()
	c := v.float("C", defaults.C, "above 0", func(x float64) bool { return x > 0 })
	tol := v.float("tol", defaults.Tol, "above 0", func(x float64) bool { return x > 0 })
	maxIter := v.int("max_iter", defaults.MaxIter, "of at least 1", func(n int) bool { return n >= 1 })
	return Candidate{New: func() learn.Classifier {
		model := linear.NewLogisticRegression()
		model.C, model.Tol, model.MaxIter = c, tol, maxIter
		return &learn.Pipeline{Steps: []learn.Transformer{&preprocessing.StandardScaler{}}, Classifier: model}
	}}
}

// values are the parameters of one candidate: each is taken once by its name,
// and what is left is not known. The first fault is kept.
type values struct {
	estimator string
	left      map[string]any
	known     []string
	err       error
}

func (v *values) take(name string) (value any, given bool) {
	v.known = append(v.known, name)
	value, given = v.left[name]
	delete(v.left, name)
	return value, given
}

func (v *values) fail(name string, value any, want string) {
	if v.err == nil {
		v.err = &InputError{Where: v.estimator + ": " + name, Problem: fmt.Sprintf("%#v cannot be used", value), Remedy: "write " + want}
	}
}

func (v *values) float(name string, otherwise float64, want string, ok func(float64) bool) float64 {
	value, given := v.take(name)
	if !given {
		return otherwise
	}
	x, isNumber := value.(float64)
	if n, isInt := value.(int); isInt {
		x, isNumber = float64(n), true
	}
	if !isNumber || math.IsInf(x, 0) || !ok(x) {
		v.fail(name, value, "a finite number "+want)
	}
	return x
}

func (v *values) int(name string, otherwise int, want string, ok func(int) bool) int {
	value, given := v.take(name)
	if !given {
		return otherwise
	}
	n, isInt := value.(int)
	if !isInt || !ok(n) {
		v.fail(name, value, "a whole number "+want)
	}
	return n
}

func (v *values) choice(name string, choices ...string) {
	value, given := v.take(name)
	text, _ := value.(string)
	if given && !slices.Contains(choices, text) {
		v.fail(name, value, strings.Join(choices, " or "))
	}
}

// fault is the first thing that was wrong, a parameter that nobody took
// included.
func (v *values) fault() error {
	if v.err != nil || len(v.left) == 0 {
		return v.err
	}
	unknown := slices.Sorted(maps.Keys(v.left))[0]
	slices.Sort(v.known)
	return &InputError{
		Where: v.estimator + ": " + unknown, Problem: "is not a parameter of it",
		Remedy: "choose from " + strings.Join(v.known, ", "),
	}
}
