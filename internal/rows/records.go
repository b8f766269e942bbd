package rows

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
)

// An Error says what is wrong in a table, and where.
type Error struct {
	Line   int    // from 1, the header included
	Column int    // the number of the field, from 1; 0 for the line as a whole
	Name   string // of the table's column; empty where that is not known
	Err    error
}

// Error describes the fault with its place.
func (e *Error) Error() string {
	where := fmt.Sprintf("line %d", e.Line)
	if e.Column > 0 {
		where += fmt.Sprintf(", column %d", e.Column)
	}
	if e.Name != "" {
		return fmt.Sprintf("%s: %v: %.40q", where, e.Err, e.Name)
	}
	return where + ": " + e.Err.Error()
}

// Unwrap returns what is wrong.
func (e *Error) Unwrap() error { return e.Err }

// What is wrong with a table. [Error] says where.
var (
	ErrSyntax        = errors.New("a quoted field does not end properly")
	ErrHeader        = errors.New("a header with the names of the columns is expected")
	ErrRepeated      = errors.New("a column comes twice")
	ErrMissingColumn = errors.New("the header does not name the column")
	ErrWidth         = errors.New("there are more or fewer fields than in the header")
	ErrTooManyFields = errors.New("there are too many columns")
	ErrEncoding      = errors.New("the text is not UTF-8")
)

// Records reads the records of a CSV file by RFC 4180, and what else there is in
// the world: lines that end in LF or CRLF, blank lines, and quotes inside a field
// that does not begin with one, which stand for themselves.
type Records struct {
	r         *bufio.Reader
	comma     byte
	maxFields int
	line      int   // lines that were read
	offset    int64 // bytes that were read
	long      []byte
	record    []byte
	ends      []int // where each field ends in record
	lines     []int // where each field begins
	fields    []string
}

// NewRecords returns a reader of records whose fields are separated by comma.
func NewRecords(r io.Reader, comma byte) *Records {
	b, ok := r.(*bufio.Reader)
	if !ok {
		b = bufio.NewReader(r)
	}
	return &Records{r: b, comma: comma, maxFields: math.MaxInt}
}

// Offset returns how many bytes the records that were read take, with all line
// ends.
func (c *Records) Offset() int64 { return c.offset }

// Line returns the line, from 1, that a field of the last record begins in.
func (c *Records) Line(field int) int { return c.lines[field] }

// Read returns the fields of the next record; the slice is used again. At the end
// comes io.EOF. What is no CSV is an [*Error].
func (c *Records) Read() ([]string, error) {
	line, err := c.readLine()
	for err == nil && len(line) == lineEndLength(line) { // blank
		line, err = c.readLine()
	}
	if err != nil {
		return nil, err
	}
	c.record, c.ends, c.lines = c.record[:0], c.ends[:0], c.lines[:0]
	for rest, more := line, true; more; {
		if len(c.ends) == c.maxFields {
			return nil, &Error{Line: c.line, Err: ErrTooManyFields}
		}
		c.lines = append(c.lines, c.line)
		if len(rest) > 0 && rest[0] == '"' {
			if rest, more, err = c.quoted(rest[1:]); err != nil {
				return nil, err
			}
		} else {
			end := bytes.IndexByte(rest, c.comma)
			if more = end >= 0; !more {
				end = len(rest) - lineEndLength(rest)
			}
			c.record = append(c.record, rest[:end]...)
			if more {
				rest = rest[end+1:]
			}
		}
		c.ends = append(c.ends, len(c.record))
	}
	text, start := string(c.record), 0
	c.fields = c.fields[:0]
	for _, end := range c.ends {
		c.fields = append(c.fields, text[start:end])
		start = end
	}
	return c.fields, nil
}

// quoted adds the content of a field after its first quote. It returns what
// follows the field in its last line, and whether that is another field.
func (c *Records) quoted(rest []byte) (_ []byte, more bool, err error) {
	fault := &Error{Line: c.line, Column: len(c.lines), Err: ErrSyntax}
	for {
		end := bytes.IndexByte(rest, '"')
		if end < 0 {
			c.record = append(c.record, rest...)
			if n := len(c.record); lineEndLength(rest) == 2 {
				c.record = append(c.record[:n-2], '\n')
			}
			if rest, err = c.readLine(); errors.Is(err, io.EOF) || len(c.record) > maxRecordBytes {
				return nil, false, fault
			} else if err != nil {
				return nil, false, err
			}
			continue
		}
		c.record = append(c.record, rest[:end]...)
		rest = rest[end+1:]
		switch {
		case len(rest) > 0 && rest[0] == '"':
			c.record = append(c.record, '"')
			rest = rest[1:]
		case len(rest) > 0 && rest[0] == c.comma:
			return rest[1:], true, nil
		case len(rest) == lineEndLength(rest):
			return nil, false, nil
		default:
			return nil, false, fault
		}
	}
}

// readLine returns the next line with its end, which the last one may lack.
func (c *Records) readLine() ([]byte, error) {
	line, err := c.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		c.long = append(c.long[:0], line...)
		for errors.Is(err, bufio.ErrBufferFull) {
			line, err = c.r.ReadSlice('\n')
			c.long = append(c.long, line...)
		}
		line = c.long
	}
	c.offset += int64(len(line))
	if len(line) == 0 || err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	c.line++
	return line, nil
}

// lineEndLength is how many bytes a line's end has. A CR at the end of the file
// is one.
func lineEndLength(line []byte) int {
	n := len(line)
	switch {
	case n > 1 && line[n-2] == '\r' && line[n-1] == '\n':
		return 2
	case n > 0 && (line[n-1] == '\n' || line[n-1] == '\r'):
		return 1
	default:
		return 0
	}
}

// opening holds what a quote follows that begins a field, or doubles another one:
// a separator, a quote, the end of a byte order mark.
var opening = []byte(",;\t\"\xbf")

// maxRecordBytes bounds a record of several lines: a longer one is of quotes that
// nobody closes.
const maxRecordBytes = 16 << 20

// LineEnd is the index of the first CR or LF outside quotes, or −1.
func LineEnd(start []byte) int {
	quoted := false
	for i, c := range start {
		switch {
		case c == '"' && (quoted || i == 0 || bytes.IndexByte(opening, start[i-1]) >= 0):
			quoted = !quoted
		case !quoted && (c == '\n' || c == '\r'):
			return i
		}
	}
	return -1
}

// EndsInCR says whether the first line ends in CR alone, as old Macs wrote lines.
// All lines of such a file do.
func EndsInCR(start []byte) bool {
	i := LineEnd(start)
	return i >= 0 && start[i] == '\r' && (i+1 == len(start) || start[i+1] != '\n')
}
