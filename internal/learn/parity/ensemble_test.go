package parity

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/ensemble"
	"github.com/petal-ml/petal/internal/learn/metrics"
	"github.com/petal-ml/petal/internal/learn/modelselection"
)

// seedCount is the number of seeds that each side has in a comparison.
const seedCount = 10

// requireSameSpread says that two samples over seeds could have one mean: their
// means differ by at most four standard errors of the difference, and by an
// absolute bit that stands for the rows of a small test set. With fixed seeds the
// answer is always the same.
func requireSameSpread(t *testing.T, want, got []float64, slack float64, what string) {
	t.Helper()
	require.Len(t, want, seedCount)
	require.Len(t, got, seedCount)
	wantMean, wantVariance := stat.MeanVariance(want, nil)
	gotMean, gotVariance := stat.MeanVariance(got, nil)
	bound := 4*math.Sqrt((wantVariance+gotVariance)/seedCount) + slack
	t.Logf("%s: scikit-learn %.4f ± %.4f, ours %.4f ± %.4f", what, wantMean, math.Sqrt(wantVariance), gotMean, math.Sqrt(gotVariance))
	require.InDelta(t, wantMean, gotMean, bound, what)
}

// requireSameSeeds compares an estimator with scikit-learn's over seeds.
func requireSameSeeds(t *testing.T, d holdout, estimator string, params map[string]any, create func(seed uint32) learn.Classifier) {
	t.Helper()
	var want struct{ Accuracy, Brier array }
	ask(t, "seeds", map[string]any{
		"estimator": estimator, "params": params, "count": seedCount,
		"x": pack(d.train), "y": d.yTrain, "x_test": pack(d.test), "y_test": d.yTest,
	}, &want)
	var accuracy, brier []float64
	for seed := range uint32(seedCount) {
		m := create(seed)
		require.NoError(t, m.Fit(t.Context(), d.train, d.yTrain, d.classes, learn.Options{}))
		proba, err := m.PredictProba(d.test)
		require.NoError(t, err)
		accuracy = append(accuracy, metrics.Accuracy(d.yTest, learn.Predict(proba)))
		brier = append(brier, metrics.Brier(d.yTest, proba))
	}
	requireSameSpread(t, want.Accuracy.values(t), accuracy, 0.25/float64(len(d.yTest)), "accuracy")
	requireSameSpread(t, want.Brier.values(t), brier, 0.001, "Brier score")
}

func TestForestsAreWithinTheSpreadOfScikitLearns(t *testing.T) {
	for _, name := range sets() {
		d := complete(t, name)
		for _, c := range []struct {
			name, estimator string
			params          map[string]any
			make            func() *ensemble.Forest
		}{
			{"random forest", "RandomForestClassifier", map[string]any{"n_estimators": 25}, func() *ensemble.Forest {
				f := ensemble.NewRandomForest()
				f.NEstimators = 25
				return f
			}},
			{"extra trees", "ExtraTreesClassifier", map[string]any{"n_estimators": 25}, func() *ensemble.Forest {
				f := ensemble.NewExtraTrees()
				f.NEstimators = 25
				return f
			}},
			{"small random forest", "RandomForestClassifier", map[string]any{"n_estimators": 20, "max_depth": 4, "min_samples_leaf": 3, "max_features": 2}, func() *ensemble.Forest {
				f := ensemble.NewRandomForest()
				f.NEstimators, f.MaxDepth, f.MinSamplesLeaf, f.MaxFeatures = 20, 4, 3, 2
				return f
			}},
		} {
			t.Run(name+" "+c.name, func(t *testing.T) {
				requireSameSeeds(t, d, c.estimator, c.params, func(seed uint32) learn.Classifier {
					f := c.make()
					f.RandomState = seed
					return f
				})
			})
		}
	}
}

func TestForestsAsONNX(t *testing.T) {
	for _, name := range sets() {
		d := complete(t, name)
		smooth := ensemble.NewRandomForest()
		smooth.Smooth, smooth.NEstimators = true, 20
		for _, f := range []*ensemble.Forest{ensemble.NewRandomForest(), ensemble.NewExtraTrees(), stump(), smooth} {
			t.Run(name+" "+f.Name(), func(t *testing.T) {
				f.RandomState = 1
				require.NoError(t, f.Fit(t.Context(), d.train, d.yTrain, d.classes, learn.Options{}))
				requireSameONNX(t, f, d.test, d.classes, 1e-6)
				requireSameONNX(t, f, onThresholds(d.train), d.classes, 1e-6)
			})
		}
	}
}

// stump has leaves that may all lean to one class.
func stump() *ensemble.Forest {
	f := ensemble.NewRandomForest()
	f.NEstimators, f.MaxDepth = 3, 1
	return f
}

// TestBoostingIsWithinTheSpreadOfScikitLearns compares boosting on the same
// splits, one a seed: up to 10,000 rows scikit-learn leaves nothing else to
// chance. What differs is which of two equal gains wins, where float32 gradients
// there and fixed point here round differently; the mean difference over the
// seeds must be within four of its standard errors.
func TestBoostingIsWithinTheSpreadOfScikitLearns(t *testing.T) {
	for _, name := range sets() {
		t.Run(name, func(t *testing.T) {
			d := load(t, name)
			var accuracy, brier []float64
			for seed := range uint32(seedCount) {
				want, got, yTest := bothBoosted(t, d, seed, 30, func(x *mat.Dense) *mat.Dense { return x })
				accuracy = append(accuracy, metrics.Accuracy(yTest, learn.Predict(got))-metrics.Accuracy(yTest, learn.Predict(want)))
				brier = append(brier, metrics.Brier(yTest, got)-metrics.Brier(yTest, want))
			}
			requireNoDifference(t, accuracy, 1e-9, "accuracy")
			requireNoDifference(t, brier, 1e-5, "Brier score")
		})
	}
}

// TestFirstBoostingIteration compares probabilities themselves, before rounding
// had time to choose among equal gains. Test rows miss values, also of features
// that were complete in training.
func TestFirstBoostingIteration(t *testing.T) {
	for _, name := range append(sets(), "missing") {
		t.Run(name, func(t *testing.T) {
			want, got, _ := bothBoosted(t, load(t, name), 42, 1, withHoles)
			n, classes := want.Dims()
			same := 0
			for i := range n {
				var distance float64
				for k := range classes {
					distance = max(distance, math.Abs(want.At(i, k)-got.At(i, k)))
				}
				if distance < 1e-6 {
					same++
				}
			}
			require.GreaterOrEqual(t, same, n*7/10) // the rest are rows below a tie
		})
	}
}

// bothBoosted returns scikit-learn's probabilities and ours for a hold-out, the
// rows of which may be changed first.
func bothBoosted(t *testing.T, d data, seed uint32, iterations int, change func(*mat.Dense) *mat.Dense) (want, got *mat.Dense, yTest []int) {
	t.Helper()
	s, err := modelselection.TrainTestSplit(d.y, 0.2, seed)
	require.NoError(t, err)
	x, y := modelselection.TakeRows(d.x, s.Train), modelselection.Take(d.y, s.Train)
	xTest := change(modelselection.TakeRows(d.x, s.Test))
	var answer struct{ Proba array }
	ask(t, "boosting", map[string]any{"params": map[string]any{"max_iter": iterations}, "x": pack(x), "y": y, "x_test": pack(xTest)}, &answer)
	m := ensemble.NewHistGradientBoosting()
	m.MaxIter = iterations
	require.NoError(t, m.Fit(t.Context(), x, y, d.classes, learn.Options{}))
	got, err = m.PredictProba(xTest)
	require.NoError(t, err)
	return answer.Proba.dense(t), got, modelselection.Take(d.y, s.Test)
}

// requireNoDifference says that paired differences could have mean zero.
func requireNoDifference(t *testing.T, differences []float64, slack float64, what string) {
	t.Helper()
	mean, variance := stat.MeanVariance(differences, nil)
	t.Logf("%s: ours less scikit-learn's %.5f ± %.5f", what, mean, math.Sqrt(variance))
	require.InDelta(t, 0, mean, 4*math.Sqrt(variance/float64(len(differences)))+slack, what)
}

func TestBoostingAsONNX(t *testing.T) {
	for _, name := range append(sets(), "missing") {
		t.Run(name, func(t *testing.T) {
			d := split(t, load(t, name))
			m := ensemble.NewHistGradientBoosting()
			require.NoError(t, m.Fit(t.Context(), d.train, d.yTrain, d.classes, learn.Options{}))
			requireSameONNX(t, m, d.test, d.classes, 1e-6)
			requireSameONNX(t, m, onThresholds(d.train), d.classes, 1e-6)
			requireSameONNX(t, m, withHoles(d.test), d.classes, 1e-6)
		})
	}
}

// TestLeaningTreeAsONNX has a single tree in which all leaves lean to the second
// class, by less than half: no weight is negative, which readers take as another
// rule for the label.
func TestLeaningTreeAsONNX(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 5))
	x, y := mat.NewDense(300, 2, nil), make([]int, 300)
	for i := range y {
		x.SetRow(i, []float64{random.Float64(), random.Float64()})
		y[i] = b2i(random.Float64() < 0.65)
	}
	f := stump()
	f.NEstimators, f.MinSamplesLeaf = 1, 100
	require.NoError(t, f.Fit(t.Context(), x, y, 2, learn.Options{}))
	proba, err := f.PredictProba(x)
	require.NoError(t, err)
	require.NotContains(t, learn.Predict(proba), 0)
	requireSameONNX(t, f, x, 2, 1e-6)
}

// onThresholds makes rows whose values lie half-way between neighbouring
// training values, where trees have their thresholds, or one float32 above.
func onThresholds(x *mat.Dense) *mat.Dense {
	n, p := x.Dims()
	random := rand.New(rand.NewPCG(3, 3))
	out := mat.NewDense(n, p, nil)
	for j := range p {
		values := mat.Col(nil, j, x)
		values = slices.DeleteFunc(values, math.IsNaN)
		slices.Sort(values)
		values = slices.Compact(values)
		for i := range n {
			at := random.IntN(len(values))
			next := min(at+1, len(values)-1)
			v := float32((float64(float32(values[at])) + float64(float32(values[next]))) / 2)
			if random.IntN(2) == 0 {
				v = math.Nextafter32(v, math.MaxFloat32)
			}
			out.Set(i, j, float64(v))
		}
	}
	return out
}

// withHoles replaces every fifth value by NaN.
func withHoles(x *mat.Dense) *mat.Dense {
	_, p := x.Dims()
	var out mat.Dense
	out.Apply(func(i, j int, v float64) float64 {
		if (i*p+j)%5 == 0 {
			return math.NaN()
		}
		return v
	}, x)
	return &out
}
