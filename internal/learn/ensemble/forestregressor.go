package ensemble

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/emit"
	"github.com/petal-ml/petal/internal/learn/internal/parallel"
	"github.com/petal-ml/petal/internal/learn/internal/trees"
	"github.com/petal-ml/petal/internal/learn/metrics"
)

// A ForestRegressor averages the mean targets in the leaves of randomised trees,
// split by squared error: see [Growth]. Make one with [NewRandomForestRegressor]
// or [NewExtraTreesRegressor].
type ForestRegressor struct {
	Growth
}

var _ learn.Regressor = (*ForestRegressor)(nil)

// NewRandomForestRegressor returns a RandomForestRegressor of 100 trees without a
// limit of depth, whose nodes look at all features, as scikit-learn's do; a third
// of them is quicker and often better.
func NewRandomForestRegressor() *ForestRegressor {
	f := &ForestRegressor{newGrowth("RandomForestRegressor")}
	f.bootstrap, f.MaxShare = true, 1
	return f
}

// NewExtraTreesRegressor returns an ExtraTreesRegressor of 100 trees without a
// limit of depth, whose nodes look at all features.
func NewExtraTreesRegressor() *ForestRegressor {
	f := &ForestRegressor{newGrowth("ExtraTreesRegressor")}
	f.random, f.MaxShare = true, 1
	return f
}

// Fit grows the trees, each on one worker.
func (f *ForestRegressor) Fit(ctx context.Context, x *mat.Dense, y []float64, opt learn.Options) error {
	f.ensemble, f.features = nil, 0
	err := learn.CheckTargets(x, y)
	if err == nil {
		err = f.check(x)
	}
	if err != nil {
		return fmt.Errorf("fit %s: %w", f.name, err)
	}
	mean := metrics.Mean(y)
	centred := make([]float64, len(y))
	for i, v := range y {
		centred[i] = v - mean
	}
	grown, err := f.grow(ctx, x, opt, func() criterion { return newSquares(centred) })
	if err != nil {
		return err
	}
	for _, t := range grown {
		for i := range t.Values {
			t.Values[i] /= float64(len(grown))
		}
	}
	f.ensemble = &trees.Ensemble{Trees: grown, Outputs: 1, Base: []float64{mean}}
	return nil
}

// Predict averages the leaves that each row falls into.
func (f *ForestRegressor) Predict(x *mat.Dense) ([]float64, error) {
	if err := learn.CheckPredict(x, f.features); err != nil {
		return nil, fmt.Errorf("predict with %s: %w", f.name, err)
	}
	return sums(f.ensemble, x, f.workers)
}

// sums returns the sum of an ensemble of one output for each row.
func sums(e *trees.Ensemble, x *mat.Dense, workers int) ([]float64, error) {
	n, _ := x.Dims()
	values := make([]float64, n)
	err := parallel.Do(context.Background(), workers, n, func(i int) {
		e.Sum(values[i:i+1], row32(x.RawRowView(i)))
	})
	return values, err
}

// Emit adds a TreeEnsembleRegressor.
func (f *ForestRegressor) Emit(b *emit.Builder, input string) (string, error) {
	if f.ensemble == nil {
		return "", learn.ErrNotFitted
	}
	return f.ensemble.EmitValue(b, input), nil
}
