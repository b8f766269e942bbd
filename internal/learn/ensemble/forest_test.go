package ensemble

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/internal/trees"
	"github.com/petal-ml/petal/tests/testenv/golden"
)

func blobs(n, p, classes int, seed uint64) (*mat.Dense, []int) {
	random := rand.New(rand.NewPCG(seed, 1))
	centres := mat.NewDense(classes, p, nil)
	centres.Apply(func(int, int, float64) float64 { return random.NormFloat64() }, centres)
	x, y := mat.NewDense(n, p, nil), make([]int, n)
	for i := range n {
		y[i] = i % classes
		for j := range p {
			x.Set(i, j, centres.At(y[i], j)+random.NormFloat64())
		}
	}
	return x, y
}

func TestSameTreesForAnyNumberOfWorkers(t *testing.T) {
	x, y := blobs(700, 9, 3, 1)
	for _, make := range []func() *Forest{NewRandomForest, NewExtraTrees} {
		fit := func(workers int, seed uint32) []*trees.Tree {
			f := make()
			f.NEstimators, f.RandomState = 11, seed
			require.NoError(t, f.Fit(t.Context(), x, y, 3, learn.Options{Workers: workers}))
			return f.ensemble.Trees
		}
		one := fit(1, 5)
		require.Equal(t, one, fit(2, 5))
		require.Equal(t, one, fit(5, 5))
		require.NotEqual(t, one, fit(1, 6))
	}
}

// TestBestSplitIsTheBest compares the split of a node with that of a search
// through all thresholds by the definition of Gini impurity.
func TestBestSplitIsTheBest(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 4))
	for _, n := range []int{2, 5, 40, 300} {
		for range 20 {
			x, y := mat.NewDense(n, 1, nil), make([]int, n)
			for i := range n {
				x.Set(i, 0, math.Round(random.NormFloat64()*8)/4)
				y[i] = random.IntN(3)
			}
			y[0], y[1] = 0, 1
			s, err := newSamples(t.Context(), x, true, 1)
			require.NoError(t, err)
			g := newGrower(&NewRandomForest().Growth, s, newGini(y, 3))
			g.random = trees.NewRandom(1, 1)
			g.sample()
			weights := make([]float64, n)
			for _, i := range g.order {
				weights[i] = float64(g.carried[i] & 0xffff)
			}
			got, ok := g.split(part{to: len(g.order)})
			want, found := bruteSplit(x, y, weights)
			require.Equal(t, found, ok)
			if found {
				require.InDelta(t, want, impurity(x, y, weights, float64(got.threshold)), 1e-12)
			}
		}
	}
}

// bruteSplit returns the lowest weighted impurity of any split, and whether
// there is one: rows of two classes and two values have weight.
func bruteSplit(x *mat.Dense, y []int, weights []float64) (best float64, found bool) {
	var values []float64
	var classes []int
	for i, w := range weights {
		if w > 0 {
			values, classes = append(values, x.At(i, 0)), append(classes, y[i])
		}
	}
	slices.Sort(values)
	slices.Sort(classes)
	values, classes = slices.Compact(values), slices.Compact(classes)
	best = math.Inf(1)
	for _, v := range values[:len(values)-1] {
		best = min(best, impurity(x, y, weights, v))
	}
	return best, len(values) > 1 && len(classes) > 1
}

func impurity(x *mat.Dense, y []int, weights []float64, threshold float64) float64 {
	var counts [2][3]float64
	var sums [2]float64
	for i, k := range y {
		side := 0
		if x.At(i, 0) > threshold {
			side = 1
		}
		counts[side][k] += weights[i]
		sums[side] += weights[i]
	}
	var total float64
	for side, n := range sums {
		impurity := 1.0
		for _, c := range counts[side] {
			impurity -= c / n * c / n
		}
		total += n * impurity
	}
	return total / float64(len(y))
}

func TestFullTreesKnowTheirRows(t *testing.T) {
	x, y := blobs(300, 4, 3, 2)
	f := NewExtraTrees()
	f.NEstimators = 5
	require.NoError(t, f.Fit(t.Context(), x, y, 3, learn.Options{}))
	proba, err := f.PredictProba(x)
	require.NoError(t, err)
	require.Equal(t, y, learn.Predict(proba))
	for i := range y {
		require.InDelta(t, 1, proba.At(i, y[i]), 0)
	}
}

func TestLimitsOfTrees(t *testing.T) {
	x, y := blobs(500, 5, 2, 3)
	f := NewRandomForest()
	f.NEstimators, f.MaxDepth, f.MinSamplesLeaf = 4, 3, 20
	f.bootstrap = false
	require.NoError(t, f.Fit(t.Context(), x, y, 2, learn.Options{}))
	for _, tree := range f.ensemble.Trees {
		require.LessOrEqual(t, tree.Depth(), 3)
		rows := map[int]int{}
		row := make([]float32, 5)
		for i := range y {
			for j := range row {
				row[j] = float32(x.At(i, j))
			}
			rows[tree.Find(row)]++
		}
		for _, n := range rows {
			require.GreaterOrEqual(t, n, 20)
		}
	}
}

func TestConstantFeaturesAreNoSplits(t *testing.T) {
	x, y := mat.NewDense(40, 30, nil), make([]int, 40)
	for i := range 40 {
		y[i] = i % 2
		x.Set(i, 7, float64(y[i])) // the only one of 30 that varies, ⌊√30⌋ = 5 are drawn
		x.Set(i, 8, 1e-9*float64(i))
	}
	for _, make := range []func() *Forest{NewRandomForest, NewExtraTrees} {
		f := make()
		f.NEstimators = 10
		require.NoError(t, f.Fit(t.Context(), x, y, 2, learn.Options{}))
		proba, err := f.PredictProba(x)
		require.NoError(t, err)
		require.Equal(t, y, learn.Predict(proba))
	}
}

func TestSortKeysByRadix(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 8))
	for _, n := range []int{0, 1, 63, 64, 1000, 5000} {
		for _, width := range []int{0, 1, 8, 11, 12, 17, 22, 23, 31} {
			keys := make([]uint64, n)
			for i := range keys {
				keys[i] = random.Uint64N(1<<width)<<32 | uint64(i)
			}
			want := slices.Clone(keys)
			slices.Sort(want)
			require.Equal(t, want, sortKeys(keys, make([]uint64, n), width), "n %d, width %d", n, width)
		}
	}
}

func TestFitStopsWithTheContext(t *testing.T) {
	x, y := blobs(3000, 20, 5, 1)
	ctx, cancel := context.WithCancel(t.Context())
	f := NewRandomForest()
	f.NEstimators = 100000
	start := time.Now()
	err := f.Fit(ctx, x, y, 5, learn.Options{Progress: func(int, float64) { cancel() }})
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, time.Since(start), 20*time.Second)
	_, err = f.PredictProba(x)
	require.ErrorIs(t, err, learn.ErrNotFitted)
}

func TestBadParameters(t *testing.T) {
	messages := golden.New(t)
	for _, c := range []struct {
		name   string
		mutate func(f *Forest, x *mat.Dense)
		is     error
		at     string
	}{
		{"no trees", func(f *Forest, _ *mat.Dense) { f.NEstimators = 0 }, learn.ErrParameter, "n_estimators"},
		{"negative depth", func(f *Forest, _ *mat.Dense) { f.MaxDepth = -1 }, learn.ErrParameter, "max_depth"},
		{"split of one", func(f *Forest, _ *mat.Dense) { f.MinSamplesSplit = 1 }, learn.ErrParameter, "min_samples_split"},
		{"empty leaf", func(f *Forest, _ *mat.Dense) { f.MinSamplesLeaf = 0 }, learn.ErrParameter, "min_samples_leaf"},
		{"too many features", func(f *Forest, _ *mat.Dense) { f.MaxFeatures = 5 }, learn.ErrParameter, "max_features"},
		{"missing value", func(_ *Forest, x *mat.Dense) { x.Set(3, 2, math.NaN()) }, learn.ErrValue, "row 3, column 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, y := blobs(30, 4, 2, 1)
			f := NewRandomForest()
			c.mutate(f, x)
			err := f.Fit(t.Context(), x, y, 2, learn.Options{})
			require.ErrorIs(t, err, c.is)
			require.ErrorContains(t, err, c.at)
			messages.Add(c.name, err)
		})
	}
}

func BenchmarkRandomForest(b *testing.B) {
	x, y := blobs(100_000, 20, 5, 1)
	for b.Loop() {
		f := NewRandomForest()
		f.NEstimators = 4
		require.NoError(b, f.Fit(b.Context(), x, y, 5, learn.Options{Workers: 2}))
	}
}
