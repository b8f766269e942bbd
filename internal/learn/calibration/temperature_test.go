package calibration

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"
)

// TestFactorIsFound makes classes from known probabilities, and shows them too
// sure and too unsure.
func TestFactorIsFound(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 7))
	const n = 4000
	for _, sure := range []float64{0.4, 1, 3} {
		shown, y := mat.NewDense(n, 3, nil), make([]int, n)
		for i := range y {
			scores := []float64{2 * random.NormFloat64(), 0, random.NormFloat64()}
			var total, shownTotal float64
			for _, s := range scores {
				total += math.Exp(s)
				shownTotal += math.Exp(s * sure)
			}
			at := random.Float64() * total
			for k, s := range scores {
				shown.Set(i, k, math.Exp(s*sure)/shownTotal)
				if at -= math.Exp(s); at > 0 {
					y[i] = min(k+1, 2)
				}
			}
		}
		factor, before, after := Factor(y, shown)
		require.InDelta(t, 1, factor*sure, 0.1)
		require.LessOrEqual(t, after, before)
	}
}

func TestFactorHasBounds(t *testing.T) {
	proba := mat.NewDense(2, 2, []float64{0.9, 0.1, 0.1, 0.9})
	factor, _, _ := Factor([]int{0, 1}, proba)
	require.InDelta(t, highest, factor, 1e-6)
	factor, _, _ = Factor([]int{1, 0}, proba)
	require.InDelta(t, lowest, factor, 1e-6)
}
