package training

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/metrics"
	"github.com/petal-ml/petal/internal/learn/modelselection"
	"github.com/petal-ml/petal/internal/registry"
)

// fitted is the best candidate, fitted on the training rows.
type fitted struct {
	validation               // of the candidate
	validations []validation // of all candidates that were tried, in their order
	best        int          // which of them it is
	beaten      []int        // those before it that did not beat the prior on the hold-out

	// finished names the candidates that were tried, by their numbers from 1, where
	// time was up before all were; "" for all. "3@120" tells that the third had 120
	// iterations to choose from. untried says in words what was left out.
	finished string
	untried  []string

	model  learn.Classifier
	rows   []int     // where its rows stand in the data
	losses []float64 // the objective after each iteration, where there is one
}

// fit cross-validates the candidates and fits the best one on the training rows.
func fit(ctx context.Context, p prepared, workers int, told *progress) (fitted, error) {
	f, err := compare(ctx, p, workers, told)
	if err != nil {
		return f, err
	}
	return f.fit(ctx, p, best(f.validations), workers, told)
}

// compare cross-validates the candidates, as many as there is time for.
func compare(ctx context.Context, p prepared, workers int, told *progress) (fitted, error) {
	var f fitted
	splits, err := p.splits()
	if err != nil {
		return f, err
	}
	told.total += len(p.candidates) * (len(splits) - p.params.NSplits)
	limit := newBudget(p.params.TimeBudget)
	var finished []string
	for i, c := range p.candidates {
		if c.maxRows > 0 && len(p.training.y) > c.maxRows {
			f.untried = append(f.untried, fmt.Sprintf("%s (more than %d rows)", c.Describe(), c.maxRows))
			told.total -= len(splits)
			continue
		}
		what := fmt.Sprintf("candidate %d of %d, %s", i+1, len(p.candidates), c.Name)
		opt := learn.Options{Workers: workers, Progress: func(iteration int, _ float64) { told.iterate(what, iteration) }}
		within, cancel := limit.context(ctx, f.validations)
		start := time.Now()
		v, err := crossValidate(within, c, p, splits, opt, func() { told.step(what) })
		up := within.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case err == nil:
			v.took = time.Since(start)
			f.validations = append(f.validations, v)
			finished = append(finished, strconv.Itoa(i+1)+v.until)
		case up:
			f.untried = append(f.untried, c.Describe()+" (no time)")
			told.total -= len(splits) - len(v.folds)
		default:
			return f, err
		}
		limit.passed = limit.passed || up
	}
	if limit.passed {
		f.finished = strings.Join(finished, ",")
	}
	return f, nil
}

// fit fits one of the candidates on the training rows.
func (f fitted) fit(ctx context.Context, p prepared, at, workers int, told *progress) (fitted, error) {
	f.best, f.validation, f.losses = at, f.validations[at], nil
	f.model, f.rows = f.candidate.New(), p.training.rows
	opt := learn.Options{Workers: workers, Progress: func(iteration int, loss float64) {
		told.iterate("fit "+f.candidate.Name, iteration)
		if !math.IsNaN(loss) { // forests have none
			f.losses = append(f.losses, loss)
		}
	}}
	if err := f.model.Fit(ctx, p.training.x, p.training.y, len(p.classes), opt); err != nil {
		return f, fmt.Errorf("fit %s: %w", f.candidate.Name, err)
	}
	f.temper()
	told.step("fit " + f.candidate.Name)
	return f, nil
}

// next fits the best candidate of those that were not fitted yet; ok is false
// where there is none.
func (f fitted) next(ctx context.Context, p prepared, workers int, told *progress) (_ fitted, ok bool, err error) {
	f.beaten = append(f.beaten, f.best)
	left := slices.Clone(f.validations)
	for _, i := range f.beaten {
		left[i].folds = nil // which has no loss to compare
	}
	at := best(left)
	if left[at].folds == nil {
		return f, false, nil
	}
	told.total++
	f, err = f.fit(ctx, p, at, workers, told)
	return f, true, err
}

// A validation is how a candidate did in the cross-validation.
type validation struct {
	candidate Candidate
	folds     []map[string]float64 // the figures of each fold, by name

	proba []*mat.Dense  // of the test rows of each fold, where they are to be calibrated
	y     [][]int       // and their classes
	until string        // "@120" where time was up after 120 iterations
	took  time.Duration // the wall clock
	share float64       // of it, that the final fit takes
}

// fold returns a figure of each fold.
func (v validation) fold(name string) []float64 {
	values := make([]float64, len(v.folds))
	for i, figures := range v.folds {
		values[i] = figures[name]
	}
	return values
}

// logLoss is what candidates are compared by.
func (v validation) logLoss() []float64 { return v.fold("log_loss") }

// figures are mean and standard deviation over the folds.
func (v validation) figures() map[string]float64 {
	values := map[string]float64{}
	for name := range v.folds[0] {
		values[name], values[name+"_std"] = mean(v.fold(name)), deviation(v.fold(name))
	}
	return values
}

// crossValidate scores a candidate on each fold of the training rows.
func crossValidate(ctx context.Context, c Candidate, p prepared, splits []modelselection.Split, opt learn.Options, done func()) (validation, error) {
	if c.tuned != nil {
		return tune(ctx, c, p, splits, opt, done)
	}
	v := validation{candidate: c, share: 1.25 / float64(len(splits))}
	for _, fold := range splits {
		if err := ctx.Err(); err != nil { // not every estimator is slow enough to look
			return v, err
		}
		proba, err := validate(ctx, c, p.training, fold, len(p.classes), opt)
		if err == nil {
			err = v.score(proba, modelselection.Take(p.training.y, fold.Test))
		}
		if err != nil {
			return v, fmt.Errorf("cross-validate %s: %w", c.Name, err)
		}
		done()
	}
	return v, nil
}

// score adds the figures of a fold.
func (v *validation) score(proba *mat.Dense, y []int) error {
	report, err := metrics.Evaluate(y, proba)
	if err != nil {
		return err
	}
	v.folds = append(v.folds, figures(report))
	if v.candidate.calibrate {
		v.proba, v.y = append(v.proba, proba), append(v.y, y)
	}
	return nil
}

// validate fits a candidate on the training rows of a fold and predicts the
// others.
func validate(ctx context.Context, c Candidate, rows part, fold modelselection.Split, classes int, opt learn.Options) (*mat.Dense, error) {
	model, err := fitPresent(ctx, c.New(), modelselection.TakeRows(rows.x, fold.Train), modelselection.Take(rows.y, fold.Train), classes, opt)
	if err != nil {
		return nil, err
	}
	return model.PredictProba(modelselection.TakeRows(rows.x, fold.Test))
}

// best returns which candidate has the smallest mean log-loss, of equal ones the
// first.
func best(all []validation) int {
	first := 0
	least := math.Inf(1)
	for i, v := range all {
		if v.folds == nil {
			continue
		}
		if loss := mean(v.logLoss()); loss < least {
			first, least = i, loss
		}
	}
	return first
}

func mean(values []float64) float64 {
	var sum float64
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// deviation is the standard deviation with divisor n, as numpy's std.
func deviation(values []float64) float64 {
	m := mean(values)
	var sum float64
	for _, v := range values {
		sum += (v - m) * (v - m)
	}
	return math.Sqrt(sum / float64(len(values)))
}

// figures names the figures of a report as they are logged: the names that
// MLflow's autologging made usual, and scikit-learn's function names for the
// rest. Weighted averages where a figure is one.
func figures(r *metrics.Report) map[string]float64 {
	return map[string]float64{
		"accuracy_score":             r.Accuracy,
		"balanced_accuracy_score":    r.BalancedAccuracy,
		"precision_score":            r.Weighted.Precision,
		"recall_score":               r.Weighted.Recall,
		"f1_score":                   r.Weighted.F1,
		"precision_score_macro":      r.Macro.Precision,
		"recall_score_macro":         r.Macro.Recall,
		"f1_score_macro":             r.Macro.F1,
		"log_loss":                   r.LogLoss,
		"roc_auc":                    r.ROCAUC,
		"average_precision_score":    r.PRAUC,
		"brier_score_loss":           r.Brier,
		"expected_calibration_error": r.ECE,
		"matthews_corrcoef":          r.MCC,
	}
}

// finite leaves out figures that are not defined for the data.
func finite(values map[string]float64) map[string]float64 {
	maps.DeleteFunc(values, func(_ string, v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) })
	return values
}

// estimatorParams are an estimator's name and parameters as they are logged.
func estimatorParams(c learn.Classifier) []registry.Param {
	values := c.Params()
	params := []registry.Param{{Key: "estimator", Value: c.Name()}}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := plain(values[name])
		if x, ok := values[name].(float64); ok {
			value = number(x)
		}
		params = append(params, registry.Param{Key: name, Value: value})
	}
	return params
}

// Progress tells how far a training is.
type Progress struct {
	Step        string // what was just done, or is being done
	Done, Total int    // steps
	// Iteration counts within the step; 0 where the step is done.
	Iteration int
}

// progress counts the steps of one training and tells a person of them.
type progress struct {
	tell        func(Progress)
	done, total int
	told        time.Time // of the last iteration that was told
}

// step tells that another step is done.
func (p *progress) step(what string) {
	p.done++
	p.tell(Progress{Step: what, Done: p.done, Total: p.total})
}

// tellEvery is how often a person looks.
const tellEvery = 100 * time.Millisecond

// iterate tells how far the step under way is, at most once in tellEvery, so
// that a fit of many short iterations does not wait for a terminal.
func (p *progress) iterate(what string, iteration int) {
	if now := time.Now(); now.Sub(p.told) >= tellEvery {
		p.told = now
		p.tell(Progress{Step: what, Done: p.done, Total: p.total, Iteration: iteration})
	}
}
