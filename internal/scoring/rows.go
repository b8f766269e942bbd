package scoring

import (
	"io"

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

func newRowReader(r io.Reader, format Format, m *model.Model) (rowReader, error) {
	if format == CSV {
		return rows.NewCSV(r, m.Info().Columns(), rows.CSVOptions{ByPosition: !m.IsNamed()})
	}
	return rows.NewJSONStream(r, m.Info().Names()), nil
}
