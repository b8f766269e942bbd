package answer

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAppendScore(t *testing.T) {
	for want, s := range map[string]float32{
		"0.0": 0, "1.0": 1, "0.5": .5, "0.1": .1, "0.98": .98, "-2.5": -2.5,
		"1e-7": 1e-7, "1.5e-9": 1.5e-9, "1e-45": math.SmallestNonzeroFloat32,
		"0.000001": 1e-6, "1e+21": 1e21, "3.4028235e+38": math.MaxFloat32,
	} {
		assert.Equal(t, want, string(AppendScore(nil, s)))
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 10000 {
		s := math.Float32frombits(random.Uint32())
		if s != s || math.IsInf(float64(s), 0) {
			continue
		}
		text := string(AppendScore([]byte("x"), s))[1:]
		back, err := strconv.ParseFloat(text, 32)
		require.NoError(t, err)
		require.Equal(t, s, float32(back), text)
	}
}
