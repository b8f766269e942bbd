package promotion

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestHashRows(t *testing.T) {
	negative := math.Copysign(0, -1)
	row := func(values ...float64) uint64 { return HashRow(values, []int{0, 1}, nil) }
	assert.Equal(t, row(0, 1), row(negative, 1))
	assert.Equal(t, row(math.NaN(), 1), row(math.Float64frombits(0x7ff8000000000123), 1))
	assert.NotEqual(t, row(1, 2), row(2, 1))
	assert.Equal(t, HashRow([]float64{1, 2}, []int{1, 0}, nil), row(2, 1))
}
