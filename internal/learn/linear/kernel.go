package linear

import (
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/internal/vecmath"
)

// blockRows is the number of rows that the kernels work on at a time: a multiple
// of four, and few enough for rows and scores to stay in the first-level cache.
// It also bounds the product of row sums in [block.loss], at most K³².
const blockRows = 32

// A block is scratch memory for blockRows rows. What a row is missing to a
// multiple of four rows is zero and has no part in any sum.
//
// The kernels take four rows and two outputs at a time, so that eight sums are
// under way at once. Every product is rounded on its own (the conversions to
// float64 say so), so that an architecture with fused multiply-add gives the
// same bits.
type block struct {
	features, outputs int
	rows              int       // in use
	x                 []float64 // blockRows × features
	z                 []float64 // outputs × blockRows: scores, then residuals
}

func newBlock(features, outputs int) *block {
	return &block{
		features: features,
		outputs:  outputs,
		x:        make([]float64, blockRows*features),
		z:        make([]float64, outputs*blockRows),
	}
}

// read takes rows first … last−1.
func (b *block) read(rows learn.Rows, first, last int) {
	b.rows = last - first
	for r := range b.rows {
		rows.Read(b.row(r), first+r)
	}
	clear(b.x[b.rows*b.features:])
}

func (b *block) row(r int) []float64 {
	return b.x[r*b.features : (r+1)*b.features : (r+1)*b.features]
}

// output returns the scores of output k, one a row.
func (b *block) output(k int) []float64 {
	return b.z[k*blockRows : (k+1)*blockRows : (k+1)*blockRows]
}

// padded returns the number of rows rounded up to a multiple of four.
func (b *block) padded() int { return (b.rows + 3) &^ 3 }

// scores computes W·x + b for each row and output. theta holds W row by row,
// then b.
func (b *block) scores(theta []float64) {
	p := b.features
	intercept := theta[b.outputs*p:]
	for r := 0; r < b.padded(); r += 4 {
		k := 0
		for ; k+1 < b.outputs; k += 2 {
			b.scorePair(r, k, theta[k*p:(k+1)*p], theta[(k+1)*p:(k+2)*p], intercept[k], intercept[k+1])
		}
		if k < b.outputs {
			b.scoreOne(r, k, theta[k*p:(k+1)*p], intercept[k])
		}
	}
}

func (b *block) scorePair(r, k int, v, w []float64, v0, w0 float64) {
	x0, x1, x2, x3 := b.row(r), b.row(r+1), b.row(r+2), b.row(r+3)
	w, x0, x1, x2, x3 = w[:len(v)], x0[:len(v)], x1[:len(v)], x2[:len(v)], x3[:len(v)]
	a0, a1, a2, a3 := v0, v0, v0, v0
	c0, c1, c2, c3 := w0, w0, w0, w0
	for j, vj := range v {
		wj := w[j]
		a0 += float64(vj * x0[j])
		c0 += float64(wj * x0[j])
		a1 += float64(vj * x1[j])
		c1 += float64(wj * x1[j])
		a2 += float64(vj * x2[j])
		c2 += float64(wj * x2[j])
		a3 += float64(vj * x3[j])
		c3 += float64(wj * x3[j])
	}
	z := b.output(k)
	z[r], z[r+1], z[r+2], z[r+3] = a0, a1, a2, a3
	z = b.output(k + 1)
	z[r], z[r+1], z[r+2], z[r+3] = c0, c1, c2, c3
}

func (b *block) scoreOne(r, k int, v []float64, v0 float64) {
	x0, x1, x2, x3 := b.row(r), b.row(r+1), b.row(r+2), b.row(r+3)
	x0, x1, x2, x3 = x0[:len(v)], x1[:len(v)], x2[:len(v)], x3[:len(v)]
	a0, a1, a2, a3 := v0, v0, v0, v0
	for j, vj := range v {
		a0 += float64(vj * x0[j])
		a1 += float64(vj * x1[j])
		a2 += float64(vj * x2[j])
		a3 += float64(vj * x3[j])
	}
	z := b.output(k)
	z[r], z[r+1], z[r+2], z[r+3] = a0, a1, a2, a3
}

// loss turns scores into residuals, probability less truth, and returns the sum
// of the rows' log-losses.
func (b *block) loss(y []int) float64 {
	if b.outputs == 1 {
		return b.lossSigmoid(y)
	}
	var sum float64
	var top [blockRows]float64
	copy(top[:], b.output(0))
	for k := 1; k < b.outputs; k++ {
		for r, z := range b.output(k) {
			if z > top[r] {
				top[r] = z
			}
		}
	}
	for r, k := range y {
		sum += top[r] - b.z[k*blockRows+r]
	}
	product := 1.0 // of the row sums: one logarithm for the whole block
	for r, total := range b.softmax(&top) {
		if r < b.rows {
			product *= total
		}
	}
	for r, k := range y {
		b.z[k*blockRows+r]--
	}
	return sum + math.Log(product)
}

// softmax turns scores into probabilities and returns Σ exp(z − top) of each row.
func (b *block) softmax(top *[blockRows]float64) (total [blockRows]float64) {
	for k := range b.outputs {
		z := b.output(k)
		for r := range z {
			z[r] -= top[r]
		}
	}
	vecmath.Exp(b.z)
	for k := range b.outputs {
		for r, e := range b.output(k) {
			total[r] += e
		}
	}
	var inverse [blockRows]float64
	for r := range inverse {
		inverse[r] = 1 / total[r]
	}
	for k := range b.outputs {
		z := b.output(k)
		for r := range z {
			z[r] *= inverse[r]
		}
	}
	return total
}

// lossSigmoid is loss for one sigmoid: log(1 + exp(−|z|)) + max(z, 0) − y·z.
func (b *block) lossSigmoid(y []int) float64 {
	var sum float64
	for r, k := range y {
		z := b.z[r]
		if z > 0 {
			sum += z
		}
		if k == 1 {
			sum -= z
		}
	}
	product := 1.0
	for r, total := range b.sigmoid() {
		if r < b.rows {
			product *= total
		}
	}
	for r, k := range y {
		b.z[r] -= float64(k)
	}
	return sum + math.Log(product)
}

// sigmoid turns scores into σ(z) and returns 1 + exp(−|z|) of each row.
func (b *block) sigmoid() (total [blockRows]float64) {
	var negative [blockRows]bool
	for r, z := range b.z {
		negative[r] = z < 0
		b.z[r] = -math.Abs(z)
	}
	vecmath.Exp(b.z)
	for r, e := range b.z {
		total[r] = 1 + e
		if negative[r] {
			b.z[r] = e / total[r]
		} else {
			b.z[r] = 1 / total[r]
		}
	}
	return total
}

// probabilities writes the probabilities of the rows to rows first … last−1 of
// dst, from the scores.
func (b *block) probabilities(dst *mat.Dense, first, last int) {
	if b.outputs == 1 {
		b.sigmoid()
		for r := range last - first {
			row := dst.RawRowView(first + r)
			row[0], row[1] = 1-b.z[r], b.z[r]
		}
		return
	}
	var top [blockRows]float64
	copy(top[:], b.output(0))
	for k := 1; k < b.outputs; k++ {
		for r, z := range b.output(k) {
			top[r] = max(top[r], z)
		}
	}
	b.softmax(&top)
	for r := range last - first {
		row := dst.RawRowView(first + r)
		for k := range row {
			row[k] = b.z[k*blockRows+r]
		}
	}
}

// addGradient adds Σ residual·x and Σ residual over the rows to the gradient,
// which is laid out as theta.
func (b *block) addGradient(gradient []float64) {
	p := b.features
	intercept := gradient[b.outputs*p:]
	for k := range b.outputs {
		z := b.output(k)
		for r := b.rows; r < b.padded(); r++ {
			z[r] = 0
		}
		var sum float64
		for _, residual := range z[:b.rows] {
			sum += residual
		}
		intercept[k] += sum
	}
	for r := 0; r < b.padded(); r += 4 {
		k := 0
		for ; k+1 < b.outputs; k += 2 {
			b.addPair(r, b.output(k), b.output(k+1), gradient[k*p:(k+1)*p], gradient[(k+1)*p:(k+2)*p])
		}
		if k < b.outputs {
			b.addOne(r, b.output(k), gradient[k*p:(k+1)*p])
		}
	}
}

func (b *block) addPair(r int, zg, zh, g, h []float64) {
	x0, x1, x2, x3 := b.row(r), b.row(r+1), b.row(r+2), b.row(r+3)
	h, x0, x1, x2, x3 = h[:len(g)], x0[:len(g)], x1[:len(g)], x2[:len(g)], x3[:len(g)]
	g0, g1, g2, g3 := zg[r], zg[r+1], zg[r+2], zg[r+3]
	h0, h1, h2, h3 := zh[r], zh[r+1], zh[r+2], zh[r+3]
	for j := range g {
		a, b, c, d := x0[j], x1[j], x2[j], x3[j]
		g[j] += (float64(g0*a) + float64(g1*b)) + (float64(g2*c) + float64(g3*d))
		h[j] += (float64(h0*a) + float64(h1*b)) + (float64(h2*c) + float64(h3*d))
	}
}

func (b *block) addOne(r int, zg, g []float64) {
	x0, x1, x2, x3 := b.row(r), b.row(r+1), b.row(r+2), b.row(r+3)
	x0, x1, x2, x3 = x0[:len(g)], x1[:len(g)], x2[:len(g)], x3[:len(g)]
	g0, g1, g2, g3 := zg[r], zg[r+1], zg[r+2], zg[r+3]
	for j := range g {
		g[j] += (float64(g0*x0[j]) + float64(g1*x1[j])) + (float64(g2*x2[j]) + float64(g3*x3[j]))
	}
}
