// Package neighbors holds the classifiers that remember their training rows.
package neighbors

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/emit"
	"github.com/petal-ml/petal/internal/learn/internal/parallel"
	"github.com/petal-ml/petal/internal/onnx"
)

// KNeighborsClassifier gives each class the share it has among the NNeighbors
// training rows that are nearest by Euclidean distance, as scikit-learn's with
// uniform weights. Of rows equally far the earlier ones count as nearer;
// scikit-learn leaves that to chance. Features should be of similar scale. NaN
// and infinite values are refused.
//
// The model holds all training rows, and so does its ONNX file.
type KNeighborsClassifier struct {
	NNeighbors int // at least 1, at most the number of training rows

	x       *mat.Dense
	y       []int
	classes int
	workers int
}

var _ learn.Classifier = (*KNeighborsClassifier)(nil)

// NewKNeighborsClassifier returns a model with five neighbours.
func NewKNeighborsClassifier() *KNeighborsClassifier { return &KNeighborsClassifier{NNeighbors: 5} }

// Name returns "KNeighborsClassifier".
func (*KNeighborsClassifier) Name() string { return "KNeighborsClassifier" }

// Params returns n_neighbors.
func (m *KNeighborsClassifier) Params() map[string]any {
	return map[string]any{"n_neighbors": m.NNeighbors}
}

// Fit copies the rows.
func (m *KNeighborsClassifier) Fit(_ context.Context, x *mat.Dense, y []int, classes int, opt learn.Options) error {
	if err := m.check(x, y, classes); err != nil {
		return fmt.Errorf("fit KNeighborsClassifier: %w", err)
	}
	m.x, m.y, m.classes, m.workers = mat.DenseCopyOf(x), append([]int(nil), y...), classes, opt.Workers
	return nil
}

func (m *KNeighborsClassifier) check(x *mat.Dense, y []int, classes int) error {
	if err := learn.CheckTraining(x, y, classes); err != nil {
		return err
	}
	if m.NNeighbors < 1 || m.NNeighbors > len(y) {
		return fmt.Errorf("n_neighbors is %d, it must be between 1 and the %d training rows: %w", m.NNeighbors, len(y), learn.ErrParameter)
	}
	return learn.CheckFinite(x)
}

// PredictProba compares each row with every training row: n · rows · p
// operations.
func (m *KNeighborsClassifier) PredictProba(x *mat.Dense) (*mat.Dense, error) {
	features := 0
	if m.x != nil {
		_, features = m.x.Dims()
	}
	if err := learn.CheckPredict(x, features); err != nil {
		return nil, fmt.Errorf("predict with KNeighborsClassifier: %w", err)
	}
	n, _ := x.Dims()
	proba := mat.NewDense(n, m.classes, nil)
	err := parallel.Do(context.Background(), m.workers, n, func(i int) {
		share := 1 / float64(m.NNeighbors)
		counts := make([]int, m.classes)
		for _, neighbour := range m.nearest(x.RawRowView(i)) {
			counts[m.y[neighbour]]++
		}
		for k, c := range counts {
			proba.Set(i, k, float64(c)*share)
		}
	})
	return proba, err
}

// nearest returns the rows of the nearest training rows, nearest first.
func (m *KNeighborsClassifier) nearest(row []float64) []int {
	rows := make([]int, 0, m.NNeighbors)
	distances := make([]float64, 0, m.NNeighbors)
	for i := range m.y {
		d := squaredDistance(row, m.x.RawRowView(i))
		if len(rows) == m.NNeighbors {
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

// Emit adds the search in float64. The distance to training row t is ‖t‖² −
// 2·x·t + ‖x‖², of which the last part is the same for all t and left out; both
// are moved by the training mean first, so that little is lost in the
// difference.
func (m *KNeighborsClassifier) Emit(b *emit.Builder, input string) (emit.Scores, error) {
	if m.x == nil {
		return emit.Scores{}, learn.ErrNotFitted
	}
	if err := b.CheckClasses(m.classes); err != nil {
		return emit.Scores{}, err
	}
	mean, centred, squares := m.centred()
	n, p := m.x.Dims()
	x := b.Node("Sub", []string{b.Double(input), emit.Constant(b, "mean", []int{1, p}, mean)})
	product := b.Node("MatMul", []string{x, emit.Constant(b, "rows", []int{p, n}, centred)})
	distance := b.Node("Add", []string{product, emit.Constant(b, "squares", []int{1, n}, squares)})
	nearest := b.Nodes("TopK", []string{distance, emit.Constant(b, "neighbours", []int{1}, []int64{int64(m.NNeighbors)})}, 2,
		onnx.IntAttribute("axis", 1), onnx.IntAttribute("largest", 0), onnx.IntAttribute("sorted", 1))

	member := make([]float32, n*m.classes) // 1 in the column of a row's class
	for i, k := range m.y {
		member[i*m.classes+k] = 1
	}
	votes := b.Node("Gather", []string{emit.Constant(b, "classes", []int{n, m.classes}, member), nearest[1]}, onnx.IntAttribute("axis", 0))
	proba := b.Node("ReduceMean", []string{votes}, onnx.IntsAttribute("axes", 1), onnx.IntAttribute("keepdims", 0))
	return emit.Scores{Label: b.ArgMaxLabel(proba), Probabilities: proba}, nil
}

// centred returns the mean of the training rows; the rows less the mean, times
// −2, one a column; and their squared lengths.
func (m *KNeighborsClassifier) centred() (mean, columns, squares []float64) {
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
