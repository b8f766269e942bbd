package ensemble

import (
	"context"
	"math"
	"math/bits"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn/internal/parallel"
	"github.com/petal-ml/petal/internal/learn/internal/trees"
	"github.com/petal-ml/petal/internal/learn/internal/vecmath"
)

// A booster is a fit of [HistGradientBoosting] under way.
type booster struct {
	*bins
	model    *HistGradientBoosting
	ensemble *trees.Ensemble
	y        []int
	workers  int

	raw   [][]float64 // by output, by row: sums of the trees so far
	proba [][]float64 // by output, by row: probabilities from raw
	fresh bool        // proba and loss belong to raw
	loss  float64     // mean log-loss

	pairs []uint64 // by row: gradient and hessian in fixed point
	fixed fixedPoint
	tree  *treeBuilder
}

// chunkRows is how many rows a worker takes at a time. It depends on nothing, so
// the pieces are the same for any number of workers.
const chunkRows = 1 << 14

func chunksOf(n int) int { return (n + chunkRows - 1) / chunkRows }

func newBooster(ctx context.Context, m *HistGradientBoosting, x *mat.Dense, y []int, classes int, train []int, workers int) (*booster, error) {
	workers = parallel.Workers(workers)
	binned, err := newBins(ctx, m, x, train, workers)
	if err != nil {
		return nil, err
	}
	outputs := classes
	if classes == 2 {
		outputs = 1
	}
	b := &booster{
		bins:     binned,
		model:    m,
		ensemble: &trees.Ensemble{Outputs: outputs, Each: true},
		y:        make([]int, len(train)),
		workers:  workers,
		pairs:    make([]uint64, len(train)),
		fixed:    newFixedPoint(len(train)),
	}
	for at, i := range train {
		b.y[at] = y[i]
	}
	b.ensemble.Base = baseline(b.y, classes)
	for _, base := range b.ensemble.Base {
		raw := make([]float64, len(train))
		for i := range raw {
			raw[i] = base
		}
		b.raw = append(b.raw, raw)
		b.proba = append(b.proba, make([]float64, len(train)))
	}
	b.tree = newTreeBuilder(b)
	return b, nil
}

// baseline returns the raw scores that give every row the classes' shares.
func baseline(y []int, classes int) []float64 {
	const eps = 0x1p-52
	logs := make([]float64, classes)
	for _, k := range y {
		logs[k]++
	}
	var mean float64
	for k := range logs {
		logs[k] = math.Log(min(max(logs[k]/float64(len(y)), eps), 1-eps))
		mean += logs[k] / float64(classes)
	}
	if classes == 2 {
		return []float64{logs[1] - logs[0]}
	}
	for k := range logs {
		logs[k] -= mean
	}
	return logs
}

// iterate adds a tree for each output. All of them follow the gradient at the
// scores before the first.
func (b *booster) iterate(ctx context.Context) error {
	if err := b.probabilities(ctx); err != nil {
		return err
	}
	for k := range b.raw {
		if err := b.gradients(ctx, k); err != nil {
			return err
		}
		tree, err := b.tree.grow(ctx, b.raw[k])
		if err != nil {
			return err
		}
		b.ensemble.Trees = append(b.ensemble.Trees, tree)
	}
	b.fresh = false
	return nil
}

// probabilities computes proba and loss from raw.
func (b *booster) probabilities(ctx context.Context) error {
	if b.fresh {
		return nil
	}
	losses := make([]float64, chunksOf(b.rows))
	err := parallel.Do(ctx, b.workers, len(losses), func(c int) {
		from, to := c*chunkRows, min((c+1)*chunkRows, b.rows)
		if len(b.raw) == 1 {
			losses[c] = b.sigmoidChunk(from, to)
		} else {
			losses[c] = b.softmaxChunk(from, to)
		}
	})
	b.loss = 0
	for _, l := range losses {
		b.loss += l
	}
	b.loss /= float64(b.rows)
	b.fresh = err == nil
	return err
}

// softmaxRows keeps the rows that softmaxChunk takes at a time in the cache.
const softmaxRows = 512

func (b *booster) softmaxChunk(from, to int) (loss float64) {
	for ; from < to; from += softmaxRows {
		loss += b.softmaxRows(from, min(from+softmaxRows, to))
	}
	return loss
}

func (b *booster) softmaxRows(from, to int) (loss float64) {
	var tops, totals [softmaxRows]float64
	top, total := tops[:to-from], totals[:to-from]
	copy(top, b.raw[0][from:to])
	for _, raw := range b.raw[1:] {
		for i, v := range raw[from:to] {
			top[i] = max(top[i], v)
		}
	}
	for k, raw := range b.raw {
		proba := b.proba[k][from:to]
		for i, v := range raw[from:to] {
			proba[i] = v - top[i]
		}
		vecmath.Exp(proba)
		for i, e := range proba {
			total[i] += e
		}
	}
	for i := range total {
		k := b.y[from+i]
		loss += math.Log(total[i]) - (b.raw[k][from+i] - top[i])
		total[i] = 1 / total[i]
	}
	for k := range b.proba {
		proba := b.proba[k][from:to]
		for i := range proba {
			proba[i] *= total[i]
		}
	}
	return loss
}

func (b *booster) sigmoidChunk(from, to int) (loss float64) {
	proba := b.proba[0][from:to]
	raw := b.raw[0][from:to]
	for i, v := range raw {
		proba[i] = -math.Abs(v)
	}
	vecmath.Exp(proba)
	for i, e := range proba {
		loss += math.Log1p(e) + max(raw[i], 0) - float64(raw[i]*float64(b.y[from+i]))
		if raw[i] < 0 {
			proba[i] = e / (1 + e)
		} else {
			proba[i] = 1 / (1 + e)
		}
	}
	return loss
}

// gradients writes p − [y = k] and p·(1 − p) of one output as pairs, scaled to
// the largest of each.
func (b *booster) gradients(ctx context.Context, output int) error {
	class := output
	if len(b.raw) == 1 {
		class = 1
	}
	proba := b.proba[output]
	pieces := chunksOf(b.rows)
	tops := make([][2]float64, pieces)
	err := parallel.Do(ctx, b.workers, pieces, func(c int) {
		var g, h float64
		for i := c * chunkRows; i < min((c+1)*chunkRows, b.rows); i++ {
			p := proba[i]
			h = max(h, float64(p*(1-p)))
			if b.y[i] == class {
				p--
			}
			g = max(g, math.Abs(p))
		}
		tops[c] = [2]float64{g, h}
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
		for i := c * chunkRows; i < min((c+1)*chunkRows, b.rows); i++ {
			p := proba[i]
			h := float64(p * (1 - p))
			if b.y[i] == class {
				p--
			}
			b.pairs[i] = b.fixed.pair(p, h)
		}
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
