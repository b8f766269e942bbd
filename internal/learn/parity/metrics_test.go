package parity

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn/metrics"
)

type metricsAnswer struct {
	Accuracy         float64
	BalancedAccuracy float64      `json:"balanced_accuracy"`
	LogLoss          float64      `json:"log_loss"`
	ROCAUC           float64OrNaN `json:"roc_auc"`
	PRAUC            float64      `json:"pr_auc"`
	MCC, Brier       float64
	Confusion        [][]int
	Macro, Weighted  [3]float64
	Classes          [][4]float64
}

// float64OrNaN reads null as NaN.
type float64OrNaN struct{ v *float64 }

func (f *float64OrNaN) UnmarshalJSON(data []byte) error { return unmarshalOptional(data, &f.v) }

func (f float64OrNaN) value() float64 {
	if f.v == nil {
		return math.NaN()
	}
	return *f.v
}

func TestMetricsAreScikitLearns(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	cases := []struct {
		name    string
		rows    int
		classes int
		proba   func(row, class int) float64 // before the rows are made to sum to 1
		y       func(row int) int
	}{
		{"two classes", 200, 2, func(int, int) float64 { return random.Float64() }, func(int) int { return random.IntN(2) }},
		{"five classes", 500, 5, func(int, int) float64 { return random.ExpFloat64() }, func(int) int { return random.IntN(5) }},
		{"ties in the scores", 300, 3, func(int, int) float64 { return float64(1 + random.IntN(3)) }, func(int) int { return random.IntN(3) }},
		{"probabilities of zero and one", 60, 3, func(i, k int) float64 { return b2f(i%3 == k) }, func(i int) int { return (i / 2) % 3 }},
		{"all right", 30, 3, func(i, k int) float64 { return b2f(i%3 == k) }, func(i int) int { return i % 3 }},
		{"one class is never predicted", 90, 3, func(_, k int) float64 { return []float64{.5, .4, .1}[k] + .1*random.Float64() }, func(i int) int { return i % 3 }},
		{"one prediction for all", 40, 2, func(_, k int) float64 { return float64(1 + k) }, func(i int) int { return i % 2 }},
		{"a class does not occur", 80, 4, func(int, int) float64 { return random.Float64() }, func(i int) int { return i % 3 }},
		{"a class occurs in neither", 80, 4, func(_, k int) float64 { return b2f(k < 3) * (.1 + random.Float64()) }, func(i int) int { return i % 3 }},
		{"very uneven classes", 400, 3, func(int, int) float64 { return random.Float64() }, func(i int) int { return b2i(i > 380) + b2i(i > 395) }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			proba := mat.NewDense(c.rows, c.classes, nil)
			y := make([]int, c.rows)
			for i := range c.rows {
				y[i] = c.y(i)
				row := proba.RawRowView(i)
				var sum float64
				for k := range row {
					row[k] = c.proba(i, k)
					sum += row[k]
				}
				for k := range row {
					row[k] /= sum
				}
			}
			requireSameMetrics(t, y, proba)
		})
	}
}

func requireSameMetrics(t *testing.T, y []int, proba *mat.Dense) {
	t.Helper()
	const tolerance = 1e-9
	var want metricsAnswer
	ask(t, "metrics", map[string]any{"y": y, "proba": pack(proba)}, &want)
	got, err := metrics.Evaluate(y, proba)
	require.NoError(t, err)
	require.InDelta(t, want.Accuracy, got.Accuracy, tolerance)
	require.InDelta(t, want.BalancedAccuracy, got.BalancedAccuracy, tolerance)
	require.InDelta(t, want.LogLoss, got.LogLoss, tolerance)
	require.InDelta(t, want.Brier, got.Brier, tolerance)
	require.InDelta(t, want.MCC, got.MCC, tolerance)
	require.InDelta(t, want.PRAUC, got.PRAUC, tolerance)
	require.Equal(t, math.IsNaN(want.ROCAUC.value()), math.IsNaN(got.ROCAUC))
	if !math.IsNaN(got.ROCAUC) {
		require.InDelta(t, want.ROCAUC.value(), got.ROCAUC, tolerance)
	}
	requireAverage(t, want.Macro, got.Macro)
	requireAverage(t, want.Weighted, got.Weighted)
	require.Equal(t, want.Confusion, got.Confusion)
	for k, c := range want.Classes {
		r := got.Classes[k]
		requireAverage(t, [3]float64(c[:3]), metrics.Average{Precision: r.Precision, Recall: r.Recall, F1: r.F1})
		require.Equal(t, int(c[3]), r.Support)
	}
}

func requireAverage(t *testing.T, want [3]float64, got metrics.Average) {
	t.Helper()
	require.InDelta(t, want[0], got.Precision, 1e-9)
	require.InDelta(t, want[1], got.Recall, 1e-9)
	require.InDelta(t, want[2], got.F1, 1e-9)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func b2f(b bool) float64 { return float64(b2i(b)) }
