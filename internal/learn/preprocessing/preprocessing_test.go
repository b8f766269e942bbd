package preprocessing

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/emit"
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/tests/testenv/golden"
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
	messages := golden.New(t)
	for name, v := range map[string]float64{"infinity": math.Inf(1), "a variance beyond float64": 1e300} {
		t.Run(name, func(t *testing.T) {
			err := (&StandardScaler{}).Fit(t.Context(), learn.Rows{X: mat.NewDense(2, 2, []float64{1, v, 2, -v / 2})})
			require.ErrorIs(t, err, learn.ErrValue)
			require.ErrorContains(t, err, "column 1")
			messages.Add(name, err)
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

// TestRoundoffIsTheDifference has a mean and a scale that float32 cannot hold.
func TestRoundoffIsTheDifference(t *testing.T) {
	x := mat.NewDense(3, 1, []float64{1e6 + 0.1, 1e6 + 0.4, 1e6 + 0.9})
	s := &StandardScaler{}
	require.NoError(t, s.Fit(t.Context(), learn.Rows{X: x}))
	b, err := emit.NewBuilder(1, onnx.Labels{Ints: []int64{0, 1}})
	require.NoError(t, err)
	output, err := s.Emit(b, emit.Input)
	require.NoError(t, err)
	r, ok := b.Roundoff(output)
	require.True(t, ok)

	scaler := b.Model("m", emit.Scores{}).Graph.Nodes[0]
	offset := float64(scaler.Attribute("offset").Floats[0])
	scale := float64(scaler.Attribute("scale").Floats[0])
	require.Greater(t, math.Abs(offset-s.Mean[0]), 0.01)
	for i := range 3 {
		inGraph := (x.At(i, 0) - offset) * scale
		exact := []float64{0}
		s.TransformRow(exact, x.RawRowView(i))
		require.InDelta(t, exact[0], r.Gain[0]*inGraph+r.Shift[0], 1e-9)
	}
}

func TestNothingIsWrittenBeforeFit(t *testing.T) {
	for _, step := range []learn.Transformer{&StandardScaler{}, &SimpleImputer{}} {
		b, err := emit.NewBuilder(1, onnx.Labels{Ints: []int64{0, 1}})
		require.NoError(t, err)
		_, err = step.Emit(b, emit.Input)
		require.ErrorIs(t, err, learn.ErrNotFitted)
	}
}
