package ensemble

import (
	"context"
	"fmt"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/emit"
	"github.com/petal-ml/petal/internal/learn/modelselection"
)

// HistGradientBoostingRegressor is scikit-learn's: see [Boosting]. Each iteration
// adds one tree. What is held back for early stopping is drawn at random.
type HistGradientBoostingRegressor struct {
	Boosting

	Loss     Loss
	Quantile float64 // of QuantileLoss, between 0 and 1
}

var _ learn.Regressor = (*HistGradientBoostingRegressor)(nil)

// NewHistGradientBoostingRegressor returns a model of SquaredError with
// scikit-learn's defaults.
func NewHistGradientBoostingRegressor() *HistGradientBoostingRegressor {
	return &HistGradientBoostingRegressor{Boosting: newBoosting(), Loss: SquaredError}
}

// Name returns "HistGradientBoostingRegressor".
func (*HistGradientBoostingRegressor) Name() string { return "HistGradientBoostingRegressor" }

// Params returns the parameters by scikit-learn's names.
func (m *HistGradientBoostingRegressor) Params() map[string]any {
	params := m.Boosting.Params()
	params["loss"] = string(m.Loss)
	if m.Loss == QuantileLoss {
		params["quantile"] = m.Quantile
	}
	return params
}

// Fit grows MaxIter trees, or fewer with early stopping.
func (m *HistGradientBoostingRegressor) Fit(ctx context.Context, x *mat.Dense, y []float64, opt learn.Options) error {
	m.reset()
	if err := m.checkAll(x, y); err != nil {
		return fmt.Errorf("fit %s: %w", m.Name(), err)
	}
	rows := modelselection.Split{Train: allRows(len(y))}
	if m.stopsEarly(len(y)) {
		var err error
		if rows, err = modelselection.ShuffleSplit(len(y), m.ValidationFraction, m.RandomState); err != nil {
			return fmt.Errorf("fit %s: hold rows back for early stopping: %w", m.Name(), err)
		}
	}
	b, err := newBooster(ctx, &m.Boosting, x, newValueLoss(m.Loss, m.Quantile, targets(y, rows.Train)), rows.Train, opt.Workers)
	if err != nil {
		return err
	}
	var watch *watcher
	if rows.Test != nil {
		watched := newValueLoss(m.Loss, m.Quantile, targets(y, rows.Test))
		watch = newWatcher(b.ensemble, x, rows.Test, watched.row, m.NIterNoChange, m.Tol)
	}
	return m.grow(ctx, b, watch, opt)
}

// targets copies the named elements of y.
func targets(y []float64, rows []int) []float64 {
	out := make([]float64, len(rows))
	for at, i := range rows {
		out[at] = y[i]
	}
	return out
}

// row is the loss of one row with the given raw score, as a [watcher] asks for it.
func (v *valueLoss) row(raw []float64, i int) float64 {
	v.link(v.values[i:i+1], raw)
	return v.of(raw[0], v.values[i], v.y[i])
}

func (m *HistGradientBoostingRegressor) checkAll(x *mat.Dense, y []float64) error {
	if err := learn.CheckTargets(x, y); err != nil {
		return err
	}
	lowest, highest := slices.Min(y), slices.Max(y)
	switch {
	case !slices.Contains(Losses(), m.Loss):
		return fmt.Errorf("loss is %q, it must be one of %q: %w", m.Loss, Losses(), learn.ErrParameter)
	case m.Loss == QuantileLoss && !(m.Quantile > 0 && m.Quantile < 1):
		return fmt.Errorf("quantile is %v, it must be between 0 and 1: %w", m.Quantile, learn.ErrParameter)
	case m.Loss == Poisson && (lowest < 0 || highest == 0):
		return fmt.Errorf("the loss poisson takes targets of at least 0, not all 0, they are from %v to %v: %w", lowest, highest, learn.ErrValue)
	case m.Loss == Gamma && lowest <= 0:
		return fmt.Errorf("the loss gamma takes targets above 0, the lowest is %v: %w", lowest, learn.ErrValue)
	}
	return m.check(x)
}

// Predict returns the sums of the trees, or e to them where the loss learns the
// logarithm.
func (m *HistGradientBoostingRegressor) Predict(x *mat.Dense) ([]float64, error) {
	if err := learn.CheckPredict(x, m.features); err != nil {
		return nil, fmt.Errorf("predict with %s: %w", m.Name(), err)
	}
	raw, err := sums(m.ensemble, x, m.workers)
	if err != nil {
		return nil, err
	}
	(&valueLoss{loss: m.Loss}).link(raw, raw)
	return raw, nil
}

// Emit adds a TreeEnsembleRegressor, or a TreeEnsemble where there are sets of
// categories, and Exp where the loss learns the logarithm.
func (m *HistGradientBoostingRegressor) Emit(b *emit.Builder, input string) (string, error) {
	if m.ensemble == nil {
		return "", learn.ErrNotFitted
	}
	var value string
	if m.ensemble.HasSets() {
		value = m.ensemble.EmitSets(b, input)
	} else {
		value = m.ensemble.EmitValue(b, input)
	}
	if m.Loss.logLink() {
		value = b.Node("Exp", []string{value})
	}
	return value, nil
}
