package poll_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/petal-ml/petal/internal/poll"
)

func TestJitter(t *testing.T) {
	const d, draws = 10 * time.Second, 1000
	low, high := d, d
	for range draws {
		drawn := poll.Jitter(d)
		low, high = min(low, drawn), max(high, drawn)
	}
	assert.GreaterOrEqual(t, low, 9*time.Second)
	assert.LessOrEqual(t, high, 11*time.Second)
	assert.Less(t, low, 9200*time.Millisecond, "the whole width is used")
	assert.Greater(t, high, 10800*time.Millisecond)
}
