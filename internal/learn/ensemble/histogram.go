package ensemble

import (
	"context"

	"github.com/petal-ml/petal/internal/learn/internal/parallel"
)

// An entry sums up the rows of a node in one bin of one feature: the gradients,
// and the number of rows above the hessians. Whole numbers add up the same in
// any order, so workers may share them out as they like.
type entry struct {
	gradient int64
	rest     uint64
}

// A histogram has an entry for each bin of four features, of all words.
type histogram [][packed][256]entry

func newHistogram(words int) histogram { return make(histogram, words) }

// histogramRows is how many rows make it worth to call in other workers.
const histogramRows = 8192

// count fills a histogram with the given rows.
func (t *treeBuilder) count(ctx context.Context, h histogram, rows []uint32) error {
	clear(h)
	pairs := t.gather(rows)
	chunks := 1
	if len(rows) > histogramRows {
		chunks = 2 * t.workers
	}
	if chunks == 1 || t.workers == 1 {
		for w := range h {
			t.countWord(&h[w], w, rows, pairs)
		}
		return ctx.Err()
	}
	workers := min(t.workers, len(h)*chunks)
	for w := 1; w < workers; w++ {
		clear(t.partial[w-1])
	}
	err := parallel.DoWorker(ctx, workers, len(h)*chunks, func(worker, piece int) {
		into := h
		if worker > 0 {
			into = t.partial[worker-1]
		}
		w := piece / chunks
		from, to := parallel.Range(len(rows), chunks, piece%chunks)
		t.countWord(&into[w], w, rows[from:to], pairs[from:to])
	})
	for w := 1; w < workers; w++ {
		h.add(t.partial[w-1])
	}
	return err
}

// gather puts the pairs of the rows next to each other.
func (t *treeBuilder) gather(rows []uint32) []uint64 {
	if len(rows) == len(t.pairs) { // the root: all rows in order
		return t.pairs
	}
	pairs := t.ordered[:len(rows)]
	for at, i := range rows {
		pairs[at] = t.pairs[i]
	}
	return pairs
}

// countWord adds rows to the entries of four features. This loop is where
// boosting spends its time.
func (t *treeBuilder) countWord(h *[packed][256]entry, w int, rows []uint32, pairs []uint64) {
	word := t.words[w]
	pairs = pairs[:len(rows)]
	one := uint64(1) << t.fixed.sumBits
	h0, h1, h2, h3 := &h[0], &h[1], &h[2], &h[3]
	for at, i := range rows {
		bins, pair := word[i], pairs[at]
		gradient := int64(pair) >> 32
		rest := pair&(1<<32-1) | one
		e := &h0[uint8(bins)]
		e.gradient += gradient
		e.rest += rest
		e = &h1[uint8(bins>>8)]
		e.gradient += gradient
		e.rest += rest
		e = &h2[uint8(bins>>16)]
		e.gradient += gradient
		e.rest += rest
		e = &h3[uint8(bins>>24)]
		e.gradient += gradient
		e.rest += rest
	}
}

func (h histogram) add(other histogram) {
	for w := range h {
		for j := range h[w] {
			a, b := &h[w][j], &other[w][j]
			for i := range a {
				a[i].gradient += b[i].gradient
				a[i].rest += b[i].rest
			}
		}
	}
}

// subtract leaves what a node has and one child does not: the other child.
func (h histogram) subtract(child histogram) {
	for w := range h {
		for j := range h[w] {
			a, b := &h[w][j], &child[w][j]
			for i := range a {
				a[i].gradient -= b[i].gradient
				a[i].rest -= b[i].rest
			}
		}
	}
}
