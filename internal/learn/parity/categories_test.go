package parity

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/ensemble"
	"github.com/petal-ml/petal/internal/learn/metrics"
)

// grouped is a data set with categories: rows 0 … train−1 are for training. The
// others have categories that those may not have.
type grouped struct {
	train, test *mat.Dense
	value       []float64
	classes     map[int][]int // targets by the number of classes
}

// categorical are its columns of categories.
var categorical = []int{1, 3}

func group(t *testing.T, seed int) grouped {
	t.Helper()
	const rows, train = 700, 500
	var answer struct {
		X, Value   array
		Two, Three []int
	}
	ask(t, "categories", map[string]any{"rows": rows, "seed": seed}, &answer)
	x := answer.X.dense(t)
	g := grouped{
		train: x.Slice(0, train, 0, 4).(*mat.Dense), test: mat.DenseCopyOf(x.Slice(train, rows, 0, 4)),
		value: answer.Value.values(t), classes: map[int][]int{2: answer.Two, 3: answer.Three},
	}
	g.test.Set(0, 1, 77)
	g.test.Set(1, 3, 254)
	g.test.Set(2, 1, math.NaN())
	g.test.Set(3, 3, math.NaN())
	return g
}

func TestCategoriesAreScikitLearns(t *testing.T) {
	for _, classes := range []int{2, 3} {
		var differences []float64
		for seed := range 3 + 7*b2i(everything()) {
			g := group(t, seed)
			y, n := g.classes[classes], len(g.classes[classes])-200
			for _, iterations := range []int{1, 30} {
				var answer struct{ Proba array }
				ask(t, "boosting", map[string]any{"params": map[string]any{"max_iter": iterations, "categorical_features": categorical}, "x": pack(g.train), "y": y[:n], "x_test": pack(g.test)}, &answer)
				model := ensemble.NewHistGradientBoosting()
				model.MaxIter, model.CategoricalFeatures = iterations, categorical
				require.NoError(t, model.Fit(t.Context(), g.train, y[:n], classes, learn.Options{}))
				proba, err := model.PredictProba(g.test)
				require.NoError(t, err)
				want := answer.Proba.dense(t)
				if iterations == 1 {
					require.GreaterOrEqual(t, countClose(mat.Col(nil, 1, want), mat.Col(nil, 1, proba)), 150)
				} else {
					differences = append(differences, metrics.Brier(y[n:], proba)-metrics.Brier(y[n:], want))
				}
				if seed == 0 {
					requireSameONNX(t, model, g.test, classes, 1e-6)
				}
			}
		}
		requireNoDifference(t, differences, 1e-4, "Brier score")
	}
}

func TestCategoriesOfARegressorAreScikitLearns(t *testing.T) {
	var differences []float64
	for seed := range 3 + 7*b2i(everything()) {
		g := group(t, seed)
		m := measured{train: g.train, test: g.test, yTrain: g.value[:500], yTest: g.value[500:]}
		for _, iterations := range []int{1, 30} {
			want := askRegressor(t, m, "HistGradientBoostingRegressor", map[string]any{"max_iter": iterations, "categorical_features": categorical})
			model := ensemble.NewHistGradientBoostingRegressor()
			model.MaxIter, model.CategoricalFeatures = iterations, categorical
			got := fitValues(t, model, m)
			if iterations == 1 {
				require.GreaterOrEqual(t, countClose(want.Value.values(t), got), 150)
			} else {
				differences = append(differences, metrics.RMSE(m.yTest, got)-metrics.RMSE(m.yTest, want.Value.values(t)))
			}
			requireSameValue(t, model, g.test, 1e-5)
		}
	}
	requireNoDifference(t, differences, 1e-4, "root mean squared error")
}
