package modelselection

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestQuantileBinsKeepTheDistribution(t *testing.T) {
	random := NewRandomState(1)
	y := make([]float64, 300)
	for i := range y {
		y[i] = math.Exp(3 * random.Float64())
	}
	bins := QuantileBins(y, 5)
	counts := map[int]int{}
	for i, b := range bins {
		counts[b]++
		for j := range y[:i] {
			require.Equal(t, y[i] < y[j], y[i] < y[j] && bins[i] <= bins[j] || bins[i] < bins[j])
		}
	}
	require.Len(t, counts, quantileBins)
	for _, n := range counts {
		require.Equal(t, 30, n)
	}
}

func TestQuantileBinsOfFewValues(t *testing.T) {
	for _, c := range []struct {
		y     []float64
		least int
		want  []int
	}{
		{[]float64{3, 3, 3, 3}, 2, []int{0, 0, 0, 0}},
		{[]float64{0, 0, 0, 0, 0, 0, 0, 1, 2, 3}, 3, []int{0, 0, 0, 0, 0, 0, 0, 1, 1, 1}},
		{[]float64{4, 1, 2, 3}, 2, []int{1, 0, 0, 1}},
		{[]float64{4, 1, 2, 3}, 5, []int{0, 0, 0, 0}},
		{[]float64{1}, 0, []int{0}},
	} {
		require.Equal(t, c.want, QuantileBins(c.y, c.least), c.y)
	}
}

func TestShuffleSplitNeedsRowsForBoth(t *testing.T) {
	for _, share := range []float64{0, 1, 0.9, math.NaN()} {
		_, err := ShuffleSplit(2, share, 1)
		require.ErrorIs(t, err, ErrSplit)
	}
}
