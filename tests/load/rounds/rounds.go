// Package rounds compares programs on a machine that does other things too:
// they take turns, and what is compared are the figures of the same round.
package rounds

import (
	"fmt"
	"math"
	"slices"
)

// Interleave calls every turn once a round. Each round begins with another one,
// so that none always runs in the wake of the same neighbour. The first error
// ends it.
func Interleave(rounds int, turns ...func() error) error {
	for round := range rounds {
		for i := range turns {
			if err := turns[(round+i)%len(turns)](); err != nil {
				return fmt.Errorf("round %d: %w", round+1, err)
			}
		}
	}
	return nil
}

// A Sample holds one figure a round, in the order of the rounds.
type Sample []float64

// Median returns the middle figure, NaN where there is none.
func (s Sample) Median() float64 {
	n := len(s)
	if n == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Interval returns the closest pair of figures, one as far from the low end as
// the other from the high end, that holds the true median with a confidence of
// at least 95 %, whatever the distribution (Conover, Practical Nonparametric
// Statistics, §3.2): for 10 rounds the second smallest and second largest. Fewer
// than 6 rounds give their whole range, and less confidence.
func (s Sample) Interval() (low, high float64) {
	n := len(s)
	if n == 0 {
		return math.NaN(), math.NaN()
	}
	// The median lies below figure k with the probability that at most k of n
	// coins show heads.
	k, probability := 0, math.Pow(.5, float64(n))
	for below := probability; k < (n-1)/2; k++ {
		probability *= float64(n-k) / float64(k+1)
		if below += probability; below > .025 {
			break
		}
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[k], sorted[n-1-k]
}

// Over divides the figures by those of the same rounds of another sample.
func (s Sample) Over(base Sample) Sample {
	ratios := make(Sample, min(len(s), len(base)))
	for i := range ratios {
		ratios[i] = s[i] / base[i]
	}
	return ratios
}

// String gives the median and the interval, as "0.97 (0.91–1.02)".
func (s Sample) String() string {
	low, high := s.Interval()
	return fmt.Sprintf("%.2f (%.2f–%.2f)", s.Median(), low, high)
}
