package ensemble

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/internal/trees"
	"github.com/petal-ml/petal/tests/testenv/golden"
)

func TestSameBoostingForAnyNumberOfWorkers(t *testing.T) {
	for _, c := range []struct {
		name             string
		n, p, classes    int
		missing, iterate int
	}{
		{"two classes", 900, 3, 2, 0, 20},
		{"missing values", 900, 9, 3, 7, 10},
		{"rows for several workers", 18_000, 5, 3, 11, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, y := blobs(c.n, c.p, c.classes, 1)
			if c.missing > 0 {
				x.Apply(func(i, j int, v float64) float64 {
					if (i*c.p+j)%c.missing == 0 {
						return math.NaN()
					}
					return v
				}, x)
			}
			fit := func(workers int) []*trees.Tree {
				m := NewHistGradientBoosting()
				m.MaxIter, m.EarlyStopping = c.iterate, Never
				require.NoError(t, m.Fit(t.Context(), x, y, c.classes, learn.Options{Workers: workers}))
				return m.ensemble.Trees
			}
			one := fit(1)
			require.Equal(t, one, fit(2))
			require.Equal(t, one, fit(5))
		})
	}
}

// TestHistogramsAreSums compares counted and subtracted histograms with sums by
// definition.
func TestHistogramsAreSums(t *testing.T) {
	x, y := blobs(20_000, 5, 3, 4)
	m := NewHistGradientBoosting()
	train := make([]int, len(y))
	for i := range train {
		train[i] = i
	}
	b, err := newBooster(t.Context(), &m.Boosting, x, newCrossEntropy(y, 3), train, 3)
	require.NoError(t, err)
	require.NoError(t, b.update(t.Context()))
	require.NoError(t, b.gradients(t.Context(), 1))
	var some, others []uint32
	for i := range uint32(20_000) {
		if i%3 == 0 {
			others = append(others, i)
		} else {
			some = append(some, i)
		}
	}
	all, part := newHistogram(len(b.words)), newHistogram(len(b.words))
	require.NoError(t, b.tree.count(t.Context(), part, some))
	all.add(part)
	require.NoError(t, b.tree.count(t.Context(), part, others))
	all.add(part)
	all.subtract(part)

	for j := range 5 {
		var gradients, hessians [256]float64
		var rows [256]int
		for _, i := range some {
			bin := b.cuts[j].lookup().bin(float32(x.At(int(i), j)))
			p := b.objective.(*crossEntropy).proba[1][i]
			hessians[bin] += p * (1 - p)
			if y[i] == 1 {
				p--
			}
			gradients[bin] += p
			rows[bin]++
		}
		for bin, e := range all[j/packed][j%packed] {
			got := b.tree.moments(e.gradient, e.rest)
			require.InDelta(t, gradients[bin], got.gradient, 1e-6)
			require.InDelta(t, hessians[bin], got.hessian, 1e-6)
			require.Equal(t, rows[bin], int(e.rest>>b.fixed.sumBits))
		}
	}
}

// TestGradientsByFiniteDifferences takes the log-loss of one row as a function
// of its raw scores.
func TestGradientsByFiniteDifferences(t *testing.T) {
	loss := func(raw []float64, y int) float64 {
		proba := make([]float64, max(2, len(raw)))
		softmax(proba, raw)
		return -math.Log(proba[y])
	}
	const step = 1e-4
	for _, classes := range []int{2, 4} {
		x, y := blobs(64, 2, classes, 6)
		train := make([]int, len(y))
		for i := range train {
			train[i] = i
		}
		b, err := newBooster(t.Context(), &NewHistGradientBoosting().Boosting, x, newCrossEntropy(y, classes), train, 1)
		require.NoError(t, err)
		random := rand.New(rand.NewPCG(1, 1))
		for k := range b.raw {
			for i := range b.raw[k] {
				b.raw[k][i] = random.NormFloat64()
			}
		}
		require.NoError(t, b.update(t.Context()))
		var sum float64
		for k := range b.raw {
			require.NoError(t, b.gradients(t.Context(), k))
			for i, pair := range b.pairs {
				raw := make([]float64, len(b.raw))
				for o := range raw {
					raw[o] = b.raw[o][i]
				}
				at := loss(raw, y[i])
				raw[k] += step
				up := loss(raw, y[i])
				raw[k] -= 2 * step
				down := loss(raw, y[i])
				got := b.tree.moments(int64(pair)>>32, pair&(1<<32-1))
				require.InDelta(t, (up-down)/(2*step), got.gradient, 1e-7)
				require.InDelta(t, (up-2*at+down)/(step*step), got.hessian, 1e-6)
				if k == 0 {
					sum += at
				}
			}
		}
		require.InDelta(t, sum/64, b.loss, 1e-12)
	}
}

func TestPartitionKeepsTheOrder(t *testing.T) {
	x, y := blobs(3*chunkRows+17, 2, 2, 2)
	train := make([]int, len(y))
	for i := range train {
		train[i] = i
	}
	b, err := newBooster(t.Context(), &NewHistGradientBoosting().Boosting, x, newCrossEntropy(y, 2), train, 2)
	require.NoError(t, err)
	for i := range b.tree.order {
		b.tree.order[i] = uint32(i)
	}
	for _, bin := range []uint32{0, 100, 254} {
		g := &growing{to: b.rows, best: candidate{feature: 1, bin: bin}}
		middle, err := b.tree.partition(t.Context(), g)
		require.NoError(t, err)
		for at, i := range b.tree.order {
			if left := b.cuts[1].lookup().bin(float32(x.At(int(i), 1))) <= bin; left != (at < middle) {
				t.Fatalf("row %d at %d is on the wrong side of %d", i, at, middle)
			}
			if at > 0 && at != middle && b.tree.order[at-1] >= i {
				t.Fatalf("row %d at %d comes behind row %d", i, at, b.tree.order[at-1])
			}
		}
		for i := range b.tree.order {
			b.tree.order[i] = uint32(i)
		}
	}
}

func TestMissingValuesCanDecide(t *testing.T) {
	x, y := mat.NewDense(200, 2, nil), make([]int, 200)
	for i := range 200 {
		y[i] = i % 2
		x.Set(i, 0, float64(i))
		x.Set(i, 1, float64(i%7))
		if y[i] == 1 {
			x.Set(i, 1, math.NaN())
		}
	}
	m := NewHistGradientBoosting()
	m.MaxLeafNodes = 2 // a single split: all values to one side, the missing ones to the other
	require.NoError(t, m.Fit(t.Context(), x, y, 2, learn.Options{}))
	proba, err := m.PredictProba(x)
	require.NoError(t, err)
	require.Equal(t, y, learn.Predict(proba))
	require.Greater(t, proba.At(1, 1), 0.99)
	require.Greater(t, proba.At(0, 0), 0.99)
	require.Equal(t, float32(math.MaxFloat32), m.ensemble.Trees[0].Nodes[0].Threshold)
}

func TestBinsHoldTheirEnds(t *testing.T) {
	c := cut{ends: binEnds([]float32{3, 1, 2, 2, 1}, 255)}
	require.Equal(t, []float32{1.5, 2.5}, c.ends)
	for v, want := range map[float32]uint32{-9: 0, 1.5: 0, 1.6: 1, 2.5: 1, 2.6: 2, 99: 2} {
		require.Equal(t, want, c.lookup().bin(v), "%v", v)
	}
	require.Equal(t, uint32(missingBin), c.lookup().bin(float32(math.NaN())))
	many := make([]float32, 10_000)
	for i := range many {
		many[i] = float32(i)
	}
	c = cut{ends: binEnds(many, 10)}
	require.Len(t, c.ends, 9)
	counts := map[uint32]int{}
	for _, v := range many {
		counts[c.lookup().bin(v)]++
	}
	for bin := range uint32(10) {
		require.InDelta(t, 1000, counts[bin], 2)
	}
}

func TestEarlyStoppingStops(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 9))
	x, y := mat.NewDense(600, 4, nil), make([]int, 600)
	for i := range y {
		y[i] = random.IntN(2) // nothing to learn
		for j := range 4 {
			x.Set(i, j, random.NormFloat64())
		}
	}
	m := NewHistGradientBoosting()
	m.EarlyStopping = Always
	require.NoError(t, m.Fit(t.Context(), x, y, 2, learn.Options{}))
	require.Less(t, m.NIter, 40)
	m.EarlyStopping, m.MaxIter = Auto, 41 // 600 rows are too few
	require.NoError(t, m.Fit(t.Context(), x, y, 2, learn.Options{}))
	require.Equal(t, 41, m.NIter)
}

func TestProgressOfBoostingFalls(t *testing.T) {
	x, y := blobs(400, 4, 3, 1)
	var losses []float64
	m := NewHistGradientBoosting()
	m.MaxIter = 15
	require.NoError(t, m.Fit(t.Context(), x, y, 3, learn.Options{Progress: func(i int, loss float64) {
		losses = append(losses, loss)
		require.Len(t, losses, i)
	}}))
	require.Len(t, losses, 15)
	for i := 1; i < len(losses); i++ {
		require.Less(t, losses[i], losses[i-1])
	}
}

func TestBoostingStopsWithTheContext(t *testing.T) {
	x, y := blobs(400, 4, 3, 1)
	ctx, cancel := context.WithCancel(t.Context())
	m := NewHistGradientBoosting()
	m.MaxIter = 1 << 30
	err := m.Fit(ctx, x, y, 3, learn.Options{Progress: func(int, float64) { cancel() }})
	require.ErrorIs(t, err, context.Canceled)
	_, err = m.PredictProba(x)
	require.ErrorIs(t, err, learn.ErrNotFitted)
}

func TestBadParametersOfBoosting(t *testing.T) {
	messages := golden.New(t)
	for _, c := range []struct {
		name   string
		mutate func(m *HistGradientBoosting, x *mat.Dense)
		is     error
		at     string
	}{
		{"learning rate", func(m *HistGradientBoosting, _ *mat.Dense) { m.LearningRate = 0 }, learn.ErrParameter, "learning_rate"},
		{"bins", func(m *HistGradientBoosting, _ *mat.Dense) { m.MaxBins = 256 }, learn.ErrParameter, "max_bins"},
		{"leaves", func(m *HistGradientBoosting, _ *mat.Dense) { m.MaxLeafNodes = 1 }, learn.ErrParameter, "max_leaf_nodes"},
		{"early stopping", func(m *HistGradientBoosting, _ *mat.Dense) { m.EarlyStopping = "maybe" }, learn.ErrParameter, "early_stopping"},
		{"infinite value", func(_ *HistGradientBoosting, x *mat.Dense) { x.Set(3, 2, math.Inf(1)) }, learn.ErrValue, "row 3, column 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, y := blobs(60, 4, 2, 1)
			m := NewHistGradientBoosting()
			c.mutate(m, x)
			err := m.Fit(t.Context(), x, y, 2, learn.Options{})
			require.ErrorIs(t, err, c.is)
			require.ErrorContains(t, err, c.at)
			messages.Add(c.name, err)
		})
	}
}

func BenchmarkHistGradientBoosting(b *testing.B) {
	x, y := blobs(200_000, 20, 5, 1)
	for b.Loop() {
		m := NewHistGradientBoosting()
		m.MaxIter, m.EarlyStopping = 2, Never
		require.NoError(b, m.Fit(b.Context(), x, y, 5, learn.Options{}))
	}
}
