package ensemble

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/internal/parallel"
)

// A Tuning is what cross-validation said of the number of iterations.
type Tuning struct {
	// Best is the iteration of the lowest mean loss over the folds, Done the last
	// one that was tried; Complete tells that Patience or MaxIter ended it.
	Best, Done int
	Complete   bool
	// Proba are the probabilities of each fold's test rows (rows × classes) after
	// the best iteration.
	Proba []*mat.Dense
}

// Tune grows a model on each fold, all folds an iteration at a time, until the mean
// loss of the test rows has not improved for patience iterations, or for MaxIter of
// them. m itself is not fitted. Where ctx ends after the first iterations, what was
// found until then is the answer. Progress reports each iteration with the mean
// loss.
func (m *HistGradientBoosting) Tune(ctx context.Context, folds []learn.Fold[int], classes, patience int, opt learn.Options) (Tuning, error) {
	var boosters []*booster
	var watchers []*watcher
	workers := max(1, parallel.Workers(opt.Workers)/len(folds))
	for _, f := range folds {
		if err := m.check(f.X); err != nil {
			return Tuning{}, fmt.Errorf("tune %s: %w", m.Name(), err)
		}
		b, err := newBooster(ctx, &m.Boosting, f.X, newCrossEntropy(f.Y, classes), allRows(len(f.Y)), workers)
		if err != nil {
			return Tuning{}, err
		}
		boosters = append(boosters, b)
		watchers = append(watchers, newWatcher(b.ensemble, f.TestX, allRows(len(f.TestY)), logLossOf(f.TestY, classes), 0, 0))
	}
	t, raw, err := tune(ctx, boosters, watchers, m.MaxIter, patience, opt)
	for i, f := range folds {
		proba := mat.NewDense(len(f.TestY), classes, nil)
		for row := range raw[i] {
			softmax(proba.RawRowView(row), raw[i][row])
		}
		t.Proba = append(t.Proba, proba)
	}
	return t, err
}

// tune returns the raw scores after the best iteration too: by fold, row, output.
func tune(ctx context.Context, boosters []*booster, watchers []*watcher, limit, patience int, opt learn.Options) (t Tuning, raw [][][]float64, err error) {
	raw = make([][][]float64, len(watchers))
	least := math.Inf(1)
	for t.Done < limit && (t.Done-t.Best < patience || t.Best == 0) {
		faults := make([]error, len(boosters))
		err := parallel.Do(ctx, opt.Workers, len(boosters), func(f int) {
			if faults[f] = boosters[f].iterate(ctx); faults[f] == nil {
				watchers[f].follow()
			}
		})
		if err = errors.Join(append(faults, err)...); err != nil {
			if ctx.Err() != nil && t.Best > 0 {
				return t, raw, nil
			}
			return t, raw, err
		}
		t.Done++
		var loss float64
		for _, w := range watchers {
			loss += w.losses[len(w.losses)-1] / float64(len(watchers))
		}
		if opt.Progress != nil {
			opt.Progress(t.Done, loss)
		}
		if loss < least || t.Best == 0 {
			t.Best, least = t.Done, loss
			for f, w := range watchers {
				raw[f] = copyRows(raw[f], w.raw)
			}
		}
	}
	t.Complete = true
	return t, raw, nil
}

// copyRows copies rows into dst, which is made where it is nil.
func copyRows(dst, rows [][]float64) [][]float64 {
	if dst == nil {
		dst = make([][]float64, len(rows))
		for i, row := range rows {
			dst[i] = slices.Clone(row)
		}
		return dst
	}
	for i, row := range rows {
		copy(dst[i], row)
	}
	return dst
}
