package scoring

import (
	"bufio"
	"encoding/json"
	"io"

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

// readBuffer is large enough for some hundred rows, in bytes.
const readBuffer = 64 << 10

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
	buffered := bufio.NewReaderSize(r, readBuffer)
	columns := make(map[string]int, len(m.features))
	for i, f := range m.features {
		columns[f.Name] = i
	}
	d := json.NewDecoder(&textReader{source: buffered})
	d.UseNumber()
	return &jsonRows{decoder: d, source: buffered, columns: columns, features: m.features}, nil
}
