package learn

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn/emit"
	"github.com/petal-ml/petal/internal/onnx"
)

// A Regressor learns to predict a number. Its parameters are the exported fields
// of the concrete type. What holds for a [Classifier] holds for it.
type Regressor interface {
	// Name is the estimator's name, as scikit-learn has it.
	Name() string
	// Params returns the parameters by scikit-learn's names. Values are numbers,
	// strings, booleans or nil.
	Params() map[string]any
	// Fit learns from the rows of x (n × p, not changed) and their targets y (n
	// finite values). It stops early with ctx's error. After a failed fit
	// do not use the estimator: it may hold nothing or an earlier fit.
	Fit(ctx context.Context, x *mat.Dense, y []float64, opt Options) error
	// Predict returns a value for each row of x (n × p), in the target's unit.
	Predict(x *mat.Dense) ([]float64, error)
	// Emit adds the fitted model to a graph and returns the name of its output, a
	// float tensor [N,1]. The input is the name of a float tensor [N,p].
	Emit(b *emit.Builder, input string) (value string, err error)
}

// A RowsRegressor is a [Regressor] that reads its rows a few at a time, so that a
// [RegressorPipeline] needs no transformed copy of the matrix.
type RowsRegressor interface {
	// FitRows is Fit for rows that are transformed as they are read.
	FitRows(ctx context.Context, rows Rows, y []float64, opt Options) error
}

// CheckTargets reports whether rows and targets can be learned from: at least one
// row and one feature, and one finite target a row.
func CheckTargets(x *mat.Dense, y []float64) error {
	if x == nil || x.IsEmpty() {
		return fmt.Errorf("there are no rows to learn from: %w", ErrShape)
	}
	n, _ := x.Dims()
	if n != len(y) {
		return fmt.Errorf("%d rows have %d targets: %w", n, len(y), ErrShape)
	}
	if n > math.MaxInt32 {
		return fmt.Errorf("there are %d rows, at most %d can be learned from: %w", n, math.MaxInt32, ErrShape)
	}
	for i, v := range y {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("row %d has the target %v: %w", i, v, ErrValue)
		}
	}
	return nil
}

// A RegressorPipeline is a [Regressor] whose features go through transformers
// first. Fit learns the transformers from the training rows alone, in order, then
// the regressor from what they give.
type RegressorPipeline struct {
	Steps     []Transformer
	Regressor Regressor
}

var _ Regressor = (*RegressorPipeline)(nil)

// Name is the name of the regressor at the end.
func (p *RegressorPipeline) Name() string { return p.Regressor.Name() }

// Params returns the regressor's parameters by their own names, and those of each
// step as "<step>__<parameter>".
func (p *RegressorPipeline) Params() map[string]any {
	return withSteps(p.Regressor.Params(), p.Steps)
}

// Fit learns the steps, then the regressor. Where the regressor is a
// [RowsRegressor], no transformed copy of x is made.
func (p *RegressorPipeline) Fit(ctx context.Context, x *mat.Dense, y []float64, opt Options) error {
	if err := CheckTargets(x, y); err != nil {
		return fmt.Errorf("fit %s: %w", p.Name(), err)
	}
	rows, err := fitSteps(ctx, x, p.Steps)
	if err != nil {
		return err
	}
	if r, ok := p.Regressor.(RowsRegressor); ok {
		return r.FitRows(ctx, rows, y, opt)
	}
	return p.Regressor.Fit(ctx, rows.Dense(), y, opt)
}

// Predict transforms the rows of x and returns the regressor's values.
func (p *RegressorPipeline) Predict(x *mat.Dense) ([]float64, error) {
	if x == nil || x.IsEmpty() {
		return nil, fmt.Errorf("predict with %s: %w", p.Name(), CheckPredict(x, 1))
	}
	n, width := x.Dims()
	values := make([]float64, 0, n)
	for from := 0; from < n; from += predictBlock {
		block := x.Slice(from, min(from+predictBlock, n), 0, width).(*mat.Dense)
		some, err := p.Regressor.Predict(Rows{X: block, Through: p.Steps}.Dense())
		if err != nil {
			return nil, err
		}
		values = append(values, some...)
	}
	return values, nil
}

// Emit adds the steps and the regressor to a graph.
func (p *RegressorPipeline) Emit(b *emit.Builder, input string) (string, error) {
	input, err := emitSteps(b, input, p.Steps)
	if err != nil {
		return "", err
	}
	return p.Regressor.Emit(b, input)
}

// LogTarget is a [Regressor] of ln(1+y) whose values are brought back to y, for
// targets above −1 whose errors grow with their size: scikit-learn's
// TransformedTargetRegressor(func=log1p, inverse_func=expm1).
type LogTarget struct {
	Regressor
}

var _ Regressor = (*LogTarget)(nil)

// Params returns the regressor's parameters, and target: "log1p".
func (l *LogTarget) Params() map[string]any {
	params := l.Regressor.Params()
	params["target"] = "log1p"
	return params
}

// Fit learns the logarithms.
func (l *LogTarget) Fit(ctx context.Context, x *mat.Dense, y []float64, opt Options) error {
	if err := CheckTargets(x, y); err != nil {
		return fmt.Errorf("fit %s: %w", l.Name(), err)
	}
	logs := make([]float64, len(y))
	for i, v := range y {
		if v <= -1 {
			return fmt.Errorf("fit %s: row %d has the target %v, which has no logarithm: %w", l.Name(), i, v, ErrValue)
		}
		logs[i] = math.Log1p(v)
	}
	return l.Regressor.Fit(ctx, x, logs, opt)
}

// Predict returns values in the target's unit.
func (l *LogTarget) Predict(x *mat.Dense) ([]float64, error) {
	values, err := l.Regressor.Predict(x)
	for i, v := range values {
		values[i] = math.Expm1(v)
	}
	return values, err
}

// Emit adds the regressor, Exp and what takes the 1 off again.
func (l *LogTarget) Emit(b *emit.Builder, input string) (string, error) {
	value, err := l.Regressor.Emit(b, input)
	if err != nil {
		return "", err
	}
	one := emit.Constant(b, "one", []int{1}, []float32{1})
	return b.Node("Sub", []string{b.Node("Exp", []string{value}), one}), nil
}

// ToONNXValue writes a fitted regressor as an ONNX model: one input "features"
// (float [N, features]) and the output "value" (float [N, 1]). Equal models are
// equal bytes, as with [ToONNX].
func ToONNXValue(r Regressor, features int) (*onnx.Model, error) {
	b := emit.NewValueBuilder(features)
	value, err := r.Emit(b, emit.Input)
	if err != nil {
		return nil, fmt.Errorf("write %s as ONNX: %w", r.Name(), err)
	}
	return b.ValueModel(r.Name(), value), nil
}
