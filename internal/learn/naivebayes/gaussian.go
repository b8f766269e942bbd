// Package naivebayes holds the naive Bayes classifiers.
package naivebayes

import (
	"context"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/emit"
	"github.com/petal-ml/petal/internal/onnx"
)

// GaussianNB takes the features of a class as independent and normally
// distributed, as scikit-learn's GaussianNB: means and variances (divisor n) of
// each class, the variances raised by VarSmoothing times the largest variance of
// any feature, and the classes' shares as priors. Probabilities are normalised
// by log-sum-exp. A class without rows gets probability 0. NaN and infinite
// values are refused.
type GaussianNB struct {
	VarSmoothing float64 // share of the largest variance, at least 0

	Theta, Var *mat.Dense // K × p: means and variances of each class
	Prior      []float64  // K
}

var _ learn.Classifier = (*GaussianNB)(nil)

// NewGaussianNB returns a model with VarSmoothing = 1e-9.
func NewGaussianNB() *GaussianNB { return &GaussianNB{VarSmoothing: 1e-9} }

// Name returns "GaussianNB".
func (*GaussianNB) Name() string { return "GaussianNB" }

// Params returns var_smoothing.
func (m *GaussianNB) Params() map[string]any { return map[string]any{"var_smoothing": m.VarSmoothing} }

// Fit computes the moments of each class in two passes.
func (m *GaussianNB) Fit(ctx context.Context, x *mat.Dense, y []int, classes int, _ learn.Options) error {
	if err := m.check(x, y, classes); err != nil {
		return fmt.Errorf("fit GaussianNB: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	n, p := x.Dims()
	together := make([]int, n)
	_, overall, _ := moments(x, together, 1)
	smoothing := m.VarSmoothing * slices.Max(overall.RawRowView(0))
	theta, variance, count := moments(x, y, classes)
	prior := make([]float64, classes)
	for k := range classes {
		prior[k] = count[k] / float64(n)
		for j := range p {
			v := variance.At(k, j) + smoothing
			if count[k] == 0 {
				v = 1 // any will do: the prior is 0
			}
			if !(v > 0) || math.IsInf(v, 0) {
				return fmt.Errorf("fit GaussianNB: the variance of column %d in class %d is %v: %w", j, k, v, learn.ErrValue)
			}
			variance.Set(k, j, v)
		}
	}
	m.Theta, m.Var, m.Prior = theta, variance, prior
	return nil
}

func (m *GaussianNB) check(x *mat.Dense, y []int, classes int) error {
	if !(m.VarSmoothing >= 0) {
		return fmt.Errorf("var_smoothing is %v, it must not be negative: %w", m.VarSmoothing, learn.ErrParameter)
	}
	if err := learn.CheckTraining(x, y, classes); err != nil {
		return err
	}
	return learn.CheckFinite(x)
}

// moments returns mean and variance of each feature in each class (K × p), and
// the number of rows of each class.
func moments(x *mat.Dense, y []int, classes int) (mean, variance *mat.Dense, count []float64) {
	_, p := x.Dims()
	mean, variance = mat.NewDense(classes, p, nil), mat.NewDense(classes, p, nil)
	count = make([]float64, classes)
	for i, k := range y {
		count[k]++
		floats.Add(mean.RawRowView(k), x.RawRowView(i))
	}
	for k, n := range count {
		floats.Scale(1/max(n, 1), mean.RawRowView(k))
	}
	for i, k := range y {
		of := mean.RawRowView(k)
		sum := variance.RawRowView(k)
		for j, v := range x.RawRowView(i) {
			d := v - of[j]
			sum[j] += float64(d * d)
		}
	}
	for k, n := range count {
		floats.Scale(1/max(n, 1), variance.RawRowView(k))
	}
	return mean, variance, count
}

// PredictProba returns the posterior probability of each class (n × K).
func (m *GaussianNB) PredictProba(x *mat.Dense) (*mat.Dense, error) {
	classes, p := 0, 0
	if m.Theta != nil {
		classes, p = m.Theta.Dims()
	}
	if err := learn.CheckPredict(x, p); err != nil {
		return nil, fmt.Errorf("predict with GaussianNB: %w", err)
	}
	constant := m.constants()
	n, _ := x.Dims()
	proba := mat.NewDense(n, classes, nil)
	for i := range n {
		row, out := x.RawRowView(i), proba.RawRowView(i)
		for k := range out {
			theta, variance := m.Theta.RawRowView(k), m.Var.RawRowView(k)
			var sum float64
			for j, v := range row {
				d := v - theta[j]
				sum += float64(d * d / variance[j])
			}
			out[k] = constant[k] - sum/2
		}
		total := floats.LogSumExp(out)
		for k := range out {
			out[k] = math.Exp(out[k] - total)
		}
	}
	return proba, nil
}

// constants returns log prior − ½ Σ log 2πσ² of each class.
func (m *GaussianNB) constants() []float64 {
	out := make([]float64, len(m.Prior))
	for k := range out {
		var sum float64
		for _, v := range m.Var.RawRowView(k) {
			sum += math.Log(2 * math.Pi * v)
		}
		out[k] = math.Log(m.Prior[k]) - sum/2
	}
	return out
}

// Emit adds the same computation in float64, as plain tensor operators: the
// likelihoods span far more than float32 can tell apart.
func (m *GaussianNB) Emit(b *emit.Builder, input string) (emit.Scores, error) {
	if m.Theta == nil {
		return emit.Scores{}, learn.ErrNotFitted
	}
	classes, p := m.Theta.Dims()
	if err := b.CheckClasses(classes); err != nil {
		return emit.Scores{}, err
	}
	inverse := mat.NewDense(classes, p, nil)
	inverse.Apply(func(k, j int, _ float64) float64 { return -0.5 / m.Var.At(k, j) }, inverse)
	x := b.Node("Reshape", []string{b.Double(input), emit.Constant(b, "row", []int{3}, []int64{-1, 1, int64(p)})})
	distance := b.Node("Sub", []string{x, emit.Constant(b, "theta", []int{1, classes, p}, m.Theta.RawMatrix().Data)})
	squared := b.Node("Mul", []string{distance, distance})
	scaled := b.Node("Mul", []string{squared, emit.Constant(b, "precision", []int{1, classes, p}, inverse.RawMatrix().Data)})
	sum := b.Node("ReduceSum", []string{scaled, emit.Constant(b, "axes", []int{1}, []int64{2})}, onnx.IntAttribute("keepdims", 0))
	joint := b.Node("Add", []string{sum, emit.Constant(b, "prior", []int{1, classes}, m.constants())})
	total := b.Node("ReduceLogSumExp", []string{joint}, onnx.IntsAttribute("axes", 1), onnx.IntAttribute("keepdims", 1))
	proba := b.Node("Exp", []string{b.Node("Sub", []string{joint, total})})
	return emit.Scores{Label: b.ArgMaxLabel(joint), Probabilities: b.Single(proba)}, nil
}
