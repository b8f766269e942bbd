// Package linear holds the linear classifiers and regressors.
package linear

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/emit"
	"github.com/petal-ml/petal/internal/learn/internal/parallel"
	"github.com/petal-ml/petal/internal/onnx"
)

// polishLimit is the largest number of parameters for which Newton's method
// follows L-BFGS. Its Hessian has the square of that many elements.
const polishLimit = 650

// polishTolerance is the largest Tol that asks for the exact optimum and so for
// Newton's method.
const polishTolerance = 1e-6

// LogisticRegression is multinomial logistic regression with an L2 penalty, as
// scikit-learn's LogisticRegression. For n rows, p features and K classes it
// minimises
//
//	1/n · Σᵢ −log softmax(W·xᵢ + b)[yᵢ]  +  1/(2·C·n) · ‖W‖²
//
// from W = 0, b = 0; the intercepts b are not penalised. Two classes have one
// sigmoid and so one row of coefficients, that of the second class. With more,
// the constant that softmax leaves free is fixed by Σb = 0.
//
// L-BFGS (Liu and Nocedal 1989; line search of Moré and Thuente 1994) goes down
// to a largest gradient element of Tol. Where that is at most 1e-6 and there are
// no more than 650 parameters, Newton's method with a Cholesky factor (Nocedal
// and Wright 2006, ch. 3) then goes on to the optimum as far as float64 knows
// it, so that the model does not depend on where a method happened to stop.
//
// Features should be of similar scale; put a StandardScaler before it. NaN and
// infinite values are refused.
type LogisticRegression struct {
	C       float64 // inverse strength of the penalty, above 0
	MaxIter int     // of L-BFGS, at least 1
	Tol     float64 // largest element of the gradient to stop at, above 0

	Coef      *mat.Dense // K × p; 1 × p for two classes
	Intercept []float64  // K; 1 for two classes
	Loss      float64    // the objective's value
	NIter     int        // iterations of both methods
	Converged bool       // the gradient came down to Tol
	// Temperature is what coefficients and intercepts were divided by after Fit; 0
	// for nothing.
	Temperature float64

	classes int
}

var (
	_ learn.Classifier = (*LogisticRegression)(nil)
	_ learn.RowsFitter = (*LogisticRegression)(nil)
	_ learn.Tempered   = (*LogisticRegression)(nil)
)

// NewLogisticRegression returns a model with C = 1, 1000 iterations at most and
// Tol = 1e-8.
func NewLogisticRegression() *LogisticRegression {
	return &LogisticRegression{C: 1, MaxIter: 1000, Tol: 1e-8}
}

// Name returns "LogisticRegression".
func (*LogisticRegression) Name() string { return "LogisticRegression" }

// Params returns C, max_iter and tol.
func (m *LogisticRegression) Params() map[string]any {
	params := map[string]any{"C": m.C, "max_iter": m.MaxIter, "tol": m.Tol}
	if m.Temperature != 0 {
		params["temperature"] = m.Temperature
	}
	return params
}

// Temper divides coefficients and intercepts by 1/factor.
func (m *LogisticRegression) Temper(factor float64) {
	m.Temperature = 1 / factor
	m.Coef.Scale(factor, m.Coef)
	floats.Scale(factor, m.Intercept)
}

// Fit minimises the objective over the rows of x. Progress reports each
// iteration with the objective's value.
func (m *LogisticRegression) Fit(ctx context.Context, x *mat.Dense, y []int, classes int, opt learn.Options) error {
	return m.FitRows(ctx, learn.Rows{X: x}, y, classes, opt)
}

// FitRows is Fit for rows that are transformed as they are read. It needs no
// memory in proportion to their number.
func (m *LogisticRegression) FitRows(ctx context.Context, rows learn.Rows, y []int, classes int, opt learn.Options) error {
	if err := m.check(ctx, rows, y, classes, opt.Workers); err != nil {
		return fmt.Errorf("fit LogisticRegression: %w", err)
	}
	m.Coef, m.Intercept, m.classes, m.Temperature = nil, nil, 0, 0
	f := newObjective(ctx, rows, y, classes, m.C, opt.Workers)
	s := solver{objective: f, tol: m.Tol, maxIter: m.MaxIter, progress: opt.Progress}
	theta, err := s.minimize(ctx)
	if err != nil {
		return fmt.Errorf("fit LogisticRegression: %w", err)
	}
	m.Loss, m.NIter, m.Converged = s.loss, s.iterations, s.largestGradient <= m.Tol
	split := f.outputs * f.features
	m.Coef = mat.NewDense(f.outputs, f.features, theta[:split:split])
	m.Intercept = theta[split:]
	m.classes = classes
	centre(m.Intercept)
	return nil
}

func (m *LogisticRegression) check(ctx context.Context, rows learn.Rows, y []int, classes, workers int) error {
	switch {
	case !(m.C > 0):
		return fmt.Errorf("parameter C is %v, it must be above 0: %w", m.C, learn.ErrParameter)
	case !(m.Tol > 0):
		return fmt.Errorf("tol is %v, it must be above 0: %w", m.Tol, learn.ErrParameter)
	case m.MaxIter < 1:
		return fmt.Errorf("max_iter is %d, it must be at least 1: %w", m.MaxIter, learn.ErrParameter)
	}
	if err := learn.CheckTraining(rows.X, y, classes); err != nil {
		return err
	}
	return checkFinite(ctx, rows, workers)
}

// checkFinite reports the first value that is NaN or infinite.
func checkFinite(ctx context.Context, rows learn.Rows, workers int) error {
	n, p := rows.Dims()
	faults := make([]error, maxChunks)
	err := parallel.Do(ctx, workers, len(faults), func(piece int) {
		row := make([]float64, p)
		from, to := parallel.Range(n, len(faults), piece)
		for i := from; i < to; i++ {
			rows.Read(row, i)
			for j, v := range row {
				if math.IsNaN(v) || math.IsInf(v, 0) {
					faults[piece] = fmt.Errorf("row %d, column %d is %v, the model takes finite values only: %w", i, j, v, learn.ErrValue)
					return
				}
			}
		}
	})
	return cmp.Or(err, cmp.Or(faults...))
}

// centre fixes the constant that softmax leaves free. A single sigmoid has none.
func centre(intercept []float64) {
	if len(intercept) == 1 {
		return
	}
	var mean float64
	for _, b := range intercept {
		mean += b
	}
	mean /= float64(len(intercept))
	for k := range intercept {
		intercept[k] -= mean
	}
}

// PredictProba returns softmax(W·x + b) for each row, and (1−σ, σ) of the single
// sigmoid for two classes.
func (m *LogisticRegression) PredictProba(x *mat.Dense) (*mat.Dense, error) {
	features := 0
	if m.Coef != nil {
		_, features = m.Coef.Dims()
	}
	if err := learn.CheckPredict(x, features); err != nil {
		return nil, fmt.Errorf("predict with LogisticRegression: %w", err)
	}
	n, _ := x.Dims()
	proba := mat.NewDense(n, m.classes, nil)
	theta := slices.Concat(m.Coef.RawMatrix().Data, m.Intercept)
	pieces := (n + predictRows - 1) / predictRows
	err := parallel.Do(context.Background(), 0, pieces, func(piece int) {
		from, to := piece*predictRows, min((piece+1)*predictRows, n)
		b := newBlock(features, len(m.Intercept))
		for first := from; first < to; first += blockRows {
			last := min(first+blockRows, to)
			b.read(learn.Rows{X: x}, first, last)
			b.scores(theta)
			b.probabilities(proba, first, last)
		}
	})
	return proba, err
}

// predictRows is the number of rows that one worker predicts at a time.
const predictRows = 4096

// Emit adds LinearClassifier, with a row of coefficients for each class, and a
// Normalizer that takes float32's rounding out of the sum.
func (m *LogisticRegression) Emit(b *emit.Builder, input string) (emit.Scores, error) {
	if m.Coef == nil {
		return emit.Scores{}, learn.ErrNotFitted
	}
	if err := b.CheckClasses(m.classes); err != nil {
		return emit.Scores{}, err
	}
	coefficients, intercepts := rounded(b, input, m.Coef, m.Intercept)
	transform, multi := "SOFTMAX", int64(1)
	if m.classes == 2 {
		coefficients, intercepts = mirrored(coefficients), mirrored(intercepts)
		transform, multi = "LOGISTIC", 0
	}
	scores := b.ClassifierML("LinearClassifier", input,
		onnx.FloatsAttribute("coefficients", coefficients...),
		onnx.FloatsAttribute("intercepts", intercepts...),
		onnx.IntAttribute("multi_class", multi),
		onnx.StringAttribute("post_transform", transform))
	scores.Probabilities = b.NodeML("Normalizer", []string{scores.Probabilities}, onnx.StringAttribute("norm", "L1"))
	return scores, nil
}

// rounded returns coefficients (a row for each intercept) and intercepts as
// float32, after they took in what rounding did to the features.
func rounded(b *emit.Builder, input string, of *mat.Dense, at []float64) (coefficients, intercepts []float32) {
	coef, intercept := mat.DenseCopyOf(of), slices.Clone(at)
	if r, ok := b.Roundoff(input); ok {
		for k := range intercept {
			row := coef.RawRowView(k)
			for j, w := range row {
				row[j] = w * r.Gain[j]
				intercept[k] += float64(w * r.Shift[j])
			}
		}
	}
	return emit.Floats(coef.RawMatrix().Data), emit.Floats(intercept)
}

// mirrored returns −v followed by v: the row of the first class, then that of
// the second. Readers disagree about what a single row means.
func mirrored(v []float32) []float32 {
	out := make([]float32, 2*len(v))
	for i, w := range v {
		out[i], out[len(v)+i] = -w, w
	}
	return out
}
