package training

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/petal-ml/petal/internal/learn/modelselection"
)

// maxCandidates bounds what a mistyped search can ask for.
const maxCandidates = 1000

// maxFaults is how many faults of candidates anybody reads.
const maxFaults = 20

// maxSearched bounds the parameters of one search.
const maxSearched = 32

// defaultNIter is RandomizedSearchCV's.
const defaultNIter = 10

// A Spec names an estimator and its parameters, by scikit-learn's names. With
// ParamGrid or ParamDistributions it stands for several candidates.
type Spec struct {
	Estimator string         `yaml:"estimator"`
	Params    map[string]any `yaml:"params,omitempty"`
	// ParamGrid lists values of further parameters: every combination is a
	// candidate, as with GridSearchCV.
	ParamGrid map[string][]any `yaml:"param_grid,omitempty"`
	// ParamDistributions says where NIter random candidates are drawn from, as
	// with RandomizedSearchCV: a list of values, or one of {uniform: [low,
	// high]}, {loguniform: [low, high]} and {randint: [low, high]}, the last
	// without high itself.
	ParamDistributions map[string]any `yaml:"param_distributions,omitempty"`
	NIter              int            `yaml:"n_iter,omitempty"` // 10 when 0
	// Calibrate divides the scores by one temperature, where that lowers the loss of
	// rows that were not trained on, and there are 500 of them.
	Calibrate bool `yaml:"calibrate,omitempty"`
	// MaxRows leaves the candidate out where there are more training rows; 0 for no
	// bound.
	MaxRows int `yaml:"max_rows,omitempty"`
}

// defaultSearch is what is tried where params.yaml names no candidates, cheap and
// strong ones first: linear models, boosting of trees of three sizes, and what is
// quick enough for small tables.
func defaultSearch() []Spec {
	boosting := func(leaves, leaf int) Spec {
		return Spec{Estimator: "HistGradientBoostingClassifier", Calibrate: true, Params: map[string]any{
			"max_iter": iterationsByCV, "learning_rate": 0.05, "l2_regularization": 1, "max_features": 0.7,
			"max_leaf_nodes": leaves, "min_samples_leaf": leaf,
		}}
	}
	return []Spec{
		{Estimator: "LogisticRegression", Calibrate: true, Params: map[string]any{"tol": 1e-4}, ParamGrid: map[string][]any{"C": {1.0, 0.1, 0.01}}},
		boosting(15, 20),
		boosting(4, 20),
		boosting(40, 10),
		{Estimator: "ExtraTreesClassifier", MaxRows: 20_000},
		{Estimator: "RandomForestClassifier", MaxRows: 20_000},
		{Estimator: "KNeighborsClassifier", MaxRows: 5000},
		{Estimator: "GaussianNB", MaxRows: 5000},
	}
}

// candidates makes every candidate that the parameters stand for.
func (p Params) candidates(where string) (all []Candidate, faults []error) {
	specs := p.Candidates
	if specs == nil {
		specs = defaultSearch()
	}
	return candidates(specs, p.Seed(), where)
}

// Bounds of the work, rows times scores of a row, above which the default search
// has fewer folds: three, and one hold-out of a tenth.
const (
	fewFoldsWork = 100_000
	oneFoldWork  = 400_000
)

// splits are the folds that candidates are compared on.
func (p prepared) splits() ([]modelselection.Split, error) {
	work, folds := len(p.training.y)*max(1, len(p.classes)-1), p.params.NSplits
	switch {
	case p.params.Candidates != nil:
	case work > oneFoldWork:
		all, err := modelselection.StratifiedKFold(p.training.y, 10, p.params.Seed())
		return all[:min(1, len(all))], err
	case work > fewFoldsWork:
		folds = min(folds, 3)
	}
	return modelselection.StratifiedKFold(p.training.y, folds, p.params.Seed())
}

// candidates makes every candidate that the specs stand for, in their order.
// where names their file: each fault says it and the candidate.
func candidates(specs []Spec, seed uint32, where string) (all []Candidate, faults []error) {
	for i, spec := range specs {
		if len(all) > maxCandidates || len(faults) >= maxFaults {
			break // a hostile file could ask for hours of this
		}
		fail := func(err error) { faults = append(faults, fmt.Errorf("%s: candidate %d: %w", where, i+1, err)) }
		settings, err := spec.settings(seed)
		if err != nil {
			fail(err)
			continue
		}
		for _, params := range settings {
			c, err := newCandidate(spec.Estimator, params, seed)
			if err != nil {
				fail(err) // the others of a search would say the same
				break
			}
			c.calibrate, c.maxRows = spec.Calibrate, spec.MaxRows
			all = append(all, c)
		}
	}
	if len(all) > maxCandidates {
		faults = append(faults, &InputError{
			Where: where + ": candidates", Problem: fmt.Sprintf("there are %d, more than %d", len(all), maxCandidates),
			Remedy: "shorten param_grid, or lower n_iter",
		})
	}
	return all, faults
}

// settings are the parameters of each candidate that a spec stands for.
func (s Spec) settings(seed uint32) ([]map[string]any, error) {
	switch {
	case s.ParamGrid != nil && s.ParamDistributions != nil:
		return nil, &InputError{Where: s.Estimator, Problem: "has both param_grid and param_distributions", Remedy: "leave one out"}
	case s.NIter != 0 && s.ParamDistributions == nil:
		return nil, &InputError{Where: s.Estimator + ": n_iter", Problem: "counts random candidates, and there are no param_distributions", Remedy: "leave it out"}
	case s.NIter < 0 || s.NIter > maxCandidates:
		return nil, &InputError{Where: s.Estimator + ": n_iter", Problem: fmt.Sprintf("%d is out of range", s.NIter), Remedy: fmt.Sprintf("write a number from 1 to %d", maxCandidates)}
	}
	if s.MaxRows < 0 {
		return nil, &InputError{Where: s.Estimator + ": max_rows", Problem: fmt.Sprintf("%d is out of range", s.MaxRows), Remedy: "write a number of rows, or leave it out"}
	}
	if n := len(s.ParamGrid) + len(s.ParamDistributions) + len(s.Params); n > maxSearched {
		return nil, &InputError{Where: s.Estimator, Problem: fmt.Sprintf("has %d parameters, more than any estimator", n), Remedy: "leave some out"}
	}
	if name := s.overlap(); name != "" {
		return nil, &InputError{Where: s.Estimator + ": " + name, Problem: "is both fixed and searched", Remedy: "leave one out"}
	}
	if s.ParamDistributions != nil {
		return s.random(seed)
	}
	return s.grid()
}

// fixed are the parameters that all candidates of a spec share.
func (s Spec) fixed() map[string]any {
	params := map[string]any{}
	maps.Copy(params, s.Params)
	return params
}

// overlap names a parameter that is both fixed and searched, "" for none.
func (s Spec) overlap() string {
	for _, name := range slices.Sorted(maps.Keys(s.Params)) {
		_, inGrid := s.ParamGrid[name]
		_, inDistributions := s.ParamDistributions[name]
		if inGrid || inDistributions {
			return name
		}
	}
	return ""
}

// grid combines all values, in the order of scikit-learn's ParameterGrid: names
// sorted, the last one varying fastest.
func (s Spec) grid() ([]map[string]any, error) {
	settings := []map[string]any{s.fixed()}
	for _, name := range slices.Sorted(maps.Keys(s.ParamGrid)) {
		values := s.ParamGrid[name]
		if len(values) == 0 || len(values)*len(settings) > maxCandidates {
			return nil, &InputError{
				Where:   s.Estimator + ": param_grid: " + name,
				Problem: fmt.Sprintf("%d values make %d candidates", len(values), len(values)*len(settings)),
				Remedy:  fmt.Sprintf("list values that make 1 to %d", maxCandidates),
			}
		}
		var longer []map[string]any
		for _, before := range settings {
			for _, v := range values {
				with := maps.Clone(before)
				with[name] = v
				longer = append(longer, with)
			}
		}
		settings = longer
	}
	return settings, nil
}

// random draws NIter different settings. Lists alone may hold fewer, which then
// all are tried.
func (s Spec) random(seed uint32) ([]map[string]any, error) {
	names := slices.Sorted(maps.Keys(s.ParamDistributions))
	draws := make([]func(*modelselection.RandomState) any, len(names))
	for i, name := range names {
		var err error
		if draws[i], err = distribution(s.ParamDistributions[name]); err != nil {
			return nil, &InputError{
				Where: s.Estimator + ": param_distributions: " + name, Problem: err.Error(),
				Remedy: "write a list of values, {uniform: [0, 1]}, {loguniform: [0.01, 100]} or {randint: [1, 10]}",
			}
		}
	}
	random := modelselection.NewRandomState(seed)
	want := cmp.Or(s.NIter, defaultNIter)
	var settings []map[string]any
	seen := map[string]bool{}
	// So many fruitless draws in a row mean that there is nothing else to draw.
	for fruitless := 0; len(settings) < want && fruitless < 100; fruitless++ {
		drawn := s.fixed()
		for i, name := range names {
			drawn[name] = draws[i](random)
		}
		if key := fmt.Sprint(drawn); !seen[key] { // maps are printed in order
			seen[key] = true
			settings = append(settings, drawn)
			fruitless = 0
		}
	}
	return settings, nil
}

// distribution says how a value is drawn from what params.yaml holds.
func distribution(spec any) (func(*modelselection.RandomState) any, error) {
	if values, isList := spec.([]any); isList && len(values) > 0 {
		return func(r *modelselection.RandomState) any { return values[r.Interval(uint64(len(values)-1))] }, nil // not empty
	}
	named, _ := spec.(map[string]any)
	if len(named) != 1 {
		return nil, fmt.Errorf("%v is no distribution", spec)
	}
	for kind, bounds := range named {
		low, high, ok := interval(bounds)
		if !ok {
			return nil, fmt.Errorf("%v is not two rising numbers", bounds)
		}
		switch {
		case kind == "uniform":
			return func(r *modelselection.RandomState) any { return low + float64((high-low)*r.Float64()) }, nil
		case kind == "loguniform" && low > 0:
			return func(r *modelselection.RandomState) any {
				return math.Exp(math.Log(low) + float64((math.Log(high)-math.Log(low))*r.Float64()))
			}, nil
		case kind == "randint" && low == math.Trunc(low) && high == math.Trunc(high) && math.Abs(low) < 1<<31 && math.Abs(high) < 1<<31:
			return func(r *modelselection.RandomState) any { return int(low) + int(r.Interval(uint64(high-low)-1)) }, nil // below 2³²
		}
	}
	return nil, fmt.Errorf("%v is no distribution", spec)
}

// interval reads [low, high].
func interval(v any) (low, high float64, ok bool) {
	list, _ := v.([]any)
	if len(list) != 2 {
		return 0, 0, false
	}
	var numbers [2]float64
	for i, element := range list {
		switch x := element.(type) {
		case int:
			numbers[i] = float64(x)
		case float64:
			numbers[i] = x
		default:
			return 0, 0, false
		}
	}
	low, high = numbers[0], numbers[1]
	return low, high, low < high && !math.IsInf(high-low, 0)
}
