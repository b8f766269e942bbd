package parity

import (
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/inspection"
	"github.com/petal-ml/petal/internal/learn/linear"
	"github.com/petal-ml/petal/internal/learn/metrics"
)

func TestPermutationImportanceIsScikitLearns(t *testing.T) {
	d := split(t, load(t, "iris"))
	var want struct{ Importances array }
	ask(t, "importance", map[string]any{
		"x": pack(d.train), "y": d.yTrain, "x_test": pack(d.test), "y_test": d.yTest, "repeats": 5, "seed": 42,
	}, &want)
	model := linear.NewLogisticRegression()
	require.NoError(t, model.Fit(t.Context(), d.train, d.yTrain, d.classes, learn.Options{}))
	score := func(y []int, proba *mat.Dense) float64 { return -metrics.LogLoss(y, proba) }
	got, err := inspection.PermutationImportance(t.Context(), model, d.test, d.yTest, score, 5, 42)
	require.NoError(t, err)
	importances := want.Importances.dense(t)
	for j, g := range got {
		require.InDeltaSlice(t, importances.RawRowView(j), g.Values, 1e-6)
		require.InDelta(t, mat.Sum(importances.RowView(j))/5, g.Mean, 1e-6)
	}

	_, err = inspection.PermutationImportance(t.Context(), model, d.test, d.yTest[1:], score, 5, 42)
	require.ErrorIs(t, err, learn.ErrShape)
}
