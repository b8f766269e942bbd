package neighbors

import (
	"context"
	"fmt"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/emit"
	"github.com/petal-ml/petal/internal/learn/internal/parallel"
	"github.com/petal-ml/petal/internal/onnx"
)

// KNeighborsRegressor predicts the mean target of the NNeighbors training rows
// that are nearest, found as by a [KNeighborsClassifier].
type KNeighborsRegressor struct {
	NNeighbors int // at least 1, at most the number of training rows

	memory  memory
	y       []float64
	workers int
}

var _ learn.Regressor = (*KNeighborsRegressor)(nil)

// NewKNeighborsRegressor returns a model with five neighbours.
func NewKNeighborsRegressor() *KNeighborsRegressor { return &KNeighborsRegressor{NNeighbors: 5} }

// Name returns "KNeighborsRegressor".
func (*KNeighborsRegressor) Name() string { return "KNeighborsRegressor" }

// Params returns n_neighbors.
func (m *KNeighborsRegressor) Params() map[string]any {
	return map[string]any{"n_neighbors": m.NNeighbors}
}

// Fit copies the rows.
func (m *KNeighborsRegressor) Fit(_ context.Context, x *mat.Dense, y []float64, opt learn.Options) error {
	err := learn.CheckTargets(x, y)
	if err == nil {
		m.memory, err = remember(x, m.NNeighbors)
	}
	if err != nil {
		return fmt.Errorf("fit KNeighborsRegressor: %w", err)
	}
	m.y, m.workers = slices.Clone(y), opt.Workers
	return nil
}

// Predict compares each row with every training row: n · rows · p operations.
func (m *KNeighborsRegressor) Predict(x *mat.Dense) ([]float64, error) {
	if err := learn.CheckPredict(x, m.memory.features()); err != nil {
		return nil, fmt.Errorf("predict with KNeighborsRegressor: %w", err)
	}
	n, _ := x.Dims()
	values := make([]float64, n)
	err := parallel.Do(context.Background(), m.workers, n, func(i int) {
		for _, neighbour := range m.memory.nearest(x.RawRowView(i)) {
			values[i] += m.y[neighbour]
		}
		values[i] /= float64(m.NNeighbors)
	})
	return values, err
}

// Emit adds the search for the neighbours and the mean of their targets.
func (m *KNeighborsRegressor) Emit(b *emit.Builder, input string) (string, error) {
	if m.memory.x == nil {
		return "", learn.ErrNotFitted
	}
	targets := emit.Constant(b, "targets", []int{len(m.y)}, m.y)
	near := b.Node("Gather", []string{targets, m.memory.emit(b, input)}, onnx.IntAttribute("axis", 0))
	return b.Single(b.Node("ReduceMean", []string{near}, onnx.IntsAttribute("axes", 1), onnx.IntAttribute("keepdims", 1))), nil
}
