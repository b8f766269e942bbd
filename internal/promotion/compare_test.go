package promotion

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestMcNemar(t *testing.T) {
	// scipy.stats.binomtest(min(b, c), b + c).pvalue
	for _, c := range []struct {
		b, c int
		want float64
	}{{0, 0, 1}, {1, 1, 1}, {0, 5, 0.0625}, {6, 0, 0.03125}, {1, 9, 0.021484375}, {10, 12, 0.8318119049}} {
		assert.InDelta(t, c.want, mcNemar(c.b, c.c), 1e-7, "%d, %d", c.b, c.c)
	}
	for _, c := range []struct {
		champion, challenger int
		worse                bool
	}{{6, 0, true}, {5, 0, false}, {0, 6, false}} {
		found := &Comparison{OnlyChampionRight: c.champion, OnlyChallengerRight: c.challenger, McNemar: mcNemar(c.champion, c.challenger)}
		assert.Equal(t, c.worse, found.Worse(), "%+v", c)
	}
}

// The interval holds the true mean about 95 times in 100, and is as wide as
// theory says.
func TestBootstrap(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	hits, width := 0, 0.0
	const trials, rows = 200, 100
	for trial := range trials {
		values := make([]float64, rows)
		for i := range values {
			values[i] = 0.3 + random.NormFloat64()
		}
		low, high := bootstrap(values, uint32(trial))
		if low <= 0.3 && 0.3 <= high {
			hits++
		}
		width += (high - low) / trials
	}
	assert.InDelta(t, 0.95*trials, hits, 12)
	assert.InDelta(t, 2*1.96/math.Sqrt(rows), width, 0.02)
	low, high := bootstrap(make([]float64, 30), 1)
	assert.Zero(t, low)
	assert.Zero(t, high)
}
