package scoring

import (
	"fmt"
	"io"
	"slices"

	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/rows"
)

// A Format is how rows are written.
type Format int

// The formats of rows.
const (
	// JSON is one array of rows, or a row after the other; a row is an array or
	// an object.
	JSON Format = iota
	// CSV has a header.
	CSV
)

// A rowReader reads rows as cells in the order of the features.
type rowReader interface {
	// Next fills row; io.EOF comes after the last one.
	Next(row []rows.Cell) error
	// More says whether something was read that no row was made of yet: the
	// next row may be had without waiting.
	More() bool
}

func newRowReader(r io.Reader, format Format, m *Model) (rowReader, error) {
	if format == CSV {
		columns := make([]rows.Column, len(m.features))
		for i, f := range m.features {
			columns[i] = rows.Column{Name: f.Name, Kind: kindOf(f.Type)}
		}
		return rows.NewCSV(r, columns, rows.CSVOptions{ByPosition: !m.named})
	}
	names := make([]string, len(m.features))
	for i, f := range m.features {
		names[i] = f.Name
	}
	return &jsonRows{rows.NewJSONStream(r, names), names}, nil
}

// jsonRows puts rows of JSON in the order of the features.
type jsonRows struct {
	*rows.JSONStream
	names []string
}

// Next implements rowReader. What is missing in a row by name is a fault.
func (j *jsonRows) Next(row []rows.Cell) error {
	if err := j.JSONStream.Next(); err != nil {
		return err
	}
	given := &j.Row
	if given.Names == nil {
		if len(given.Values) != len(row) {
			return &model.InputError{Column: -1, Fault: model.WrongWidth, Got: len(given.Values), Want: len(row)}
		}
		for i := range row {
			row[i] = given.Cell(i)
		}
		return nil
	}
	if len(given.Names) < len(row) {
		missing := slices.IndexFunc(j.names, func(name string) bool { return !slices.Contains(given.Names, name) })
		return fmt.Errorf("feature %q is missing; write null where its value is", j.names[missing])
	}
	for k, name := range given.Names {
		i, _ := j.Column(name) // others were passed over
		row[i] = given.Cell(k)
	}
	return nil
}
