package linear

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/emit"
	"github.com/petal-ml/petal/internal/onnx"
)

// Ridge is least squares with an L2 penalty (Hoerl and Kennard 1970), as
// scikit-learn's Ridge. For n rows and p features it minimises
//
//	Σᵢ (w·xᵢ + b − yᵢ)²  +  Alpha · ‖w‖²
//
// by a Cholesky factor of the normal equations of the centred rows; the intercept
// b is not penalised. Features should be of similar scale. NaN and infinite values
// are refused.
type Ridge struct {
	Alpha float64 // strength of the penalty, above 0

	values
}

var (
	_ learn.Regressor     = (*Ridge)(nil)
	_ learn.RowsRegressor = (*Ridge)(nil)
)

// NewRidge returns a model with Alpha = 1.
func NewRidge() *Ridge { return &Ridge{Alpha: 1} }

// Name returns "Ridge".
func (*Ridge) Name() string { return "Ridge" }

// Params returns alpha.
func (m *Ridge) Params() map[string]any { return map[string]any{"alpha": m.Alpha} }

// Fit solves the normal equations.
func (m *Ridge) Fit(ctx context.Context, x *mat.Dense, y []float64, opt learn.Options) error {
	return m.FitRows(ctx, learn.Rows{X: x}, y, opt)
}

// FitRows is Fit for rows that are transformed as they are read. It needs no
// memory in proportion to their number.
func (m *Ridge) FitRows(ctx context.Context, rows learn.Rows, y []float64, opt learn.Options) error {
	m.values = values{}
	if !(m.Alpha > 0) {
		return fmt.Errorf("fit Ridge: alpha is %v, it must be above 0: %w", m.Alpha, learn.ErrParameter)
	}
	s, err := checkedMoments(ctx, rows, y, opt.Workers)
	if err != nil {
		return fmt.Errorf("fit Ridge: %w", err)
	}
	p := len(s.mean)
	for j := range p {
		s.xx.SetSym(j, j, s.xx.At(j, j)+m.Alpha)
	}
	var factor mat.Cholesky
	coef := mat.NewVecDense(p, nil)
	if !factor.Factorize(s.xx) || factor.SolveVecTo(coef, mat.NewVecDense(p, s.xy)) != nil {
		return fmt.Errorf("fit Ridge: the features cannot be told apart at alpha %v, scale them or raise it: %w", m.Alpha, learn.ErrValue)
	}
	m.set(s, coef.RawVector().Data)
	return nil
}

// checkedMoments checks rows and targets and sums them up.
func checkedMoments(ctx context.Context, rows learn.Rows, y []float64, workers int) (*moments, error) {
	if err := learn.CheckTargets(rows.X, y); err != nil {
		return nil, err
	}
	if err := checkFinite(ctx, rows, workers); err != nil {
		return nil, err
	}
	return newMoments(ctx, rows, y, workers)
}

// values are the fitted part of a linear regressor.
type values struct {
	// Coef and Intercept are w and b after Fit.
	Coef      []float64
	Intercept float64
}

func (v *values) set(m *moments, coef []float64) {
	v.Coef, v.Intercept = coef, m.yMean-floats.Dot(coef, m.mean)
}

// Predict returns w·x + b for each row.
func (v *values) Predict(x *mat.Dense) ([]float64, error) {
	if err := learn.CheckPredict(x, len(v.Coef)); err != nil {
		return nil, fmt.Errorf("predict with a linear regressor: %w", err)
	}
	n, _ := x.Dims()
	out := make([]float64, n)
	for i := range out {
		out[i] = floats.Dot(v.Coef, x.RawRowView(i)) + v.Intercept
	}
	return out, nil
}

// Emit adds LinearRegressor.
func (v *values) Emit(b *emit.Builder, input string) (string, error) {
	if v.Coef == nil {
		return "", learn.ErrNotFitted
	}
	coefficients, intercepts := rounded(b, input, mat.NewDense(1, len(v.Coef), v.Coef), []float64{v.Intercept})
	return b.NodeML("LinearRegressor", []string{input},
		onnx.FloatsAttribute("coefficients", coefficients...),
		onnx.FloatsAttribute("intercepts", intercepts...),
		onnx.IntAttribute("targets", 1)), nil
}
