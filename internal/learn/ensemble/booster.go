package ensemble

import (
	"context"
	"math"
	"math/bits"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn/internal/parallel"
	"github.com/petal-ml/petal/internal/learn/internal/trees"
)

// A booster is a fit of [Boosting] under way.
type booster struct {
	*bins
	model     *Boosting
	objective objective
	ensemble  *trees.Ensemble
	workers   int

	raw   [][]float64 // by output, by row: sums of the trees so far
	fresh bool        // objective and loss belong to raw
	loss  float64     // mean loss

	pairs []uint64 // by row: gradient and hessian in fixed point
	fixed fixedPoint
	tree  *treeBuilder
}

// An objective is the loss of the rows that boosting trains on. Chunks are ranges
// of rows from … to−1, which different goroutines take.
type objective interface {
	// baseline returns the raw scores of the best constant, one an output.
	baseline() []float64
	// update takes the raw scores (by output, by row) of a chunk, from which the
	// derivatives follow, and returns the sum of its losses.
	update(raw [][]float64, from, to int) float64
	// largest returns the largest gradient and hessian of an output in a chunk.
	largest(output, from, to int) (gradient, hessian float64)
	// fill writes the derivatives of a chunk as pairs.
	fill(output, from, to int, f *fixedPoint, pairs []uint64)
	// leaf returns the value of a leaf with the given rows; ok is false where that
	// is the Newton step.
	leaf(raw []float64, rows []uint32) (value float64, ok bool)
}

// chunkRows is how many rows a worker takes at a time. It depends on nothing, so
// the pieces are the same for any number of workers.
const chunkRows = 1 << 14

func chunksOf(n int) int { return (n + chunkRows - 1) / chunkRows }

func newBooster(ctx context.Context, m *Boosting, x *mat.Dense, o objective, train []int, workers int) (*booster, error) {
	workers = parallel.Workers(workers)
	binned, err := newBins(ctx, m, x, train, workers)
	if err != nil {
		return nil, err
	}
	base := o.baseline()
	b := &booster{
		bins:      binned,
		model:     m,
		objective: o,
		ensemble:  &trees.Ensemble{Outputs: len(base), Each: true, Base: base},
		workers:   workers,
		pairs:     make([]uint64, len(train)),
		fixed:     newFixedPoint(len(train)),
	}
	for _, v := range base {
		b.raw = append(b.raw, slices.Repeat([]float64{v}, len(train)))
	}
	b.tree = newTreeBuilder(b)
	return b, nil
}

// iterate adds a tree for each output. All of them follow the gradient at the
// scores before the first.
func (b *booster) iterate(ctx context.Context) error {
	if err := b.update(ctx); err != nil {
		return err
	}
	for k := range b.raw {
		if err := b.gradients(ctx, k); err != nil {
			return err
		}
		tree, err := b.tree.grow(ctx, b.raw[k], len(b.ensemble.Trees))
		if err != nil {
			return err
		}
		b.ensemble.Trees = append(b.ensemble.Trees, tree)
	}
	b.fresh = false
	return nil
}

// update brings objective and loss up to raw.
func (b *booster) update(ctx context.Context) error {
	if b.fresh {
		return nil
	}
	losses := make([]float64, chunksOf(b.rows))
	err := parallel.Do(ctx, b.workers, len(losses), func(c int) {
		losses[c] = b.objective.update(b.raw, c*chunkRows, min((c+1)*chunkRows, b.rows))
	})
	b.loss = 0
	for _, l := range losses {
		b.loss += l
	}
	b.loss /= float64(b.rows)
	b.fresh = err == nil
	return err
}

// gradients writes the derivatives of one output as pairs, scaled to the largest
// of each.
func (b *booster) gradients(ctx context.Context, output int) error {
	pieces := chunksOf(b.rows)
	tops := make([][2]float64, pieces)
	err := parallel.Do(ctx, b.workers, pieces, func(c int) {
		tops[c][0], tops[c][1] = b.objective.largest(output, c*chunkRows, min((c+1)*chunkRows, b.rows))
	})
	if err != nil {
		return err
	}
	var g, h float64
	for _, t := range tops {
		g, h = max(g, t[0]), max(h, t[1])
	}
	b.fixed.scale(g, h)
	return parallel.Do(ctx, b.workers, pieces, func(c int) {
		b.objective.fill(output, c*chunkRows, min((c+1)*chunkRows, b.rows), &b.fixed, b.pairs)
	})
}

// fixedPoint turns gradients and hessians into integers. A sum of hessians and a
// number of rows share a word, the number in the upper bits.
type fixedPoint struct {
	hessianBits int // of one hessian
	sumBits     int // of a sum of hessians
	gradient    float64
	hessian     float64 // factors, powers of two
}

// gradientBits leaves a sum of gradients room for 2³³ rows.
const gradientBits = 30

func newFixedPoint(rows int) fixedPoint {
	count := bits.Len(uint(rows))
	return fixedPoint{hessianBits: min(gradientBits, 64-2*count), sumBits: 64 - count}
}

// scale chooses the factors for the largest gradient and hessian.
func (f *fixedPoint) scale(gradient, hessian float64) {
	f.gradient = powerBelow(gradient, gradientBits)
	f.hessian = powerBelow(hessian, f.hessianBits)
}

// powerBelow returns the power of two that brings v just below 2^bits.
func powerBelow(v float64, bits int) float64 {
	if v == 0 {
		return 1
	}
	_, exponent := math.Frexp(v)
	return math.Ldexp(1, bits-exponent)
}

// pair rounds a gradient, into the upper half, and a hessian, into the lower.
func (f *fixedPoint) pair(gradient, hessian float64) uint64 {
	const round = 0x1.8p52 // adding it rounds to an integer in the low bits
	g := math.Float64bits(float64(gradient*f.gradient) + round)
	h := math.Float64bits(float64(hessian*f.hessian) + round)
	return g<<32 | h&(1<<32-1)
}
