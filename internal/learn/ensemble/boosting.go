package ensemble

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/emit"
	"github.com/petal-ml/petal/internal/learn/internal/parallel"
	"github.com/petal-ml/petal/internal/learn/internal/trees"
	"github.com/petal-ml/petal/internal/learn/modelselection"
	"github.com/petal-ml/petal/internal/onnx"
)

// EarlyStopping says whether boosting watches a validation set.
type EarlyStopping string

// The values of [EarlyStopping]. Auto means Always above 10,000 rows.
const (
	Auto   EarlyStopping = "auto"
	Always EarlyStopping = "true"
	Never  EarlyStopping = "false"
)

// autoStoppingRows is the number of rows above which Auto watches.
const autoStoppingRows = 10_000

// HistGradientBoosting is gradient boosting of trees on binned features
// (Friedman 2001; LightGBM, Ke and others 2017), after scikit-learn 1.9.1's
// HistGradientBoostingClassifier. Each iteration adds a tree for each class, or
// one tree where there are two, that follows the gradient of the log-loss with
// Newton leaf values; trees grow by the leaf of the largest gain.
//
// Features are taken as float32 and cut into at most MaxBins bins by quantiles.
// A missing value (NaN) has a bin of its own, and each split learns to which
// side it belongs; where training had none, it goes with the larger part.
// Gradients are rounded to 30 bits of their largest, hessians to 30 as well and to
// 24 at a million rows, so that their sums are exact in any order.
//
// With early stopping, a stratified ValidationFraction of the rows is held back,
// and the fit ends after NIterNoChange iterations that improve its log-loss by
// no more than Tol. Progress reports each iteration with the mean log-loss of
// the rows it trains on. Infinite values are refused.
type HistGradientBoosting struct {
	LearningRate       float64 // above 0
	MaxIter            int     // at least 1
	MaxLeafNodes       int     // at least 2
	MaxDepth           int     // 0 for no limit
	MinSamplesLeaf     int     // at least 1
	L2Regularization   float64 // at least 0
	MaxBins            int     // 2 … 255, without the bin of missing values
	EarlyStopping      EarlyStopping
	ValidationFraction float64 // between 0 and 1
	NIterNoChange      int     // at least 1
	Tol                float64 // at least 0
	RandomState        uint32  // for the validation set and the rows that make the bins

	// NIter is the number of iterations done.
	NIter int

	ensemble *trees.Ensemble
	features int
	classes  int
	workers  int
}

var _ learn.Classifier = (*HistGradientBoosting)(nil)

// NewHistGradientBoosting returns a model with scikit-learn's defaults.
func NewHistGradientBoosting() *HistGradientBoosting {
	return &HistGradientBoosting{
		LearningRate:       0.1,
		MaxIter:            100,
		MaxLeafNodes:       31,
		MinSamplesLeaf:     20,
		MaxBins:            255,
		EarlyStopping:      Auto,
		ValidationFraction: 0.1,
		NIterNoChange:      10,
		Tol:                1e-7,
	}
}

// Name returns "HistGradientBoostingClassifier".
func (*HistGradientBoosting) Name() string { return "HistGradientBoostingClassifier" }

// Params returns the parameters by scikit-learn's names.
func (m *HistGradientBoosting) Params() map[string]any {
	params := map[string]any{
		"learning_rate":       m.LearningRate,
		"max_iter":            m.MaxIter,
		"max_leaf_nodes":      m.MaxLeafNodes,
		"max_depth":           nil,
		"min_samples_leaf":    m.MinSamplesLeaf,
		"l2_regularization":   m.L2Regularization,
		"max_bins":            m.MaxBins,
		"early_stopping":      string(m.EarlyStopping),
		"validation_fraction": m.ValidationFraction,
		"n_iter_no_change":    m.NIterNoChange,
		"tol":                 m.Tol,
		"random_state":        int(m.RandomState),
	}
	if m.MaxDepth > 0 {
		params["max_depth"] = m.MaxDepth
	}
	return params
}

// Fit grows MaxIter trees for each class, or fewer with early stopping.
func (m *HistGradientBoosting) Fit(ctx context.Context, x *mat.Dense, y []int, classes int, opt learn.Options) error {
	if err := m.check(x, y, classes); err != nil {
		return fmt.Errorf("fit %s: %w", m.Name(), err)
	}
	m.ensemble, m.NIter = nil, 0
	train, validation, err := m.holdBack(y)
	if err != nil {
		return fmt.Errorf("fit %s: %w", m.Name(), err)
	}
	b, err := newBooster(ctx, m, x, y, classes, train, opt.Workers)
	if err != nil {
		return err
	}
	var watch *watcher
	if validation != nil {
		watch = newWatcher(b.ensemble, x, y, validation, m.NIterNoChange, m.Tol)
	}
	for m.NIter < m.MaxIter {
		if err := b.iterate(ctx); err != nil {
			return err
		}
		m.NIter++
		if opt.Progress != nil {
			if err := b.probabilities(ctx); err != nil {
				return err
			}
			opt.Progress(m.NIter, b.loss)
		}
		if watch != nil && watch.stop() {
			break
		}
	}
	m.ensemble = b.ensemble
	_, m.features = x.Dims()
	m.classes, m.workers = classes, opt.Workers
	return nil
}

func (m *HistGradientBoosting) check(x *mat.Dense, y []int, classes int) error {
	for _, c := range []struct {
		name   string
		value  any
		ok     bool
		remedy string
	}{
		{"learning_rate", m.LearningRate, m.LearningRate > 0, "be above 0"},
		{"max_iter", m.MaxIter, m.MaxIter >= 1, "be at least 1"},
		{"max_leaf_nodes", m.MaxLeafNodes, m.MaxLeafNodes >= 2, "be at least 2"},
		{"max_depth", m.MaxDepth, m.MaxDepth >= 0, "not be negative"},
		{"min_samples_leaf", m.MinSamplesLeaf, m.MinSamplesLeaf >= 1, "be at least 1"},
		{"l2_regularization", m.L2Regularization, m.L2Regularization >= 0, "not be negative"},
		{"max_bins", m.MaxBins, m.MaxBins >= 2 && m.MaxBins <= missingBin, "be between 2 and 255"},
		{"early_stopping", m.EarlyStopping, m.EarlyStopping == Auto || m.EarlyStopping == Always || m.EarlyStopping == Never, "be auto, true or false"},
		{"validation_fraction", m.ValidationFraction, m.ValidationFraction > 0 && m.ValidationFraction < 1, "be between 0 and 1"},
		{"n_iter_no_change", m.NIterNoChange, m.NIterNoChange >= 1, "be at least 1"},
		{"tol", m.Tol, m.Tol >= 0, "not be negative"},
	} {
		if !c.ok {
			return fmt.Errorf("%s is %v, it must %s: %w", c.name, c.value, c.remedy, learn.ErrParameter)
		}
	}
	if err := learn.CheckTraining(x, y, classes); err != nil {
		return err
	}
	return learn.CheckNoInfinity(x)
}

// holdBack returns the rows to train on and those to watch, nil where early
// stopping is off.
func (m *HistGradientBoosting) holdBack(y []int) (train, validation []int, err error) {
	if m.EarlyStopping == Always || m.EarlyStopping == Auto && len(y) > autoStoppingRows {
		s, err := modelselection.TrainTestSplit(y, m.ValidationFraction, m.RandomState)
		if err != nil {
			return nil, nil, fmt.Errorf("hold rows back for early stopping: %w", err)
		}
		return s.Train, s.Test, nil
	}
	train = make([]int, len(y))
	for i := range train {
		train[i] = i
	}
	return train, nil, nil
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

// Emit adds a TreeEnsembleClassifier with SOFTMAX, or LOGISTIC for two classes.
func (m *HistGradientBoosting) Emit(b *emit.Builder, input string) (emit.Scores, error) {
	if m.ensemble == nil {
		return emit.Scores{}, learn.ErrNotFitted
	}
	if err := b.CheckClasses(m.classes); err != nil {
		return emit.Scores{}, err
	}
	if m.classes == 2 {
		return m.ensemble.Emit(b, input, "LOGISTIC"), nil
	}
	return m.ensemble.Emit(b, input, "SOFTMAX"), nil
}

// A watcher follows the log-loss of rows that are held back.
type watcher struct {
	ensemble *trees.Ensemble
	rows     [][]float32
	y        []int
	raw      [][]float64
	counted  int // trees in raw
	patience int
	tol      float64
	losses   []float64
}

func newWatcher(e *trees.Ensemble, x *mat.Dense, y, rows []int, patience int, tol float64) *watcher {
	w := &watcher{ensemble: e, patience: patience, tol: tol}
	for _, i := range rows {
		w.rows = append(w.rows, row32(x.RawRowView(i)))
		w.y = append(w.y, y[i])
		w.raw = append(w.raw, append([]float64(nil), e.Base...))
	}
	w.stop() // the loss before the first tree counts
	return w
}

// stop adds the loss after the newest trees and reports whether none of the last
// ones improved on the one before them.
func (w *watcher) stop() bool {
	classes := max(2, w.ensemble.Outputs)
	proba := make([]float64, classes)
	var loss float64
	for i, row := range w.rows {
		for t := w.counted; t < len(w.ensemble.Trees); t++ {
			tree := w.ensemble.Trees[t]
			w.raw[i][t%w.ensemble.Outputs] += tree.Values[tree.Find(row)]
		}
		softmax(proba, w.raw[i])
		loss -= math.Log(max(proba[w.y[i]], math.SmallestNonzeroFloat64))
	}
	w.counted = len(w.ensemble.Trees)
	w.losses = append(w.losses, loss/float64(len(w.rows)))
	if len(w.losses) <= w.patience {
		return false
	}
	recent := w.losses[len(w.losses)-w.patience:]
	reference := w.losses[len(w.losses)-w.patience-1] - w.tol
	for _, l := range recent {
		if l < reference {
			return false
		}
	}
	return true
}

func normL1() onnx.Attribute { return onnx.StringAttribute("norm", "L1") }
