package httpapi

import (
	"github.com/petal-ml/petal/internal/serving"
)

// A batch is rows as the model takes them, and what it says of them.
type batch struct {
	n       int
	x       []float32 // n rows, one after another
	classes []int
	scores  []float32 // the model's number of scores a row
}

// A binder puts rows in the model's order of features and checks them.
type binder struct {
	model    *serving.Model
	features []serving.Feature
	index    map[string]int // made when the first name is looked up
	// ignoreExtra lets names pass that the model does not know.
	ignoreExtra bool
	locate      func(i int) string // names row i of the body

	row   []float64
	given []bool
}

func newBinder(model *serving.Model, locate func(int) string) *binder {
	features := model.Info().Features
	return &binder{model: model, features: features, locate: locate, row: make([]float64, len(features)), given: make([]bool, len(features))}
}

// bind makes a batch of rows.
func (b *binder) bind(rows []instance) (*batch, *fieldError) {
	out := &batch{n: len(rows), x: make([]float32, 0, len(rows)*len(b.features))}
	for i, in := range rows {
		row := in.values
		if in.names != nil {
			if fault := b.byName(in, i); fault != nil {
				return nil, fault
			}
			row = b.row
		}
		if err := b.model.Check(row); err != nil {
			return nil, inputFault(err, b.locate(i), in.names != nil)
		}
		for _, v := range row {
			out.x = append(out.x, float32(v))
		}
	}
	return out, nil
}

// byName puts the values of one row in order. Every feature must be there: a
// missing value is written as null.
func (b *binder) byName(in instance, i int) *fieldError {
	if b.index == nil {
		b.index = featureIndex(b.features)
	}
	clear(b.given)
	for j, name := range in.names {
		at, known := b.index[name]
		if !known && b.ignoreExtra {
			continue
		} else if !known {
			return reject(rejectUnknownKey, b.locate(i), "there is a feature that the model does not know; GET /model-info lists its features")
		}
		b.row[at], b.given[at] = in.values[j], true
	}
	for j, ok := range b.given {
		if !ok {
			return reject(rejectMissingKey, b.locate(i)+"."+b.features[j].Name, "this feature is missing")
		}
	}
	return nil
}

// evaluate predicts all rows with one model. With [serving.ErrNotFinite] comes
// the index of the row.
func (b *batch) evaluate(model *serving.Model) (int, error) {
	b.classes = make([]int, b.n)
	b.scores = make([]float32, b.n*model.NumScores())
	return model.PredictRows(b.x, b.classes, b.scores)
}

// of returns the scores of row i.
func (b *batch) of(i int) []float32 {
	width := len(b.scores) / b.n
	return b.scores[i*width : (i+1)*width]
}
