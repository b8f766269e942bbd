package rows

import (
	"strconv"
)

// MaxDepth bounds how deep values that nobody reads may nest.
const MaxDepth = 32

// ReadObject reads a body that is one object and nothing else; members reads it.
func ReadObject(data []byte, members func(d *Decoder) error) error {
	d := NewDecoder(data)
	if err := d.CheckText(); err != nil {
		return err
	}
	d.SkipSpace()
	if d.Peek() != '{' {
		return d.WrongType("body", "an object")
	}
	if err := members(d); err != nil {
		return err
	}
	if d.SkipSpace(); d.pos != len(d.data) {
		return d.Malformed("there is something after the JSON object")
	}
	return nil
}

// Pos is where the decoder stands, for [Decoder.Seek].
func (d *Decoder) Pos() int { return d.pos }

// Seek goes to a place where the decoder stood before.
func (d *Decoder) Seek(pos int) { d.pos = pos }

// List is [Decoder.Array] where anything else may stand: that is an error.
func (d *Decoder) List(at, want string, item func(int) error) error {
	if d.Peek() != '[' {
		return d.WrongType(at, want)
	}
	return d.Array(item)
}

// Text reads a string.
func (d *Decoder) Text(at string, into *string) error {
	if d.Peek() != '"' {
		return d.WrongType(at, "a string")
	}
	var ok bool
	if *into, ok = d.String(); !ok {
		return d.Malformed("a string is not written as JSON writes strings")
	}
	return nil
}

// Boolean reads true or false.
func (d *Decoder) Boolean(at string, into *bool) error {
	switch {
	case d.Literal("true"):
		*into = true
	case d.Literal("false"):
		*into = false
	default:
		return d.WrongType(at, "true or false")
	}
	return nil
}

// Size reads a whole number from 0 on that an int32 holds.
func (d *Decoder) Size(at string) (int, error) {
	written, ok := d.NumberText()
	if !ok {
		return 0, d.WrongType(at, "a whole number")
	}
	n, err := strconv.ParseUint(string(written), 10, 31)
	if err != nil {
		return 0, Invalid(OutOfRange, at, "a whole number from 0 on is expected")
	}
	return int(n), nil
}

// Skip passes over a value of any form that nests at most [MaxDepth] deep.
func (d *Decoder) Skip() error { return d.skip(0) }

func (d *Decoder) skip(depth int) error {
	if depth > MaxDepth {
		return d.Malformed("values nest too deep")
	}
	switch c := d.Peek(); {
	case c == '{':
		return d.Object(d.root, func(string) error { return d.skip(depth + 1) })
	case c == '[':
		return d.Array(func(int) error { return d.skip(depth + 1) })
	case c == '"':
		if _, ok := d.String(); !ok {
			return d.Malformed("a string is not written as JSON writes strings")
		}
	case d.SkipNaN && d.isNaN():
		_ = d.Literal("-")
		_ = d.Literal("NaN") || d.Literal("Infinity")
	case c == '-' || c >= '0' && c <= '9':
		if _, ok := d.NumberText(); !ok {
			return d.Malformed("a number is not written as JSON writes it")
		}
	case d.Literal("true"), d.Literal("false"), d.Literal("null"):
	default:
		return d.Malformed("a value is expected")
	}
	return nil
}
