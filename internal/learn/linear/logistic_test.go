package linear

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/diff/fd"
	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/emit"
	"github.com/petal-ml/petal/internal/learn/preprocessing"
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/tests/testenv/golden"
)

// blobs makes rows around one centre a class, far enough apart to learn and near
// enough to overlap.
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

func TestDerivativesByFiniteDifferences(t *testing.T) {
	for _, c := range []struct {
		name             string
		n, p, classes    int
		wantOutputs      int
		hessianTolerance float64
	}{
		{"two classes", 203, 3, 2, 1, 1e-7},
		{"three classes", 61, 4, 3, 3, 1e-7},
		{"six classes, one feature", 1201, 1, 6, 6, 1e-7},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, y := blobs(c.n, c.p, c.classes, 3)
			f := newObjective(t.Context(), learn.Rows{X: x}, y, c.classes, 0.7, 2)
			require.Equal(t, c.wantOutputs, f.outputs)
			random := rand.New(rand.NewPCG(5, 5))
			theta := make([]float64, f.size())
			for j := range theta {
				theta[j] = random.NormFloat64()
			}
			gradient, scratch := make([]float64, f.size()), make([]float64, f.size())
			f.evaluate(theta, gradient)
			settings := &fd.Settings{Formula: fd.Central}
			byDifferences := fd.Gradient(nil, func(at []float64) float64 { return f.evaluate(at, scratch) }, theta, settings)
			require.InDeltaSlice(t, byDifferences, gradient, 1e-8)

			h, err := f.hessian(theta)
			require.NoError(t, err)
			numeric := mat.NewDense(f.size(), f.size(), nil)
			fd.Jacobian(numeric, func(dst, at []float64) { f.evaluate(at, dst) }, theta, &fd.JacobianSettings{Formula: fd.Central})
			weights := f.outputs * f.features
			for a := range f.size() {
				for b := range f.size() {
					want := numeric.At(a, b)
					if f.outputs > 1 && a >= weights && b >= weights {
						want += 1 / float64(f.outputs) // what hessian adds to fix the free constant
					}
					require.InDelta(t, want, h.At(a, b), c.hessianTolerance, "second derivative [%d,%d]", a, b)
				}
			}
		})
	}
}

// TestSameBitsForAnyNumberOfWorkers compares the optimum as well as a fit that
// is stopped half-way, where nothing pulls different paths together again.
func TestSameBitsForAnyNumberOfWorkers(t *testing.T) {
	for _, c := range []struct {
		name       string
		n, classes int
		maxIter    int
		tol        float64
	}{
		{"to the optimum", 9000, 3, 1000, 1e-8},
		{"two classes to the optimum", 9000, 2, 1000, 1e-8},
		{"stopped half-way", 20011, 5, 4, 1e-4},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, y := blobs(c.n, 6, c.classes, 9)
			fit := func(workers int) *LogisticRegression {
				m := NewLogisticRegression()
				m.MaxIter, m.Tol = c.maxIter, c.tol
				p := &learn.Pipeline{Steps: []learn.Transformer{&preprocessing.StandardScaler{}}, Classifier: m}
				require.NoError(t, p.Fit(t.Context(), x, y, c.classes, learn.Options{Workers: workers}))
				return m
			}
			one := fit(1)
			for _, workers := range []int{2, 3, 7} {
				many := fit(workers)
				require.Equal(t, one.Coef.RawMatrix().Data, many.Coef.RawMatrix().Data, "%d workers", workers)
				require.Equal(t, one.Intercept, many.Intercept, "%d workers", workers)
			}
		})
	}
}

func TestProgressFallsToTheOptimum(t *testing.T) {
	x, y := blobs(300, 4, 3, 1)
	var losses []float64
	m := NewLogisticRegression()
	require.NoError(t, m.Fit(t.Context(), x, y, 3, learn.Options{Progress: func(i int, loss float64) {
		require.Equal(t, len(losses)+1, i)
		losses = append(losses, loss)
	}}))
	require.Greater(t, len(losses), 5)
	require.Len(t, losses, m.NIter)
	require.InDelta(t, m.Loss, losses[len(losses)-1], 1e-12)
	for i := 1; i < len(losses); i++ {
		require.LessOrEqual(t, losses[i], losses[i-1]+1e-15)
	}
}

func TestOptimumHasNoGradient(t *testing.T) {
	x, y := blobs(500, 5, 4, 2)
	m := NewLogisticRegression()
	require.NoError(t, m.Fit(t.Context(), x, y, 4, learn.Options{}))
	require.True(t, m.Converged)
	f := newObjective(t.Context(), learn.Rows{X: x}, y, 4, m.C, 1)
	gradient := make([]float64, f.size())
	f.evaluate(append(append([]float64(nil), m.Coef.RawMatrix().Data...), m.Intercept...), gradient)
	require.Less(t, largest(gradient), 1e-14)
	var sum float64
	for _, b := range m.Intercept {
		sum += b
	}
	require.InDelta(t, 0, sum, 1e-12)
}

func TestSeparableDataStayFinite(t *testing.T) {
	x := mat.NewDense(40, 1, nil)
	y := make([]int, 40)
	for i := range 40 {
		x.Set(i, 0, float64(i))
		y[i] = i / 20
	}
	m := NewLogisticRegression()
	m.C = 1e8
	require.NoError(t, m.Fit(t.Context(), x, y, 2, learn.Options{}))
	proba, err := m.PredictProba(x)
	require.NoError(t, err)
	require.Equal(t, y, learn.Predict(proba))
	require.False(t, math.IsNaN(mat.Sum(proba)))
}

func TestFitStopsWithTheContext(t *testing.T) {
	x, y := blobs(2000, 5, 4, 2)
	ctx, cancel := context.WithCancel(t.Context())
	m := NewLogisticRegression()
	err := m.Fit(ctx, x, y, 4, learn.Options{Progress: func(i int, _ float64) {
		if i == 3 {
			cancel()
		}
	}})
	require.ErrorIs(t, err, context.Canceled)
	_, err = m.PredictProba(x)
	require.ErrorIs(t, err, learn.ErrNotFitted)
}

func TestBadInput(t *testing.T) {
	messages := golden.New(t)
	for _, c := range []struct {
		name   string
		mutate func(m *LogisticRegression, x *mat.Dense, y []int) (*mat.Dense, []int)
		is     error
		at     string
	}{
		{"C of zero", func(m *LogisticRegression, x *mat.Dense, y []int) (*mat.Dense, []int) { m.C = 0; return x, y }, learn.ErrParameter, "parameter C"},
		{"tol that is NaN", func(m *LogisticRegression, x *mat.Dense, y []int) (*mat.Dense, []int) {
			m.Tol = math.NaN()
			return x, y
		}, learn.ErrParameter, "tol"},
		{"no iterations", func(m *LogisticRegression, x *mat.Dense, y []int) (*mat.Dense, []int) { m.MaxIter = 0; return x, y }, learn.ErrParameter, "max_iter"},
		{"missing value", func(_ *LogisticRegression, x *mat.Dense, y []int) (*mat.Dense, []int) {
			x.Set(7, 1, math.NaN())
			return x, y
		}, learn.ErrValue, "row 7, column 1"},
		{"infinite value", func(_ *LogisticRegression, x *mat.Dense, y []int) (*mat.Dense, []int) {
			x.Set(0, 2, math.Inf(-1))
			return x, y
		}, learn.ErrValue, "row 0, column 2"},
		{"one label too few", func(_ *LogisticRegression, x *mat.Dense, y []int) (*mat.Dense, []int) { return x, y[1:] }, learn.ErrShape, ""},
		{"class out of range", func(_ *LogisticRegression, x *mat.Dense, y []int) (*mat.Dense, []int) { y[4] = 3; return x, y }, learn.ErrValue, "row 4"},
		{"one class", func(_ *LogisticRegression, x *mat.Dense, _ []int) (*mat.Dense, []int) { return x, make([]int, 30) }, learn.ErrValue, ""},
		{"no rows", func(*LogisticRegression, *mat.Dense, []int) (*mat.Dense, []int) { return &mat.Dense{}, nil }, learn.ErrShape, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, y := blobs(30, 3, 3, 4)
			m := NewLogisticRegression()
			x, y = c.mutate(m, x, y)
			err := m.Fit(t.Context(), x, y, 3, learn.Options{})
			require.ErrorIs(t, err, c.is)
			require.ErrorContains(t, err, c.at)
			messages.Add(c.name, err)
		})
	}
}

func TestPredictChecksTheRows(t *testing.T) {
	x, y := blobs(30, 3, 3, 4)
	m := NewLogisticRegression()
	_, err := m.PredictProba(x)
	require.ErrorIs(t, err, learn.ErrNotFitted)
	_, err = learn.ToONNX(m, 3, onnx.Labels{Ints: []int64{1, 2, 3}})
	require.ErrorIs(t, err, learn.ErrNotFitted)
	require.NoError(t, m.Fit(t.Context(), x, y, 3, learn.Options{}))
	_, err = m.PredictProba(mat.NewDense(1, 4, nil))
	require.ErrorIs(t, err, learn.ErrShape)
	_, err = learn.ToONNX(m, 3, onnx.Labels{Ints: []int64{1, 2}})
	require.ErrorIs(t, err, emit.ErrLabels)
}

func BenchmarkObjective(b *testing.B) {
	x, y := blobs(100_000, 20, 5, 1)
	s := &preprocessing.StandardScaler{}
	require.NoError(b, s.Fit(b.Context(), learn.Rows{X: x}))
	f := newObjective(b.Context(), learn.Rows{X: x, Through: []learn.Transformer{s}}, y, 5, 1, 1)
	theta, gradient := make([]float64, f.size()), make([]float64, f.size())
	b.SetBytes(100_000 * 20 * 8)
	for b.Loop() {
		f.evaluate(theta, gradient)
	}
}
