package parity

import (
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/dummy"
	"github.com/petal-ml/petal/internal/learn/linear"
	"github.com/petal-ml/petal/internal/learn/naivebayes"
	"github.com/petal-ml/petal/internal/learn/neighbors"
	"github.com/petal-ml/petal/internal/learn/preprocessing"
)

// complete is the hold-out of a data set, missing values replaced by medians.
func complete(t *testing.T, name string) holdout {
	t.Helper()
	d := split(t, load(t, name))
	if name == "missing" {
		imputer := &preprocessing.SimpleImputer{}
		require.NoError(t, imputer.Fit(t.Context(), learn.Rows{X: d.train}))
		d.train = learn.Rows{X: d.train, Through: []learn.Transformer{imputer}}.Dense()
		d.test = learn.Rows{X: d.test, Through: []learn.Transformer{imputer}}.Dense()
	}
	return d
}

func TestGaussianNBIsScikitLearns(t *testing.T) {
	for _, name := range sets() {
		t.Run(name, func(t *testing.T) {
			d := complete(t, name)
			var want struct{ Proba array }
			ask(t, "gaussian_nb", map[string]any{"x": pack(d.train), "y": d.yTrain, "x_test": pack(d.test)}, &want)
			model := naivebayes.NewGaussianNB()
			require.NoError(t, model.Fit(t.Context(), d.train, d.yTrain, d.classes, learn.Options{}))
			proba, err := model.PredictProba(d.test)
			require.NoError(t, err)
			requireClose(t, want.Proba.dense(t), proba, 1e-9, "probability")
			requireSameONNX(t, model, d.test, d.classes, 1e-5)
		})
	}
}

func TestKNeighborsIsScikitLearns(t *testing.T) {
	for _, name := range sets() {
		t.Run(name, func(t *testing.T) {
			d := complete(t, name)
			scaler := &preprocessing.StandardScaler{}
			require.NoError(t, scaler.Fit(t.Context(), learn.Rows{X: d.train}))
			scaled := func(x *mat.Dense) *mat.Dense {
				return learn.Rows{X: x, Through: []learn.Transformer{scaler}}.Dense()
			}
			for _, k := range []int{1, 5, 8} {
				var want struct{ Proba, Gap array }
				ask(t, "neighbors", map[string]any{"x": pack(scaled(d.train)), "y": d.yTrain, "x_test": pack(scaled(d.test)), "k": k}, &want)
				model := neighbors.NewKNeighborsClassifier()
				model.NNeighbors = k
				pipeline := &learn.Pipeline{Steps: []learn.Transformer{&preprocessing.StandardScaler{}}, Classifier: model}
				require.NoError(t, pipeline.Fit(t.Context(), d.train, d.yTrain, d.classes, learn.Options{}))
				proba, err := pipeline.PredictProba(d.test)
				require.NoError(t, err)

				// A tie for the last place may go either way, in scikit-learn as
				// in float32.
				apart := rowsWith(want.Gap.values(t), func(gap float64) bool { return gap > 1e-5 })
				require.Greater(t, len(apart), len(d.yTest)*3/4)
				test := take(d.test, apart)
				requireClose(t, take(want.Proba.dense(t), apart), take(proba, apart), 1e-9, "probability")
				requireSameONNX(t, pipeline, test, d.classes, 1e-5)
			}
		})
	}
}

func TestImputedModelAsONNX(t *testing.T) {
	d := split(t, load(t, "missing"))
	pipeline := &learn.Pipeline{
		Steps:      []learn.Transformer{&preprocessing.SimpleImputer{}, &preprocessing.StandardScaler{}},
		Classifier: linear.NewLogisticRegression(),
	}
	require.NoError(t, pipeline.Fit(t.Context(), d.train, d.yTrain, d.classes, learn.Options{}))
	requireSameONNX(t, pipeline, d.test, d.classes, 1e-6)

	full := complete(t, "missing")
	var want logisticAnswer
	ask(t, "logistic", map[string]any{"x": pack(full.train), "y": full.yTrain, "x_test": pack(full.test), "c": 1, "scaled": true}, &want)
	proba, err := pipeline.PredictProba(d.test)
	require.NoError(t, err)
	requireClose(t, want.Proba.dense(t), proba, 1e-6, "probability")
}

func TestDummyAsONNX(t *testing.T) {
	d := split(t, load(t, "missing"))
	model := &dummy.Classifier{}
	require.NoError(t, model.Fit(t.Context(), d.train, d.yTrain, d.classes, learn.Options{}))
	requireSameONNX(t, model, d.test, d.classes, 1e-7)
}

func rowsWith(values []float64, want func(float64) bool) []int {
	var rows []int
	for i, v := range values {
		if want(v) {
			rows = append(rows, i)
		}
	}
	return rows
}

func take(x *mat.Dense, rows []int) *mat.Dense {
	_, p := x.Dims()
	out := mat.NewDense(len(rows), p, nil)
	for i, r := range rows {
		out.SetRow(i, x.RawRowView(r))
	}
	return out
}
