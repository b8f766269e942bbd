package metrics

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/tests/testenv/golden"
)

// The figures below are worked out by hand; the comparison with scikit-learn
// stands in package parity.

func TestFiguresByHand(t *testing.T) {
	y := []int{0, 0, 1, 1}
	proba := mat.NewDense(4, 2, []float64{.9, .1, .4, .6, .35, .65, .2, .8})
	r, err := Evaluate(y, proba)
	require.NoError(t, err)
	require.Equal(t, 4, r.Rows)
	require.InDelta(t, 0.75, r.Accuracy, 1e-15)
	require.InDelta(t, 0.75, r.BalancedAccuracy, 1e-15)
	require.Equal(t, [][]int{{1, 1}, {0, 2}}, r.Confusion)
	require.InDelta(t, -(math.Log(.9)+math.Log(.4)+math.Log(.65)+math.Log(.8))/4, r.LogLoss, 1e-15)
	require.InDelta(t, 1, r.ROCAUC, 1e-15)
	require.InDelta(t, 1, r.PRAUC, 1e-15)
	require.InDelta(t, 2*(.01+.36+.1225+.04)/4, r.Brier, 1e-15)
	require.InDelta(t, 1/math.Sqrt(3), r.MCC, 1e-15)
	require.InDelta(t, 2.0/3, r.Classes[1].Precision, 1e-15)
	require.InDelta(t, 0.5, r.Classes[0].Recall, 1e-15)
	// Bins (.5,.6], (.6,.7], (.7,.8], (.8,.9]: one row each.
	require.InDelta(t, (.6+.35+.2+.1)/4, r.ECE, 1e-15)
}

func TestTiesCountHalf(t *testing.T) {
	positive := []bool{true, false, true, false}
	require.InDelta(t, 0.5, BinaryROCAUC(positive, []float64{1, 1, 1, 1}), 1e-15)
	require.InDelta(t, 0.875, BinaryROCAUC(positive, []float64{3, 1, 2, 2}), 1e-15)
	require.InDelta(t, 0.5, BinaryAveragePrecision(positive, []float64{1, 1, 1, 1}), 1e-15)
}

func TestCalibrationBinsHoldTheirUpperEnd(t *testing.T) {
	proba := mat.NewDense(3, 2, []float64{.5, .5, 1, 0, .3, .7})
	bins := Calibration([]int{0, 1, 1}, proba, 10)
	require.Equal(t, 1, bins[4].Rows)
	require.InDelta(t, 1, bins[4].Accuracy, 0)
	require.Equal(t, 1, bins[6].Rows)
	require.Equal(t, 1, bins[9].Rows)
	require.InDelta(t, 0, bins[9].Accuracy, 0)
}

func TestEvaluateRefusesWhatDoesNotFit(t *testing.T) {
	good := mat.NewDense(2, 2, []float64{.5, .5, .5, .5})
	messages := golden.New(t)
	for _, c := range []struct {
		name  string
		y     []int
		proba *mat.Dense
		at    string
	}{
		{"lengths", []int{0}, good, ""},
		{"class out of range", []int{0, 2}, good, "row 1"},
		{"NaN", []int{0, 1}, mat.NewDense(2, 2, []float64{.5, .5, math.NaN(), 1}), "row 1"},
		{"above one", []int{0, 1}, mat.NewDense(2, 2, []float64{.5, 1.5, 0, 1}), "row 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Evaluate(c.y, c.proba)
			require.ErrorIs(t, err, ErrInput)
			require.ErrorContains(t, err, c.at)
			messages.Add(c.name, err)
		})
	}
}
