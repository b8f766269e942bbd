package ensemble

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/metrics"
)

// waves has a target above 0 that one of three features decides on.
func waves(n int) (*mat.Dense, []float64) {
	random := rand.New(rand.NewPCG(8, 8))
	x, y := mat.NewDense(n, 3, nil), make([]float64, n)
	for i := range y {
		x.SetRow(i, []float64{random.Float64(), random.Float64(), random.Float64()})
		y[i] = 2 + math.Sin(9*x.At(i, 1)) + 0.1*random.Float64()
	}
	return x, y
}

func TestSameRegressorsForAnyNumberOfWorkers(t *testing.T) {
	x, y := waves(1200)
	for _, loss := range Losses() {
		fit := func(workers int) *HistGradientBoostingRegressor {
			m := NewHistGradientBoostingRegressor()
			m.Loss, m.Quantile, m.MaxIter, m.MaxFeatures, m.EarlyStopping = loss, 0.7, 10, 0.6, Always
			require.NoError(t, m.Fit(t.Context(), x, y, learn.Options{Workers: workers}))
			return m
		}
		require.Equal(t, fit(1).ensemble, fit(4).ensemble, loss)
	}
	for _, create := range []func() *ForestRegressor{NewRandomForestRegressor, NewExtraTreesRegressor} {
		fit := func(workers int) *ForestRegressor {
			f := create()
			f.NEstimators = 4
			require.NoError(t, f.Fit(t.Context(), x, y, learn.Options{Workers: workers}))
			return f
		}
		require.Equal(t, fit(1).ensemble, fit(3).ensemble)
	}
}

// TestDerivativesOfValueLosses compares them with differences of the loss.
func TestDerivativesOfValueLosses(t *testing.T) {
	const step = 1e-5
	for _, loss := range Losses() {
		v := newValueLoss(loss, 0.3, []float64{1.7, 0.4})
		at := func(raw float64) float64 { return v.update([][]float64{{raw, 0}}, 0, 1) }
		for _, raw := range []float64{-0.8, 0.3, 1.1, 2.5} {
			slope := (at(raw+step) - at(raw-step)) / (2 * step)
			curve := (at(raw+step) - 2*at(raw) + at(raw-step)) / (step * step)
			at(raw)
			gradient, hessian := v.derivatives(0)
			require.InDelta(t, slope, gradient, 1e-6, "%s at %v", loss, raw)
			if loss != AbsoluteError && loss != QuantileLoss {
				require.InDelta(t, curve, hessian, 1e-4, "%s at %v", loss, raw)
			}
		}
	}
}

func TestQuantilesAreThoseOfTheTarget(t *testing.T) {
	x, y := waves(1000)
	for _, quantile := range []float64{0.1, 0.5, 0.9} {
		m := NewHistGradientBoostingRegressor()
		m.Loss, m.Quantile = QuantileLoss, quantile
		require.NoError(t, m.Fit(t.Context(), x, y, learn.Options{}))
		values, err := m.Predict(x)
		require.NoError(t, err)
		below := 0
		for i, v := range values {
			if y[i] <= v {
				below++
			}
		}
		require.InDelta(t, quantile, float64(below)/float64(len(y)), 0.05)
	}
}

func TestRegressorsSayWhatIsWrong(t *testing.T) {
	x, y := waves(60)
	negative := append([]float64{-1}, y[1:]...)
	boosting := func(loss Loss) *HistGradientBoostingRegressor {
		m := NewHistGradientBoostingRegressor()
		m.Loss = loss
		return m
	}
	require.ErrorIs(t, boosting(Poisson).Fit(t.Context(), x, negative, learn.Options{}), learn.ErrValue)
	require.ErrorIs(t, boosting(Poisson).Fit(t.Context(), x, make([]float64, 60), learn.Options{}), learn.ErrValue)
	require.ErrorIs(t, boosting(Gamma).Fit(t.Context(), x, make([]float64, 60), learn.Options{}), learn.ErrValue)
	require.ErrorIs(t, boosting("huber").Fit(t.Context(), x, y, learn.Options{}), learn.ErrParameter)
	require.ErrorIs(t, boosting(QuantileLoss).Fit(t.Context(), x, y, learn.Options{}), learn.ErrParameter)
	share := boosting(SquaredError)
	share.MaxFeatures = 1.5
	require.ErrorIs(t, share.Fit(t.Context(), x, y, learn.Options{}), learn.ErrParameter)
	forest := NewRandomForestRegressor()
	require.ErrorIs(t, forest.Fit(t.Context(), x, y[1:], learn.Options{}), learn.ErrShape)
	forest.MaxShare = 2
	require.ErrorIs(t, forest.Fit(t.Context(), x, y, learn.Options{}), learn.ErrParameter)
	for _, r := range []learn.Regressor{forest, share} {
		_, err := r.Predict(x)
		require.ErrorIs(t, err, learn.ErrNotFitted)
		_, err = r.Emit(nil, "")
		require.ErrorIs(t, err, learn.ErrNotFitted)
	}
}

// TestEarlyStoppingOfARegressor ends long before the last iteration, and reports
// losses that fall.
func TestEarlyStoppingOfARegressor(t *testing.T) {
	x, y := waves(400)
	m := NewHistGradientBoostingRegressor()
	m.EarlyStopping, m.MaxIter, m.NIterNoChange = Always, 1000, 3
	var losses []float64
	require.NoError(t, m.Fit(t.Context(), x, y, learn.Options{Progress: func(_ int, loss float64) { losses = append(losses, loss) }}))
	require.Less(t, m.NIter, 500)
	require.Len(t, losses, m.NIter)
	require.Less(t, losses[len(losses)-1], losses[0])
}

// TestSmoothedSharesAreNeverZero also says that smoothing is one more tree.
func TestSmoothedSharesAreNeverZero(t *testing.T) {
	x, y := blobs(200, 2, 3, 1)
	plain, smooth := NewRandomForest(), NewRandomForest()
	smooth.Smooth = true
	for _, f := range []*Forest{plain, smooth} {
		f.NEstimators = 9
		require.NoError(t, f.Fit(t.Context(), x, y, 3, learn.Options{}))
	}
	before, err := plain.PredictProba(x)
	require.NoError(t, err)
	after, err := smooth.PredictProba(x)
	require.NoError(t, err)
	zeros := 0
	for i := range y {
		for k, p := range before.RawRowView(i) {
			if p == 0 {
				zeros++
			}
			require.InDelta(t, (9*p+1.0/3)/10, after.At(i, k), 1e-12)
		}
	}
	require.NotZero(t, zeros)
	require.Less(t, metrics.LogLoss(y, after), math.Inf(1))
}
