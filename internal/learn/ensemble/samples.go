package ensemble

import (
	"context"
	"math"
	"math/bits"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn/internal/parallel"
)

// Values of a feature that are no further apart are taken as equal, as in
// scikit-learn's trees.
const equalWithin = 1e-7

// maxClasses is what the keys of the sort have room for.
const maxClasses = 1 << 16

// samples are the training rows as the growers want them: by column, in float32,
// and with the values replaced by their ranks. Sorting a node's rows then means
// sorting small integers.
type samples struct {
	rows     int
	features int
	columns  []column
}

type column struct {
	values   []float32 // by row
	ranks    []uint32  // by row: index into distinct; nil where not asked for
	distinct []float32 // ascending
	bits     int       // that a rank has
	// close tells that some neighbouring values are equal within the tolerance.
	close bool
}

func newSamples(ctx context.Context, x *mat.Dense, ranked bool, workers int) (*samples, error) {
	n, p := x.Dims()
	s := &samples{rows: n, features: p, columns: make([]column, p)}
	err := parallel.Do(ctx, workers, p, func(j int) {
		c := &s.columns[j]
		c.values = make([]float32, n)
		for i := range n {
			c.values[i] = finite32(x.At(i, j))
		}
		if ranked {
			c.rank()
		}
	})
	return s, err
}

// finite32 rounds to float32; what is beyond its range becomes its largest
// value, so that no threshold is infinite.
func finite32(v float64) float32 {
	f := float32(v)
	switch {
	case f > math.MaxFloat32:
		return math.MaxFloat32
	case f < -math.MaxFloat32:
		return -math.MaxFloat32
	default:
		return f
	}
}

// rank sorts the column once, by an integer that orders as the float does.
func (c *column) rank() {
	keys := make([]uint64, len(c.values))
	for i, v := range c.values {
		keys[i] = uint64(ordered(v))<<32 | uint64(i)
	}
	slices.Sort(keys)
	c.ranks = make([]uint32, len(keys))
	for at, key := range keys {
		i := uint32(key)
		v := c.values[i]
		if at == 0 || v != c.distinct[len(c.distinct)-1] {
			if at > 0 && v <= c.distinct[len(c.distinct)-1]+equalWithin {
				c.close = true
			}
			c.distinct = append(c.distinct, v)
		}
		c.ranks[i] = uint32(len(c.distinct) - 1)
	}
	c.bits = bits.Len(uint(len(c.distinct) - 1))
}

// apart reports whether the values of two ranks count as different.
func (c *column) apart(low, high uint32) bool {
	return !c.close || c.distinct[high] > c.distinct[low]+equalWithin
}

// threshold returns the midpoint of two values of the column as scikit-learn
// computes it, rounded down to a float32.
func midpoint(low, high float32) float32 {
	middle := float64(low)/2 + float64(high)/2
	if middle == float64(high) {
		return low
	}
	rounded := float32(middle)
	if float64(rounded) > middle {
		rounded = math.Nextafter32(rounded, float32(math.Inf(-1)))
	}
	return rounded
}

// sortKeys sorts keys by their upper half, which has the given number of bits,
// using scratch of the same length. Large slices are sorted by radix.
func sortKeys(keys, scratch []uint64, width int) []uint64 {
	if len(keys) < 64 {
		insertionSort(keys)
		return keys
	}
	passes := (width + 10) / 11
	if passes == 0 {
		return keys
	}
	digit := (width + passes - 1) / passes
	var counts [1 << 11]uint32
	for pass := range passes {
		shift := 32 + pass*digit
		mask := uint64(1)<<digit - 1
		clear(counts[:1<<digit])
		for _, k := range keys {
			counts[k>>shift&mask&(1<<11-1)]++
		}
		total := uint32(0)
		for i, c := range counts[:1<<digit] {
			counts[i] = total
			total += c
		}
		for _, k := range keys {
			at := &counts[k>>shift&mask&(1<<11-1)]
			scratch[*at] = k
			*at++
		}
		keys, scratch = scratch, keys
	}
	return keys
}

func insertionSort(keys []uint64) {
	for i := 1; i < len(keys); i++ {
		k := keys[i]
		j := i
		for ; j > 0 && keys[j-1] > k; j-- {
			keys[j] = keys[j-1]
		}
		keys[j] = k
	}
}
