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

// shuffled has a target that depends on a category, whose codes have no order,
// and an id of each row, which says nothing of it.
func shuffled(n int) (*mat.Dense, []float64) {
	random := rand.New(rand.NewPCG(3, 9))
	effect := make([]float64, 20)
	for k := range effect {
		effect[k] = random.NormFloat64()
	}
	x, y := mat.NewDense(n, 2, nil), make([]float64, n)
	for i := range y {
		k := random.IntN(20)
		x.SetRow(i, []float64{float64(k), float64(i % 255)})
		y[i] = effect[k] + 0.1*random.NormFloat64()
	}
	return x, y
}

func categories(columns ...int) *HistGradientBoostingRegressor {
	m := NewHistGradientBoostingRegressor()
	m.CategoricalFeatures, m.MaxIter, m.MaxLeafNodes = columns, 30, 4
	return m
}

func TestSetsBeatCodes(t *testing.T) {
	x, y := shuffled(1000)
	fit := func(m *HistGradientBoostingRegressor) float64 {
		require.NoError(t, m.Fit(t.Context(), x, y, learn.Options{}))
		values, err := m.Predict(x)
		require.NoError(t, err)
		return metrics.RMSE(y, values)
	}
	require.Less(t, fit(categories(0)), 0.7*fit(categories()))
}

func TestUnseenCategoriesGoWithMissingOnes(t *testing.T) {
	x, y := shuffled(1000)
	for i := range 100 {
		x.Set(i, 0, math.NaN())
	}
	m := categories(0)
	require.NoError(t, m.Fit(t.Context(), x, y, learn.Options{}))
	values, err := m.Predict(mat.NewDense(5, 2, []float64{math.NaN(), 7, 20, 7, 254, 7, 1e9, 7, 3.5, 7}))
	require.NoError(t, err)
	for _, v := range values {
		require.Equal(t, values[0], v)
	}
}

// TestACategoryOfEachRowTellsNothing: with less than ten rows a category has no
// say.
func TestACategoryOfEachRowTellsNothing(t *testing.T) {
	x, y := shuffled(250)
	ids := categories(0)
	ids.MinSamplesLeaf = 1
	id := mat.DenseCopyOf(x.Slice(0, 250, 1, 2))
	require.NoError(t, ids.Fit(t.Context(), id, y, learn.Options{}))
	for _, tree := range ids.ensemble.Trees {
		require.Len(t, tree.Nodes, 1)
	}
}

func TestCodesAreChecked(t *testing.T) {
	x, y := shuffled(60)
	for _, c := range []struct {
		value  float64
		column int
		want   error
	}{{255, 0, learn.ErrValue}, {-1, 0, learn.ErrValue}, {2.5, 0, learn.ErrValue}, {3, 2, learn.ErrParameter}, {3, -1, learn.ErrParameter}} {
		x.Set(3, 0, c.value)
		require.ErrorIs(t, categories(c.column).Fit(t.Context(), x, y, learn.Options{}), c.want)
	}
}
