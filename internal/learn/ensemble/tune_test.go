package ensemble

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/metrics"
	"github.com/petal-ml/petal/internal/learn/modelselection"
)

func foldsOf(t *testing.T) []learn.Fold[int] {
	t.Helper()
	x, y := blobs(400, 3, 3, 5)
	splits, err := modelselection.StratifiedKFold(y, 3, 1)
	require.NoError(t, err)
	var folds []learn.Fold[int]
	for _, s := range splits {
		folds = append(folds, learn.Fold[int]{
			X: modelselection.TakeRows(x, s.Train), Y: modelselection.Take(y, s.Train),
			TestX: modelselection.TakeRows(x, s.Test), TestY: modelselection.Take(y, s.Test),
		})
	}
	return folds
}

// TestTunedIterations compares what tuning says with models of that many
// iterations.
func TestTunedIterations(t *testing.T) {
	folds := foldsOf(t)
	m := NewHistGradientBoosting()
	m.MaxIter, m.MaxLeafNodes, m.MaxFeatures = 300, 4, 0.7
	tuned, err := m.Tune(t.Context(), folds, 3, 10, learn.Options{Workers: 2})
	require.NoError(t, err)
	require.True(t, tuned.Complete)
	require.Equal(t, tuned.Best+10, tuned.Done)
	losses := func(iterations int) (mean float64) {
		for i, f := range folds {
			fresh := *m
			fresh.MaxIter, fresh.EarlyStopping = iterations, Never
			require.NoError(t, fresh.Fit(t.Context(), f.X, f.Y, 3, learn.Options{}))
			proba, err := fresh.PredictProba(f.TestX)
			require.NoError(t, err)
			if iterations == tuned.Best {
				require.InDeltaSlice(t, proba.RawMatrix().Data, tuned.Proba[i].RawMatrix().Data, 1e-12)
			}
			mean += metrics.LogLoss(f.TestY, proba) / 3
		}
		return mean
	}
	best := losses(tuned.Best)
	for _, other := range []int{1, tuned.Best - 1, tuned.Best + 1, tuned.Done} {
		require.LessOrEqual(t, best, losses(other))
	}
	again, err := m.Tune(t.Context(), folds, 3, 10, learn.Options{Workers: 1})
	require.NoError(t, err)
	require.Equal(t, tuned, again)
}

func TestTuningKeepsWhatItHasWhenTimeIsUp(t *testing.T) {
	folds := foldsOf(t)
	m := NewHistGradientBoosting()
	ctx, stop := context.WithCancel(t.Context())
	tuned, err := m.Tune(ctx, folds, 3, 50, learn.Options{Progress: func(iteration int, _ float64) {
		if iteration == 3 {
			stop()
		}
	}})
	require.NoError(t, err)
	require.False(t, tuned.Complete)
	require.Equal(t, 3, tuned.Done)
	require.NotNil(t, tuned.Proba[0])
	_, err = m.Tune(ctx, folds, 3, 50, learn.Options{})
	require.ErrorIs(t, err, context.Canceled)
}

func TestTemperedProbabilities(t *testing.T) {
	x, y := blobs(300, 3, 3, 5)
	m := NewHistGradientBoosting()
	m.MaxIter = 5
	require.NoError(t, m.Fit(t.Context(), x, y, 3, learn.Options{}))
	sure, err := m.PredictProba(x)
	require.NoError(t, err)
	m.Temper(0.5)
	unsure, err := m.PredictProba(x)
	require.NoError(t, err)
	require.Equal(t, learn.Predict(sure), learn.Predict(unsure))
	require.Greater(t, sure.At(0, y[0]), unsure.At(0, y[0]))
	require.Equal(t, 2.0, m.Params()["temperature"])
}
