package model

import (
	"errors"
	"fmt"
	"math"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval"
	"github.com/petal-ml/petal/internal/rows"
)

// Kind is [rows.Kind].
type Kind = rows.Kind

// Cell is [rows.Cell]: a row is made of them.
type Cell = rows.Cell

// The kinds of columns and of cells.
const (
	Number  = rows.Number
	Whole   = rows.Whole
	Boolean = rows.Boolean
	Text    = rows.Text
)

// MadeUp is a row of one number, 0 or 1, and of empty texts.
func (i *Info) MadeUp(number float64) []Cell {
	row := make([]Cell, len(i.Features))
	for k, f := range i.Features {
		row[k].Number = number
		if f.Kind != Whole {
			row[k].Kind = f.Kind
		}
	}
	return row
}

// columnKind is the kind of column that an input of the graph makes.
func columnKind(e onnx.ElementType) Kind {
	switch e {
	case onnx.Float, onnx.Double:
		return Number
	case onnx.Bool:
		return Boolean
	case onnx.String:
		return Text
	default:
		return Whole
	}
}

// CheckCells is [Model.Check] for a row that need not be made of numbers.
func (m *Model) CheckCells(row []Cell) error {
	if len(row) != len(m.info.Features) {
		return &InputError{Column: -1, Fault: WrongWidth, Got: len(row), Want: len(m.info.Features)}
	}
	for i := range row {
		if err := m.CheckCell(i, row[i]); err != nil {
			return err
		}
	}
	return nil
}

// CheckCell says whether a column takes the cell; the error is an [*InputError].
func (m *Model) CheckCell(column int, c Cell) error {
	f := &m.info.Features[column]
	var fault Fault
	switch v := c.Number; {
	case c.IsMissing():
		if f.MayBeMissing {
			return nil
		}
		fault = MissingValue
	case f.Categories != nil && c.Kind != Text:
		if _, ok := f.text(c); ok {
			return nil
		}
		fault = WrongKind
	case (c.Kind == Text) != (f.Kind == Text),
		c.Kind == Boolean && f.Kind != Boolean,
		f.Kind == Boolean && v != 0 && v != 1:
		fault = WrongKind
	case f.Kind == Whole && v != math.Trunc(v):
		fault = WrongKind
	case f.Kind == Whole && !isWhole(c), math.IsInf(float64(float32(v)), 0):
		fault = OutOfRange
	default:
		return nil
	}
	return &InputError{Column: column, Name: f.Name, Fault: fault, Kind: f.Kind, Given: c.Kind}
}

func isWhole(c Cell) bool { _, ok := c.Whole(); return ok }

// An Input is one input of the graph: the features from First on.
type Input struct {
	Name         string
	Element      onnx.ElementType
	First, Width int
	Flat         bool // its shape is [n], not [n, Width]
	Boolean      bool // a text that true and false may take the place of
}

// Inputs returns the graph's inputs, in the order of the features.
func (m *Model) Inputs() []Input {
	var inputs []Input
	columns := m.columns
	for _, in := range m.session.Inputs() {
		input := Input{Name: in.Name, Element: in.Type.Element, Flat: in.Type.HasShape && len(in.Type.Shape) == 1}
		if n := len(inputs); n > 0 {
			input.First = inputs[n-1].First + inputs[n-1].Width
		}
		for _, c := range columns[input.First:] {
			if c.Input == in.Name {
				input.Width++
			}
		}
		input.Boolean = input.Width == 1 && m.info.Features[input.First].Boolean
		inputs = append(inputs, input)
	}
	return inputs
}

// A Table holds rows for [Model.PredictTable], in the types of the graph.
type Table struct {
	model *Model
	batch *eval.Batch
	rows  int
}

// IsTyped says whether the graph takes other columns than numbers of 32 bits.
// Rows of such a model go through a [Table].
func (m *Model) IsTyped() bool { return m.typed }

// NewTable makes room for rows.
func (m *Model) NewTable(n int) (*Table, error) {
	batch, err := m.session.NewBatch(n)
	if err != nil {
		return nil, fmt.Errorf("predict: %w", err)
	}
	return &Table{m, batch, n}, nil
}

// Set writes a cell. Beyond what [Model.CheckCell] accepts it takes true and false
// for numbers, and any number that may be infinite or missing. The error is an
// [*InputError].
func (t *Table) Set(row, column int, c Cell) error {
	f := &t.model.info.Features[column]
	n, isWhole := c.Whole()
	fault := WrongKind
	switch {
	case f.Categories != nil:
		if text, ok := f.text(c); ok {
			t.batch.SetText(row, column, text)
			return nil
		}
	case c.IsMissing() && f.Kind != Number:
		fault = MissingValue
	case (c.Kind == Text) != (f.Kind == Text):
	case f.Kind == Text:
		t.batch.SetText(row, column, c.Text)
		return nil
	case f.Kind == Number:
		t.batch.SetNumber(row, column, c.Number)
		return nil
	case !isWhole:
	case t.batch.SetInteger(row, column, n):
		return nil
	default:
		fault = OutOfRange
	}
	return &InputError{Column: column, Name: f.Name, Fault: fault, Kind: f.Kind, Given: c.Kind}
}

// Inputs returns the first n rows as the graph takes them. They share the table's
// memory.
func (t *Table) Inputs(n int) map[string]eval.Value { return t.batch.Inputs(n) }

// PredictTable is [Model.PredictRows] for a table. Rows that the graph itself
// refuses, such as those with a category it does not know, are an [*InputError].
func (m *Model) PredictTable(t *Table, classes []int, scores []float32) (int, error) {
	if t.rows == 0 {
		return 0, nil
	}
	out, err := m.predictor.Predict(t.batch.Inputs(t.rows))
	if err != nil {
		return 0, predictError(err)
	}
	if len(out.Scores) != len(scores) {
		return 0, fmt.Errorf("predict: the model gives %d scores for %d rows", len(out.Scores), t.rows)
	}
	copy(classes, out.Classes)
	for i, s := range out.Scores {
		scores[i] = float32(s)
	}
	return firstNotFinite(scores, m.NumScores())
}

// predictError tells rows that the graph refuses from other faults of a run.
func predictError(err error) error {
	if errors.Is(err, onnx.ErrInput) {
		return &InputError{Column: -1, Fault: Refused, Err: err}
	}
	return fmt.Errorf("predict: %w", err)
}
