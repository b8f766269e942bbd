package modelselection

import (
	"fmt"
	"math"
	"slices"
)

// quantileBins is how many classes of equal size the targets of a regression are
// cut into for a stratified split.
const quantileBins = 10

// QuantileBins returns a class for each target, so that the splits of this
// package keep the targets' distribution in every set: up to ten classes of
// about equal size by value, each of at least the given number of rows where
// there are that many. Equal targets have one class.
func QuantileBins(y []float64, least int) []int {
	sorted := slices.Sorted(slices.Values(y))
	var starts []float64 // of the classes but the first
	last := 0
	for b := 1; b < quantileBins; b++ {
		// The rows below a start, and those from it on, must be enough.
		start := sorted[b*len(y)/quantileBins]
		at, _ := slices.BinarySearch(sorted, start)
		if at-last >= max(least, 1) && len(y)-at >= least {
			starts = append(starts, start)
			last = at
		}
	}
	classes := make([]int, len(y))
	for i, v := range y {
		at, found := slices.BinarySearch(starts, v)
		if found {
			at++
		}
		classes[i] = at
	}
	return classes
}

// ShuffleSplit cuts n rows into a training set and a test set of ⌈testSize · n⌉
// rows, both in random order: scikit-learn's train_test_split(test_size=testSize,
// random_state=seed) without stratify.
func ShuffleSplit(n int, testSize float64, seed uint32) (Split, error) {
	test := int(math.Ceil(testSize * float64(n)))
	if !(testSize > 0 && testSize < 1) || test >= n {
		return Split{}, fmt.Errorf("test share %v of %d rows leaves none for training: %w", testSize, n, ErrSplit)
	}
	order := NewRandomState(seed).Permutation(n)
	return Split{Train: order[test:], Test: order[:test]}, nil
}
