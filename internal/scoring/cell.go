package scoring

import (
	"errors"
	"fmt"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
	"github.com/petal-ml/petal/internal/rows"
)

// A batch gathers the rows of one run, at most batchRows.
type batch struct {
	rows     int
	features []eval.Feature
	table    *eval.Batch
}

// newBatch makes an empty batch for a model.
func (m *Model) newBatch(rows int) (*batch, error) {
	table, err := m.session.NewBatch(rows)
	return &batch{features: m.features, table: table}, err
}

// add appends a row, which has a cell a feature; with an error, nothing.
func (b *batch) add(row []rows.Cell) error {
	for i, c := range row {
		if err := b.set(i, c); err != nil {
			return fmt.Errorf("feature %q: %w", b.features[i].Name, err)
		}
	}
	b.rows++
	return nil
}

// What a feature does not take.
var (
	errMissing = errors.New("the value is missing, and only a number can be")
	errKind    = errors.New("the value is of another kind")
	errSize    = errors.New("the number is out of range")
)

// set writes a cell of the row that is being added. A number that is beyond the
// largest is infinite, one that is missing NaN; true and false are numbers, too.
func (b *batch) set(feature int, c rows.Cell) error {
	f := b.features[feature]
	kind := kindOf(f.Type)
	if c.IsMissing() && kind != rows.Number || (c.Kind == rows.Text) != (kind == rows.Text) {
		if c.IsMissing() {
			return errMissing
		}
		return fmt.Errorf("%w: %v is wanted", errKind, kind)
	}
	switch kind {
	case rows.Text:
		b.table.SetText(b.rows, feature, c.Text)
	case rows.Number:
		b.table.SetNumber(b.rows, feature, c.Number)
	default:
		n, ok := c.Whole()
		if !ok {
			return fmt.Errorf("%w: %v of 64 bits is wanted", errKind, kind)
		}
		if !b.table.SetInteger(b.rows, feature, n) {
			return fmt.Errorf("%w: it does not fit into %v", errSize, f.Type)
		}
	}
	return nil
}

// kindOf is the kind of cells that a type of the graph takes.
func kindOf(e onnx.ElementType) rows.Kind {
	switch e {
	case onnx.Float, onnx.Double:
		return rows.Number
	case onnx.String:
		return rows.Text
	case onnx.Bool:
		return rows.Boolean
	default:
		return rows.Whole
	}
}

// values returns the batch as the graph takes it.
func (b *batch) values() map[string]kernel.Value { return b.table.Inputs(b.rows) }

// floats are the rows of a batch whose only input is a matrix of floats.
func (b *batch) floats() []float32 {
	for _, v := range b.values() {
		if t, ok := v.(*onnx.Tensor); ok {
			data, _ := onnx.Elements[float32](t)
			return data
		}
	}
	return nil
}
