package rounds_test

import (
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/load/rounds"
)

func TestInterleave(t *testing.T) {
	order := ""
	turn := func(name string) func() error {
		return func() error {
			order += name
			return nil
		}
	}
	require.NoError(t, rounds.Interleave(3, turn("a"), turn("b"), turn("c")))
	assert.Equal(t, "abcbcacab", order)

	broken := errors.New("broken")
	err := rounds.Interleave(3, turn("a"), func() error { return broken })
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "round 1")
}

func TestSample(t *testing.T) {
	ten := rounds.Sample{10, 1, 9, 2, 8, 3, 7, 4, 6, 5}
	assert.Equal(t, 5.5, ten.Median())
	assert.Equal(t, "5.50 (2.00–9.00)", ten.String())
	assert.Equal(t, 10.0, ten[0], "the order of the rounds stays")
	assert.Equal(t, "2.00 (2.00–2.00)", ten.Over(rounds.Sample{5, .5, 4.5, 1, 4, 1.5, 3.5, 2, 3, 2.5}).String())

	for _, row := range []struct {
		n         int
		low, high float64
	}{
		// The ranks of a table of the binomial distribution, at 95 %.
		{1, 1, 1}, {5, 1, 5}, {6, 1, 6}, {8, 1, 8}, {9, 2, 8}, {15, 4, 12}, {20, 6, 15}, {30, 10, 21},
	} {
		s := make(rounds.Sample, row.n)
		for i := range s {
			s[i] = float64(i + 1)
		}
		low, high := s.Interval()
		assert.Equal(t, [2]float64{row.low, row.high}, [2]float64{low, high}, row.n)
	}
	assert.True(t, math.IsNaN(rounds.Sample{}.Median()))
}
