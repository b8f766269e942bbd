// Package neighbors holds the estimators that remember their training rows.
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
	// Round compares squared distances as 32-bit floats of 1 + d. Rows of
	// categories are often equally far: so they are here too, whatever the order of
	// the sums, and of equal ones the first counts.
	Round bool

	memory  memory
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
	err := learn.CheckTraining(x, y, classes)
	if err == nil {
		m.memory, err = remember(x, m.NNeighbors)
		m.memory.round = m.Round
	}
	if err != nil {
		return fmt.Errorf("fit KNeighborsClassifier: %w", err)
	}
	m.y, m.classes, m.workers = append([]int(nil), y...), classes, opt.Workers
	return nil
}

// PredictProba compares each row with every training row: n · rows · p
// operations.
func (m *KNeighborsClassifier) PredictProba(x *mat.Dense) (*mat.Dense, error) {
	if err := learn.CheckPredict(x, m.memory.features()); err != nil {
		return nil, fmt.Errorf("predict with KNeighborsClassifier: %w", err)
	}
	n, _ := x.Dims()
	proba := mat.NewDense(n, m.classes, nil)
	err := parallel.Do(context.Background(), m.workers, n, func(i int) {
		share := 1 / float64(m.NNeighbors)
		counts := make([]int, m.classes)
		for _, neighbour := range m.memory.nearest(x.RawRowView(i)) {
			counts[m.y[neighbour]]++
		}
		for k, c := range counts {
			proba.Set(i, k, float64(c)*share)
		}
	})
	return proba, err
}

// Emit adds the search for the neighbours and the mean of their votes.
func (m *KNeighborsClassifier) Emit(b *emit.Builder, input string) (emit.Scores, error) {
	if m.memory.x == nil {
		return emit.Scores{}, learn.ErrNotFitted
	}
	if err := b.CheckClasses(m.classes); err != nil {
		return emit.Scores{}, err
	}
	nearest := m.memory.emit(b, input)
	member := make([]float32, len(m.y)*m.classes) // 1 in the column of a row's class
	for i, k := range m.y {
		member[i*m.classes+k] = 1
	}
	votes := b.Node("Gather", []string{emit.Constant(b, "classes", []int{len(m.y), m.classes}, member), nearest}, onnx.IntAttribute("axis", 0))
	proba := b.Node("ReduceMean", []string{votes}, onnx.IntsAttribute("axes", 1), onnx.IntAttribute("keepdims", 0))
	return emit.Scores{Label: b.ArgMaxLabel(proba), Probabilities: proba}, nil
}
