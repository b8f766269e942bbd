package parity

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/linear"
	"github.com/petal-ml/petal/internal/learn/metrics"
	"github.com/petal-ml/petal/internal/learn/modelselection"
	"github.com/petal-ml/petal/internal/learn/preprocessing"
)

// holdout is a data set, split as the trainer does.
type holdout struct {
	data
	train, test   *mat.Dense
	yTrain, yTest []int
}

func split(t *testing.T, d data) holdout {
	t.Helper()
	s, err := modelselection.TrainTestSplit(d.y, 0.2, 42)
	require.NoError(t, err)
	return holdout{
		data:   d,
		train:  modelselection.TakeRows(d.x, s.Train),
		test:   modelselection.TakeRows(d.x, s.Test),
		yTrain: modelselection.Take(d.y, s.Train),
		yTest:  modelselection.Take(d.y, s.Test),
	}
}

type logisticAnswer struct {
	Coef, Intercept, Proba array
	Objective              float64
	Predicted              []int
}

func TestLogisticRegressionIsScikitLearns(t *testing.T) {
	for _, name := range sets() {
		if name == "missing" {
			continue // takes no missing values; the imputer's test has it
		}
		t.Run(name, func(t *testing.T) {
			d := split(t, load(t, name))
			model := linear.NewLogisticRegression()
			pipeline := &learn.Pipeline{Steps: []learn.Transformer{&preprocessing.StandardScaler{}}, Classifier: model}
			require.NoError(t, pipeline.Fit(t.Context(), d.train, d.yTrain, d.classes, learn.Options{}))
			require.True(t, model.Converged)

			var want logisticAnswer
			ask(t, "logistic", map[string]any{"x": pack(d.train), "y": d.yTrain, "x_test": pack(d.test), "c": 1, "scaled": true}, &want)
			require.InDelta(t, want.Objective, model.Loss*float64(len(d.yTrain)), 1e-6)
			requireClose(t, want.Coef.dense(t), model.Coef, 1e-6, "coefficient")
			require.InDeltaSlice(t, want.Intercept.values(t), model.Intercept, 1e-6)

			proba, err := pipeline.PredictProba(d.test)
			require.NoError(t, err)
			requireClose(t, want.Proba.dense(t), proba, 1e-6, "probability")
			require.Equal(t, want.Predicted, learn.Predict(proba))
			require.InDelta(t, metrics.LogLoss(d.yTest, want.Proba.dense(t)), metrics.LogLoss(d.yTest, proba), 1e-6)
		})
	}
}

// TestFullFitReachesTheOptimum holds Σ loss + ½‖W‖² at C = 1 to values that were
// computed once to many digits.
func TestFullFitReachesTheOptimum(t *testing.T) {
	for _, c := range []struct {
		set     string
		scaled  bool
		optimum float64
	}{
		{"iris", false, 28.886316604092},
		{"iris", true, 31.378768260796},
		{"wine", true, 12.090335773855},
		{"breast_cancer", true, 37.758945961876},
		{"digits", true, 113.479954780334},
	} {
		if c.set == "digits" && !everything() {
			continue // 650 parameters take their time
		}
		t.Run(fmt.Sprintf("%s scaled=%v", c.set, c.scaled), func(t *testing.T) {
			d := load(t, c.set)
			model := linear.NewLogisticRegression()
			pipeline := &learn.Pipeline{Classifier: model}
			if c.scaled {
				pipeline.Steps = []learn.Transformer{&preprocessing.StandardScaler{}}
			}
			require.NoError(t, pipeline.Fit(t.Context(), d.x, d.y, d.classes, learn.Options{}))
			require.InDelta(t, c.optimum, model.Loss*float64(len(d.y)), 2e-11)
		})
	}
}

func TestHoldoutFiguresOfLogisticRegression(t *testing.T) {
	for _, c := range []struct {
		set                              string
		accuracy, logLoss, auc, brier, e float64
	}{
		{"iris", .933333, .17398595, .996667, .08499759, .11598},
		{"wine", .972222, .07389035, 1, .03790312, .03738},
		{"breast_cancer", .982456, .07787201, .995370, .04313045, .02712},
		{"digits", .972222, .10290950, .999074, .04707853, .02235},
	} {
		if c.set == "digits" && !everything() {
			continue
		}
		t.Run(c.set, func(t *testing.T) {
			d := split(t, load(t, c.set))
			pipeline := &learn.Pipeline{Steps: []learn.Transformer{&preprocessing.StandardScaler{}}, Classifier: linear.NewLogisticRegression()}
			require.NoError(t, pipeline.Fit(t.Context(), d.train, d.yTrain, d.classes, learn.Options{}))
			proba, err := pipeline.PredictProba(d.test)
			require.NoError(t, err)
			report, err := metrics.Evaluate(d.yTest, proba)
			require.NoError(t, err)
			require.InDelta(t, c.accuracy, report.Accuracy, 1e-6)
			require.InDelta(t, c.logLoss, report.LogLoss, 1e-8)
			require.InDelta(t, c.auc, report.ROCAUC, 1e-6)
			require.InDelta(t, c.brier, report.Brier, 1e-8)
			require.InDelta(t, c.e, report.ECE, 1e-5)
		})
	}
}
