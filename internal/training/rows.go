package training

import (
	"fmt"
	"strings"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/dataset"
	"github.com/petal-ml/petal/internal/learn/modelselection"
	"github.com/petal-ml/petal/internal/promotion"
)

// A part is a set of rows cut out of the data.
type part struct {
	x    *mat.Dense
	y    []int
	rows []int // where they stand in the data
}

// take cuts rows out of a part.
func (p part) take(rows []int) part {
	return part{modelselection.TakeRows(p.x, rows), modelselection.Take(p.y, rows), modelselection.Take(p.rows, rows)}
}

// hashes identify the rows of a matrix.
func hashes(x *mat.Dense) []uint64 {
	n, width := x.Dims()
	columns := make([]int, width)
	for j := range columns {
		columns[j] = j
	}
	all := make([]uint64, n)
	for i := range all {
		all[i] = promotion.HashRow(x.RawRowView(i), columns)
	}
	return all
}

// split cuts the data into training rows and hold-out.
func split(d *dataset.Dataset, p Params) (training, test part, err error) {
	class, rows := modelselection.SmallestClass(d.Y)
	if rows < 2 {
		return part{}, part{}, &dataset.Error{
			File: d.Path, Column: d.Label, Problem: fmt.Sprintf("class %q has a single row, which cannot be in both training and hold-out", d.Classes.Text(class)),
			Remedy: "add rows of that class or remove it",
		}
	}
	s, err := modelselection.TrainTestSplit(d.Y, p.TestSize, p.Seed())
	if err != nil {
		return part{}, part{}, &InputError{
			Where:   d.Path,
			Problem: fmt.Sprintf("cannot hold out %v of its rows: %s", p.TestSize, strings.TrimSuffix(err.Error(), ": "+modelselection.ErrSplit.Error())),
			Remedy:  "add rows, or choose another test_size", Err: err,
		}
	}
	training.x, training.y = d.Select(s.Train)
	test.x, test.y = d.Select(s.Test)
	training.rows, test.rows = s.Train, s.Test
	return training, test, nil
}

// checkFolds refuses data whose classes cannot be in every fold.
func checkFolds(d *dataset.Dataset, training part, p Params) error {
	class, rows := modelselection.SmallestClass(training.y)
	if rows >= p.NSplits {
		return nil
	}
	return &dataset.Error{
		File: d.Path, Column: d.Label,
		Problem: fmt.Sprintf("class %q has %d training rows, fewer than the %d folds of n_splits", d.Classes.Text(class), rows, p.NSplits),
		Remedy:  "add rows of that class, or lower n_splits",
	}
}
