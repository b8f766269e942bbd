package linear

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/optimize"

	"github.com/petal-ml/petal/internal/learn"
)

var nan = math.NaN()

// maxNewtonSteps is far more than the two or three that follow a converged
// L-BFGS; the rest is for where its line search gave up early.
const maxNewtonSteps = 50

// A solver minimises an objective and remembers how it went.
type solver struct {
	objective *objective
	tol       float64
	maxIter   int
	progress  learn.Progress

	loss            float64
	largestGradient float64
	iterations      int
}

// minimize returns the parameters of the optimum.
func (s *solver) minimize(ctx context.Context) ([]float64, error) {
	theta, err := s.lbfgs(ctx)
	if err != nil {
		return nil, err
	}
	if s.tol <= polishTolerance && len(theta) <= polishLimit {
		if err := s.newton(theta); err != nil {
			return nil, err
		}
	}
	if math.IsNaN(s.loss) || math.IsInf(s.loss, 0) {
		return nil, fmt.Errorf("the objective became %v, scale the features: %w", s.loss, learn.ErrValue)
	}
	return theta, nil
}

// lbfgs runs gonum's L-BFGS from zero.
//
// Four of its habits need care. It asks for value and gradient in separate
// calls, so both are computed at once and kept. Without a Converger of ours it
// stops when the value no longer falls by 1e-10. A line search that finds no
// better point, near the optimum, is an error to it and convergence to us. And
// the best point, not the last one, is what it returns.
func (s *solver) lbfgs(ctx context.Context) ([]float64, error) {
	size := s.objective.size()
	at, gradient, value := make([]float64, size), make([]float64, size), nan
	evaluated := false
	evaluate := func(x []float64) {
		if !evaluated || !slices.Equal(at, x) {
			evaluated = true
			copy(at, x)
			value = s.objective.evaluate(at, gradient)
		}
	}
	problem := optimize.Problem{
		Func: func(x []float64) float64 { evaluate(x); return value },
		Grad: func(dst, x []float64) { evaluate(x); copy(dst, gradient) },
	}
	settings := &optimize.Settings{
		GradientThreshold: s.tol,
		Converger:         optimize.NeverTerminate{},
		MajorIterations:   s.maxIter,
		Recorder:          recorder{ctx: ctx, solver: s},
	}
	result, err := optimize.Minimize(problem, make([]float64, size), settings, &optimize.LBFGS{Linesearcher: &optimize.MoreThuente{}})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil && (result == nil || !isLineSearchFailure(err)) {
		return nil, fmt.Errorf("minimise with L-BFGS: %w", err)
	}
	theta := result.X
	evaluate(theta)
	s.loss, s.largestGradient = value, largest(gradient)
	return theta, ctx.Err()
}

func isLineSearchFailure(err error) bool {
	return errors.Is(err, optimize.ErrLinesearcherFailure) ||
		errors.Is(err, optimize.ErrLinesearcherBound) ||
		errors.Is(err, optimize.ErrNonDescentDirection) ||
		errors.Is(err, optimize.ErrNoProgress)
}

// recorder counts and reports iterations, and stops gonum once ctx is done.
type recorder struct {
	ctx    context.Context
	solver *solver
}

func (recorder) Init() error { return nil }

func (r recorder) Record(at *optimize.Location, op optimize.Operation, stats *optimize.Stats) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if op == optimize.MajorIteration && stats.MajorIterations > r.solver.iterations {
		r.solver.report(at.F)
	}
	return nil
}

func (s *solver) report(loss float64) {
	s.iterations++
	if s.progress != nil {
		s.progress(s.iterations, loss)
	}
}

// newton improves theta in place until rounding lets the gradient fall no
// further. Far from the optimum a step has to lower the objective and is halved
// until it does; close to it, where the objective's last bits say nothing more,
// it has to lower the gradient.
func (s *solver) newton(theta []float64) error {
	size := len(theta)
	gradient, trial, trialGradient := make([]float64, size), make([]float64, size), make([]float64, size)
	s.loss = s.objective.evaluate(theta, gradient)
	s.largestGradient = largest(gradient)
	for range maxNewtonSteps {
		step, err := s.newtonStep(theta, gradient)
		if err != nil || step == nil {
			return err
		}
		length, improved := 1.0, false
		for ; length > 1e-4 && !improved; length /= 2 {
			for j := range trial {
				trial[j] = theta[j] - float64(length*step[j])
			}
			loss := s.objective.evaluate(trial, trialGradient)
			if err := s.objective.ctx.Err(); err != nil {
				return err
			}
			g := largest(trialGradient)
			closeBy := s.largestGradient < 1e-7
			if closeBy && g < s.largestGradient || !closeBy && loss < s.loss {
				improved = true
				s.loss, s.largestGradient = loss, g
				copy(theta, trial)
				copy(gradient, trialGradient)
			}
			if closeBy {
				break // a full step or none
			}
		}
		if !improved {
			return nil
		}
		s.report(s.loss)
	}
	return nil
}

// newtonStep solves H·step = gradient. It is nil where H is not positive
// definite to working precision: then theta is as good as it gets.
func (s *solver) newtonStep(theta, gradient []float64) ([]float64, error) {
	h, err := s.objective.hessian(theta)
	if err != nil {
		return nil, err
	}
	var factor mat.Cholesky
	if !factor.Factorize(h) {
		return nil, nil
	}
	step := mat.NewVecDense(len(gradient), nil)
	if err := factor.SolveVecTo(step, mat.NewVecDense(len(gradient), gradient)); err != nil {
		var ill mat.Condition
		if !errors.As(err, &ill) {
			return nil, fmt.Errorf("solve for the Newton step: %w", err)
		}
		// Ill-conditioned, but solved: the caller takes it if it helps.
	}
	return step.RawVector().Data, nil
}

func largest(v []float64) float64 {
	var m float64
	for _, g := range v {
		if a := math.Abs(g); a > m || math.IsNaN(a) {
			m = a
		}
	}
	return m
}
