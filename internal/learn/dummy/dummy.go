// Package dummy holds the estimators that every other one has to beat.
package dummy

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/emit"
)

// Classifier answers every row with the classes' shares of the training rows,
// as scikit-learn's DummyClassifier(strategy="prior") does. It looks at no
// feature, so it takes any value.
type Classifier struct {
	// Prior holds the share of each class after Fit.
	Prior []float64

	features int
}

var _ learn.Classifier = (*Classifier)(nil)

// Name returns "DummyClassifier".
func (*Classifier) Name() string { return "DummyClassifier" }

// Params returns the strategy, which is always "prior".
func (*Classifier) Params() map[string]any { return map[string]any{"strategy": "prior"} }

// Fit counts the classes.
func (c *Classifier) Fit(_ context.Context, x *mat.Dense, y []int, classes int, _ learn.Options) error {
	if err := learn.CheckTraining(x, y, classes); err != nil {
		return fmt.Errorf("fit DummyClassifier: %w", err)
	}
	prior := make([]float64, classes)
	for _, k := range y {
		prior[k]++
	}
	for k := range prior {
		prior[k] /= float64(len(y))
	}
	_, c.features = x.Dims()
	c.Prior = prior
	return nil
}

// PredictProba returns the prior for each row of x (n × classes).
func (c *Classifier) PredictProba(x *mat.Dense) (*mat.Dense, error) {
	if err := learn.CheckPredict(x, c.features); err != nil {
		return nil, fmt.Errorf("predict with DummyClassifier: %w", err)
	}
	n, _ := x.Dims()
	proba := mat.NewDense(n, len(c.Prior), nil)
	for i := range n {
		proba.SetRow(i, c.Prior)
	}
	return proba, nil
}

// Emit adds the prior as the scores of each row, rows of NaN included.
func (c *Classifier) Emit(b *emit.Builder, input string) (emit.Scores, error) {
	if c.features == 0 {
		return emit.Scores{}, learn.ErrNotFitted
	}
	if err := b.CheckClasses(len(c.Prior)); err != nil {
		return emit.Scores{}, err
	}
	return b.ConstantScores(input, c.Prior), nil
}
