package linear

import (
	"context"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/internal/parallel"
)

// moments are all that least squares has to know of the rows: means, and products
// of what is left of features and targets without them. Sums over rows are taken
// in chunks, as those of an [objective].
type moments struct {
	n     int
	mean  []float64     // of each feature
	yMean float64       // of the targets
	xx    *mat.SymDense // Σ(x−mean)(x−mean)ᵀ
	xy    []float64     // Σ(x−mean)(y−yMean)
	yy    float64       // Σ(y−yMean)²
}

// A momentsChunk holds the sums of some rows.
type momentsChunk struct {
	x  []float64
	y  float64
	xx blas64.Symmetric
	yy float64
}

func newMoments(ctx context.Context, rows learn.Rows, y []float64, workers int) (*moments, error) {
	n, p := rows.Dims()
	m := &moments{n: n, mean: make([]float64, p), xy: make([]float64, p)}
	chunks := make([]momentsChunk, max(1, min(maxChunks, n/minChunkRows, max(maxPartialSums/(p*p+1), 4))))
	err := parallel.Do(ctx, workers, len(chunks), func(i int) { chunks[i].means(rows, y, len(chunks), i) })
	if err != nil {
		return nil, err
	}
	for _, c := range chunks {
		floats.Add(m.mean, c.x)
		m.yMean += c.y
	}
	floats.Scale(1/float64(n), m.mean)
	m.yMean /= float64(n)
	err = parallel.Do(ctx, workers, len(chunks), func(i int) { chunks[i].products(rows, y, m, len(chunks), i) })
	if err != nil {
		return nil, err
	}
	m.xx = mat.NewSymDense(p, nil)
	sum := m.xx.RawSymmetric()
	for _, c := range chunks {
		floats.Add(sum.Data, c.xx.Data)
		floats.Add(m.xy, c.x)
		m.yy += c.yy
	}
	return m, nil
}

// means adds up the chunk's rows and targets.
func (c *momentsChunk) means(rows learn.Rows, y []float64, chunks, at int) {
	n, p := rows.Dims()
	c.x = make([]float64, p)
	row := make([]float64, p)
	from, to := parallel.Range(n, chunks, at)
	for i := from; i < to; i++ {
		rows.Read(row, i)
		floats.Add(c.x, row)
		c.y += y[i]
	}
}

// products adds up the products of the chunk's rows, a block at a time.
func (c *momentsChunk) products(rows learn.Rows, y []float64, m *moments, chunks, at int) {
	n, p := rows.Dims()
	clear(c.x)
	c.xx = blas64.Symmetric{N: p, Stride: p, Data: make([]float64, p*p), Uplo: blas.Upper}
	block := blas64.General{Cols: p, Stride: p, Data: make([]float64, blockRows*p)}
	from, to := parallel.Range(n, chunks, at)
	for first := from; first < to; first += blockRows {
		last := min(first+blockRows, to)
		block.Rows = last - first
		for i := first; i < last; i++ {
			row := block.Data[(i-first)*p : (i-first+1)*p]
			rows.Read(row, i)
			floats.Sub(row, m.mean)
			d := y[i] - m.yMean
			floats.AddScaled(c.x, d, row)
			c.yy += float64(d * d)
		}
		blas64.Syrk(blas.Trans, 1, block, 1, c.xx)
	}
}
