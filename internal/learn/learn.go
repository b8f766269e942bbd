// Package learn holds what all estimators share: the interfaces [Classifier]
// and [Transformer], the [Pipeline] that chains them, and [ToONNX], which writes
// a fitted classifier as an ONNX model.
//
// The estimators stand in the packages below it, one family each, with the
// names and parameters that scikit-learn gives them. Matrices come in, models
// go out; nothing here knows a file or a registry.
//
// Three rules hold for every estimator:
//
//   - A row of the matrix is one sample, a column one feature. Classes are the
//     indices 0 … classes−1 into the sorted labels.
//   - The result of Fit depends on the data, the parameters and the seed alone.
//     It is the same to the last bit for any number of workers: work is cut into
//     pieces whose number depends on the data only, and their results are
//     reduced in order.
//   - A missing value is NaN. An estimator that cannot take one says so.
package learn

import (
	"context"
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn/emit"
)

// Errors that callers tell apart with [errors.Is].
var (
	// ErrNotFitted means that a model was asked for something before Fit.
	ErrNotFitted = errors.New("not fitted")
	// ErrShape means that the sizes of rows, labels or features do not agree.
	ErrShape = errors.New("sizes do not agree")
	// ErrValue means that the data hold a value that the estimator cannot take,
	// such as NaN where it knows no missing values.
	ErrValue = errors.New("value cannot be used")
	// ErrParameter means that a parameter is out of its range.
	ErrParameter = errors.New("parameter out of range")
)

// Progress is told of every iteration of a fit: its number, from 1, and the
// value of the objective after it, NaN for an estimator that has none, such as a
// forest. What an iteration and the objective are, the estimator says. It is
// called from one goroutine at a time.
type Progress func(iteration int, loss float64)

// Options are what a fit can be told beside data and parameters. None of them
// changes the result.
type Options struct {
	// Workers is the number of goroutines that compute; 0 means GOMAXPROCS.
	Workers int
	// Progress is called after each iteration, where it is not nil.
	Progress Progress
}

// A Classifier learns to tell classes apart. Its parameters are the exported
// fields of the concrete type.
type Classifier interface {
	// Name is the estimator's name, as scikit-learn has it.
	Name() string
	// Params returns the parameters by scikit-learn's names, such as "C" or
	// "max_iter". Values are numbers, strings, booleans or nil.
	Params() map[string]any
	// Fit learns from the rows of x (n × p, not changed) and their class indices
	// y (n values in 0 … classes−1). It stops early with ctx's error. After a
	// failed fit do not use the estimator: it may hold nothing or an earlier fit.
	Fit(ctx context.Context, x *mat.Dense, y []int, classes int, opt Options) error
	// PredictProba returns the probability of every class (n × classes, rows sum
	// to 1) for the rows of x (n × p).
	PredictProba(x *mat.Dense) (*mat.Dense, error)
	// Emit adds the fitted model to a graph. The input is the name of a float
	// tensor [N,p].
	Emit(b *emit.Builder, input string) (emit.Scores, error)
}

// A Fold is what cross-validation gives a candidate once: rows to learn from, and
// rows to predict. T is the type of a label: a class's index, or a number.
type Fold[T int | float64] struct {
	X, TestX *mat.Dense
	Y, TestY []T
}

// A Tempered classifier can be made more or less sure of itself: its
// probabilities are a softmax of scores, which Temper multiplies by a factor after
// Fit (Guo and others 2017: one by the temperature).
type Tempered interface {
	Temper(factor float64)
}

// A Transformer changes the features row by row and keeps their number, unless it
// is a [Widener].
type Transformer interface {
	// Name is the transformer's name, as scikit-learn has it.
	Name() string
	// Params returns the parameters by scikit-learn's names.
	Params() map[string]any
	// Fit learns from rows.
	Fit(ctx context.Context, rows Rows) error
	// TransformRow writes the transformed row to dst, which has the same length
	// and may be the row itself. Fit must have succeeded.
	TransformRow(dst, row []float64)
	// Emit adds the fitted transformer to a graph and returns the name of its
	// output. Input and output are float tensors [N,p].
	Emit(b *emit.Builder, input string) (output string, err error)
}

// A Widener is a [Transformer] that gives another number of features than it
// takes. It stands first in a pipeline. Its TransformRow writes Width values.
type Widener interface {
	Transformer
	// Width is the number of features after Fit.
	Width() int
}

// A RowsFitter is a [Classifier] that reads its rows a few at a time, so that a
// [Pipeline] needs no transformed copy of the matrix.
type RowsFitter interface {
	// FitRows is Fit for rows that are transformed as they are read.
	FitRows(ctx context.Context, rows Rows, y []int, classes int, opt Options) error
}

// Rows is a matrix seen through transformers.
type Rows struct {
	X       *mat.Dense
	Through []Transformer
}

// Dims returns the number of rows and of features.
func (r Rows) Dims() (n, p int) {
	n, p = r.X.Dims()
	if len(r.Through) > 0 {
		if w, ok := r.Through[0].(Widener); ok {
			p = w.Width()
		}
	}
	return n, p
}

// Read writes row i, transformed, to dst, which has one element a feature.
func (r Rows) Read(dst []float64, i int) {
	row := r.X.RawRowView(i)
	if len(r.Through) == 0 {
		copy(dst, row)
		return
	}
	for _, t := range r.Through {
		t.TransformRow(dst, row)
		row = dst
	}
}

// Dense returns the transformed matrix: X itself where nothing transforms it,
// and a new one otherwise.
func (r Rows) Dense() *mat.Dense {
	if len(r.Through) == 0 {
		return r.X
	}
	n, p := r.Dims()
	out := mat.NewDense(n, p, nil)
	for i := range n {
		r.Read(out.RawRowView(i), i)
	}
	return out
}

// CheckTraining reports whether rows and labels can be learned from: at least
// one row and one feature, two classes, one label a row within the classes, and
// at least two classes that occur.
func CheckTraining(x *mat.Dense, y []int, classes int) error {
	if x == nil || x.IsEmpty() {
		return fmt.Errorf("there are no rows to learn from: %w", ErrShape)
	}
	n, _ := x.Dims()
	if n != len(y) {
		return fmt.Errorf("%d rows have %d labels: %w", n, len(y), ErrShape)
	}
	if n > math.MaxInt32 {
		return fmt.Errorf("there are %d rows, at most %d can be learned from: %w", n, math.MaxInt32, ErrShape)
	}
	if classes < 2 {
		return fmt.Errorf("the data have %d class, a classifier needs two: %w", classes, ErrValue)
	}
	several := false
	for i, c := range y {
		if c < 0 || c >= classes {
			return fmt.Errorf("row %d has class index %d, there are %d classes: %w", i, c, classes, ErrValue)
		}
		several = several || c != y[0]
	}
	if !several {
		return fmt.Errorf("all %d rows have one class, a classifier needs two: %w", n, ErrValue)
	}
	return nil
}

// CheckFinite reports the first value of x that is NaN or infinite.
func CheckFinite(x *mat.Dense) error { return checkValues(x, false) }

// CheckNoInfinity reports the first infinite value of x. NaN, a missing value,
// is let through.
func CheckNoInfinity(x *mat.Dense) error { return checkValues(x, true) }

func checkValues(x *mat.Dense, missing bool) error {
	n, _ := x.Dims()
	for i := range n {
		for j, v := range x.RawRowView(i) {
			if math.IsInf(v, 0) || math.IsNaN(v) && !missing {
				return fmt.Errorf("row %d, column %d holds %v: %w", i, j, v, ErrValue)
			}
		}
	}
	return nil
}

// CheckPredict reports whether rows with p features can be given to a model
// fitted on want features; want 0 means that there was no fit.
func CheckPredict(x *mat.Dense, want int) error {
	if want == 0 {
		return ErrNotFitted
	}
	if x == nil || x.IsEmpty() {
		return fmt.Errorf("there are no rows: %w", ErrShape)
	}
	if _, p := x.Dims(); p != want {
		return fmt.Errorf("rows have %d features, the model has %d: %w", p, want, ErrShape)
	}
	return nil
}

// Predict returns the class of the highest probability in each row; of equal
// ones the first.
func Predict(proba *mat.Dense) []int {
	n, _ := proba.Dims()
	classes := make([]int, n)
	for i := range n {
		row := proba.RawRowView(i)
		for k, v := range row {
			if v > row[classes[i]] {
				classes[i] = k
			}
		}
	}
	return classes
}
