package dummy

import (
	"context"
	"fmt"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/emit"
	"github.com/petal-ml/petal/internal/learn/metrics"
)

// Regressor answers every row with the mean of the training targets, or a
// quantile of them, as scikit-learn's DummyRegressor does. It looks at no
// feature, so it takes any value.
type Regressor struct {
	// Strategy is "mean", "median" or "quantile"; "" is "mean".
	Strategy string
	// Quantile is that of the strategy "quantile", between 0 and 1.
	Quantile float64

	// Constant is what every row is answered with, after Fit.
	Constant float64

	features int
}

var _ learn.Regressor = (*Regressor)(nil)

// Name returns "DummyRegressor".
func (*Regressor) Name() string { return "DummyRegressor" }

// Params returns strategy and quantile.
func (r *Regressor) Params() map[string]any {
	params := map[string]any{"strategy": r.strategy()}
	if r.Strategy == "quantile" {
		params["quantile"] = r.Quantile
	}
	return params
}

func (r *Regressor) strategy() string {
	if r.Strategy == "" {
		return "mean"
	}
	return r.Strategy
}

// Fit computes the constant.
func (r *Regressor) Fit(_ context.Context, x *mat.Dense, y []float64, _ learn.Options) error {
	r.features = 0
	if err := learn.CheckTargets(x, y); err != nil {
		return fmt.Errorf("fit DummyRegressor: %w", err)
	}
	switch r.strategy() {
	case "mean":
		r.Constant = metrics.Mean(y)
	case "median":
		r.Constant = metrics.Quantile(slices.Clone(y), 0.5)
	case "quantile":
		if !(r.Quantile >= 0 && r.Quantile <= 1) {
			return fmt.Errorf("fit DummyRegressor: quantile is %v, it must be between 0 and 1: %w", r.Quantile, learn.ErrParameter)
		}
		r.Constant = metrics.Quantile(slices.Clone(y), r.Quantile)
	default:
		return fmt.Errorf("fit DummyRegressor: strategy is %q, it must be mean, median or quantile: %w", r.Strategy, learn.ErrParameter)
	}
	_, r.features = x.Dims()
	return nil
}

// Predict returns the constant for each row.
func (r *Regressor) Predict(x *mat.Dense) ([]float64, error) {
	if err := learn.CheckPredict(x, r.features); err != nil {
		return nil, fmt.Errorf("predict with DummyRegressor: %w", err)
	}
	n, _ := x.Dims()
	return slices.Repeat([]float64{r.Constant}, n), nil
}

// Emit adds the constant for each row, rows of NaN included.
func (r *Regressor) Emit(b *emit.Builder, input string) (string, error) {
	if r.features == 0 {
		return "", learn.ErrNotFitted
	}
	return b.ConstantRow(input, r.Constant), nil
}
