package ensemble

import (
	"context"
	"fmt"
	"math"
	"sync"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/internal/parallel"
	"github.com/petal-ml/petal/internal/learn/internal/trees"
)

// Growth is how forests grow their trees, and the trees that were grown.
//
// The random forest (Breiman 2001) grows each tree on a bootstrap sample and
// takes, at each node, the best split of a random few features. Extremely
// randomised trees (Geurts, Ernst and Wehenkel 2006) grow on all rows and draw one
// threshold for each of those features. Both follow scikit-learn 1.9.1: features
// as float32, thresholds at midpoints, values closer than 1e-7 taken as equal. The
// random numbers are not scikit-learn's, so it is means over seeds that agree.
//
// Each tree has a generator of its own, seeded by RandomState and its number.
// NaN and infinite values are refused; progress reports each finished tree, with
// NaN as loss.
type Growth struct {
	NEstimators     int     // number of trees, at least 1
	MaxDepth        int     // 0 for no limit
	MinSamplesSplit int     // rows that a node must have to be split, at least 2
	MinSamplesLeaf  int     // rows that each child must have, at least 1
	MaxFeatures     int     // features looked at in each node; 0 means MaxShare
	MaxShare        float64 // the same as a share of the features; 0 means ⌊√p⌋
	RandomState     uint32  // the seed

	name      string
	bootstrap bool
	random    bool // thresholds are drawn

	ensemble *trees.Ensemble
	features int
	workers  int
}

func newGrowth(name string) Growth {
	return Growth{NEstimators: 100, MinSamplesSplit: 2, MinSamplesLeaf: 1, name: name}
}

// Name returns the forest's name, such as "RandomForestClassifier".
func (g *Growth) Name() string { return g.name }

// Params returns the parameters by scikit-learn's names.
func (g *Growth) Params() map[string]any {
	params := map[string]any{
		"n_estimators":      g.NEstimators,
		"max_depth":         nil,
		"min_samples_split": g.MinSamplesSplit,
		"min_samples_leaf":  g.MinSamplesLeaf,
		"max_features":      "sqrt",
		"random_state":      int(g.RandomState),
	}
	if g.MaxDepth > 0 {
		params["max_depth"] = g.MaxDepth
	}
	switch {
	case g.MaxFeatures > 0:
		params["max_features"] = g.MaxFeatures
	case g.MaxShare > 0:
		params["max_features"] = g.MaxShare
	}
	return params
}

// grow grows the trees, each on one worker, with a criterion for each worker.
func (g *Growth) grow(ctx context.Context, x *mat.Dense, opt learn.Options, criterion func() criterion) ([]*trees.Tree, error) {
	s, err := newSamples(ctx, x, !g.random, opt.Workers)
	if err != nil {
		return nil, err
	}
	workers := min(parallel.Workers(opt.Workers), g.NEstimators)
	growers := make([]*grower, workers)
	grown := make([]*trees.Tree, g.NEstimators)
	var mu sync.Mutex
	done := 0
	err = parallel.DoWorker(ctx, workers, g.NEstimators, func(worker, i int) {
		if growers[worker] == nil {
			growers[worker] = newGrower(g, s, criterion())
		}
		grown[i] = growers[worker].grow(ctx, trees.NewRandom(uint64(g.RandomState), i))
		mu.Lock()
		defer mu.Unlock()
		done++
		if opt.Progress != nil && ctx.Err() == nil {
			opt.Progress(done, math.NaN())
		}
	})
	if err != nil {
		return nil, err
	}
	g.features, g.workers = s.features, opt.Workers
	return grown, nil
}

func (g *Growth) check(x *mat.Dense) error {
	switch {
	case g.NEstimators < 1:
		return fmt.Errorf("n_estimators is %d, it must be at least 1: %w", g.NEstimators, learn.ErrParameter)
	case g.MaxDepth < 0:
		return fmt.Errorf("max_depth is %d, it must not be negative: %w", g.MaxDepth, learn.ErrParameter)
	case g.MinSamplesSplit < 2:
		return fmt.Errorf("min_samples_split is %d, it must be at least 2: %w", g.MinSamplesSplit, learn.ErrParameter)
	case g.MinSamplesLeaf < 1:
		return fmt.Errorf("min_samples_leaf is %d, it must be at least 1: %w", g.MinSamplesLeaf, learn.ErrParameter)
	case g.MaxFeatures < 0:
		return fmt.Errorf("max_features is %d, it must not be negative: %w", g.MaxFeatures, learn.ErrParameter)
	case !(g.MaxShare >= 0 && g.MaxShare <= 1):
		return fmt.Errorf("max_features is %v of the features, it must be between 0 and 1: %w", g.MaxShare, learn.ErrParameter)
	}
	if _, p := x.Dims(); g.MaxFeatures > p {
		return fmt.Errorf("max_features is %d, there are %d features: %w", g.MaxFeatures, p, learn.ErrParameter)
	}
	return learn.CheckFinite(x)
}

// drawn returns how many features a node looks at.
func (g *Growth) drawn(features int) int {
	switch {
	case g.MaxFeatures > 0:
		return g.MaxFeatures
	case g.MaxShare > 0:
		return max(1, int(g.MaxShare*float64(features)))
	}
	return max(1, int(math.Sqrt(float64(features))))
}
