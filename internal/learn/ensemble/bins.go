package ensemble

import (
	"context"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/internal/parallel"
	"github.com/petal-ml/petal/internal/learn/internal/trees"
)

const (
	// missingBin is the bin of missing values. The others come before it.
	missingBin = 255
	// binRows is how many rows, drawn at random, the bins are made from.
	binRows = 200_000
	// packed is how many features share a word: one load brings four bins.
	packed = 4
)

// bins are the training rows with each feature cut into bins.
type bins struct {
	rows     int
	features int
	words    [][]uint32 // features/4, rounded up; by row: four bins, the first lowest
	byRow    []uint32   // the same, row by row: a few rows of many cost one cache line each
	cuts     []cut      // by feature
}

// A cut says where the bins of a feature end.
type cut struct {
	ends    []float32  // ascending: bin b holds ends[b−1] < v ≤ ends[b]; the last bin has none
	codes   *trees.Set // of a categorical feature, whose codes are its bins: those that training rows have
	missing bool       // training rows miss values
}

// A lookup finds bins: the ends as whole numbers that order as they do, filled up
// with the largest.
type lookup [256]uint32

func (c *cut) lookup() *lookup {
	var l lookup
	for b := range l {
		l[b] = math.MaxUint32
		if b < len(c.ends) {
			l[b] = ordered(c.ends[b])
		}
	}
	return &l
}

// bin returns the bin of a value. The search has no branch that depends on the
// value: eight mispredictions would cost more than all the rest.
func (l *lookup) bin(v float32) uint32 {
	if v != v {
		return missingBin
	}
	key := int64(ordered(v))
	at := uint8(0)
	for step := uint8(128); step > 0; step >>= 1 {
		below := uint8((int64(l[at+step-1]) - key) >> 63) // all bits where the end is below the value
		at += step & below
	}
	return uint32(at)
}

// ordered returns a whole number that orders as the value does; −0 is 0.
func ordered(v float32) uint32 {
	b := math.Float32bits(v + 0)
	return b ^ (uint32(int32(b)>>31) | 1<<31)
}

func newBins(ctx context.Context, m *Boosting, x *mat.Dense, train []int, workers int) (*bins, error) {
	_, p := x.Dims()
	b := &bins{rows: len(train), features: p, words: make([][]uint32, (p+packed-1)/packed), cuts: make([]cut, p)}
	sample := train
	if len(train) > binRows {
		random := trees.NewRandom(uint64(m.RandomState), 0)
		sample = make([]int, binRows)
		for i := range sample {
			sample[i] = train[random.IntN(len(train))]
		}
	}
	for _, j := range m.CategoricalFeatures {
		b.cuts[j].codes = &trees.Set{}
	}
	err := parallel.Do(ctx, workers, p, func(j int) {
		if b.cuts[j].codes != nil {
			return
		}
		values := make([]float32, 0, len(sample))
		for _, i := range sample {
			if v := finite32(x.At(i, j)); v == v {
				values = append(values, v)
			}
		}
		b.cuts[j].ends = binEnds(values, m.MaxBins)
	})
	if err != nil {
		return nil, err
	}
	return b, b.fill(ctx, x, train, workers)
}

// rowWords returns all bins of a row.
func (b *bins) rowWords(i int) []uint32 {
	return b.byRow[i*len(b.words) : (i+1)*len(b.words)]
}

// fill sorts all rows into the bins.
func (b *bins) fill(ctx context.Context, x *mat.Dense, train []int, workers int) error {
	lookups := make([]*lookup, b.features)
	for j := range lookups {
		if b.cuts[j].codes == nil {
			lookups[j] = b.cuts[j].lookup()
		}
	}
	b.byRow = make([]uint32, b.rows*len(b.words))
	for w := range b.words {
		b.words[w] = make([]uint32, b.rows)
	}
	missing := make([][]bool, chunksOf(b.rows))
	err := parallel.Do(ctx, workers, len(missing), func(c int) {
		missing[c] = make([]bool, b.features)
		for at := c * chunkRows; at < min((c+1)*chunkRows, b.rows); at++ {
			words := b.rowWords(at)
			for j, v := range x.RawRowView(train[at]) {
				var bin uint32
				if lookups[j] == nil {
					bin = codeBin(v)
				} else {
					bin = lookups[j].bin(finite32(v))
				}
				if bin == missingBin {
					missing[c][j] = true
				}
				words[j/packed] |= bin << (8 * (j % packed))
			}
			for w, word := range words {
				b.words[w][at] = word
			}
		}
	})
	for _, chunk := range missing {
		for j, missed := range chunk {
			b.cuts[j].missing = b.cuts[j].missing || missed
		}
	}
	for j := range b.cuts {
		if codes := b.cuts[j].codes; codes != nil {
			for _, word := range b.words[j/packed] {
				codes.Add(int(word >> (8 * (j % packed)) & 0xff))
			}
		}
	}
	return err
}

// codeBin returns the bin of a category's code, which was checked.
func codeBin(v float64) uint32 {
	if math.IsNaN(v) {
		return missingBin
	}
	return uint32(v)
}

// checkCodes reports the first value of a categorical feature that is no code.
func checkCodes(x *mat.Dense, features []int) error {
	n, p := x.Dims()
	for _, j := range features {
		if j < 0 || j >= p {
			return fmt.Errorf("categorical_features has column %d, there are %d: %w", j, p, learn.ErrParameter)
		}
		for i := range n {
			if v := x.At(i, j); !math.IsNaN(v) && !(v >= 0 && v < missingBin && v == math.Trunc(v)) {
				return fmt.Errorf("row %d, column %d holds %v, a category's code is a whole number from 0 to %d: %w", i, j, v, missingBin-1, learn.ErrValue)
			}
		}
	}
	return nil
}

// binEnds sorts the values and returns where bins end: the midpoints of
// neighbouring values where there are no more of them than bins, and quantiles
// (numpy's averaged_inverted_cdf) otherwise, as scikit-learn does. Ends are
// rounded down to float32, which changes no comparison with a float32.
func binEnds(values []float32, maxBins int) []float32 {
	sortValues(values)
	distinct := slices.Compact(slices.Clone(values))
	var ends []float32
	if len(distinct) <= maxBins {
		for i := 1; i < len(distinct); i++ {
			ends = append(ends, trees.RoundDown((float64(distinct[i-1])+float64(distinct[i]))/2))
		}
		return ends
	}
	for i := 1; i < maxBins; i++ {
		share := float64(i) * (100 / float64(maxBins)) / 100
		position := float64(share*float64(len(values))) - 1
		before := math.Floor(position)
		at := min(max(int(before), 0), len(values)-2)
		end := float64(values[at+1])
		if position == before {
			end = (float64(values[at]) + float64(values[at+1])) / 2
		}
		ends = append(ends, trees.RoundDown(end))
	}
	return slices.Compact(ends)
}

func sortValues(values []float32) {
	keys := make([]uint64, len(values))
	for i, v := range values {
		keys[i] = uint64(ordered(v))<<32 | uint64(math.Float32bits(v))
	}
	for i, key := range sortKeys(keys, make([]uint64, len(keys)), 32) {
		values[i] = math.Float32frombits(uint32(key))
	}
}
