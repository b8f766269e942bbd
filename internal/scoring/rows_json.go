package scoring

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/petal-ml/petal/internal/onnx/eval"
	"github.com/petal-ml/petal/internal/rows"
)

// jsonRows reads one array of rows, or a row after the other.
type jsonRows struct {
	decoder  *json.Decoder
	source   *bufio.Reader
	columns  map[string]int // from a feature's name to its place
	features []eval.Feature
	started  bool
	inArray  bool // the rows stand in one array
	ended    bool
}

func (j *jsonRows) Next(row []rows.Cell) error {
	if j.ended {
		return io.EOF
	}
	token, err := j.token()
	switch {
	case errors.Is(err, io.EOF) && j.inArray:
		return io.ErrUnexpectedEOF
	case err != nil: // io.EOF among them: between rows, that is their end
		return err
	}
	first := !j.started
	j.started = true
	switch {
	case token == json.Delim('[') && first:
		return j.first(row)
	case token == json.Delim('['):
		return j.array(row)
	case token == json.Delim('{'):
		return j.object(row)
	case token == json.Delim(']'):
		return j.end()
	default:
		return errors.New("a row is an array or an object")
	}
}

// first decides what the bracket at the start opens: the array of all rows, or
// the first row.
func (j *jsonRows) first(row []rows.Cell) error {
	token, err := j.inside()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('['):
		j.inArray = true
		return j.array(row)
	case json.Delim('{'):
		j.inArray = true
		return j.object(row)
	case json.Delim(']'):
		return j.end()
	default:
		return j.array(row, token)
	}
}

// end comes after the array of all rows.
func (j *jsonRows) end() error {
	j.ended = true
	if _, err := j.token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something after the array of rows")
	}
	return io.EOF
}

// array reads a row by position, up to its closing bracket. Tokens that were
// read already come first.
func (j *jsonRows) array(row []rows.Cell, read ...json.Token) error {
	for n := 0; ; n++ {
		var token json.Token
		if n < len(read) {
			token = read[n]
		} else {
			var err error
			if token, err = j.inside(); err != nil {
				return err
			}
		}
		if token == json.Delim(']') {
			if n != len(row) {
				return fmt.Errorf("%d values given, the model takes %d", n, len(row))
			}
			return nil
		}
		c, err := cellOf(token)
		if err != nil {
			return fmt.Errorf("value %d: %w", n+1, err)
		}
		if n < len(row) {
			row[n] = c
		}
	}
}

// object reads a row by name. What the model does not take is left out.
func (j *jsonRows) object(row []rows.Cell) error {
	seen := make([]bool, len(row))
	for {
		token, err := j.inside()
		if err != nil {
			return err
		}
		if token == json.Delim('}') {
			break
		}
		name, _ := token.(string) // the decoder lets nothing else pass
		if token, err = j.inside(); err != nil {
			return err
		}
		c, err := cellOf(token)
		place, known := j.columns[name]
		switch {
		case err != nil:
			return fmt.Errorf("%.40q: %w", name, err)
		case !known:
			continue
		case seen[place]:
			return fmt.Errorf("%.40q stands twice", name)
		}
		row[place], seen[place] = c, true
	}
	for i, s := range seen {
		if !s {
			return fmt.Errorf("feature %q is not there; write null where its value is missing", j.features[i].Name)
		}
	}
	return nil
}

// inside reads on where the input must not end.
func (j *jsonRows) inside() (json.Token, error) {
	token, err := j.token()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return token, err
}

func (j *jsonRows) token() (json.Token, error) {
	token, err := j.decoder.Token()
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return nil, fmt.Errorf("malformed JSON at byte %d: %w", j.decoder.InputOffset()+1, err)
	}
	return token, err
}

func (j *jsonRows) More() bool {
	if j.source.Buffered() > 0 {
		return true
	}
	rest, ok := j.decoder.Buffered().(*bytes.Reader)
	if !ok {
		return false
	}
	for {
		b, err := rest.ReadByte()
		if err != nil {
			return false
		}
		if b != ' ' && b != '\t' && b != '\r' && b != '\n' {
			return true
		}
	}
}

func cellOf(token json.Token) (rows.Cell, error) {
	switch v := token.(type) {
	case nil:
		return rows.Missing(), nil
	case json.Number:
		return rows.ParseCell(v.String(), rows.Whole)
	case string:
		return rows.Cell{Kind: rows.Text, Text: v}, nil
	case bool:
		c := rows.Cell{Kind: rows.Boolean}
		if v {
			c.Number = 1
		}
		return c, nil
	default:
		return rows.Cell{}, errors.New("a number, a text, true, false or null wanted")
	}
}

// A textReader lets UTF-8 alone pass: encoding/json would replace other bytes,
// and so quietly change a category.
type textReader struct {
	source io.Reader
	offset int64
	tail   [utf8.UTFMax]byte // the start of a character that goes on in the next read
	held   int
}

// Read implements io.Reader.
func (t *textReader) Read(p []byte) (int, error) {
	n, err := t.source.Read(p)
	data := append(t.tail[:t.held:t.held], p[:n]...)
	start := t.offset - int64(t.held)
	t.offset += int64(n)
	t.held = 0
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			if !utf8.FullRune(data[i:]) && err == nil {
				t.held = copy(t.tail[:], data[i:])
				break
			}
			return 0, fmt.Errorf("byte %d is not UTF-8", start+int64(i)+1)
		}
		i += size
	}
	return n, err
}
