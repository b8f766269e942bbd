package parity

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/preprocessing"
)

func TestStandardScalerIsScikitLearns(t *testing.T) {
	check := func(t *testing.T, x *mat.Dense) {
		t.Helper()
		var want struct{ Mean, Scale, Transformed array }
		ask(t, "scaler", map[string]any{"x": pack(x)}, &want)
		s := &preprocessing.StandardScaler{}
		require.NoError(t, s.Fit(t.Context(), learn.Rows{X: x}))
		require.InEpsilonSlice(t, shift(want.Mean.values(t)), shift(s.Mean), 1e-12)
		require.InEpsilonSlice(t, want.Scale.values(t), s.Scale, 1e-12)
		got := learn.Rows{X: x, Through: []learn.Transformer{s}}.Dense()
		requireClose(t, want.Transformed.dense(t), got, 1e-9, "transformed")
	}
	for _, name := range allSets {
		t.Run(name, func(t *testing.T) { check(t, load(t, name).x) })
	}
	t.Run("nearly constant columns", func(t *testing.T) {
		x := mat.NewDense(6, 4, nil)
		for i := range 6 {
			x.SetRow(i, []float64{0.1, 1e9 + 1e-7*float64(i%2), 1e-160 * float64(i), float64(i % 2)})
		}
		check(t, x)
	})
}

func TestSimpleImputerIsScikitLearns(t *testing.T) {
	check := func(t *testing.T, x *mat.Dense) {
		t.Helper()
		var want struct{ Statistics, Transformed array }
		ask(t, "imputer", map[string]any{"x": pack(x)}, &want)
		s := &preprocessing.SimpleImputer{}
		require.NoError(t, s.Fit(t.Context(), learn.Rows{X: x}))
		require.InDeltaSlice(t, want.Statistics.values(t), s.Statistics, 1e-12)
		got := learn.Rows{X: x, Through: []learn.Transformer{s}}.Dense()
		requireClose(t, want.Transformed.dense(t), got, 1e-12, "transformed")
	}
	t.Run("missing", func(t *testing.T) { check(t, load(t, "missing").x) })
	t.Run("a column without values", func(t *testing.T) {
		nan := math.NaN()
		check(t, mat.NewDense(4, 3, []float64{nan, 1, nan, nan, 2, 7, nan, nan, nan, nan, 3, nan}))
	})
}

// shift moves means away from zero, where a relative comparison means nothing.
func shift(v []float64) []float64 {
	out := make([]float64, len(v))
	for i := range v {
		out[i] = v[i] + 1
	}
	return out
}
