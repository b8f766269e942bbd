package httpapi

import (
	"errors"

	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/serving"
)

// A batch is rows as the model takes them, and what it says of them.
type batch struct {
	n       int
	x       []float32    // n rows, one after another
	table   *model.Table // the same rows for a typed model; nil for others
	classes []int
	scores  []float32 // the model's number of scores a row
}

// A binder puts rows in the model's order of features and checks them.
type binder struct {
	model    *serving.Live
	features []model.Feature
	index    map[string]int // made when the first name is looked up
	// ignoreExtra lets names pass that the model does not know.
	ignoreExtra bool
	locate      func(i int) string // names row i of the body

	row     []float64
	cells   []model.Cell
	given   []bool
	widened []model.Cell

	// What was added.
	n     int
	x     []float32
	all   []model.Cell // of a typed model
	named bool         // the last row was
}

func newBinder(live *serving.Live, locate func(int) string) *binder {
	features := live.Info().Features
	return &binder{
		model: live, features: features, locate: locate,
		row: make([]float64, len(features)), cells: make([]model.Cell, len(features)), given: make([]bool, len(features)),
	}
}

// newBatch makes a batch of n rows x. Those of a typed model are to be set in its
// table.
func newBatch(model *serving.Live, n int, x []float32) (*batch, *fieldError) {
	b := &batch{n: n, x: x}
	if !model.IsTyped() {
		return b, nil
	}
	var err error
	if b.table, err = model.NewTable(n); err != nil {
		return nil, reject(rejectRefused, "body", err.Error())
	}
	return b, nil
}

// bind makes a batch of rows.
func (b *binder) bind(rows []instance) (*batch, *fieldError) {
	for i := range rows {
		if fault := b.add(i, &rows[i]); fault != nil {
			return nil, fault
		}
	}
	return b.finish()
}

// add checks row i and takes what it says: the caller may use it again.
func (b *binder) add(i int, in *instance) *fieldError {
	row, cells := in.values, in.cells
	if b.model.IsTyped() && cells == nil {
		b.widened = widen(b.widened[:0], row)
		cells = b.widened
	}
	b.named = in.names != nil
	if b.named {
		if fault := b.byName(in.names, row, cells, i); fault != nil {
			return fault
		}
		row = b.row
		if cells != nil {
			cells = b.cells
		}
	}
	if err := b.check(row, cells); err != nil {
		return inputFault(err, b.locate(i), b.named)
	}
	if b.model.IsTyped() {
		b.all = append(b.all, cells...)
	}
	for _, v := range row {
		b.x = append(b.x, float32(v))
	}
	b.n++
	return nil
}

// check checks a row. Cells may be nil for a row of numbers.
func (b *binder) check(row []float64, cells []model.Cell) error {
	if cells == nil {
		return b.model.Check(row)
	}
	return b.model.CheckCells(cells)
}

// finish makes a batch of the rows that were added.
func (b *binder) finish() (*batch, *fieldError) {
	out, fault := newBatch(b.model, b.n, b.x)
	if fault != nil || out.table == nil {
		return out, fault
	}
	for i, c := range b.all {
		if err := out.table.Set(i/len(b.features), i%len(b.features), c); err != nil {
			return nil, inputFault(err, b.locate(i/len(b.features)), b.named)
		}
	}
	return out, nil
}

// byName puts the values of one row in order. Every feature must be there: a
// missing value is written as null.
func (b *binder) byName(names []string, row []float64, cells []model.Cell, i int) *fieldError {
	if b.index == nil {
		b.index = featureIndex(b.features)
	}
	clear(b.given)
	for j, name := range names {
		at, known := b.index[name]
		if !known && b.ignoreExtra {
			continue
		} else if !known {
			return reject(rejectUnknownKey, b.locate(i), "there is a feature that the model does not know; GET /model-info lists its features")
		}
		b.row[at], b.given[at] = row[j], true
		if cells == nil {
			continue
		}
		// A value of another kind is told before one that is missing.
		if err := b.model.CheckCell(at, cells[j]); err != nil {
			return inputFault(err, b.locate(i), true)
		}
		b.cells[at] = cells[j]
	}
	for j, ok := range b.given {
		if !ok {
			return reject(rejectMissingKey, b.locate(i)+"."+b.features[j].Name, "this feature is missing")
		}
	}
	return nil
}

// evaluate predicts all rows with one model. With [model.ErrNotFinite] comes
// the index of the row.
func (b *batch) evaluate(model *serving.Live) (int, error) {
	b.classes = make([]int, b.n)
	b.scores = make([]float32, b.n*model.NumScores())
	if b.table != nil {
		return model.PredictTable(b.table, b.classes, b.scores)
	}
	return model.PredictRows(b.x, b.classes, b.scores)
}

// evaluationFault is what an evaluation found wrong with the rows; nil where the
// error is none of the client's. Locate names row i, or all rows for -1.
func evaluationFault(err error, i int, locate func(int) string) *fieldError {
	var in *model.InputError
	switch {
	case errors.Is(err, model.ErrNotFinite):
		return reject(rejectNotFinite, locate(i), err.Error())
	case errors.As(err, &in):
		return reject(rejectRefused, locate(-1), in.Problem())
	default:
		return nil
	}
}

// of returns the scores of row i.
func (b *batch) of(i int) []float32 {
	width := len(b.scores) / b.n
	return b.scores[i*width : (i+1)*width]
}
