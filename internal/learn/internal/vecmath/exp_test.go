package vecmath

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExpAgreesWithMath(t *testing.T) {
	for x := -707.9; x <= 709; x += 0.0137 {
		v := []float64{x}
		Exp(v)
		require.InEpsilon(t, math.Exp(x), v[0], 4e-16, "x = %v", x)
	}
}

func TestExpAtTheEdges(t *testing.T) {
	v := []float64{0, math.Copysign(0, -1), -708.5, -1e9, math.Inf(-1), math.NaN(), 1e-300, -1e-300}
	Exp(v)
	require.Equal(t, []float64{1, 1, 0, 0, 0}, v[:5])
	require.True(t, math.IsNaN(v[5]))
	require.Equal(t, []float64{1, 1}, v[6:])
}

func BenchmarkExp(b *testing.B) {
	v := make([]float64, 160)
	for b.Loop() {
		for i := range v {
			v[i] = -float64(i) / 16
		}
		Exp(v)
	}
}
