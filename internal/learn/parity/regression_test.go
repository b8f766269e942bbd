package parity

import (
	"bytes"
	"encoding/base64"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/dummy"
	"github.com/petal-ml/petal/internal/learn/ensemble"
	"github.com/petal-ml/petal/internal/learn/linear"
	"github.com/petal-ml/petal/internal/learn/metrics"
	"github.com/petal-ml/petal/internal/learn/modelselection"
	"github.com/petal-ml/petal/internal/learn/neighbors"
	"github.com/petal-ml/petal/internal/learn/preprocessing"
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval"
)

// measured is a data set whose target is a number, split by it.
type measured struct {
	train, test   *mat.Dense
	yTrain, yTest []float64
}

func measure(t *testing.T, name string, seed uint32) measured {
	t.Helper()
	var answer struct{ X, Y array }
	ask(t, "targets", map[string]any{"name": name}, &answer)
	x, y := answer.X.dense(t), answer.Y.values(t)
	s, err := modelselection.TrainTestSplit(modelselection.QuantileBins(y, 5), 0.2, seed)
	require.NoError(t, err)
	m := measured{train: modelselection.TakeRows(x, s.Train), test: modelselection.TakeRows(x, s.Test)}
	for _, i := range s.Train {
		m.yTrain = append(m.yTrain, y[i])
	}
	for _, i := range s.Test {
		m.yTest = append(m.yTest, y[i])
	}
	return m
}

// scaled brings the features to one scale, as the pipelines do.
func (m measured) scaled(t *testing.T) measured {
	t.Helper()
	scaler := &preprocessing.StandardScaler{}
	require.NoError(t, scaler.Fit(t.Context(), learn.Rows{X: m.train}))
	through := []learn.Transformer{scaler}
	m.train, m.test = learn.Rows{X: m.train, Through: through}.Dense(), learn.Rows{X: m.test, Through: through}.Dense()
	return m
}

func column(values []float64) array { return pack(mat.NewDense(len(values), 1, values)) }

// flat packs values as the one-dimensional array that scikit-learn wants.
func flat(values []float64) array {
	a := column(values)
	a.Shape = a.Shape[:1]
	return a
}

type valueAnswer struct {
	Value, Coef array
	Intercept   float64
}

func askRegressor(t *testing.T, m measured, estimator string, params map[string]any) valueAnswer {
	t.Helper()
	var want valueAnswer
	ask(t, "regressor", map[string]any{"estimator": estimator, "params": params, "x": pack(m.train), "y": flat(m.yTrain), "x_test": pack(m.test)}, &want)
	return want
}

func fitValues(t *testing.T, r learn.Regressor, m measured) []float64 {
	t.Helper()
	require.NoError(t, r.Fit(t.Context(), m.train, m.yTrain, learn.Options{}))
	values, err := r.Predict(m.test)
	require.NoError(t, err)
	return values
}

// valueSets are compared by default; all of them with PETAL_PARITY=all.
func valueSets() []string {
	if everything() {
		return []string{"diabetes", "friedman", "counts", "skewed"}
	}
	return []string{"diabetes", "skewed"}
}

func TestLinearRegressorsAreScikitLearns(t *testing.T) {
	for _, name := range valueSets() {
		m := measure(t, name, 42)
		scale := metrics.RMSE(m.yTrain, make([]float64, len(m.yTrain)))
		for _, c := range []struct {
			r      learn.Regressor
			params map[string]any
		}{
			{linear.NewRidge(), map[string]any{"solver": "svd"}},
			{&linear.Ridge{Alpha: 30}, map[string]any{"alpha": 30, "solver": "svd"}},
			{linear.NewElasticNet(), map[string]any{"tol": 1e-12, "max_iter": 100_000}},
			{&linear.ElasticNet{Alpha: 0.05 * scale, L1Ratio: 0.9, MaxIter: 10_000, Tol: 1e-12}, map[string]any{"alpha": 0.05 * scale, "l1_ratio": 0.9, "tol": 1e-12, "max_iter": 100_000}},
		} {
			t.Run(name+" "+c.r.Name(), func(t *testing.T) {
				scaled := m.scaled(t)
				want := askRegressor(t, scaled, c.r.Name(), c.params)
				got := fitValues(t, c.r, scaled)
				require.InDeltaSlice(t, want.Value.values(t), got, 1e-6*scale)
				piped := &learn.RegressorPipeline{Steps: []learn.Transformer{&preprocessing.StandardScaler{}}, Regressor: c.r}
				require.InDeltaSlice(t, got, fitValues(t, piped, m), 1e-9*scale)
				requireSameValue(t, piped, m.test, 1e-6*scale)
			})
		}
	}
}

func TestNeighborsRegressorIsScikitLearns(t *testing.T) {
	for _, name := range valueSets() {
		m := measure(t, name, 42).scaled(t)
		want := askRegressor(t, m, "KNeighborsRegressor", map[string]any{"n_neighbors": 5})
		model := neighbors.NewKNeighborsRegressor()
		require.InDeltaSlice(t, want.Value.values(t), fitValues(t, model, m), 1e-6)
		requireSameValue(t, model, m.test, 1e-6*metrics.Mean(m.yTrain))
	}
}

func TestDummyRegressorIsScikitLearns(t *testing.T) {
	m := measure(t, "holes", 42)
	for _, model := range []*dummy.Regressor{{}, {Strategy: "median"}, {Strategy: "quantile", Quantile: 0.9}} {
		plain := m
		plain.train, plain.test = mat.NewDense(len(m.yTrain), 1, nil), mat.NewDense(len(m.yTest), 1, nil)
		want := askRegressor(t, plain, "DummyRegressor", model.Params())
		require.InDeltaSlice(t, want.Value.values(t), fitValues(t, model, m), 1e-9)
		requireSameValue(t, model, m.test, 1e-5)
	}
}

func TestForestRegressorsAreWithinTheSpreadOfScikitLearns(t *testing.T) {
	for _, name := range valueSets()[:1+3*b2i(everything())] {
		m := measure(t, name, 42)
		for _, c := range []struct {
			params map[string]any
			model  *ensemble.ForestRegressor
		}{
			{map[string]any{"n_estimators": 20}, ensemble.NewRandomForestRegressor()},
			{map[string]any{"n_estimators": 20, "max_features": 0.34, "min_samples_leaf": 3}, ensemble.NewRandomForestRegressor()},
			{map[string]any{"n_estimators": 20, "max_depth": 5}, ensemble.NewExtraTreesRegressor()},
		} {
			t.Run(name+" "+c.model.Name(), func(t *testing.T) {
				f := c.model
				f.NEstimators = 20
				if _, small := c.params["max_features"]; small {
					f.MaxShare, f.MinSamplesLeaf = 0.34, 3
				}
				if _, shallow := c.params["max_depth"]; shallow {
					f.MaxDepth = 5
				}
				var want struct{ RMSE array }
				ask(t, "value_seeds", map[string]any{
					"estimator": f.Name(), "params": c.params, "count": seedCount,
					"x": pack(m.train), "y": flat(m.yTrain), "x_test": pack(m.test), "y_test": flat(m.yTest),
				}, &want)
				var got []float64
				for seed := range uint32(seedCount) {
					f.RandomState = seed
					got = append(got, metrics.RMSE(m.yTest, fitValues(t, f, m)))
				}
				requireSameSpread(t, want.RMSE.values(t), got, 0, "root mean squared error")
				requireSameValue(t, f, m.test, 1e-6*metrics.Mean(m.yTrain))
			})
		}
	}
}

// TestBoostingRegressorIsScikitLearns compares values: there is nothing random up
// to 10,000 rows. Ties between gains may fall either way, so it is the error on the
// test rows that must agree after many iterations, and most values after one.
func TestBoostingRegressorIsScikitLearns(t *testing.T) {
	for _, c := range []struct {
		loss     ensemble.Loss
		quantile float64
		set      string
	}{
		{ensemble.SquaredError, 0, "friedman"},
		{ensemble.SquaredError, 0, "holes"},
		{ensemble.AbsoluteError, 0, "skewed"},
		{ensemble.Poisson, 0, "counts"},
		{ensemble.Gamma, 0, "skewed"},
		{ensemble.QuantileLoss, 0.9, "friedman"},
	} {
		t.Run(string(c.loss)+" "+c.set, func(t *testing.T) {
			var differences []float64
			for seed := range uint32(3 + 7*b2i(everything())) {
				m := measure(t, c.set, seed)
				for _, iterations := range []int{1, 30} {
					params := map[string]any{"loss": c.loss, "max_iter": iterations}
					if c.quantile > 0 {
						params["quantile"] = c.quantile
					}
					model := ensemble.NewHistGradientBoostingRegressor()
					model.Loss, model.Quantile, model.MaxIter = c.loss, c.quantile, iterations
					want, got := askRegressor(t, m, model.Name(), params).Value.values(t), fitValues(t, model, m)
					if iterations == 1 {
						if c.loss != ensemble.QuantileLoss { // two gradients alone: many gains are equal
							require.GreaterOrEqual(t, countClose(want, got), len(got)*7/10)
						}
						continue
					}
					differences = append(differences, metrics.MAE(m.yTest, got)/metrics.MAE(m.yTest, want)-1)
					requireSameValue(t, model, m.test, 1e-5*metrics.Mean(m.yTrain))
				}
			}
			requireNoDifference(t, differences, 1e-3, "mean absolute error")
		})
	}
}

func countClose(want, got []float64) (n int) {
	for i, w := range want {
		if math.Abs(w-got[i]) <= 1e-6*math.Abs(w) {
			n++
		}
	}
	return n
}

func TestLogTargetAsONNX(t *testing.T) {
	m := measure(t, "skewed", 42)
	model := &learn.LogTarget{Regressor: linear.NewRidge()}
	plain := linear.NewRidge()
	require.Less(t, metrics.MAE(m.yTest, fitValues(t, model, m)), metrics.MAE(m.yTest, fitValues(t, plain, m)))
	requireSameValue(t, model, m.test, 1e-5*metrics.Mean(m.yTrain))
}

func TestValueMetricsAreScikitLearns(t *testing.T) {
	m := measure(t, "skewed", 42)
	positive := fitValues(t, &learn.LogTarget{Regressor: linear.NewRidge()}, m)
	signed := fitValues(t, linear.NewRidge(), m)
	zeros := append([]float64{0, 0}, m.yTest[2:]...)
	for _, c := range []struct{ y, predicted []float64 }{{m.yTest, positive}, {m.yTest, signed}, {zeros, positive}, {[]float64{2, 2}, []float64{2, 3}}, {[]float64{2, 2}, []float64{2, 2}}} {
		var want struct{ RMSE, MAE, Median, R2, Pinball, MAPE, Poisson, Gamma float64OrNaN }
		ask(t, "value_metrics", map[string]any{"y": flat(c.y), "predicted": flat(c.predicted), "quantile": 0.8}, &want)
		got, err := metrics.EvaluateValues(c.y, c.predicted)
		require.NoError(t, err)
		for _, pair := range []struct {
			want float64OrNaN
			got  float64
		}{
			{want.RMSE, got.RMSE},
			{want.MAE, got.MAE},
			{want.Median, got.MedianAE},
			{want.R2, got.R2},
			{want.MAPE, got.MAPE},
			{want.Poisson, got.Poisson},
			{want.Gamma, got.Gamma},
			{want.Pinball, metrics.Pinball(c.y, c.predicted, 0.8)},
		} {
			require.Equal(t, math.IsNaN(pair.want.value()), math.IsNaN(pair.got))
			if !math.IsNaN(pair.got) {
				require.InDelta(t, pair.want.value(), pair.got, 1e-9*(1+math.Abs(pair.got)))
			}
		}
	}
}

func TestShuffleSplitIsScikitLearns(t *testing.T) {
	var want splitAnswer
	ask(t, "shuffle_split", map[string]any{"n": 103, "test_size": 0.3, "seed": 5}, &want)
	got, err := modelselection.ShuffleSplit(103, 0.3, 5)
	require.NoError(t, err)
	require.Equal(t, want.Train, got.Train)
	require.Equal(t, want.Test, got.Test)
}

// requireSameValue writes a fitted regressor as ONNX and runs it in onnxruntime
// and in Petal's evaluator: both within the tolerance of what the regressor itself
// says of the rows as float32 holds them.
func requireSameValue(t *testing.T, r learn.Regressor, x *mat.Dense, tolerance float64) {
	t.Helper()
	n, p := x.Dims()
	rounded := mat.NewDense(n, p, nil)
	rounded.Apply(func(_, _ int, v float64) float64 { return float64(float32(v)) }, x)
	want, err := r.Predict(rounded)
	require.NoError(t, err)
	model, err := learn.ToONNXValue(r, p)
	require.NoError(t, err)
	raw := model.Marshal()
	var got struct{ Value array }
	ask(t, "run_onnx_value", map[string]any{"model": base64.StdEncoding.EncodeToString(raw), "x": pack(rounded)}, &got)
	require.Equal(t, []int{n, 1}, got.Value.Shape)
	require.InDeltaSlice(t, want, got.Value.values(t), tolerance, "onnxruntime's value")

	loaded, err := onnx.Load(bytes.NewReader(raw), onnx.Limits{})
	require.NoError(t, err)
	session, err := eval.NewSession(loaded)
	require.NoError(t, err)
	predictor, err := eval.NewPredictor(session)
	require.NoError(t, err)
	require.True(t, predictor.IsRegressor())
	row, value := make([]float32, p), make([]float32, 1)
	for i := range n {
		for j, v := range rounded.RawRowView(i) {
			row[j] = float32(v)
		}
		_, err := predictor.PredictRow(row, value)
		require.NoError(t, err)
		require.InDelta(t, want[i], float64(value[0]), tolerance, "the evaluator's value of row %d", i)
	}
}
