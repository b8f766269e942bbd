package preprocessing

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/emit"
	"github.com/petal-ml/petal/internal/onnx"
)

// The comparison with scikit-learn stands in package parity.

func TestScalerByHand(t *testing.T) {
	x := mat.NewDense(4, 3, []float64{
		1, 5, 0.1,
		3, 5, math.NaN(),
		1, 5, 0.3,
		3, 5, math.NaN(),
	})
	s := &StandardScaler{}
	require.NoError(t, s.Fit(t.Context(), learn.Rows{X: x}))
	require.InDeltaSlice(t, []float64{2, 5, 0.2}, s.Mean, 1e-15)
	require.InDeltaSlice(t, []float64{1, 1, 0.1}, s.Scale, 1e-15)
	row := []float64{4, 7, math.NaN()}
	s.TransformRow(row, row)
	require.InDeltaSlice(t, []float64{2, 2}, row[:2], 1e-15)
	require.True(t, math.IsNaN(row[2]), "a missing value stays missing")
}

func TestScalerRefusesWhatHasNoMean(t *testing.T) {
	for name, v := range map[string]float64{"infinity": math.Inf(1), "a variance beyond float64": 1e300} {
		t.Run(name, func(t *testing.T) {
			err := (&StandardScaler{}).Fit(t.Context(), learn.Rows{X: mat.NewDense(2, 2, []float64{1, v, 2, -v / 2})})
			require.ErrorIs(t, err, learn.ErrValue)
			require.ErrorContains(t, err, "column 1")
		})
	}
}

func TestImputerFollowsEarlierSteps(t *testing.T) {
	x := mat.NewDense(3, 1, []float64{1, math.NaN(), 5})
	scaler := &StandardScaler{}
	require.NoError(t, scaler.Fit(t.Context(), learn.Rows{X: x}))
	imputer := &SimpleImputer{}
	require.NoError(t, imputer.Fit(t.Context(), learn.Rows{X: x, Through: []learn.Transformer{scaler}}))
	require.InDelta(t, 0, imputer.Statistics[0], 1e-15)
	both := learn.Rows{X: x, Through: []learn.Transformer{scaler, imputer}}.Dense()
	require.InDeltaSlice(t, []float64{-1, 0, 1}, both.RawMatrix().Data, 1e-15)
	require.True(t, math.IsNaN(x.At(1, 0)), "the data are not changed")
}

func TestNothingIsWrittenBeforeFit(t *testing.T) {
	for _, step := range []learn.Transformer{&StandardScaler{}, &SimpleImputer{}} {
		b, err := emit.NewBuilder(1, onnx.Labels{Ints: []int64{0, 1}})
		require.NoError(t, err)
		_, err = step.Emit(b, emit.Input)
		require.ErrorIs(t, err, learn.ErrNotFitted)
	}
}
