package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/petal-ml/petal/internal/model"
)

// A request is the body of POST /predict as it was written, before it is held
// against a model: it knows nothing of widths and names.
type request struct {
	many bool // "instances" rather than "features"
	rows []instance
}

// An instance is one row, by position (names is nil) or by name (as many names
// as values, none twice). A value that was null is NaN; JSON has no other way
// to write one.
type instance struct {
	names  []string
	values []float64
	// cells are the values of a row of which some are no numbers; nil for others.
	cells []model.Cell
}

// cell returns value i.
func (in *instance) cell(i int) model.Cell {
	if in.cells != nil {
		return in.cells[i]
	}
	return model.Cell{Number: in.values[i]}
}

// add appends a value.
func (in *instance) add(c model.Cell) {
	if c.Kind != model.Number && in.cells == nil {
		in.cells = widen(make([]model.Cell, 0, 8), in.values)
	}
	in.values = append(in.values, c.Number)
	if in.cells != nil {
		in.cells = append(in.cells, c)
	}
}

// widen appends numbers to cells.
func widen(cells []model.Cell, numbers []float64) []model.Cell {
	for _, v := range numbers {
		cells = append(cells, model.Cell{Number: v})
	}
	return cells
}

// A fieldError says what is wrong with a body and where. Location and message
// do not repeat what the client sent.
type fieldError struct {
	reason   rejectReason
	location string // "body", "body.features[3]", "body.instances[2]"
	message  string
	// key is the client's name of the value at fault, where it has one. It
	// becomes part of the location only if the model knows it.
	key string
}

// decodePredict reads the body of POST /predict. It is strict where
// encoding/json is lenient: a repeated key, a key in another case, an unknown
// key, anything after the object, a byte order mark, invalid UTF-8, a null row
// and a number beyond float64 are all errors, and nothing nests deeper than
// the shape itself.
//
// It is the reference for what /predict accepts: a faster reader of the plain
// shapes may stand before it as long as it leaves all else to this one.
func decodePredict(data []byte) (request, *fieldError) {
	d := decoder{data: data}
	var req request
	if err := d.checkText(); err != nil {
		return req, err
	}
	d.skipSpace()
	if d.peek() != '{' {
		return req, d.wrongType("body", "an object")
	}
	var seen bool
	err := d.object("body", func(key string) *fieldError {
		switch key {
		case "features", "instances":
		default:
			return reject(rejectUnknownKey, "body", `unknown key; the keys known here are "features" and "instances", in lower case`)
		}
		if seen {
			return reject(rejectMalformed, "body", `give "features" (one row) or "instances" (many), not both and not twice`)
		}
		seen = true
		var err *fieldError
		if key == "features" {
			req.rows = make([]instance, 1)
			req.rows[0], err = d.instance("body.features")
			return err
		}
		req.many = true
		req.rows, err = d.instances("body.instances")
		return err
	})
	if err != nil {
		return request{}, err
	}
	d.skipSpace()
	if d.pos != len(d.data) {
		return request{}, d.malformed("there is something after the JSON object")
	}
	if !seen {
		return request{}, reject(rejectMissingKey, "body", `"features" (one row) or "instances" (many) is missing`)
	}
	return req, nil
}

func reject(reason rejectReason, location, message string) *fieldError {
	return &fieldError{reason: reason, location: location, message: message}
}

// maxMembers bounds the keys of an object and the columns of a CSV, which take
// much more memory than bytes in the body.
const maxMembers = 100_000

// A decoder walks over one JSON text from left to right. Its methods are told
// the location they stand at, for the errors they make.
type decoder struct {
	data []byte
	pos  int
}

// checkText refuses what no JSON text may be, before any of it is read.
func (d *decoder) checkText() *fieldError {
	switch {
	case len(d.data) == 0:
		return reject(rejectMalformed, "body", "the body is empty; a JSON object is expected")
	case bytes.HasPrefix(d.data, []byte("\xef\xbb\xbf")):
		return reject(rejectMalformed, "body", "the body begins with a byte order mark; send plain UTF-8")
	case !utf8.Valid(d.data):
		return reject(rejectMalformed, "body", "the body is not valid UTF-8")
	}
	return nil
}

// instances reads an array of rows.
func (d *decoder) instances(at string) ([]instance, *fieldError) {
	if d.peek() != '[' {
		return nil, d.wrongType(at, "an array of rows")
	}
	rows := []instance{}
	err := d.array(func(i int) *fieldError {
		row, err := d.instance(fmt.Sprintf("%s[%d]", at, i))
		rows = append(rows, row)
		return err
	})
	return rows, err
}

// instance reads one row, an array or an object of values.
func (d *decoder) instance(at string) (instance, *fieldError) {
	var row instance
	switch d.peek() {
	case '[':
		row.values = make([]float64, 0, 8)
		err := d.array(func(i int) *fieldError {
			v, err := d.cell(func() string { return fmt.Sprintf("%s[%d]", at, i) })
			row.add(v)
			return err
		})
		return row, err
	case '{':
		row.names = make([]string, 0, 8)
		row.values = make([]float64, 0, 8)
		err := d.object(at, func(key string) *fieldError {
			v, err := d.cell(func() string { return at })
			if err != nil && err.location == at {
				err.key = key
			}
			row.names = append(row.names, key)
			row.add(v)
			return err
		})
		return row, err
	}
	return row, d.wrongType(at, "an array of numbers or an object of numbers by feature name")
}

// cell reads one value of a row: a number or null, a string, true or false. What
// of it the model takes is for the binder to say.
func (d *decoder) cell(here func() string) (model.Cell, *fieldError) {
	switch c := d.peek(); {
	case c == '"':
		s, ok := d.str()
		if !ok {
			return model.Cell{}, d.malformed("a string is not written as JSON writes strings")
		}
		return model.Cell{Kind: model.Text, Text: s}, nil
	case c == 't' && d.literal("true"):
		return model.Cell{Kind: model.Boolean, Number: 1}, nil
	case c == 'f' && d.literal("false"):
		return model.Cell{Kind: model.Boolean}, nil
	}
	v, err := d.number(here)
	return model.Cell{Number: v}, err
}

// number reads a number, or null, which becomes NaN. Here tells the location, when
// it is needed.
func (d *decoder) number(here func() string) (float64, *fieldError) {
	if c := d.peek(); c == 'n' && d.literal("null") {
		return math.NaN(), nil
	} else if c != '-' && (c < '0' || c > '9') {
		return 0, d.wrongType(here(), "a number")
	}
	text, ok := d.numberText()
	if !ok {
		return 0, d.malformed("a number is not written as JSON writes it")
	}
	v, err := strconv.ParseFloat(text, 64)
	if errors.Is(err, strconv.ErrRange) {
		return 0, reject(rejectOutOfRange, here(), "the number is out of range; a 32-bit float must hold it")
	}
	return v, nil
}

// numberText takes a number by the grammar of RFC 8259 §6.
func (d *decoder) numberText() (string, bool) {
	start := d.pos
	digits := func() bool {
		from := d.pos
		for c := d.peek(); c >= '0' && c <= '9'; c = d.peek() {
			d.pos++
		}
		return d.pos > from
	}
	if d.peek() == '-' {
		d.pos++
	}
	if d.peek() == '0' {
		d.pos++
	} else if !digits() {
		return "", false
	}
	if d.peek() == '.' {
		d.pos++
		if !digits() {
			return "", false
		}
	}
	if c := d.peek(); c == 'e' || c == 'E' {
		d.pos++
		if c = d.peek(); c == '+' || c == '-' {
			d.pos++
		}
		if !digits() {
			return "", false
		}
	}
	return string(d.data[start:d.pos]), true
}

// array reads an array and calls item at the start of each element.
func (d *decoder) array(item func(i int) *fieldError) *fieldError {
	d.pos++ // [
	d.skipSpace()
	if d.peek() == ']' {
		d.pos++
		return nil
	}
	for i := 0; ; i++ {
		if err := item(i); err != nil {
			return err
		}
		d.skipSpace()
		switch d.peek() {
		case ',':
			d.pos++
			d.skipSpace()
		case ']':
			d.pos++
			return nil
		default:
			return d.malformed("an array goes on with a comma or ends with a bracket")
		}
	}
}

// object reads an object and calls member at the start of each value. A key
// that comes twice is an error at this location.
func (d *decoder) object(at string, member func(key string) *fieldError) *fieldError {
	d.pos++ // {
	d.skipSpace()
	if d.peek() == '}' {
		d.pos++
		return nil
	}
	seen := map[string]struct{}{}
	for {
		key, err := d.key()
		if err != nil {
			return err
		}
		if _, twice := seen[key]; twice {
			return reject(rejectMalformed, at, "a key comes twice")
		} else if len(seen) == maxMembers {
			return reject(rejectMalformed, at, "there are too many keys")
		}
		seen[key] = struct{}{}
		if err := member(key); err != nil {
			return err
		}
		d.skipSpace()
		switch d.peek() {
		case ',':
			d.pos++
			d.skipSpace()
		case '}':
			d.pos++
			return nil
		default:
			return d.malformed("an object goes on with a comma or ends with a brace")
		}
	}
}

// key reads the key of an object's member up to the start of its value.
func (d *decoder) key() (string, *fieldError) {
	if d.peek() != '"' {
		return "", d.malformed("an object needs keys in double quotes")
	}
	key, ok := d.str()
	if !ok {
		return "", d.malformed("a key is not written as JSON writes strings")
	}
	d.skipSpace()
	if d.peek() != ':' {
		return "", d.malformed("a key needs a colon and a value")
	}
	d.pos++
	d.skipSpace()
	return key, nil
}

// str reads a string by the grammar of RFC 8259 §7. Control characters and
// halves of surrogate pairs are refused.
func (d *decoder) str() (string, bool) {
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
func (d *decoder) escaped(start int) (string, bool) {
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
func (d *decoder) escape() (rune, bool) {
	c := d.peek()
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
		if r > 0xdbff || d.peek() != '\\' {
			return 0, false
		}
		d.pos++
		if d.peek() != 'u' {
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
func (d *decoder) hex4() (rune, bool) {
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

// peek returns the byte at hand, or 0 at the end. A NUL byte in the text comes
// out as 0 too; no branch of the grammar takes it.
func (d *decoder) peek() byte {
	if d.pos < len(d.data) {
		return d.data[d.pos]
	}
	return 0
}

func (d *decoder) skipSpace() {
	for d.pos < len(d.data) {
		switch d.data[d.pos] {
		case ' ', '\t', '\r', '\n':
			d.pos++
		default:
			return
		}
	}
}

// literal takes the word when it stands here.
func (d *decoder) literal(word string) bool {
	if !bytes.HasPrefix(d.data[d.pos:], []byte(word)) {
		return false
	}
	d.pos += len(word)
	return true
}

// wrongType says what stands here in place of what is wanted.
func (d *decoder) wrongType(at, want string) *fieldError {
	var got string
	rest := d.data[d.pos:]
	switch c := d.peek(); {
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
	case bytes.HasPrefix(rest, []byte("NaN")), bytes.HasPrefix(rest, []byte("Infinity")):
		return reject(rejectMalformed, at, "NaN and Infinity are no JSON; "+want+" is expected")
	default:
		return d.malformed(want + " is expected")
	}
	reason := rejectWrongType
	if got == "null" {
		reason = rejectMissingValue
	}
	return reject(reason, at, fmt.Sprintf("%s is expected, not %s", want, got))
}

// malformed says what the grammar misses, and at which byte.
func (d *decoder) malformed(what string) *fieldError {
	return reject(rejectMalformed, "body", fmt.Sprintf("malformed JSON at byte %d: %s", d.pos+1, what))
}
