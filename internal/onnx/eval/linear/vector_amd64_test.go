//go:build !purego

package linear

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Vector instructions and their twins in plain Go give the same, to the bit.
func TestVectorsAgreeWithTheirTwins(t *testing.T) {
	if !hasAVX2 {
		t.Skip("this processor has no AVX2")
	}
	r := rand.New(rand.NewPCG(15, 16))
	random := func() float64 { return r.NormFloat64() * math.Exp(3*r.NormFloat64()) }
	for range 400 {
		n, features := 1+r.IntN(linearRows), 1+r.IntN(40)
		x, low, high := make([]float32, n*features), make([]float32, features), make([]float32, features)
		weights, intercepts := make([]float64, features*targetLanes), make([]float64, targetLanes)
		for i := range x {
			x[i] = float32(random())
		}
		for i := range weights {
			weights[i] = random()
		}
		for i := range intercepts {
			intercepts[i] = random()
		}
		for j := range features {
			low[j], high[j] = -30*r.Float32(), 1000*r.Float32()
		}
		var want, got [linearRows * targetLanes]float32
		sumLanesGo(&want, x, n, features, weights, intercepts)
		sumLanes(&got, x, n, features, weights, intercepts)
		require.Equal(t, want, got)
		require.Equal(t, inRangesGo(x, low, high), inRanges(x, low, high))

		for i := range x {
			x[i] = -float32(math.Abs(float64(x[i])))
		}
		twin := append([]float32(nil), x...)
		expAllGo(twin)
		expAll(x)
		require.Equal(t, twin, x)
	}
}
