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

// Rows are counted in pieces, which the workers share out, and a piece in blocks,
// whose rows and pairs stay in the first-level cache while all words are counted.
const (
	pieceRows = 8192
	blockRows = 1024
	// blockStride keeps the words of a row from falling into one set of the cache.
	blockStride = blockRows + 16
)

// count fills a histogram with the given rows.
func (t *treeBuilder) count(ctx context.Context, h histogram, rows []uint32) error {
	clear(h)
	pieces := (len(rows) + pieceRows - 1) / pieceRows
	workers := min(t.workers, pieces)
	for w := 1; w < workers; w++ {
		clear(t.partial[w-1])
	}
	err := parallel.DoWorker(ctx, workers, pieces, func(worker, piece int) {
		into := h
		if worker > 0 {
			into = t.partial[worker-1]
		}
		from, to := piece*pieceRows, min((piece+1)*pieceRows, len(rows))
		if len(rows) == t.rows {
			t.countRange(into, from, to)
		} else {
			t.countPiece(into, rows[from:to])
		}
	})
	for w := 1; w < workers; w++ {
		h.add(t.partial[w-1])
	}
	return err
}

// countRange counts rows from … to−1: with all rows in order nothing has to be
// gathered.
func (t *treeBuilder) countRange(h histogram, from, to int) {
	for ; from < to; from += blockRows {
		last := min(from+blockRows, to)
		for w := range h {
			t.countWord(&h[w], t.words[w][from:last], t.pairs[from:last])
		}
	}
}

func (t *treeBuilder) countPiece(h histogram, rows []uint32) {
	var pairs [blockRows]uint64
	words := make([]uint32, len(h)*blockStride)
	for len(rows) > 0 {
		n := min(blockRows, len(rows))
		for at, i := range rows[:n] {
			pairs[at] = t.pairs[i]
			for w, bins := range t.rowWords(int(i)) {
				words[w*blockStride+at] = bins
			}
		}
		for w := range h {
			t.countWord(&h[w], words[w*blockStride:w*blockStride+n], pairs[:n])
		}
		rows = rows[n:]
	}
}

// countWord adds rows to the entries of four features. This loop is where
// boosting spends its time.
func (t *treeBuilder) countWord(h *[packed][256]entry, words []uint32, pairs []uint64) {
	pairs = pairs[:len(words)]
	one := uint64(1) << t.fixed.sumBits
	h0, h1, h2, h3 := &h[0], &h[1], &h[2], &h[3]
	for at, bins := range words {
		pair := pairs[at]
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
