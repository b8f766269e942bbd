// Package ensemble holds the forests of randomised decision trees.
package ensemble

import (
	"context"
	"fmt"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/emit"
	"github.com/petal-ml/petal/internal/learn/internal/parallel"
	"github.com/petal-ml/petal/internal/learn/internal/trees"
)

// A Forest averages the class shares in the leaves of randomised trees, split by
// Gini impurity: see [Growth]. Make one with [NewRandomForest] or [NewExtraTrees].
type Forest struct {
	Growth
	// Smooth takes one more tree for granted, in which all classes are alike: with
	// T trees and K classes a share p becomes (T·p + 1/K)/(T+1). So none is 0,
	// which one row of that class would make infinitely wrong. scikit-learn's
	// forests are not smoothed.
	Smooth bool

	classes int
}

var _ learn.Classifier = (*Forest)(nil)

// NewRandomForest returns a RandomForestClassifier of 100 trees without a limit
// of depth.
func NewRandomForest() *Forest {
	f := &Forest{Growth: newGrowth("RandomForestClassifier")}
	f.bootstrap = true
	return f
}

// NewExtraTrees returns an ExtraTreesClassifier of 100 trees without a limit of
// depth.
func NewExtraTrees() *Forest {
	f := &Forest{Growth: newGrowth("ExtraTreesClassifier")}
	f.random = true
	return f
}

// Params returns the parameters by scikit-learn's names, and smooth where it is
// set, which scikit-learn has not.
func (f *Forest) Params() map[string]any {
	params := f.Growth.Params()
	if f.Smooth {
		params["smooth"] = true
	}
	return params
}

// Fit grows the trees, each on one worker.
func (f *Forest) Fit(ctx context.Context, x *mat.Dense, y []int, classes int, opt learn.Options) error {
	f.ensemble, f.features = nil, 0
	if err := f.check(x, y, classes); err != nil {
		return fmt.Errorf("fit %s: %w", f.name, err)
	}
	grown, err := f.grow(ctx, x, opt, func() criterion { return newGini(y, classes) })
	if err != nil {
		return err
	}
	f.ensemble = &trees.Ensemble{Trees: grown, Outputs: classes}
	f.classes = classes
	return nil
}

func (f *Forest) check(x *mat.Dense, y []int, classes int) error {
	if classes > maxClasses {
		return fmt.Errorf("there are %d classes, a forest takes %d at most: %w", classes, maxClasses, learn.ErrValue)
	}
	if err := learn.CheckTraining(x, y, classes); err != nil {
		return err
	}
	return f.Growth.check(x)
}

// PredictProba averages the class shares of the leaves that each row falls into.
func (f *Forest) PredictProba(x *mat.Dense) (*mat.Dense, error) {
	if err := learn.CheckPredict(x, f.features); err != nil {
		return nil, fmt.Errorf("predict with %s: %w", f.name, err)
	}
	n, _ := x.Dims()
	proba := mat.NewDense(n, f.classes, nil)
	even, share := f.smoothing()
	err := parallel.Do(context.Background(), f.workers, n, func(i int) {
		row := make([]float32, f.features)
		for j, v := range x.RawRowView(i) {
			row[j] = float32(v)
		}
		out := proba.RawRowView(i)
		f.ensemble.Sum(out, row)
		for k := range out {
			out[k] = (out[k] + even) * share
		}
	})
	return proba, err
}

// smoothing returns what is added to each sum of shares, and what that is then
// multiplied by to give a probability.
func (f *Forest) smoothing() (even, share float64) {
	n := float64(len(f.ensemble.Trees))
	if f.Smooth {
		return 1 / float64(f.classes), 1 / (n + 1)
	}
	return 0, 1 / n
}

// Emit adds a TreeEnsembleClassifier whose weights are the shares in the leaves,
// not divided by the number of trees: the shares of pure leaves add up exactly in
// float32, so that ties are ties. More than two classes are then normalised; two
// have the difference of their shares as one score, d, from which comes
// (1 ± d/trees)/2. Smoothing is one more tree: even shares in all leaves of the
// first, and nothing in the difference of two.
func (f *Forest) Emit(b *emit.Builder, input string) (emit.Scores, error) {
	if f.ensemble == nil {
		return emit.Scores{}, learn.ErrNotFitted
	}
	if err := b.CheckClasses(f.classes); err != nil {
		return emit.Scores{}, err
	}
	if f.classes > 2 {
		scores := f.smoothed().Emit(b, input, "NONE")
		scores.Probabilities = b.NodeML("Normalizer", []string{scores.Probabilities}, normL1())
		return scores, nil
	}
	_, share := f.smoothing()
	scores := f.differences().Emit(b, input, "NONE")
	half := emit.Constant(b, "half", []int{1}, []float32{0.5})
	trees := emit.Constant(b, "twice_trees", []int{1}, []float32{float32(2 / share)})
	scores.Probabilities = b.Node("Add", []string{b.Node("Div", []string{scores.Probabilities, trees}), half})
	return scores, nil
}

// smoothed is the ensemble with the even shares of smoothing in its first tree.
func (f *Forest) smoothed() *trees.Ensemble {
	even, _ := f.smoothing()
	if even == 0 {
		return f.ensemble
	}
	first := &trees.Tree{Nodes: f.ensemble.Trees[0].Nodes, Values: slices.Clone(f.ensemble.Trees[0].Values)}
	for i := range first.Values {
		first.Values[i] += even
	}
	return &trees.Ensemble{Trees: append([]*trees.Tree{first}, f.ensemble.Trees[1:]...), Outputs: f.ensemble.Outputs}
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
