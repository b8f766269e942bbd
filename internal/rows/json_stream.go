package rows

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// Errors of a [JSONStream].
var (
	ErrNoRow = errors.New("a row is an array or an object")
	ErrAfter = errors.New("there is something after the array of rows")
)

// A JSONStream reads rows from a stream: one array of rows, or a row after the
// other. A number beyond float64 is infinite.
type JSONStream struct {
	JSONReader
	// Names are those of the values of rows that are arrays; nil: the columns.
	Names   []string
	columns []string
	seen    []bool
	r       *bufio.Reader
	offset  int64 // bytes that were read
	text    []byte
	started bool
	inArray bool // the rows stand in one array
	ended   bool
}

// NewJSONStream returns a reader of rows with these columns; values of others are
// passed over.
func NewJSONStream(r io.Reader, columns []string) *JSONStream {
	index := make(map[string]int, len(columns))
	for i, name := range columns {
		index[name] = i
	}
	s := &JSONStream{columns: columns, seen: make([]bool, len(columns)), r: bufio.NewReaderSize(r, readBuffer)}
	s.Decoder, s.SkipUnknown = &Decoder{infinite: true}, true
	s.Column = func(name string) (int, bool) { i, known := index[name]; return i, known }
	return s
}

// Next fills row, a cell a column; io.EOF comes after the last one,
// io.ErrUnexpectedEOF where the text ends before.
func (s *JSONStream) Next(row []Cell) error {
	if err := s.cut(); err != nil {
		return err
	}
	s.data, s.pos, s.Decoder.offset = s.text, 0, s.offset-int64(len(s.text))
	for i := 0; i < len(s.text); {
		r, size := utf8.DecodeRune(s.text[i:])
		if r == utf8.RuneError && size == 1 {
			return fmt.Errorf("byte %d: %w", s.Decoder.offset+int64(i)+1, ErrEncoding)
		}
		i += size
	}
	if err := s.Read(func() string { return "" }, s.Names); err != nil {
		return err
	}
	return s.order(row)
}

// order puts the row that was read in the order of the columns. Each must be there.
func (s *JSONStream) order(row []Cell) error {
	given := &s.Row
	if given.Names == nil {
		if len(given.Values) != len(row) {
			return Invalid(WrongWidth, "", fmt.Sprintf("%d values given, %d wanted", len(given.Values), len(row)))
		}
		for i := range row {
			row[i] = given.Cell(i)
		}
		return nil
	}
	clear(s.seen)
	for k, name := range given.Names {
		if i, known := s.Column(name); known {
			row[i], s.seen[i] = given.Cell(k), true
		}
	}
	if i := slices.Index(s.seen, false); i >= 0 {
		return Invalid(MissingKey, "", fmt.Sprintf("column %.40q is missing; write null where its value is", s.columns[i]))
	}
	return nil
}

// More says whether something was read that no row was made of yet: the next row
// may be had without waiting.
func (s *JSONStream) More() bool {
	for s.r.Buffered() > 0 {
		c, _ := s.r.Peek(1)
		if !isSpace(c[0]) {
			return true
		}
		_, _ = s.byte() // it is there
	}
	return false
}

// cut takes the text of the next row off the stream.
func (s *JSONStream) cut() error {
	if s.ended {
		return io.EOF
	}
	first := !s.started
	c, err := s.first()
	if errors.Is(err, io.EOF) && s.inArray {
		return io.ErrUnexpectedEOF
	} else if err != nil {
		return err
	}
	s.started = true
	switch {
	case c == '[' && first:
		return s.opened()
	case s.inArray && c == ']':
		return s.end()
	case s.inArray && c == ',':
		if c, err = s.first(); err != nil {
			return unexpected(err)
		}
	case s.inArray:
		return Invalid(Malformed, "", fmt.Sprintf("malformed JSON at byte %d: an array goes on with a comma or ends with a bracket", s.offset))
	}
	return s.whole(c)
}

// opened decides what the bracket at the start opens: the array of all rows, or
// the first row.
func (s *JSONStream) opened() error {
	c, err := s.first()
	switch {
	case err != nil:
		return unexpected(err)
	case c == '[' || c == '{':
		s.inArray = true
		return s.whole(c)
	case c == ']':
		return s.end()
	}
	s.text = append(s.text[:0], '[', c)
	return s.rest(1, c)
}

// end comes after the array of all rows.
func (s *JSONStream) end() error {
	s.ended = true
	if _, err := s.first(); errors.Is(err, io.EOF) {
		return io.EOF
	} else if err != nil {
		return err
	}
	return ErrAfter
}

// whole takes a row that begins with c.
func (s *JSONStream) whole(c byte) error {
	if c != '[' && c != '{' {
		return ErrNoRow
	}
	s.text = append(s.text[:0], c)
	return s.rest(1, c)
}

// rest takes a row to its end. It stands within so many brackets and braces, after
// the byte last.
func (s *JSONStream) rest(depth int, last byte) error {
	inText, escaped := last == '"', false
	for depth > 0 {
		c, err := s.byte()
		if err != nil {
			return unexpected(err)
		}
		if s.text = append(s.text, c); len(s.text) > maxRecordBytes {
			return Invalid(Malformed, "", fmt.Sprintf("the row is longer than %d bytes", maxRecordBytes))
		}
		switch {
		case escaped:
			escaped = false
		case inText:
			escaped, inText = c == '\\', c != '"'
		case c == '"':
			inText = true
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
		}
	}
	return nil
}

// first takes the next byte that is no white space.
func (s *JSONStream) first() (byte, error) {
	for {
		if c, err := s.byte(); err != nil || !isSpace(c) {
			return c, err
		}
	}
}

func (s *JSONStream) byte() (byte, error) {
	c, err := s.r.ReadByte()
	if err == nil {
		s.offset++
	}
	return c, err
}

// unexpected is the error where the text must not end.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
