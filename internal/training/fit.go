package training

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strings"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/dataset"
	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/dummy"
	"github.com/petal-ml/petal/internal/learn/inspection"
	"github.com/petal-ml/petal/internal/learn/metrics"
	"github.com/petal-ml/petal/internal/learn/modelselection"
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval"
)

// A part is a set of rows cut out of the data.
type part struct {
	x    *mat.Dense
	y    []int
	rows []int // where they stand in the data
}

// take cuts rows out of a part.
func (p part) take(rows []int) part {
	return part{modelselection.TakeRows(p.x, rows), modelselection.Take(p.y, rows), modelselection.Take(p.rows, rows)}
}

// A validation is how a candidate did in the cross-validation.
type validation struct {
	candidate Candidate
	folds     []map[string]float64 // the figures of each fold, by name
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

// A fitted model with what is known about it.
type fitted struct {
	validation
	validations []validation // of all candidates, in their order
	best        int          // which of them the first field is

	model           learn.Classifier
	fittedOn        []int     // positions of its rows in the data
	losses          []float64 // the objective after each iteration, where there is one
	training, test  *metrics.Report
	proba, baseline *mat.Dense              // of the hold-out: the model's and the prior's
	importance      []inspection.Importance // of each feature; nil where there are too many
	onnx            []byte
}

// split cuts the data into training rows and hold-out.
func split(d *dataset.Dataset, p Params) (training, test part, err error) {
	class, rows := modelselection.SmallestClass(d.Y)
	if rows < 2 {
		return part{}, part{}, &dataset.Error{
			File: d.Path, Column: d.Label, Problem: fmt.Sprintf("class %q has a single row, which cannot be in both training and hold-out", d.Classes.Text(class)),
			Remedy: "add rows of that class or remove it",
		}
	}
	s, err := modelselection.TrainTestSplit(d.Y, p.TestSize, p.Seed())
	if err != nil {
		return part{}, part{}, &InputError{
			Where:   d.Path,
			Problem: fmt.Sprintf("cannot hold out %v of its rows: %s", p.TestSize, strings.TrimSuffix(err.Error(), ": "+modelselection.ErrSplit.Error())),
			Remedy:  "add rows, or choose another test_size", Err: err,
		}
	}
	training.x, training.y = d.Select(s.Train)
	test.x, test.y = d.Select(s.Test)
	training.rows, test.rows = s.Train, s.Test
	return training, test, nil
}

// checkFolds refuses data whose classes cannot be in every fold.
func checkFolds(d *dataset.Dataset, training part, p Params) error {
	class, rows := modelselection.SmallestClass(training.y)
	if rows >= p.NSplits {
		return nil
	}
	return &dataset.Error{
		File: d.Path, Column: d.Label,
		Problem: fmt.Sprintf("class %q has %d training rows, fewer than the %d folds of n_splits", d.Classes.Text(class), rows, p.NSplits),
		Remedy:  "add rows of that class, or lower n_splits",
	}
}

// crossValidate scores a candidate on each fold of the training rows.
func crossValidate(ctx context.Context, c Candidate, rows part, classes int, p Params, opt learn.Options, done func()) (validation, error) {
	v := validation{candidate: c}
	folds, err := modelselection.StratifiedKFold(rows.y, p.NSplits, p.Seed())
	if err != nil {
		return v, err
	}
	for _, fold := range folds {
		if err := ctx.Err(); err != nil { // not every estimator is slow enough to look
			return v, err
		}
		model := c.New()
		err := model.Fit(ctx, modelselection.TakeRows(rows.x, fold.Train), modelselection.Take(rows.y, fold.Train), classes, opt)
		if err != nil {
			return v, fmt.Errorf("cross-validate %s: %w", c.Name, err)
		}
		y := modelselection.Take(rows.y, fold.Test)
		proba, err := model.PredictProba(modelselection.TakeRows(rows.x, fold.Test))
		if err != nil {
			return v, fmt.Errorf("cross-validate %s: %w", c.Name, err)
		}
		report, err := metrics.Evaluate(y, proba)
		if err != nil {
			return v, fmt.Errorf("cross-validate %s: %w", c.Name, err)
		}
		v.folds = append(v.folds, figures(report))
		done()
	}
	return v, nil
}

// best is the place of the candidate with the smallest mean log-loss, of equal
// ones the first.
func best(all []validation) int {
	first := 0
	least := math.Inf(1)
	for i, v := range all {
		if loss := mean(v.logLoss()); loss < least {
			first, least = i, loss
		}
	}
	return first
}

// fit cross-validates the candidates, fits the best one on the training rows and
// judges it. It writes nothing.
func (t *Trainer) fit(ctx context.Context, j *job) (*fitted, error) {
	classes := j.data.Classes.Len()
	opt := learn.Options{Workers: t.cfg.Workers}
	f := &fitted{}
	for i, c := range j.candidates {
		what := fmt.Sprintf("candidate %d of %d, %s", i+1, len(j.candidates), c.Name)
		watched := opt
		watched.Progress = func(iteration int, _ float64) { j.iterate(what, iteration) }
		v, err := crossValidate(ctx, c, j.training, classes, j.params, watched, func() { j.step(what) })
		if err != nil {
			return nil, err
		}
		f.validations = append(f.validations, v)
	}
	f.best = best(f.validations)
	f.validation = f.validations[f.best]

	f.model = f.candidate.New()
	f.fittedOn = j.training.rows
	opt.Progress = func(iteration int, loss float64) {
		j.iterate("fit "+f.candidate.Name, iteration)
		if !math.IsNaN(loss) { // forests have none
			f.losses = append(f.losses, loss)
		}
	}
	if err := f.model.Fit(ctx, j.training.x, j.training.y, classes, opt); err != nil {
		return nil, fmt.Errorf("fit %s: %w", f.candidate.Name, err)
	}
	j.step("fit " + f.candidate.Name)
	if err := f.judge(j); err != nil {
		return nil, err
	}
	if err := f.export(j); err != nil {
		return nil, err
	}
	if err := f.measureImportance(ctx, j); err != nil {
		return nil, err
	}
	j.step("evaluate")
	return f, ctx.Err()
}

// judge evaluates on training rows and hold-out, and asks the prior for the
// log-loss that any model has to beat. The hold-out is judged as it will be
// served, in float32: columns that differ only beyond its 24 bits, as times in
// nanoseconds do, must not look learned.
func (f *fitted) judge(j *job) error {
	evaluate := func(x *mat.Dense, y []int) (*metrics.Report, *mat.Dense, error) {
		proba, err := f.model.PredictProba(x)
		if err != nil {
			return nil, nil, fmt.Errorf("evaluate %s: %w", f.candidate.Name, err)
		}
		report, err := metrics.Evaluate(y, proba)
		if err != nil {
			return nil, nil, fmt.Errorf("evaluate %s: %w", f.candidate.Name, err)
		}
		return report, proba, nil
	}
	var err error
	if f.training, _, err = evaluate(j.training.x, j.training.y); err != nil {
		return err
	}
	if f.test, f.proba, err = evaluate(asServed(j.test.x), j.test.y); err != nil {
		return err
	}
	prior := &dummy.Classifier{}
	if err := prior.Fit(context.Background(), j.training.x, j.training.y, j.data.Classes.Len(), learn.Options{}); err != nil {
		return fmt.Errorf("evaluate the prior: %w", err)
	}
	if f.baseline, err = prior.PredictProba(j.test.x); err != nil {
		return fmt.Errorf("evaluate the prior: %w", err)
	}
	return nil
}

// export writes the model as ONNX and makes sure that the file answers as the
// model does.
func (f *fitted) export(j *job) error {
	model, err := learn.ToONNX(f.model, len(j.data.Features), onnx.Labels(j.data.Classes))
	if err != nil {
		return err
	}
	f.onnx = model.Marshal()
	return f.compare(j.test.x)
}

// onnxTolerance is what float32 may do to a probability.
const onnxTolerance = 1e-5

// compare runs the ONNX file on the rows of x, as a server would, and holds its
// probabilities against the model's own for the same float32 inputs.
func (f *fitted) compare(x *mat.Dense) error {
	predictor, err := loadPredictor(f.onnx)
	if err != nil {
		return err
	}
	n, p := x.Dims()
	rounded := asServed(x)
	want, err := f.model.PredictProba(rounded)
	if err != nil {
		return fmt.Errorf("verify the ONNX file: %w", err)
	}
	row, scores := make([]float32, p), make([]float32, predictor.Labels().Len())
	for i := range n {
		for k, v := range rounded.RawRowView(i) {
			row[k] = float32(v)
		}
		if _, err := predictor.PredictRow(row, scores); err != nil {
			return fmt.Errorf("verify the ONNX file: row %d of the hold-out: %w", i, err)
		}
		for k, score := range scores {
			if math.Abs(float64(score)-want.At(i, k)) > onnxTolerance {
				return fmt.Errorf("verify the ONNX file: row %d of the hold-out has probability %v for class %d, the model %v", i, score, k, want.At(i, k))
			}
		}
	}
	return nil
}

// asServed rounds a copy of x to the float32 that the model's input holds.
func asServed(x *mat.Dense) *mat.Dense {
	n, p := x.Dims()
	rounded := mat.NewDense(n, p, nil)
	rounded.Apply(func(_, _ int, v float64) float64 { return float64(float32(v)) }, x)
	return rounded
}

// loadPredictor loads an ONNX file as serving does.
func loadPredictor(raw []byte) (*eval.Predictor, error) {
	model, err := onnx.Load(bytes.NewReader(raw), onnx.Limits{})
	if err != nil {
		return nil, fmt.Errorf("load the ONNX file: %w", err)
	}
	session, err := eval.NewSession(model)
	if err != nil {
		return nil, fmt.Errorf("load the ONNX file: %w", err)
	}
	predictor, err := eval.NewPredictor(session)
	if err != nil {
		return nil, fmt.Errorf("load the ONNX file: %w", err)
	}
	return predictor, nil
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
