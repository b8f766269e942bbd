package scoring

import (
	"bufio"
	"encoding/json"
	"io"
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
	// next fills row; io.EOF comes after the last one.
	next(row []cell) error
	// more says whether something was read that no row was made of yet: the
	// next row may be had without waiting.
	more() bool
}

func newRowReader(r io.Reader, format Format, m *Model) (rowReader, error) {
	buffered := bufio.NewReaderSize(r, readBuffer)
	if format == CSV {
		return newCSVRows(buffered, m)
	}
	columns := make(map[string]int, len(m.features))
	for i, f := range m.features {
		columns[f.Name] = i
	}
	d := json.NewDecoder(&textReader{source: buffered})
	d.UseNumber()
	return &jsonRows{decoder: d, source: buffered, columns: columns, features: m.features}, nil
}
