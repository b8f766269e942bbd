package training

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/dummy"
	"github.com/petal-ml/petal/internal/learn/ensemble"
	"github.com/petal-ml/petal/internal/learn/linear"
	"github.com/petal-ml/petal/internal/learn/naivebayes"
	"github.com/petal-ml/petal/internal/learn/neighbors"
	"github.com/petal-ml/petal/internal/learn/preprocessing"
)

// A Candidate is an estimator with its parameters, ready to be fitted any number
// of times.
type Candidate struct {
	// Name is the estimator's name.
	Name string
	// HandlesMissing tells whether the estimator itself takes rows with missing
	// values.
	HandlesMissing bool

	impute, scale bool
	oneHot        bool // categories as columns of 0 and 1
	estimator     func() learn.Classifier
	columns       []preprocessing.Column // of a table that is not of numbers alone
	// tuned makes the estimator with the number of iterations that cross-validation
	// chose; nil where it chooses none.
	tuned     func(iterations int) learn.Classifier
	calibrate bool
	maxRows   int
}

// Iterated is the candidate with a number of iterations that was chosen.
func (c Candidate) Iterated(iterations int) Candidate {
	tuned := c.tuned
	c.tuned, c.estimator = nil, func() learn.Classifier { return tuned(iterations) }
	return c
}

// New returns an unfitted one, its preprocessing included.
func (c Candidate) New() learn.Classifier {
	var steps []learn.Transformer
	if c.columns != nil {
		return c.typed()
	}
	if c.impute {
		steps = append(steps, &preprocessing.SimpleImputer{})
	}
	if c.scale {
		steps = append(steps, &preprocessing.StandardScaler{})
	}
	if steps == nil {
		return c.estimator()
	}
	return &learn.Pipeline{Steps: steps, Classifier: c.estimator()}
}

// typed is New for a table of several kinds of columns. An estimator that needs
// features of one scale takes categories as columns of 0 and 1, which are on it;
// the others take codes, of which boosting knows that they have no order.
func (c Candidate) typed() learn.Classifier {
	encoder := &preprocessing.ColumnEncoder{Columns: c.columns, OneHot: c.scale || c.oneHot, Impute: !c.HandlesMissing}
	steps := []learn.Transformer{encoder}
	if c.scale {
		numbers := encoder.Numbers()
		steps = append(steps, &preprocessing.StandardScaler{First: &numbers})
	}
	last := c.estimator()
	switch m := last.(type) {
	case *neighbors.KNeighborsClassifier:
		m.Round = true
	case *ensemble.HistGradientBoosting:
		m.CategoricalFeatures = encoder.Categorical()
	}
	return &learn.Pipeline{Steps: steps, Classifier: last}
}

// ForColumns is the candidate for a table with these columns; nil is one of
// numbers.
func (c Candidate) ForColumns(columns []preprocessing.Column) Candidate {
	c.columns = columns
	return c
}

// ForMissing is the candidate for data with missing values: one that cannot take
// them gets their column's median instead.
func (c Candidate) ForMissing() Candidate {
	c.impute = !c.HandlesMissing
	return c
}

// Describe is the candidate with the parameters it has, such as
// "LogisticRegression(C=1, max_iter=1000, tol=1e-08)".
func (c Candidate) Describe() string {
	params := c.New().Params()
	parts := make([]string, 0, len(params))
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if !strings.Contains(name, "__") { // those of preprocessing steps
			parts = append(parts, name+"="+plain(params[name]))
		}
	}
	return c.Name + "(" + strings.Join(parts, ", ") + ")"
}

// plain writes a parameter's value; what is not set is None, as in Python.
func plain(value any) string {
	if value == nil {
		return "None"
	}
	return fmt.Sprint(value)
}

// number writes a float as Python does: 1.0, not 1.
func number(x float64) string {
	text := strconv.FormatFloat(x, 'g', -1, 64)
	if !strings.ContainsAny(text, ".eNI") {
		text += ".0"
	}
	return text
}

// A maker takes an estimator's parameters. A candidate has the seed of the
// training where it is not given a random_state of its own.
type maker struct {
	name string
	make func(v *values, seed uint32) Candidate
}

// makers are the estimators that params.yaml may name.
func makers() []maker {
	return []maker{
		{"LogisticRegression", logisticRegression},
		{"GaussianNB", gaussianNB},
		{"KNeighborsClassifier", kNeighbors},
		{"RandomForestClassifier", forest(ensemble.NewRandomForest)},
		{"ExtraTreesClassifier", forest(ensemble.NewExtraTrees)},
		{"HistGradientBoostingClassifier", histGradientBoosting},
		{"DummyClassifier", prior},
	}
}

// newCandidate makes a candidate of an estimator's name and parameters. Its
// fault is an [*InputError].
func newCandidate(estimator string, params map[string]any, seed uint32) (Candidate, error) {
	known := makers()
	for _, m := range known {
		if m.name != estimator {
			continue
		}
		values := &values{estimator: estimator, left: maps.Clone(params)}
		c := m.make(values, seed)
		c.Name = estimator
		return c, values.fault()
	}
	names := make([]string, len(known))
	for i, m := range known {
		names[i] = m.name
	}
	e := &InputError{Where: "estimator", Problem: fmt.Sprintf("%q is not known", estimator), Remedy: "write one of " + strings.Join(names, ", ")}
	if estimator == "" {
		e.Problem = "is missing"
	}
	return Candidate{}, e
}

func logisticRegression(v *values, _ uint32) Candidate {
	m := *linear.NewLogisticRegression()
	m.C = v.float("C", m.C, "above 0", func(x float64) bool { return x > 0 })
	m.Tol = v.float("tol", m.Tol, "above 0", func(x float64) bool { return x > 0 })
	m.MaxIter = v.count("max_iter", m.MaxIter, 1)
	return Candidate{scale: true, estimator: func() learn.Classifier { fresh := m; return &fresh }}
}

func gaussianNB(v *values, _ uint32) Candidate {
	m := *naivebayes.NewGaussianNB()
	m.VarSmoothing = v.float("var_smoothing", m.VarSmoothing, "of at least 0", func(x float64) bool { return x >= 0 })
	return Candidate{oneHot: true, estimator: func() learn.Classifier { fresh := m; return &fresh }}
}

// kNeighbors scales: distances would follow the feature of the largest unit.
func kNeighbors(v *values, _ uint32) Candidate {
	m := *neighbors.NewKNeighborsClassifier()
	m.NNeighbors = v.count("n_neighbors", m.NNeighbors, 1)
	return Candidate{scale: true, estimator: func() learn.Classifier { fresh := m; return &fresh }}
}

func forest(defaults func() *ensemble.Forest) func(*values, uint32) Candidate {
	return func(v *values, seed uint32) Candidate {
		m := *defaults()
		m.NEstimators = v.count("n_estimators", m.NEstimators, 1)
		m.MaxDepth = v.countOr("max_depth", nil, 1)
		m.MinSamplesSplit = v.count("min_samples_split", m.MinSamplesSplit, 2)
		m.MinSamplesLeaf = v.count("min_samples_leaf", m.MinSamplesLeaf, 1)
		m.MaxFeatures = v.countOr("max_features", "sqrt", 1)
		m.RandomState = v.seed(seed)
		m.Smooth = v.choice("smooth", "true", "true", "false") == "true"
		return Candidate{estimator: func() learn.Classifier { fresh := m; return &fresh }}
	}
}

// iterationsByCV is the max_iter of boosting that cross-validation chooses: up to
// maxIterations, and to maxTrees where each iteration has one for each class.
const (
	iterationsByCV = "cv"
	maxIterations  = 1000
	maxTrees       = 10_000
)

func histGradientBoosting(v *values, seed uint32) Candidate {
	m := *ensemble.NewHistGradientBoosting()
	atLeast0 := func(x float64) bool { return x >= 0 }
	m.LearningRate = v.float("learning_rate", m.LearningRate, "above 0", func(x float64) bool { return x > 0 })
	byCV := v.left["max_iter"] == iterationsByCV
	if byCV {
		v.take("max_iter")
		m.MaxIter, m.EarlyStopping = maxIterations, ensemble.Never
	} else {
		m.MaxIter = v.count("max_iter", m.MaxIter, 1)
	}
	m.MaxFeatures = v.float("max_features", m.MaxFeatures, "above 0 and at most 1", func(x float64) bool { return x > 0 && x <= 1 })
	m.MaxLeafNodes = v.count("max_leaf_nodes", m.MaxLeafNodes, 2)
	m.MaxDepth = v.countOr("max_depth", nil, 1)
	m.MinSamplesLeaf = v.count("min_samples_leaf", m.MinSamplesLeaf, 1)
	m.L2Regularization = v.float("l2_regularization", m.L2Regularization, "of at least 0", atLeast0)
	m.MaxBins = v.int("max_bins", m.MaxBins, "from 2 to 255", func(n int) bool { return n >= 2 && n <= 255 })
	m.EarlyStopping = ensemble.EarlyStopping(v.choice("early_stopping", string(m.EarlyStopping), string(ensemble.Auto), string(ensemble.Always), string(ensemble.Never)))
	m.ValidationFraction = v.float("validation_fraction", m.ValidationFraction, "between 0 and 1", func(x float64) bool { return x > 0 && x < 1 })
	m.NIterNoChange = v.count("n_iter_no_change", m.NIterNoChange, 1)
	m.Tol = v.float("tol", m.Tol, "of at least 0", atLeast0)
	m.RandomState = v.seed(seed)
	c := Candidate{HandlesMissing: true, estimator: func() learn.Classifier { fresh := m; return &fresh }}
	if byCV {
		c.tuned = func(iterations int) learn.Classifier { fresh := m; fresh.MaxIter = iterations; return &fresh }
	}
	return c
}

func prior(v *values, _ uint32) Candidate {
	v.choice("strategy", "prior", "prior")
	return Candidate{HandlesMissing: true, estimator: func() learn.Classifier { return &dummy.Classifier{} }}
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

// count is a whole number of at least least.
func (v *values) count(name string, otherwise, least int) int {
	return v.int(name, otherwise, fmt.Sprintf("of at least %d", least), func(n int) bool { return n >= least })
}

// countOr is a count, or 0 for the one other value that the parameter may have,
// which is its default too.
func (v *values) countOr(name string, other any, least int) int {
	value, given := v.left[name]
	if given && value == other {
		v.take(name)
		return 0
	}
	word := "null"
	if other != nil {
		word = fmt.Sprint(other)
	}
	return v.int(name, 0, fmt.Sprintf("of at least %d, or %s", least, word), func(n int) bool { return n >= least })
}

func (v *values) seed(otherwise uint32) uint32 {
	n := v.int("random_state", int(otherwise), "from 0 to 4294967295", func(n int) bool { return n >= 0 && n <= math.MaxUint32 })
	return uint32(n) // 0 … 2³²−1, checked above
}

// choice is one of a few words. YAML's true and false are such words too.
func (v *values) choice(name, otherwise string, choices ...string) string {
	value, given := v.take(name)
	if !given {
		return otherwise
	}
	text, _ := value.(string)
	if b, isBool := value.(bool); isBool {
		text = strconv.FormatBool(b)
	}
	if !slices.Contains(choices, text) {
		v.fail(name, value, strings.Join(choices, " or "))
	}
	return text
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
