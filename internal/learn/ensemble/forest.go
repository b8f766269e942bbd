// Package ensemble holds the forests of randomised decision trees.
package ensemble

import (
	"context"
	"fmt"
	"math"
	"sync"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/emit"
	"github.com/petal-ml/petal/internal/learn/internal/parallel"
	"github.com/petal-ml/petal/internal/learn/internal/trees"
)

// A Forest averages the class shares in the leaves of randomised trees. Make one
// with [NewRandomForest] or [NewExtraTrees].
//
// The random forest (Breiman 2001) grows each tree on a bootstrap sample and
// takes, at each node, the best split of a random few features by Gini impurity.
// Extremely randomised trees (Geurts, Ernst and Wehenkel 2006) grow on all rows
// and draw one threshold for each of those features. Both follow
// scikit-learn 1.9.1: features as float32, thresholds at midpoints, values
// closer than 1e-7 taken as equal. The random numbers are not scikit-learn's, so
// it is means over seeds that agree.
//
// Each tree has a generator of its own, seeded by RandomState and its number.
// NaN and infinite values are refused; progress reports each finished tree, with
// NaN as loss.
type Forest struct {
	NEstimators     int    // number of trees, at least 1
	MaxDepth        int    // 0 for no limit
	MinSamplesSplit int    // rows that a node must have to be split, at least 2
	MinSamplesLeaf  int    // rows that each child must have, at least 1
	MaxFeatures     int    // features looked at in each node; 0 means ⌊√p⌋
	RandomState     uint32 // the seed

	name      string
	bootstrap bool
	random    bool // thresholds are drawn

	ensemble *trees.Ensemble
	features int
	classes  int
	workers  int
}

var _ learn.Classifier = (*Forest)(nil)

// NewRandomForest returns a RandomForestClassifier of 100 trees without a limit
// of depth.
func NewRandomForest() *Forest {
	return &Forest{NEstimators: 100, MinSamplesSplit: 2, MinSamplesLeaf: 1, name: "RandomForestClassifier", bootstrap: true}
}

// NewExtraTrees returns an ExtraTreesClassifier of 100 trees without a limit of
// depth.
func NewExtraTrees() *Forest {
	return &Forest{NEstimators: 100, MinSamplesSplit: 2, MinSamplesLeaf: 1, name: "ExtraTreesClassifier", random: true}
}

// Name returns "RandomForestClassifier" or "ExtraTreesClassifier".
func (f *Forest) Name() string { return f.name }

// Params returns the parameters by scikit-learn's names.
func (f *Forest) Params() map[string]any {
	params := map[string]any{
		"n_estimators":      f.NEstimators,
		"max_depth":         nil,
		"min_samples_split": f.MinSamplesSplit,
		"min_samples_leaf":  f.MinSamplesLeaf,
		"max_features":      "sqrt",
		"random_state":      int(f.RandomState),
	}
	if f.MaxDepth > 0 {
		params["max_depth"] = f.MaxDepth
	}
	if f.MaxFeatures > 0 {
		params["max_features"] = f.MaxFeatures
	}
	return params
}

// Fit grows the trees, each on one worker.
func (f *Forest) Fit(ctx context.Context, x *mat.Dense, y []int, classes int, opt learn.Options) error {
	if err := f.check(x, y, classes); err != nil {
		return fmt.Errorf("fit %s: %w", f.name, err)
	}
	f.ensemble = nil
	s, err := newSamples(ctx, x, y, classes, !f.random, opt.Workers)
	if err != nil {
		return err
	}
	workers := min(parallel.Workers(opt.Workers), f.NEstimators)
	growers := make([]*grower, workers)
	grown := make([]*trees.Tree, f.NEstimators)
	var mu sync.Mutex
	done := 0
	err = parallel.DoWorker(ctx, workers, f.NEstimators, func(worker, i int) {
		if growers[worker] == nil {
			growers[worker] = newGrower(f, s)
		}
		grown[i] = growers[worker].grow(ctx, trees.NewRandom(uint64(f.RandomState), i))
		mu.Lock()
		defer mu.Unlock()
		done++
		if opt.Progress != nil && ctx.Err() == nil {
			opt.Progress(done, math.NaN())
		}
	})
	if err != nil {
		return err
	}
	f.ensemble = &trees.Ensemble{Trees: grown, Outputs: classes}
	f.features, f.classes, f.workers = s.features, classes, opt.Workers
	return nil
}

func (f *Forest) check(x *mat.Dense, y []int, classes int) error {
	switch {
	case f.NEstimators < 1:
		return fmt.Errorf("n_estimators is %d, it must be at least 1: %w", f.NEstimators, learn.ErrParameter)
	case f.MaxDepth < 0:
		return fmt.Errorf("max_depth is %d, it must not be negative: %w", f.MaxDepth, learn.ErrParameter)
	case f.MinSamplesSplit < 2:
		return fmt.Errorf("min_samples_split is %d, it must be at least 2: %w", f.MinSamplesSplit, learn.ErrParameter)
	case f.MinSamplesLeaf < 1:
		return fmt.Errorf("min_samples_leaf is %d, it must be at least 1: %w", f.MinSamplesLeaf, learn.ErrParameter)
	case f.MaxFeatures < 0:
		return fmt.Errorf("max_features is %d, it must not be negative: %w", f.MaxFeatures, learn.ErrParameter)
	case classes > maxClasses:
		return fmt.Errorf("there are %d classes, a forest takes %d at most: %w", classes, maxClasses, learn.ErrValue)
	}
	if err := learn.CheckTraining(x, y, classes); err != nil {
		return err
	}
	if _, p := x.Dims(); f.MaxFeatures > p {
		return fmt.Errorf("max_features is %d, there are %d features: %w", f.MaxFeatures, p, learn.ErrParameter)
	}
	return learn.CheckFinite(x)
}

// drawn returns how many features a node looks at.
func (f *Forest) drawn(features int) int {
	if f.MaxFeatures > 0 {
		return f.MaxFeatures
	}
	return max(1, int(math.Sqrt(float64(features))))
}

// PredictProba averages the class shares of the leaves that each row falls into.
func (f *Forest) PredictProba(x *mat.Dense) (*mat.Dense, error) {
	if err := learn.CheckPredict(x, f.features); err != nil {
		return nil, fmt.Errorf("predict with %s: %w", f.name, err)
	}
	n, _ := x.Dims()
	proba := mat.NewDense(n, f.classes, nil)
	share := 1 / float64(len(f.ensemble.Trees))
	err := parallel.Do(context.Background(), f.workers, n, func(i int) {
		row := make([]float32, f.features)
		for j, v := range x.RawRowView(i) {
			row[j] = float32(v)
		}
		out := proba.RawRowView(i)
		f.ensemble.Sum(out, row)
		for k := range out {
			out[k] *= share
		}
	})
	return proba, err
}

// Emit adds a TreeEnsembleClassifier whose weights are the shares in the leaves,
// not divided by the number of trees: the shares of pure leaves add up exactly in
// float32, so that ties are ties. More than two classes are then normalised; two
// have the difference of their shares as one score, d, from which comes
// (1 ± d/trees)/2.
func (f *Forest) Emit(b *emit.Builder, input string) (emit.Scores, error) {
	if f.ensemble == nil {
		return emit.Scores{}, learn.ErrNotFitted
	}
	if err := b.CheckClasses(f.classes); err != nil {
		return emit.Scores{}, err
	}
	if f.classes > 2 {
		scores := f.ensemble.Emit(b, input, "NONE")
		scores.Probabilities = b.NodeML("Normalizer", []string{scores.Probabilities}, normL1())
		return scores, nil
	}
	scores := f.differences().Emit(b, input, "NONE")
	half := emit.Constant(b, "half", []int{1}, []float32{0.5})
	trees := emit.Constant(b, "twice_trees", []int{1}, []float32{2 * float32(f.NEstimators)})
	scores.Probabilities = b.Node("Add", []string{b.Node("Div", []string{scores.Probabilities, trees}), half})
	return scores, nil
}

// differences is the ensemble of two classes with the second's share less the
// first's in each leaf.
func (f *Forest) differences() *trees.Ensemble {
	e := &trees.Ensemble{Outputs: 1}
	for _, t := range f.ensemble.Trees {
		one := &trees.Tree{Nodes: append([]trees.Node(nil), t.Nodes...), Values: make([]float64, len(t.Values)/2)}
		for i := range one.Nodes {
			if one.Nodes[i].Feature < 0 {
				one.Nodes[i].Left /= 2
			}
		}
		for i := range one.Values {
			one.Values[i] = t.Values[2*i+1] - t.Values[2*i]
		}
		e.Trees = append(e.Trees, one)
	}
	return e
}
