package rows

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// A Reason is what kind of fault a JSON text has.
type Reason string

// The kinds of faults.
const (
	Malformed    Reason = "malformed"
	MissingKey   Reason = "missing_key"
	WrongType    Reason = "wrong_type"
	MissingValue Reason = "missing_value"
	OutOfRange   Reason = "out_of_range"
	WrongWidth   Reason = "wrong_width"
)

// A JSONError says what is wrong with a JSON text, and where. It does not repeat
// what was sent.
type JSONError struct {
	Reason  Reason
	Place   string // such as "body.instances[2]"; empty for the row at hand
	Message string
}

// Error describes the fault with its place.
func (e *JSONError) Error() string {
	if e.Place == "" {
		return e.Message
	}
	return e.Place + ": " + e.Message
}

// Invalid is a fault of a text, and its place.
func Invalid(reason Reason, place, message string) error { return &JSONError{reason, place, message} }

// MaxMembers bounds the keys of an object and the columns of a CSV, which take
// much more memory than bytes in the body.
const MaxMembers = 100_000

// A Decoder walks over one JSON text from left to right. Its methods are told
// the location they stand at, for the errors they make. It is strict where
// encoding/json is lenient: a repeated key, anything after the value, a byte order
// mark and invalid UTF-8 are errors, and nothing nests deeper than the caller's
// shape.
type Decoder struct {
	data   []byte
	pos    int
	root   string // the place of the whole text
	offset int64  // of the text in what it was cut out of
	// infinite lets numbers beyond float64 through as infinities.
	infinite bool
	// SkipNaN has [Decoder.Skip] pass over NaN and Infinity, so that whoever reads
	// the value later can say where they stand.
	SkipNaN bool
}

// NewDecoder returns a decoder at the start of a request's body.
func NewDecoder(body []byte) *Decoder { return &Decoder{data: body, root: "body"} }

// CheckText refuses what no JSON text may be, before any of it is read.
func (d *Decoder) CheckText() error {
	switch {
	case len(d.data) == 0:
		return Invalid(Malformed, "body", "the body is empty; a JSON object is expected")
	case bytes.HasPrefix(d.data, []byte("\xef\xbb\xbf")):
		return Invalid(Malformed, "body", "the body begins with a byte order mark; send plain UTF-8")
	case !utf8.Valid(d.data):
		return Invalid(Malformed, "body", "the body is not valid UTF-8")
	}
	return nil
}

// Cell reads one value of a row: a number or null, a string, true or false. What
// of it the model takes is for the binder to say.
func (d *Decoder) Cell(here func() string) (Cell, error) {
	switch c := d.Peek(); {
	case c == '"':
		s, ok := d.String()
		if !ok {
			return Cell{}, d.Malformed("a string is not written as JSON writes strings")
		}
		return Cell{Kind: Text, Text: s}, nil
	case c == 't' && d.Literal("true"):
		return Cell{Kind: Boolean, Number: 1}, nil
	case c == 'f' && d.Literal("false"):
		return Cell{Kind: Boolean}, nil
	}
	return d.NumberCell(here)
}

// NumberCell reads a number or null. The digits of one that float64 may not hold to
// its last digit are kept.
func (d *Decoder) NumberCell(here func() string) (Cell, error) {
	start := d.pos
	v, err := d.Number(here)
	cell := Cell{Number: v}
	if math.Abs(v) >= maxExact {
		cell.Text = string(d.data[start:d.pos])
	}
	return cell, err
}

// Number reads a number, or null, which becomes NaN. Here tells the location, when
// it is needed.
func (d *Decoder) Number(here func() string) (float64, error) {
	if c := d.Peek(); c == 'n' && d.Literal("null") {
		return math.NaN(), nil
	} else if c != '-' && (c < '0' || c > '9') || d.isNaN() {
		return 0, d.WrongType(here(), "a number")
	}
	text, ok := d.NumberText()
	if !ok {
		return 0, d.Malformed("a number is not written as JSON writes it")
	}
	v, err := strconv.ParseFloat(string(text), 64) // no copy: it does not keep the text
	if errors.Is(err, strconv.ErrRange) && !d.infinite {
		return 0, Invalid(OutOfRange, here(), "the number is out of range; a 32-bit float must hold it")
	}
	return v, nil
}

// NumberText takes a number by the grammar of RFC 8259 §6.
func (d *Decoder) NumberText() ([]byte, bool) {
	start := d.pos
	digits := func() bool {
		from := d.pos
		for c := d.Peek(); c >= '0' && c <= '9'; c = d.Peek() {
			d.pos++
		}
		return d.pos > from
	}
	if d.Peek() == '-' {
		d.pos++
	}
	if d.Peek() == '0' {
		d.pos++
	} else if !digits() {
		return nil, false
	}
	if d.Peek() == '.' {
		d.pos++
		if !digits() {
			return nil, false
		}
	}
	if c := d.Peek(); c == 'e' || c == 'E' {
		d.pos++
		if c = d.Peek(); c == '+' || c == '-' {
			d.pos++
		}
		if !digits() {
			return nil, false
		}
	}
	return d.data[start:d.pos], true
}

// Array reads an array and calls item at the start of each element.
func (d *Decoder) Array(item func(i int) error) error {
	return d.list(']', "an array goes on with a comma or ends with a bracket", item)
}

// Object reads an object and calls member at the start of each value. A key
// that comes twice is an error at this location.
func (d *Decoder) Object(at string, member func(key string) error) error {
	seen := map[string]struct{}{}
	return d.list('}', "an object goes on with a comma or ends with a brace", func(int) error {
		key, err := d.key()
		if err != nil {
			return err
		}
		if _, twice := seen[key]; twice {
			return Invalid(Malformed, at, "a key comes twice")
		} else if len(seen) == MaxMembers {
			return Invalid(Malformed, at, "there are too many keys")
		}
		seen[key] = struct{}{}
		return member(key)
	})
}

// list reads items between commas, from the opening bracket to the end.
func (d *Decoder) list(end byte, otherwise string, item func(i int) error) error {
	d.pos++
	d.SkipSpace()
	if d.Peek() == end {
		d.pos++
		return nil
	}
	for i := 0; ; i++ {
		if err := item(i); err != nil {
			return err
		}
		d.SkipSpace()
		switch d.Peek() {
		case ',':
			d.pos++
			d.SkipSpace()
		case end:
			d.pos++
			return nil
		default:
			return d.Malformed(otherwise)
		}
	}
}

// key reads the key of an object's member up to the start of its value.
func (d *Decoder) key() (string, error) {
	if d.Peek() != '"' {
		return "", d.Malformed("an object needs keys in double quotes")
	}
	key, ok := d.String()
	if !ok {
		return "", d.Malformed("a key is not written as JSON writes strings")
	}
	d.SkipSpace()
	if d.Peek() != ':' {
		return "", d.Malformed("a key needs a colon and a value")
	}
	d.pos++
	d.SkipSpace()
	return key, nil
}

// String reads a string by the grammar of RFC 8259 §7. Control characters and
// halves of surrogate pairs are refused.
func (d *Decoder) String() (string, bool) {
	d.pos++ // "
	start := d.pos
	for d.pos < len(d.data) {
		switch c := d.data[d.pos]; {
		case c == '"':
			s := string(d.data[start:d.pos])
			d.pos++
			return s, true
		case c == '\\':
			return d.escaped(start)
		case c < ' ':
			return "", false
		}
		d.pos++
	}
	return "", false
}

// escaped goes on with a string that holds an escape sequence at d.pos.
func (d *Decoder) escaped(start int) (string, bool) {
	out := append([]byte(nil), d.data[start:d.pos]...)
	for d.pos < len(d.data) {
		c := d.data[d.pos]
		d.pos++
		switch {
		case c == '"':
			return string(out), true
		case c < ' ':
			return "", false
		case c != '\\':
			out = append(out, c)
			continue
		}
		r, ok := d.escape()
		if !ok {
			return "", false
		}
		out = utf8.AppendRune(out, r)
	}
	return "", false
}

// escape reads what follows a backslash.
func (d *Decoder) escape() (rune, bool) {
	c := d.Peek()
	d.pos++
	switch c {
	case '"', '\\', '/':
		return rune(c), true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case 'u':
		r, ok := d.hex4()
		if !ok || r < 0xd800 || r > 0xdfff {
			return r, ok
		}
		if r > 0xdbff || d.Peek() != '\\' {
			return 0, false
		}
		d.pos++
		if d.Peek() != 'u' {
			return 0, false
		}
		d.pos++
		low, ok := d.hex4()
		if !ok || low < 0xdc00 || low > 0xdfff {
			return 0, false
		}
		return (r-0xd800)<<10 + (low - 0xdc00) + 0x10000, true
	}
	return 0, false
}

// hex4 reads the four digits of a \u escape.
func (d *Decoder) hex4() (rune, bool) {
	if len(d.data)-d.pos < 4 {
		return 0, false
	}
	var r rune
	for _, c := range d.data[d.pos : d.pos+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	d.pos += 4
	return r, true
}

// Peek returns the byte at hand, or 0 at the end. A NUL byte in the text comes
// out as 0 too; no branch of the grammar takes it.
func (d *Decoder) Peek() byte {
	if d.pos < len(d.data) {
		return d.data[d.pos]
	}
	return 0
}

// SkipSpace goes on to what is no white space.
func (d *Decoder) SkipSpace() {
	for d.pos < len(d.data) {
		switch d.data[d.pos] {
		case ' ', '\t', '\r', '\n':
			d.pos++
		default:
			return
		}
	}
}

// Literal takes the word when it stands here.
func (d *Decoder) Literal(word string) bool {
	if !bytes.HasPrefix(d.data[d.pos:], []byte(word)) {
		return false
	}
	d.pos += len(word)
	return true
}

// isNaN says whether one of the words stands here that Python's json writes for
// numbers that JSON does not have.
func (d *Decoder) isNaN() bool {
	rest := d.data[d.pos:]
	if len(rest) > 0 && rest[0] == '-' {
		rest = rest[1:]
	}
	return len(rest) > 0 && (rest[0] == 'N' || rest[0] == 'I') &&
		(bytes.HasPrefix(rest, []byte("NaN")) || bytes.HasPrefix(rest, []byte("Infinity")))
}

// WrongType says what stands here in place of what is wanted.
func (d *Decoder) WrongType(at, want string) error {
	var got string
	rest := d.data[d.pos:]
	switch c := d.Peek(); {
	case d.isNaN():
		return Invalid(Malformed, at, "NaN and Infinity are not JSON; "+want+" is expected")
	case c == '{':
		got = "an object"
	case c == '[':
		got = "an array"
	case c == '"':
		got = "a string"
	case c == '-' || c >= '0' && c <= '9':
		got = "a number"
	case bytes.HasPrefix(rest, []byte("true")), bytes.HasPrefix(rest, []byte("false")):
		got = "a boolean"
	case bytes.HasPrefix(rest, []byte("null")):
		got = "null"
	default:
		return d.Malformed(want + " is expected")
	}
	reason := WrongType
	if got == "null" {
		reason = MissingValue
	}
	return Invalid(reason, at, fmt.Sprintf("%s is expected, not %s", want, got))
}

// Malformed says what the grammar misses, and at which byte.
func (d *Decoder) Malformed(what string) error {
	return Invalid(Malformed, d.root, fmt.Sprintf("malformed JSON at byte %d: %s", d.offset+int64(d.pos)+1, what))
}
