package learn_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/dummy"
	"github.com/petal-ml/petal/internal/learn/emit"
	"github.com/petal-ml/petal/internal/learn/ensemble"
	"github.com/petal-ml/petal/internal/learn/linear"
	"github.com/petal-ml/petal/internal/learn/naivebayes"
	"github.com/petal-ml/petal/internal/learn/neighbors"
	"github.com/petal-ml/petal/internal/learn/preprocessing"
	"github.com/petal-ml/petal/internal/onnx"
)

// all returns one of each classifier, with little work to do.
func all() []learn.Classifier {
	forest, extra, boosting := ensemble.NewRandomForest(), ensemble.NewExtraTrees(), ensemble.NewHistGradientBoosting()
	forest.NEstimators, extra.NEstimators, boosting.MaxIter = 5, 5, 5
	return []learn.Classifier{
		&dummy.Classifier{}, naivebayes.NewGaussianNB(), neighbors.NewKNeighborsClassifier(),
		linear.NewLogisticRegression(), forest, extra, boosting,
	}
}

func rows() (*mat.Dense, []int) { return rowsOf(60) }

func rowsOf(n int) (*mat.Dense, []int) {
	x, y := mat.NewDense(n, 2, nil), make([]int, n)
	for i := range n {
		y[i] = i % 3
		x.Set(i, 0, float64(y[i])+math.Sin(float64(i)))
		x.Set(i, 1, math.Cos(float64(2*i))-float64(y[i]))
	}
	return x, y
}

func TestAllClassifiersKeepTheContract(t *testing.T) {
	x, y := rows()
	before := mat.DenseCopyOf(x)
	for _, c := range all() {
		t.Run(c.Name(), func(t *testing.T) {
			_, err := c.PredictProba(x)
			require.ErrorIs(t, err, learn.ErrNotFitted)
			_, err = learn.ToONNX(c, 2, onnx.Labels{Ints: []int64{0, 1, 2}})
			require.ErrorIs(t, err, learn.ErrNotFitted)
			require.ErrorIs(t, c.Fit(t.Context(), x, y[1:], 3, learn.Options{}), learn.ErrShape)
			require.ErrorIs(t, c.Fit(t.Context(), x, make([]int, 60), 3, learn.Options{}), learn.ErrValue)

			require.NoError(t, c.Fit(t.Context(), x, y, 3, learn.Options{}))
			require.True(t, mat.Equal(before, x), "the rows are not changed")
			proba, err := c.PredictProba(x)
			require.NoError(t, err)
			for i := range y {
				var sum float64
				for _, p := range proba.RawRowView(i) {
					require.GreaterOrEqual(t, p, 0.0)
					sum += p
				}
				require.InDelta(t, 1, sum, 1e-12)
			}
			_, err = c.PredictProba(mat.NewDense(1, 3, nil))
			require.ErrorIs(t, err, learn.ErrShape)
			_, err = learn.ToONNX(c, 2, onnx.Labels{Strings: []string{"a", "b"}})
			require.ErrorIs(t, err, emit.ErrLabels)
			model, err := learn.ToONNX(c, 2, onnx.Labels{Strings: []string{"a", "b", "c"}})
			require.NoError(t, err)
			require.Equal(t, "label", model.Outputs()[0].Name)
			require.Equal(t, "probabilities", model.Outputs()[1].Name)
		})
	}
}

// TestSameFileForAnyNumberOfWorkers fits twice and compares the ONNX files.
func TestSameFileForAnyNumberOfWorkers(t *testing.T) {
	x, y := rowsOf(2100) // enough to be divided among workers
	other := mat.DenseCopyOf(x)
	other.Set(7, 0, 9)
	file := func(c learn.Classifier, x *mat.Dense, workers int) []byte {
		p := &learn.Pipeline{
			Steps:      []learn.Transformer{&preprocessing.SimpleImputer{}, &preprocessing.StandardScaler{}},
			Classifier: c,
		}
		require.NoError(t, p.Fit(t.Context(), x, y, 3, learn.Options{Workers: workers}))
		model, err := learn.ToONNX(p, 2, onnx.Labels{Ints: []int64{-1, 0, 7}})
		require.NoError(t, err)
		return model.Marshal()
	}
	for i, c := range all() {
		t.Run(c.Name(), func(t *testing.T) {
			one := file(c, x, 1)
			require.Equal(t, one, file(all()[i], x, 2))
			require.NotEqual(t, one, file(all()[i], other, 1), "other data, another model")
		})
	}
}

// TestAClassWithoutRows is what a fold may see of a rare class.
func TestAClassWithoutRows(t *testing.T) {
	x, y := rows()
	for _, c := range all() {
		t.Run(c.Name(), func(t *testing.T) {
			require.NoError(t, c.Fit(t.Context(), x, y, 4, learn.Options{}))
			proba, err := c.PredictProba(x)
			require.NoError(t, err)
			for i := range y {
				require.InDelta(t, 0, proba.At(i, 3), 1e-6)
			}
		})
	}
}

func TestPipelineStreamsAndCopiesAlike(t *testing.T) {
	x, y := rows()
	scaler := &preprocessing.StandardScaler{}
	streamed, copied := linear.NewLogisticRegression(), linear.NewLogisticRegression()
	p := &learn.Pipeline{Steps: []learn.Transformer{scaler}, Classifier: streamed}
	require.NoError(t, p.Fit(t.Context(), x, y, 3, learn.Options{}))
	scaled := learn.Rows{X: x, Through: []learn.Transformer{scaler}}.Dense()
	require.NoError(t, copied.Fit(t.Context(), scaled, y, 3, learn.Options{}))
	require.Equal(t, copied.Coef.RawMatrix().Data, streamed.Coef.RawMatrix().Data)
	require.Equal(t, true, p.Params()["StandardScaler__with_std"])
	require.Equal(t, 1.0, p.Params()["C"])
}

func TestPipelinePredictsManyRowsInBlocks(t *testing.T) {
	x, y := rows()
	p := &learn.Pipeline{Steps: []learn.Transformer{&preprocessing.StandardScaler{}}, Classifier: naivebayes.NewGaussianNB()}
	require.NoError(t, p.Fit(t.Context(), x, y, 3, learn.Options{}))
	want, err := p.PredictProba(x)
	require.NoError(t, err)
	const n = 65536 + 60
	many := mat.NewDense(n, 2, nil)
	for i := range n {
		many.SetRow(i, x.RawRowView(i%60))
	}
	got, err := p.PredictProba(many)
	require.NoError(t, err)
	for _, i := range []int{0, 65535, 65536, n - 1} {
		require.Equal(t, want.RawRowView(i%60), got.RawRowView(i))
	}
}
