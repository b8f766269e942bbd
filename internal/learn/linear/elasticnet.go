package linear

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
)

// ElasticNet is least squares with L1 and L2 penalties (Zou and Hastie 2005), as
// scikit-learn's ElasticNet. For n rows and p features it minimises
//
//	1/(2n) · Σᵢ (w·xᵢ + b − yᵢ)²  +  Alpha · L1Ratio · ‖w‖₁  +  Alpha · (1−L1Ratio)/2 · ‖w‖²
//
// by coordinate descent on the products of the centred features (Friedman, Hastie
// and Tibshirani 2010), until the duality gap is at most Tol times the sum of
// squares of the centred targets, or for MaxIter passes. The intercept b is not
// penalised. L1Ratio = 1 is the lasso. Features should be of similar scale. NaN
// and infinite values are refused. Progress reports each pass with the gap.
type ElasticNet struct {
	Alpha   float64 // strength of the penalties, above 0
	L1Ratio float64 // share of the L1 penalty, from 0 to 1
	MaxIter int     // at least 1
	Tol     float64 // above 0

	// NIter is the number of passes done; Converged tells that the gap came down
	// to Tol.
	NIter     int
	Converged bool

	values
}

var (
	_ learn.Regressor     = (*ElasticNet)(nil)
	_ learn.RowsRegressor = (*ElasticNet)(nil)
)

// NewElasticNet returns a model with Alpha = 1 and L1Ratio = 0.5, as
// scikit-learn's, and Tol = 1e-10: the optimum, not where a method happens to stop.
func NewElasticNet() *ElasticNet {
	return &ElasticNet{Alpha: 1, L1Ratio: 0.5, MaxIter: 10_000, Tol: 1e-10}
}

// Name returns "ElasticNet".
func (*ElasticNet) Name() string { return "ElasticNet" }

// Params returns alpha, l1_ratio, max_iter and tol.
func (m *ElasticNet) Params() map[string]any {
	return map[string]any{"alpha": m.Alpha, "l1_ratio": m.L1Ratio, "max_iter": m.MaxIter, "tol": m.Tol}
}

// Fit descends to the optimum.
func (m *ElasticNet) Fit(ctx context.Context, x *mat.Dense, y []float64, opt learn.Options) error {
	return m.FitRows(ctx, learn.Rows{X: x}, y, opt)
}

// FitRows is Fit for rows that are transformed as they are read. It needs no
// memory in proportion to their number.
func (m *ElasticNet) FitRows(ctx context.Context, rows learn.Rows, y []float64, opt learn.Options) error {
	m.values, m.NIter, m.Converged = values{}, 0, false
	if err := m.check(); err != nil {
		return fmt.Errorf("fit ElasticNet: %w", err)
	}
	s, err := checkedMoments(ctx, rows, y, opt.Workers)
	if err != nil {
		return fmt.Errorf("fit ElasticNet: %w", err)
	}
	d := newDescent(s, m.Alpha, m.L1Ratio)
	for m.NIter < m.MaxIter && !m.Converged {
		if err := ctx.Err(); err != nil {
			return err
		}
		d.pass()
		m.NIter++
		gap := d.gap()
		m.Converged = gap <= m.Tol*s.yy
		if opt.Progress != nil {
			opt.Progress(m.NIter, gap/float64(s.n))
		}
	}
	m.set(s, d.w)
	return nil
}

func (m *ElasticNet) check() error {
	switch {
	case !(m.Alpha > 0):
		return fmt.Errorf("alpha is %v, it must be above 0: %w", m.Alpha, learn.ErrParameter)
	case !(m.L1Ratio >= 0 && m.L1Ratio <= 1):
		return fmt.Errorf("l1_ratio is %v, it must be from 0 to 1: %w", m.L1Ratio, learn.ErrParameter)
	case m.MaxIter < 1:
		return fmt.Errorf("max_iter is %d, it must be at least 1: %w", m.MaxIter, learn.ErrParameter)
	case !(m.Tol > 0):
		return fmt.Errorf("tol is %v, it must be above 0: %w", m.Tol, learn.ErrParameter)
	}
	return nil
}

// A descent minimises ½‖y−Xw‖² + l1·‖w‖₁ + ½·l2·‖w‖².
type descent struct {
	*moments
	l1, l2 float64
	w      []float64
	rest   []float64 // Xᵀ(y − Xw)
}

func newDescent(s *moments, alpha, ratio float64) *descent {
	n := float64(s.n)
	d := &descent{moments: s, l1: alpha * ratio * n, l2: alpha * (1 - ratio) * n, w: make([]float64, len(s.xy))}
	d.rest = append(d.rest, s.xy...)
	return d
}

// pass goes to the optimum of each coefficient in turn.
func (d *descent) pass() {
	column := make([]float64, len(d.w))
	for j, before := range d.w {
		square := d.xx.At(j, j)
		if square == 0 {
			continue // a constant feature
		}
		pull := d.rest[j] + float64(square*before)
		after := math.Copysign(max(math.Abs(pull)-d.l1, 0), pull) / (square + d.l2)
		if after != before {
			floats.AddScaled(d.rest, before-after, mat.Col(column, j, d.xx))
			d.w[j] = after
		}
	}
}

// gap bounds how far the objective is above its optimum: what the dual problem's
// value at a feasible point leaves.
func (d *descent) gap() float64 {
	var largestRest, l1, l2, yFit, fit float64
	for j, w := range d.w {
		largestRest = max(largestRest, math.Abs(d.rest[j]-float64(d.l2*w)))
		l1 += math.Abs(w)
		l2 += float64(w * w)
		yFit += float64(w * d.xy[j])
		fit += float64(w * (d.xy[j] - d.rest[j]))
	}
	residual := max(d.yy+fit-2*yFit, 0)
	scale := 1.0
	if largestRest > d.l1 {
		scale = d.l1 / largestRest
	}
	return residual*(1+scale*scale)/2 + d.l1*l1 - scale*(d.yy-yFit) + d.l2*(1+scale*scale)*l2/2
}
