package training

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/calibration"
	"github.com/petal-ml/petal/internal/learn/ensemble"
	"github.com/petal-ml/petal/internal/learn/modelselection"
)

// patience is for how many iterations the loss may fail to fall.
const patience = 50

// tune cross-validates a candidate and chooses its number of iterations on the way.
func tune(ctx context.Context, c Candidate, p prepared, splits []modelselection.Split, opt learn.Options, done func()) (validation, error) {
	v := validation{candidate: c}
	folds := make([]learn.Fold[int], len(splits))
	outputs := max(1, len(p.classes))
	if outputs == 2 {
		outputs = 1
	}
	limit := max(1, min(maxIterations, maxTrees/outputs))
	for i, s := range splits {
		if err := ctx.Err(); err != nil {
			return v, err
		}
		f := &folds[i]
		f.X, f.TestX = modelselection.TakeRows(p.training.x, s.Train), modelselection.TakeRows(p.training.x, s.Test)
		f.Y, f.TestY = modelselection.Take(p.training.y, s.Train), modelselection.Take(p.training.y, s.Test)
		if steps, ok := c.New().(*learn.Pipeline); ok { // learned in each fold
			if err := steps.FitSteps(ctx, f.X); err != nil {
				return v, err
			}
			f.X, f.TestX = steps.Transform(f.X), steps.Transform(f.TestX)
		}
	}
	model, ok := last(c.Iterated(limit).New()).(*ensemble.HistGradientBoosting)
	if !ok {
		return v, fmt.Errorf("cross-validate %s: it has no iterations to choose", c.Name)
	}
	found, err := model.Tune(ctx, folds, len(p.classes), patience, opt)
	if err != nil {
		return v, fmt.Errorf("cross-validate %s: %w", c.Name, err)
	}
	v.candidate = c.Iterated(found.Best)
	// The final fit has more rows, fewer iterations, and all workers to itself.
	v.share = 1.25 / float64(len(folds)) * float64(found.Best) / float64(found.Done)
	if !found.Complete {
		v.until = "@" + strconv.Itoa(found.Done)
	}
	for i, f := range folds {
		if err := v.score(found.Proba[i], f.TestY); err != nil {
			return v, fmt.Errorf("cross-validate %s: %w", c.Name, err)
		}
		done()
	}
	return v, nil
}

// A budget is the time that the candidates may take.
type budget struct {
	until  time.Time // zero for no bound
	passed bool      // some candidate had not enough
}

func newBudget(seconds float64) *budget {
	b := &budget{}
	if seconds > 0 {
		b.until = time.Now().Add(time.Duration(seconds * float64(time.Second)))
	}
	return b
}

// context ends when the next candidate has to stop, for the best of those before
// it to be fitted in time. The first one may take what it takes.
func (b *budget) context(ctx context.Context, before []validation) (context.Context, context.CancelFunc) {
	if b.until.IsZero() || len(before) == 0 {
		return context.WithCancel(ctx)
	}
	fit := time.Duration(0)
	for _, v := range before {
		fit = max(fit, time.Duration(v.share*float64(v.took)))
	}
	return context.WithDeadline(ctx, b.until.Add(-fit))
}

// Calibration needs so many rows, and has to lower the loss by such a share.
const (
	calibrationRows = 500
	calibrationGain = 0.002
)

// temper divides the model's scores by the temperature that its probabilities on
// rows that it was not trained on ask for.
func (f *fitted) temper() {
	tempered, ok := last(f.model).(learn.Tempered)
	if !ok || f.proba == nil {
		return
	}
	var y []int
	for _, fold := range f.y {
		y = append(y, fold...)
	}
	if len(y) < calibrationRows {
		return
	}
	_, classes := f.proba[0].Dims()
	proba := mat.NewDense(len(y), classes, nil)
	row := 0
	for _, fold := range f.proba {
		n, _ := fold.Dims()
		proba.Slice(row, row+n, 0, classes).(*mat.Dense).Copy(fold)
		row += n
	}
	if factor, before, after := calibration.Factor(y, proba); after < before*(1-calibrationGain) {
		tempered.Temper(factor)
	}
}

// last is what stands at the end of a pipeline.
func last(c learn.Classifier) learn.Classifier {
	if p, ok := c.(*learn.Pipeline); ok {
		return p.Classifier
	}
	return c
}
