package training

import (
	"context"
	"fmt"
	"math"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/dummy"
	"github.com/petal-ml/petal/internal/learn/inspection"
	"github.com/petal-ml/petal/internal/learn/metrics"
	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/promotion"
)

// judged is what is known of a fitted model, and the file that it is served from.
type judged struct {
	training, test *metrics.Report         // on the training rows and on the hold-out
	proba          *mat.Dense              // of the hold-out, as it is served
	priorLogLoss   float64                 // of the hold-out: any model has to beat it
	importance     []inspection.Importance // of each feature; nil where there are too many
	dir            mlmodel.Dir             // of the model, to be logged
	candidate      promotion.Candidate     // as the gate sees it
}

// beatsPrior tells whether the model learned something, as the gate has it.
func (j judged) beatsPrior() bool { return j.test.LogLoss < j.priorLogLoss }

// judge evaluates a fitted model on training rows and hold-out and writes it as
// it will be served. The hold-out is judged as it will be served, in float32: columns that
// differ only beyond its 24 bits, as times in nanoseconds do, must not look
// learned.
func judge(ctx context.Context, p prepared, f fitted, now time.Time) (judged, error) {
	var j judged
	var err error
	if j.training, _, err = evaluate(f, p.training.x, p.training.y); err != nil {
		return j, err
	}
	if j.test, j.proba, err = evaluate(f, asServed(p.test.x), p.test.y); err != nil {
		return j, err
	}
	if j.priorLogLoss, err = priorLogLoss(ctx, p); err != nil {
		return j, err
	}
	if j.dir, err = modelDir(p, f, j.test, now); err != nil {
		return j, err
	}
	j.candidate = promotion.Candidate{LogLoss: j.test.LogLoss, PriorLogLoss: j.priorLogLoss, Leaked: overlap(f.rows, p.test.rows)}
	if j.candidate.Probabilities, err = probabilities(ctx, j.dir, p, j.proba); err != nil {
		return j, fmt.Errorf("verify the ONNX file: %w", err)
	}
	if j.importance, err = importance(ctx, f, p, len(j.dir.ONNX)); err != nil {
		return j, err
	}
	return j, ctx.Err()
}

func evaluate(f fitted, x *mat.Dense, y []int) (*metrics.Report, *mat.Dense, error) {
	proba, err := f.model.PredictProba(x)
	if err != nil {
		return nil, nil, fmt.Errorf("evaluate %s: %w", f.candidate.Name, err)
	}
	report, err := metrics.Evaluate(y, proba)
	if err != nil {
		return nil, nil, fmt.Errorf("evaluate %s: %w", f.candidate.Name, err)
	}
	return report, proba, nil
}

// asServed rounds a copy of x to the float32 that the model's input holds.
func asServed(x *mat.Dense) *mat.Dense {
	n, p := x.Dims()
	rounded := mat.NewDense(n, p, nil)
	rounded.Apply(func(_, _ int, v float64) float64 { return float64(float32(v)) }, x)
	return rounded
}

// priorLogLoss is the hold-out's log-loss of the shares that the classes have in
// the training rows.
func priorLogLoss(ctx context.Context, p prepared) (float64, error) {
	prior := &dummy.Classifier{}
	err := prior.Fit(ctx, p.training.x, p.training.y, len(p.classes), learn.Options{})
	if err != nil {
		return 0, fmt.Errorf("evaluate the prior: %w", err)
	}
	proba, err := prior.PredictProba(p.test.x)
	if err != nil {
		return 0, fmt.Errorf("evaluate the prior: %w", err)
	}
	return metrics.LogLoss(p.test.y, proba), nil
}

// overlap counts the rows that are in both.
func overlap(a, b []int) int {
	in := make(map[int]bool, len(a))
	for _, row := range a {
		in[row] = true
	}
	n := 0
	for _, row := range b {
		if in[row] {
			n++
		}
	}
	return n
}

// onnxTolerance is what float32 may do to a probability.
const onnxTolerance = 1e-5

// probabilities opens a model directory as a server would, asks it about the
// hold-out (rows × classes), and makes sure that it answers as the model itself
// does.
func probabilities(ctx context.Context, dir mlmodel.Dir, p prepared, want *mat.Dense) ([]float64, error) {
	files, err := dir.Files(mlmodel.IDs{})
	if err != nil {
		return nil, err
	}
	served, err := promotion.Load(ctx, nil, model.Files{MLmodel: files[mlmodel.ModelFile], ONNX: dir.ONNX}, model.Expect{})
	if err != nil {
		return nil, err
	}
	found, err := served.Probabilities(ctx, p.holdout())
	if err != nil {
		return nil, err
	}
	classes := len(p.classes)
	for i, probability := range found {
		row, class := i/classes, i%classes
		if math.Abs(probability-want.At(row, class)) > onnxTolerance {
			return nil, fmt.Errorf("row %d of the hold-out has probability %v for class %d, the model %v", row, probability, class, want.At(row, class))
		}
	}
	return found, nil
}

// Bounds of the permutation importance: it predicts rows × features × repeats
// rows.
const (
	importanceRepeats  = 5
	importanceRows     = 1000
	importanceFeatures = 200
	importanceWork     = 200 << 30 // times the bytes of the model file
)

// importance asks how much each feature matters on the hold-out, or the first
// rows of a large one; of a large model (its size is in bytes) fewer. Beyond some
// hundred features nobody asks.
func importance(ctx context.Context, f fitted, p prepared, size int) ([]inspection.Importance, error) {
	if len(p.data.Features) > importanceFeatures {
		return nil, nil
	}
	rows := p.test
	most := min(importanceRows, max(1, importanceWork/(importanceRepeats*len(p.data.Features)*max(size, 1))))
	if len(rows.y) > most {
		first := make([]int, most) // the hold-out is in random order
		for i := range first {
			first[i] = i
		}
		rows = rows.take(first)
	}
	return inspection.PermutationImportance(ctx, f.model, rows.x, rows.y,
		func(y []int, proba *mat.Dense) float64 { return -metrics.LogLoss(y, proba) }, importanceRepeats, p.params.Seed())
}
