package ensemble

import (
	"context"
	"fmt"
	"strings"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/internal/trees"
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

// Boosting is how histogram gradient boosting grows its trees, and what was grown
// (Friedman 2001; LightGBM, Ke and others 2017), after scikit-learn 1.9.1's
// HistGradientBoosting. Each iteration adds a tree for each output that follows
// the gradient of the loss with Newton leaf values; trees grow by the leaf of the
// largest gain.
//
// Features are taken as float32 and cut into at most MaxBins bins by quantiles.
// A missing value (NaN) has a bin of its own, and each split learns to which
// side it belongs; where training had none, it goes with the larger part.
// The values of a categorical feature are codes, whole numbers from 0 to 254,
// whose order means nothing: a split sends a set of them left. A code that
// training has not seen goes where a missing value goes.
// Gradients are rounded to 30 bits of their largest, hessians to 30 as well and to
// 24 at a million rows, so that their sums are exact in any order.
//
// With early stopping, a ValidationFraction of the rows is held back, and the fit
// ends after NIterNoChange iterations that improve its loss by no more than Tol.
// Progress reports each iteration with the mean loss of the rows it trains on.
// Infinite values are refused.
type Boosting struct {
	LearningRate       float64 // above 0
	MaxIter            int     // at least 1
	MaxLeafNodes       int     // at least 2
	MaxDepth           int     // 0 for no limit
	MinSamplesLeaf     int     // at least 1
	L2Regularization   float64 // at least 0
	MaxFeatures        float64 // share of the features that each node looks at, above 0, at most 1
	MaxBins            int     // 2 … 255, without the bin of missing values
	EarlyStopping      EarlyStopping
	ValidationFraction float64 // between 0 and 1
	NIterNoChange      int     // at least 1
	Tol                float64 // at least 0
	// CategoricalFeatures are the columns of categories; nil for none.
	CategoricalFeatures []int
	RandomState         uint32 // for validation set, rows that make the bins, features of a node

	// NIter is the number of iterations done.
	NIter int
	// Temperature is what the scores were divided by after Fit; 0 for nothing.
	Temperature float64

	ensemble *trees.Ensemble
	features int
	workers  int
}

func newBoosting() Boosting {
	return Boosting{
		LearningRate:       0.1,
		MaxIter:            100,
		MaxLeafNodes:       31,
		MinSamplesLeaf:     20,
		MaxFeatures:        1,
		MaxBins:            255,
		EarlyStopping:      Auto,
		ValidationFraction: 0.1,
		NIterNoChange:      10,
		Tol:                1e-7,
	}
}

// Params returns the parameters by scikit-learn's names.
func (m *Boosting) Params() map[string]any {
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
	if m.MaxFeatures != 1 {
		params["max_features"] = m.MaxFeatures
	}
	if m.Temperature != 0 {
		params["temperature"] = m.Temperature
	}
	if m.CategoricalFeatures != nil {
		params["categorical_features"] = strings.Trim(fmt.Sprint(m.CategoricalFeatures), "[]")
	}
	return params
}

func (m *Boosting) check(x *mat.Dense) error {
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
		{"max_features", m.MaxFeatures, m.MaxFeatures > 0 && m.MaxFeatures <= 1, "be above 0 and at most 1"},
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
	if err := learn.CheckNoInfinity(x); err != nil {
		return err
	}
	return checkCodes(x, m.CategoricalFeatures)
}

// reset forgets what was learned.
func (m *Boosting) reset() {
	m.ensemble, m.features, m.NIter, m.Temperature = nil, 0, 0, 0
}

// stopsEarly tells whether rows are held back.
func (m *Boosting) stopsEarly(rows int) bool {
	return m.EarlyStopping == Always || m.EarlyStopping == Auto && rows > autoStoppingRows
}

// grow adds iterations until MaxIter, or until the watcher says stop; it may be
// nil.
func (m *Boosting) grow(ctx context.Context, b *booster, watch *watcher, opt learn.Options) error {
	for m.NIter < m.MaxIter {
		if err := b.iterate(ctx); err != nil {
			return err
		}
		m.NIter++
		if opt.Progress != nil {
			if err := b.update(ctx); err != nil {
				return err
			}
			opt.Progress(m.NIter, b.loss)
		}
		if watch != nil && watch.stop() {
			break
		}
	}
	m.ensemble, m.features, m.workers = b.ensemble, b.features, opt.Workers
	return nil
}
