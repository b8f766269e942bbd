package learn

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn/emit"
	"github.com/petal-ml/petal/internal/onnx"
)

// A Pipeline is a [Classifier] whose features go through transformers first.
// Fit learns the transformers from the training rows alone, in order, then the
// classifier from what they give.
type Pipeline struct {
	Steps      []Transformer
	Classifier Classifier
}

var _ Classifier = (*Pipeline)(nil)

// Name is the name of the classifier at the end.
func (p *Pipeline) Name() string { return p.Classifier.Name() }

// Params returns the classifier's parameters by their own names, and those of
// each step as "<step>__<parameter>", scikit-learn's spelling of nested
// parameters.
func (p *Pipeline) Params() map[string]any {
	return withSteps(p.Classifier.Params(), p.Steps)
}

// withSteps adds the parameters of steps to those of the estimator at the end.
func withSteps(params map[string]any, steps []Transformer) map[string]any {
	for _, step := range steps {
		for name, v := range step.Params() {
			params[step.Name()+"__"+name] = v
		}
	}
	return params
}

// Fit learns the steps, then the classifier. Where the classifier is a
// [RowsFitter], no transformed copy of x is made.
func (p *Pipeline) Fit(ctx context.Context, x *mat.Dense, y []int, classes int, opt Options) error {
	if err := CheckTraining(x, y, classes); err != nil {
		return fmt.Errorf("fit %s: %w", p.Name(), err)
	}
	rows, err := fitSteps(ctx, x, p.Steps)
	if err != nil {
		return err
	}
	if c, ok := p.Classifier.(RowsFitter); ok {
		return c.FitRows(ctx, rows, y, classes, opt)
	}
	return p.Classifier.Fit(ctx, rows.Dense(), y, classes, opt)
}

// FitSteps learns the steps alone, for whoever fits the classifier otherwise.
func (p *Pipeline) FitSteps(ctx context.Context, x *mat.Dense) error {
	_, err := fitSteps(ctx, x, p.Steps)
	return err
}

// Transform returns the rows as they come out of the last step.
func (p *Pipeline) Transform(x *mat.Dense) *mat.Dense { return Rows{X: x, Through: p.Steps}.Dense() }

// fitSteps learns each step from what those before it give, and returns the rows
// as they come out of the last.
func fitSteps(ctx context.Context, x *mat.Dense, steps []Transformer) (Rows, error) {
	for i, step := range steps {
		if err := step.Fit(ctx, Rows{X: x, Through: steps[:i]}); err != nil {
			return Rows{}, err
		}
	}
	return Rows{X: x, Through: steps}, nil
}

// predictBlock is how many rows are transformed at a time in prediction: few
// enough for the copy to be small, enough to keep the workers of a classifier
// that has some busy.
const predictBlock = 65536

// PredictProba transforms the rows of x and returns the classifier's
// probabilities (n × classes).
func (p *Pipeline) PredictProba(x *mat.Dense) (*mat.Dense, error) {
	if x == nil || x.IsEmpty() {
		return nil, fmt.Errorf("predict with %s: %w", p.Name(), CheckPredict(x, 1))
	}
	n, width := x.Dims()
	var out *mat.Dense
	for from := 0; from < n; from += predictBlock {
		to := min(from+predictBlock, n)
		block := x.Slice(from, to, 0, width).(*mat.Dense)
		proba, err := p.Classifier.PredictProba(Rows{X: block, Through: p.Steps}.Dense())
		if err != nil {
			return nil, err
		}
		if to-from == n {
			return proba, nil
		}
		if out == nil {
			_, classes := proba.Dims()
			out = mat.NewDense(n, classes, nil)
		}
		_, classes := out.Dims()
		out.Slice(from, to, 0, classes).(*mat.Dense).Copy(proba)
	}
	return out, nil
}

// Emit adds the steps and the classifier to a graph.
func (p *Pipeline) Emit(b *emit.Builder, input string) (emit.Scores, error) {
	input, err := emitSteps(b, input, p.Steps)
	if err != nil {
		return emit.Scores{}, err
	}
	return p.Classifier.Emit(b, input)
}

func emitSteps(b *emit.Builder, input string, steps []Transformer) (string, error) {
	for _, step := range steps {
		output, err := step.Emit(b, input)
		if err != nil {
			return "", err
		}
		input = output
	}
	return input, nil
}

// ToONNX writes a fitted classifier as an ONNX model: one input "features"
// (float [N, features]), and the outputs "label" ([N], int64 or string as the
// labels are) and "probabilities" (one map a row, from label to probability).
// The labels stand in the order of the class indices. The model holds nothing
// but what was learned, no time and no name of a machine: equal models are equal
// bytes.
func ToONNX(c Classifier, features int, labels onnx.Labels) (*onnx.Model, error) {
	b, err := emit.NewBuilder(features, labels)
	return toONNX(b, err, c)
}

// ToTypedONNX is [ToONNX] for a classifier whose first step reads the columns one
// by one: the graph has an input [N] for each.
func ToTypedONNX(c Classifier, columns []emit.InputColumn, labels onnx.Labels) (*onnx.Model, error) {
	b, err := emit.NewTypedBuilder(columns, labels)
	return toONNX(b, err, c)
}

func toONNX(b *emit.Builder, err error, c Classifier) (*onnx.Model, error) {
	if err != nil {
		return nil, fmt.Errorf("write %s as ONNX: %w", c.Name(), err)
	}
	scores, err := c.Emit(b, emit.Input)
	if err != nil {
		return nil, fmt.Errorf("write %s as ONNX: %w", c.Name(), err)
	}
	return b.Model(c.Name(), scores), nil
}
