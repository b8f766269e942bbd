package rows

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"unicode/utf8"
)

// A Column is one that cells are wanted of.
type Column struct {
	Name string
	Kind Kind
}

// CSVOptions say how [NewCSV] reads.
type CSVOptions struct {
	// ByPosition takes the fields in order where the header names none of the
	// columns and has as many.
	ByPosition bool
	// MaxColumns bounds the fields of a line; 0 is no bound.
	MaxColumns int
}

// CSV reads the rows of a CSV file with a header, the comma between fields. Lines
// end in LF, CRLF, or all in CR alone; a byte order mark is skipped.
type CSV struct {
	records *Records
	sources []*bufio.Reader
	columns []Column
	places  []int // from a column to its field
	width   int   // fields of the header
}

// readBuffer is large enough for some hundred rows, in bytes.
const readBuffer = 64 << 10

// NewCSV reads the header. Each column must be there once; others may be there,
// and are passed over. A header of numbers alone is none. What is wrong is an
// [*Error].
func NewCSV(r io.Reader, columns []Column, o CSVOptions) (*CSV, error) {
	source := bufio.NewReaderSize(r, readBuffer)
	c := &CSV{sources: []*bufio.Reader{source}, columns: columns}
	if endsInCR(source) {
		source = bufio.NewReaderSize(fromCR{source}, readBuffer)
		c.sources = append(c.sources, source)
	}
	if mark, _ := source.Peek(3); string(mark) == "\ufeff" {
		_, _ = source.Discard(3) // it is there
	}
	c.records = NewRecords(source, ',')
	if o.MaxColumns > 0 {
		c.records.maxFields = o.MaxColumns
	}
	header, err := c.records.Read()
	if errors.Is(err, io.EOF) {
		return nil, &Error{Line: 1, Err: ErrHeader}
	} else if err != nil {
		return nil, err
	}
	return c, c.place(slices.Clone(header), o.ByPosition)
}

// AreNumbers says whether all fields are numbers: a header is not made of them.
func AreNumbers(fields []string) bool {
	return !slices.ContainsFunc(fields, func(s string) bool {
		v, err := ParseNumber(s)
		return err == nil && v != v || errors.Is(err, ErrNotNumber)
	})
}

// place finds the columns in the header.
func (c *CSV) place(header []string, byPosition bool) error {
	c.width = len(header)
	missing := -1
	for i, column := range c.columns {
		place := slices.Index(header, column.Name)
		switch {
		case place >= 0 && slices.Contains(header[place+1:], column.Name):
			return &Error{Line: 1, Name: column.Name, Err: ErrRepeated}
		case place < 0 && missing < 0:
			missing = i
		}
		c.places = append(c.places, place)
	}
	switch {
	case missing < 0:
		return nil
	case AreNumbers(header):
		return &Error{Line: 1, Name: c.columns[missing].Name, Err: ErrHeader}
	case !byPosition || len(header) != len(c.columns):
		return &Error{Line: 1, Name: c.columns[missing].Name, Err: ErrMissingColumn}
	}
	for i := range c.places {
		c.places[i] = i
	}
	return nil
}

// Next fills row, a cell a column; io.EOF comes after the last one. Line and
// column of what is wrong stand in the [*Error].
func (c *CSV) Next(row []Cell) error {
	fields, err := c.records.Read()
	if err != nil {
		return err
	}
	if len(fields) != c.width {
		return &Error{Line: c.records.Line(0), Err: ErrWidth}
	}
	for i, place := range c.places {
		field := fields[place]
		if !utf8.ValidString(field) {
			err = ErrEncoding
		} else {
			row[i], err = ParseCell(field, c.columns[i].Kind)
		}
		if err != nil {
			return &Error{Line: c.records.Line(place), Column: place + 1, Name: c.columns[i].Name, Err: err}
		}
	}
	return nil
}

// More says whether something was read that no row was made of yet: the next row
// may be had without waiting.
func (c *CSV) More() bool {
	return slices.ContainsFunc(c.sources, func(b *bufio.Reader) bool { return b.Buffered() > 0 })
}

// endsInCR looks ahead, as far as the header goes, for how lines end.
func endsInCR(b *bufio.Reader) bool {
	for {
		_, err := b.Peek(b.Buffered() + 1)
		head, _ := b.Peek(b.Buffered()) // all that has come by now
		if i := LineEnd(head); err != nil || i >= 0 && (head[i] == '\n' || i+1 < len(head)) {
			return EndsInCR(head)
		}
	}
}

// fromCR makes LF of CR.
type fromCR struct{ r io.Reader }

// Read implements [io.Reader].
func (f fromCR) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	ReplaceCR(p[:n])
	return n, err
}

// ReplaceCR makes LF of each CR, in place.
func ReplaceCR(text []byte) {
	for i := bytes.IndexByte(text, '\r'); i >= 0 && i < len(text); i++ {
		if text[i] == '\r' {
			text[i] = '\n'
		}
	}
}
