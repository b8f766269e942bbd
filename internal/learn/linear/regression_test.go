package linear

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/modelselection"
)

// slope has 3·x₀ − x₁ + 7 as target, and a feature that never changes.
func slope(n int) (*mat.Dense, []float64) {
	random := modelselection.NewRandomState(2)
	x, y := mat.NewDense(n, 3, nil), make([]float64, n)
	for i := range y {
		a, b := random.Float64(), random.Float64()
		x.SetRow(i, []float64{a, b, 5})
		y[i] = 3*a - b + 7
	}
	return x, y
}

func TestLinearRegressorsFindTheSlope(t *testing.T) {
	x, y := slope(2000)
	ridge, net := &Ridge{Alpha: 1e-9}, &ElasticNet{Alpha: 1e-9, L1Ratio: 0.5, MaxIter: 1000, Tol: 1e-14}
	for _, c := range []struct {
		r      learn.Regressor
		fitted *values
	}{{ridge, &ridge.values}, {net, &net.values}} {
		require.NoError(t, c.r.Fit(t.Context(), x, y, learn.Options{Workers: 1}))
		require.InDeltaSlice(t, []float64{3, -1, 0}, c.fitted.Coef, 1e-6, c.r.Name())
		require.InDelta(t, 7, c.fitted.Intercept, 1e-6)
		one := *c.fitted
		require.NoError(t, c.r.Fit(t.Context(), x, y, learn.Options{Workers: 5}))
		require.Equal(t, one, *c.fitted, "the same for any number of workers")
	}
}

func TestElasticNetLeavesFeaturesOut(t *testing.T) {
	x, y := slope(500)
	m := &ElasticNet{Alpha: 0.1, L1Ratio: 1, MaxIter: 1000, Tol: 1e-12}
	passes := 0
	require.NoError(t, m.Fit(t.Context(), x, y, learn.Options{Progress: func(int, float64) { passes++ }}))
	require.Zero(t, m.Coef[1])
	require.Greater(t, m.Coef[0], 1.0)
	require.True(t, m.Converged)
	require.Equal(t, m.NIter, passes)
}

func TestRegressorsSayWhatIsWrong(t *testing.T) {
	x, y := slope(10)
	hole := mat.DenseCopyOf(x)
	hole.Set(3, 1, math.NaN())
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for _, r := range []learn.Regressor{NewRidge(), NewElasticNet()} {
		_, err := r.Predict(x)
		require.ErrorIs(t, err, learn.ErrNotFitted)
		_, err = r.Emit(nil, "")
		require.ErrorIs(t, err, learn.ErrNotFitted)
		require.ErrorIs(t, r.Fit(t.Context(), hole, y, learn.Options{}), learn.ErrValue)
		require.ErrorIs(t, r.Fit(t.Context(), x, y[1:], learn.Options{}), learn.ErrShape)
		require.ErrorIs(t, r.Fit(t.Context(), x, append([]float64{math.Inf(1)}, y[1:]...), learn.Options{}), learn.ErrValue)
		require.ErrorIs(t, r.Fit(stopped, x, y, learn.Options{}), context.Canceled)
	}
	for _, r := range []learn.Regressor{
		&Ridge{}, &ElasticNet{Alpha: -1, MaxIter: 1, Tol: 1}, &ElasticNet{Alpha: 1, L1Ratio: 2, MaxIter: 1, Tol: 1},
		&ElasticNet{Alpha: 1, Tol: 1}, &ElasticNet{Alpha: 1, MaxIter: 1},
	} {
		require.ErrorIs(t, r.Fit(t.Context(), x, y, learn.Options{}), learn.ErrParameter)
	}
}
