package linear

import (
	"context"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/internal/parallel"
)

// An objective is the function that [LogisticRegression] minimises, of theta: W
// row by row, then b. Sums over rows are taken in chunks whose number depends on
// the size of the data alone, and the chunks are added up in order.
type objective struct {
	ctx      context.Context
	rows     learn.Rows
	y        []int
	n        int
	features int
	outputs  int     // rows of W: classes, or 1 where there are two
	penalty  float64 // 1/(C·n)
	workers  int
	chunks   []chunk
	blocks   []*block // one a worker
}

type chunk struct {
	loss     float64
	gradient []float64
}

// Bounds on the number of chunks: enough to keep many cores busy, each with work
// worth handing over, and not much memory for their partial sums.
const (
	maxChunks      = 64
	minChunkRows   = 512
	maxPartialSums = 1 << 22
)

func newObjective(ctx context.Context, rows learn.Rows, y []int, classes int, c float64, workers int) *objective {
	n, p := rows.Dims()
	f := &objective{ctx: ctx, rows: rows, y: y, n: n, features: p, outputs: classes, penalty: 1 / (c * float64(n))}
	if classes == 2 {
		f.outputs = 1
	}
	pieces := min(maxChunks, n/minChunkRows, max(maxPartialSums/f.size(), 4))
	f.chunks = make([]chunk, max(pieces, 1))
	for i := range f.chunks {
		f.chunks[i].gradient = make([]float64, f.size())
	}
	f.workers = min(parallel.Workers(workers), len(f.chunks))
	for range f.workers {
		f.blocks = append(f.blocks, newBlock(f.features, f.outputs))
	}
	return f
}

// size is the number of parameters.
func (f *objective) size() int { return f.outputs * (f.features + 1) }

// evaluate returns the objective at theta and writes its gradient. It is NaN and
// zeros once the context is done; the caller looks at the context then.
func (f *objective) evaluate(theta, gradient []float64) float64 {
	err := parallel.DoWorker(f.ctx, f.workers, len(f.chunks), func(worker, i int) {
		f.chunk(f.blocks[worker], i, theta)
	})
	clear(gradient)
	if err != nil {
		return nan
	}
	var loss float64
	for i := range f.chunks {
		loss += f.chunks[i].loss
		for j, g := range f.chunks[i].gradient {
			gradient[j] += g
		}
	}
	scale := 1 / float64(f.n)
	for j := range gradient {
		gradient[j] *= scale
	}
	var squares float64
	for j, w := range theta[:f.outputs*f.features] {
		squares += float64(w * w)
		gradient[j] += float64(f.penalty * w)
	}
	return float64(loss*scale) + float64(f.penalty/2*squares)
}

func (f *objective) chunk(b *block, i int, theta []float64) {
	from, to := parallel.Range(f.n, len(f.chunks), i)
	var loss float64
	gradient := f.chunks[i].gradient
	clear(gradient)
	for first := from; first < to; first += blockRows {
		last := min(first+blockRows, to)
		b.read(f.rows, first, last)
		b.scores(theta)
		loss += b.loss(f.y[first:last])
		b.addGradient(gradient)
	}
	f.chunks[i].loss = loss
}

// hessianChunks bounds the memory for partial Hessians, and with it how many
// workers have something to do.
const hessianChunks = 8

// hessian returns the matrix of second derivatives at theta. For softmax, in
// which a constant added to all intercepts changes nothing, it adds 1/K to every
// pair of intercepts: that makes the matrix positive definite, and the Newton
// step keep Σb.
func (f *objective) hessian(theta []float64) (*mat.SymDense, error) {
	size := f.size()
	pieces := max(min(hessianChunks, f.n/minChunkRows), 1)
	partial := make([][]float64, pieces)
	err := parallel.Do(f.ctx, f.workers, pieces, func(i int) {
		partial[i] = make([]float64, size*size)
		f.hessianChunk(i, pieces, theta, partial[i])
	})
	if err != nil {
		return nil, err
	}
	sum := partial[0]
	for _, part := range partial[1:] {
		for j, v := range part {
			sum[j] += v
		}
	}
	for j := range sum {
		sum[j] /= float64(f.n)
	}
	weights := f.outputs * f.features
	for j := range weights {
		sum[j*size+j] += f.penalty
	}
	if f.outputs > 1 {
		for a := weights; a < size; a++ {
			for b := a; b < size; b++ {
				sum[a*size+b] += 1 / float64(f.outputs)
			}
		}
	}
	return mat.NewSymDense(size, sum), nil
}

// hessianChunk adds up pₖ(δₖₗ − pₗ)·x̃x̃ᵀ, x̃ = (x, 1), over the rows of one
// chunk, into the upper triangle of h.
func (f *objective) hessianChunk(i, pieces int, theta, h []float64) {
	b := newBlock(f.features, f.outputs)
	probabilities := mat.NewDense(blockRows, max(f.outputs, 2), nil)
	weights := make([]float64, f.outputs)
	from, to := parallel.Range(f.n, pieces, i)
	for first := from; first < to; first += blockRows {
		last := min(first+blockRows, to)
		b.read(f.rows, first, last)
		b.scores(theta)
		b.probabilities(probabilities, 0, last-first)
		for r := range last - first {
			p := probabilities.RawRowView(r)
			if f.outputs == 1 {
				f.addOuter(h, 0, 0, float64(p[0]*p[1]), b.row(r))
				continue
			}
			for k := range f.outputs {
				for l := k; l < f.outputs; l++ {
					weights[l] = -float64(p[k] * p[l])
				}
				weights[k] += p[k]
				for l := k; l < f.outputs; l++ {
					f.addOuter(h, k, l, weights[l], b.row(r))
				}
			}
		}
	}
}

// addOuter adds w·x̃x̃ᵀ to the part of h that belongs to outputs k ≤ l.
func (f *objective) addOuter(h []float64, k, l int, w float64, x []float64) {
	size, p := f.size(), f.features
	intercepts := f.outputs * p
	for a, v := range x {
		s := float64(w * v)
		start := 0
		if k == l {
			start = a // the upper triangle of a diagonal part
		}
		row := h[(k*p+a)*size+l*p:][:p]
		for j := start; j < p; j++ {
			row[j] += float64(s * x[j])
		}
		h[(k*p+a)*size+intercepts+l] += s
		if k != l {
			h[(l*p+a)*size+intercepts+k] += s
		}
	}
	h[(intercepts+k)*size+intercepts+l] += w
}
