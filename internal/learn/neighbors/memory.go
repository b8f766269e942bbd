package neighbors

import (
	"fmt"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/emit"
	"github.com/petal-ml/petal/internal/onnx"
)

// A memory is the training rows, and how many of them a row is compared with.
type memory struct {
	x *mat.Dense
	k int
	// round compares distances as 32-bit floats of 1 + d: see Round.
	round bool
}

// remember copies the rows.
func remember(x *mat.Dense, k int) (memory, error) {
	if n, _ := x.Dims(); k < 1 || k > n {
		return memory{}, fmt.Errorf("n_neighbors is %d, it must be between 1 and the %d training rows: %w", k, n, learn.ErrParameter)
	}
	if err := learn.CheckFinite(x); err != nil {
		return memory{}, err
	}
	return memory{x: mat.DenseCopyOf(x), k: k}, nil
}

// features is the width of the rows, 0 where there was no fit.
func (m *memory) features() int {
	if m.x == nil {
		return 0
	}
	_, p := m.x.Dims()
	return p
}

// nearest returns the rows of the nearest training rows, nearest first.
func (m *memory) nearest(row []float64) []int {
	rows := make([]int, 0, m.k)
	distances := make([]float64, 0, m.k)
	n, _ := m.x.Dims()
	for i := range n {
		d := squaredDistance(row, m.x.RawRowView(i))
		if m.round {
			d = float64(float32(1 + d))
		}
		if len(rows) == m.k {
			if d >= distances[len(distances)-1] {
				continue
			}
		} else {
			rows, distances = append(rows, 0), append(distances, 0)
		}
		at := len(rows) - 1
		for ; at > 0 && distances[at-1] > d; at-- {
			rows[at], distances[at] = rows[at-1], distances[at-1]
		}
		rows[at], distances[at] = i, d
	}
	return rows
}

func squaredDistance(a, b []float64) float64 {
	b = b[:len(a)]
	var sum float64
	for j, v := range a {
		d := v - b[j]
		sum += float64(d * d)
	}
	return sum
}

// emit adds the search, in float64, and returns the name of the neighbours' row
// numbers, an int64 tensor [N,k]. The distance to training row t is ‖t‖² −
// 2·x·t + ‖x‖², of which the last part is the same for all t and left out; both
// are moved by the training mean first, so that little is lost in the
// difference.
func (m *memory) emit(b *emit.Builder, input string) string {
	mean, centred, squares := m.centred()
	n, p := m.x.Dims()
	x := b.Node("Sub", []string{b.Double(input), emit.Constant(b, "mean", []int{1, p}, mean)})
	product := b.Node("MatMul", []string{x, emit.Constant(b, "rows", []int{p, n}, centred)})
	distance := b.Node("Add", []string{product, emit.Constant(b, "squares", []int{1, n}, squares)})
	if m.round {
		ones := make([]float64, p)
		for j := range ones {
			ones[j] = 1
		}
		length := b.Node("MatMul", []string{b.Node("Mul", []string{x, x}), emit.Constant(b, "ones", []int{p, 1}, ones)})
		whole := b.Node("Add", []string{distance, length})
		distance = b.Single(b.Node("Add", []string{whole, emit.Constant(b, "one", []int{1, 1}, ones[:1])}))
	}
	return b.Nodes("TopK", []string{distance, emit.Constant(b, "neighbours", []int{1}, []int64{int64(m.k)})}, 2,
		onnx.IntAttribute("axis", 1), onnx.IntAttribute("largest", 0), onnx.IntAttribute("sorted", 1))[1]
}

// centred returns the mean of the training rows; the rows less the mean, times
// −2, one a column; and their squared lengths.
func (m *memory) centred() (mean, columns, squares []float64) {
	n, p := m.x.Dims()
	mean, columns, squares = make([]float64, p), make([]float64, n*p), make([]float64, n)
	for i := range n {
		for j, v := range m.x.RawRowView(i) {
			mean[j] += v / float64(n)
		}
	}
	for i := range n {
		for j, v := range m.x.RawRowView(i) {
			v -= mean[j]
			columns[j*n+i] = -2 * v
			squares[i] += float64(v * v)
		}
	}
	return mean, columns, squares
}
