package ensemble

import (
	"cmp"
	"slices"

	"github.com/petal-ml/petal/internal/learn/internal/trees"
)

// categorySupport is how many rows a category needs to be put left of a split
// (counted in hessians), and what keeps the order of small ones near 0.
const categorySupport = 10

// A category is a bin of a categorical feature, in the order of a node's gradients.
type category struct {
	bin   int
	order float64
}

// searchSets tries to send a set of categories left, the others right, as
// scikit-learn 1.9.1 does: categories in the order of gradient by hessian (Fisher
// 1958), from both ends up to the middle. A missing value is one more category;
// categories of little support stay right.
func (s *scan) searchSets(bins *[256]entry) {
	support := float64(s.totalRest>>s.fixed.sumBits) / s.moments(0, s.totalRest).hessian
	var categories []category
	for bin, e := range bins {
		if e.rest == 0 {
			continue
		}
		m := s.moments(e.gradient, e.rest)
		if m.hessian*support >= categorySupport*(1-1e-9) { // where all hessians are alike, ten rows are ten
			categories = append(categories, category{bin, m.gradient / (m.hessian + categorySupport)})
		}
	}
	if len(categories) < 2 {
		return
	}
	slices.SortStableFunc(categories, func(a, b category) int { return cmp.Compare(a.order, b.order) })
	middle := (len(categories) + 1) / 2
	s.trySets(bins, categories[:middle])
	slices.Reverse(categories)
	s.trySets(bins, categories[:middle-1])
}

// trySets sends one category after the other left.
func (s *scan) trySets(bins *[256]entry, categories []category) {
	s.gradient, s.rest = 0, 0
	var set trees.Set
	least := s.model.MinSamplesLeaf
	for _, c := range categories {
		e := bins[c.bin]
		s.gradient += e.gradient
		s.rest += e.rest
		set.Add(c.bin)
		rowsLeft := int(s.rest >> s.fixed.sumBits)
		rowsRight := int(s.totalRest>>s.fixed.sumBits) - rowsLeft
		left, right := s.moments(s.gradient, s.rest), s.moments(s.totalGradient-s.gradient, s.totalRest-s.rest)
		if rowsLeft < least || left.hessian < minHessian {
			continue
		}
		if rowsRight < least || right.hessian < minHessian {
			return
		}
		if gain := s.gain(left, right); gain > s.g.best.gain {
			found := set
			s.g.best = candidate{
				gain: gain, feature: s.feature, bins: &found, missingLeft: set.Has(missingBin),
				rowsLeft: rowsLeft, left: left, right: right,
			}
		}
	}
}

// partitionSet writes the rows whose bin is in the set to dst from the front, and
// the others from the back.
func partitionSet(set *trees.Set, word []uint32, shift int, rows, dst []uint32) (left int) {
	right := len(dst) - 1
	for _, i := range rows {
		if set.Has(int(word[i] >> shift & 0xff)) {
			dst[left] = i
			left++
		} else {
			dst[right] = i
			right--
		}
	}
	return left
}
