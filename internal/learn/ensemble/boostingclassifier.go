package ensemble

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/emit"
	"github.com/petal-ml/petal/internal/learn/internal/parallel"
	"github.com/petal-ml/petal/internal/learn/modelselection"
	"github.com/petal-ml/petal/internal/onnx"
)

// HistGradientBoosting is scikit-learn's HistGradientBoostingClassifier: see
// [Boosting]. Its loss is the log-loss; two classes have one tree an iteration,
// more have one each. What is held back for early stopping is stratified.
type HistGradientBoosting struct {
	Boosting

	classes int
}

var (
	_ learn.Classifier = (*HistGradientBoosting)(nil)
	_ learn.Tempered   = (*HistGradientBoosting)(nil)
)

// NewHistGradientBoosting returns a model with scikit-learn's defaults.
func NewHistGradientBoosting() *HistGradientBoosting {
	return &HistGradientBoosting{Boosting: newBoosting()}
}

// Name returns "HistGradientBoostingClassifier".
func (*HistGradientBoosting) Name() string { return "HistGradientBoostingClassifier" }

// Fit grows MaxIter trees for each class, or fewer with early stopping.
func (m *HistGradientBoosting) Fit(ctx context.Context, x *mat.Dense, y []int, classes int, opt learn.Options) error {
	m.reset()
	err := learn.CheckTraining(x, y, classes)
	if err == nil {
		err = m.check(x)
	}
	if err != nil {
		return fmt.Errorf("fit %s: %w", m.Name(), err)
	}
	train, validation, err := m.holdBack(y)
	if err != nil {
		return fmt.Errorf("fit %s: %w", m.Name(), err)
	}
	m.classes = classes
	b, err := newBooster(ctx, &m.Boosting, x, newCrossEntropy(modelselection.Take(y, train), classes), train, opt.Workers)
	if err != nil {
		return err
	}
	var watch *watcher
	if validation != nil {
		watch = newWatcher(b.ensemble, x, validation, logLossOf(modelselection.Take(y, validation), classes), m.NIterNoChange, m.Tol)
	}
	return m.grow(ctx, b, watch, opt)
}

// Temper divides the scores by 1/factor.
func (m *HistGradientBoosting) Temper(factor float64) {
	m.Temperature = 1 / factor
	m.ensemble.Scale(factor)
}

// holdBack returns the rows to train on and those to watch, nil where early
// stopping is off.
func (m *HistGradientBoosting) holdBack(y []int) (train, validation []int, err error) {
	if m.stopsEarly(len(y)) {
		s, err := modelselection.TrainTestSplit(y, m.ValidationFraction, m.RandomState)
		if err != nil {
			return nil, nil, fmt.Errorf("hold rows back for early stopping: %w", err)
		}
		return s.Train, s.Test, nil
	}
	return allRows(len(y)), nil, nil
}

func allRows(n int) []int {
	rows := make([]int, n)
	for i := range rows {
		rows[i] = i
	}
	return rows
}

// PredictProba returns the sigmoid or the softmax of the sums of the trees.
func (m *HistGradientBoosting) PredictProba(x *mat.Dense) (*mat.Dense, error) {
	if err := learn.CheckPredict(x, m.features); err != nil {
		return nil, fmt.Errorf("predict with %s: %w", m.Name(), err)
	}
	n, _ := x.Dims()
	proba := mat.NewDense(n, m.classes, nil)
	err := parallel.Do(context.Background(), m.workers, n, func(i int) {
		raw := make([]float64, m.ensemble.Outputs)
		m.ensemble.Sum(raw, row32(x.RawRowView(i)))
		softmax(proba.RawRowView(i), raw)
	})
	return proba, err
}

func row32(row []float64) []float32 {
	out := make([]float32, len(row))
	for j, v := range row {
		out[j] = finite32(v)
	}
	return out
}

// softmax turns one raw score for each class, or a single one for two classes,
// into probabilities.
func softmax(proba, raw []float64) {
	if len(raw) == 1 {
		proba[1] = 1 / (1 + math.Exp(-raw[0]))
		proba[0] = 1 / (1 + math.Exp(raw[0]))
		return
	}
	top := raw[0]
	for _, v := range raw {
		top = max(top, v)
	}
	var sum float64
	for k, v := range raw {
		proba[k] = math.Exp(v - top)
		sum += proba[k]
	}
	for k := range proba {
		proba[k] /= sum
	}
}

// Emit adds a TreeEnsembleClassifier with SOFTMAX, or LOGISTIC for two classes; a
// TreeEnsemble where there are sets of categories.
func (m *HistGradientBoosting) Emit(b *emit.Builder, input string) (emit.Scores, error) {
	if m.ensemble == nil {
		return emit.Scores{}, learn.ErrNotFitted
	}
	if err := b.CheckClasses(m.classes); err != nil {
		return emit.Scores{}, err
	}
	if m.ensemble.HasSets() {
		raw := m.ensemble.EmitSets(b, input)
		var proba string
		if m.classes == 2 {
			first := b.Node("Sigmoid", []string{b.Node("Neg", []string{raw})})
			proba = b.Node("Concat", []string{first, b.Node("Sigmoid", []string{raw})}, onnx.IntAttribute("axis", 1))
		} else {
			proba = b.Node("Softmax", []string{raw}, onnx.IntAttribute("axis", 1))
		}
		return emit.Scores{Label: b.ArgMaxLabel(proba), Probabilities: proba}, nil
	}
	if m.classes == 2 {
		return m.ensemble.Emit(b, input, "LOGISTIC"), nil
	}
	return m.ensemble.Emit(b, input, "SOFTMAX"), nil
}

// logLossOf is the loss of a row with the given raw scores, as a [watcher] asks
// for it.
func logLossOf(y []int, classes int) func(raw []float64, i int) float64 {
	proba := make([]float64, classes)
	return func(raw []float64, i int) float64 {
		softmax(proba, raw)
		return -math.Log(max(proba[y[i]], math.SmallestNonzeroFloat64))
	}
}

func normL1() onnx.Attribute { return onnx.StringAttribute("norm", "L1") }
