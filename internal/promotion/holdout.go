package promotion

import (
	"errors"
	"fmt"
	"slices"

	"github.com/petal-ml/petal/internal/model"
)

// A Holdout is a set of labelled rows that models are compared on.
type Holdout struct {
	// Path names the data in messages.
	Path string
	// Features names the columns, X has the values row by row (rows × features),
	// a missing one as NaN.
	Features []string
	X        []float64
	// Texts are those that the values of a column are indices into: nil for a
	// column of numbers, and nil as a whole where all are.
	Texts [][]string
	// Y has for each row an index into Classes, the labels as text.
	Y       []int
	Classes []string
	// DataMD5 is the digest of the file that the rows come from, and Split says
	// which of its rows are held out: a model with the same two was trained on
	// none of them.
	DataMD5, Split string
	// Seed decides on the resamples of the bootstrap.
	Seed uint32
}

// row is row i, with a value for each feature.
func (h *Holdout) row(i int) []float64 {
	width := len(h.Features)
	return h.X[i*width : (i+1)*width]
}

// cell is a value of row i.
func (h *Holdout) cell(i, column int) model.Cell {
	v := h.row(i)[column]
	if h.Texts == nil || h.Texts[column] == nil || v != v {
		return model.Cell{Number: v}
	}
	return model.Cell{Kind: model.Text, Text: h.Texts[column][int(v)]}
}

// columns says where the features of a model stand among those of the rows.
func (h *Holdout) columns(features []model.Feature) ([]int, error) {
	columns := make([]int, len(features))
	for i, f := range features {
		if columns[i] = slices.Index(h.Features, f.Name); columns[i] < 0 {
			return nil, incomparable("it needs the column %q, which the data do not have", f.Name)
		}
	}
	return columns, nil
}

// minRows is the least number of rows that a comparison says something with.
const minRows = 20

// unseen picks those of n rows that no model has seen. It asks each model about
// a row at most once.
func unseen(n int, seen ...func(row int) bool) []int {
	var picked []int
	for i := range n {
		if !slices.ContainsFunc(seen, func(seen func(int) bool) bool { return seen(i) }) {
			picked = append(picked, i)
		}
	}
	return picked
}

// An InputError is one fault of what the user gave, on one line.
type InputError struct {
	Where   string // such as "version 7" or "params.yaml: test_size"
	Problem string
	Remedy  string
	Err     error // the cause, where there is one
}

// Error is "where: problem; remedy".
func (e *InputError) Error() string { return e.Where + ": " + e.Problem + "; " + e.Remedy }

// Unwrap returns the cause.
func (e *InputError) Unwrap() error { return e.Err }

// ErrIncomparable means that a model cannot be compared on the rows of a
// hold-out. A fault of the registry is another error.
var ErrIncomparable = errors.New("cannot be compared")

func incomparable(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrIncomparable, fmt.Errorf(format, args...))
}
