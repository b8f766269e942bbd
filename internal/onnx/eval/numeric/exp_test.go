package numeric

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestExp32 compares with math.Exp: float32 has a relative precision of 6e-8.
func TestExp32(t *testing.T) {
	for x := -110.0; x < 100; x += 0.00137 {
		if x <= -87 { // what float32 does not hold in full
			require.Zero(t, Exp32(x))
			continue
		}
		require.InEpsilon(t, math.Exp(x), Exp32(x), 3e-8, "e^%v", x)
	}
	require.True(t, math.IsNaN(Exp32(math.NaN())))
	require.Zero(t, Exp32(math.Inf(-1)))
	require.True(t, math.IsInf(Exp32(math.Inf(1)), 1))
}
