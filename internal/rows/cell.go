// Package rows reads rows of cells from CSV and from JSON.
//
// Whoever reads a table reads it here: the trainer its data, `api model predict`
// its input, the API the bodies of requests. So they agree on what a record, a
// number and a missing value are. What the cells mean, and which of them a model
// takes, is the caller's business.
package rows

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Kind is what the cells of a column are.
type Kind uint8

// The kinds of columns and of cells.
const (
	Number  Kind = iota // NaN is a missing value
	Whole               // a number without a fraction; columns only
	Boolean             // 0 or 1 in a cell's Number
	Text
)

// String is the kind in an error's words, with its article.
func (k Kind) String() string {
	return [...]string{"a number", "a whole number", "true or false", "text"}[k]
}

// A Cell is one value of a row as somebody gave it.
type Cell struct {
	Kind   Kind
	Number float64
	// Text is the text of a cell of text. A number that float64 may not hold to
	// its last digit has its digits here.
	Text string
}

// Missing is a cell without a value.
func Missing() Cell { return Cell{Number: math.NaN()} }

// IsMissing says whether nothing was given.
func (c Cell) IsMissing() bool { return c.Kind == Number && math.IsNaN(c.Number) }

// maxExact bounds the whole numbers of which float64 holds each one.
const maxExact = 1 << 53

// WholeCell is a cell of a whole number, of which no digit is lost.
func WholeCell[T int64 | uint64](n T) Cell {
	c := Cell{Number: float64(n)}
	if math.Abs(c.Number) >= maxExact {
		c.Text = fmt.Sprint(n)
	}
	return c
}

// Whole returns a number as a 64-bit integer; ok is false for one that is none.
func (c Cell) Whole() (n int64, ok bool) {
	if c.Kind == Number && c.Text != "" {
		n, err := strconv.ParseInt(c.Text, 10, 64)
		return n, err == nil
	}
	return int64(c.Number), c.Number == math.Trunc(c.Number) && math.Abs(c.Number) < maxExact
}

// MarshalJSON writes the bare value, null for a missing one.
func (c Cell) MarshalJSON() ([]byte, error) {
	switch {
	case c.IsMissing():
		return []byte("null"), nil
	case c.Kind == Text:
		return json.Marshal(c.Text)
	case c.Kind == Boolean:
		return json.Marshal(c.Number != 0)
	default:
		return json.Marshal(c.Number)
	}
}

// Errors of [ParseNumber].
var (
	ErrNotNumber = errors.New("a number is expected, not text")
	ErrRange     = errors.New("the number is infinite, or too large for 64 bits")
)

// ParseNumber reads a number as tables have it, with blanks around it: NaN where
// the value is missing, which is an empty field, NA, NaN, nan or NAN. With
// [ErrRange] comes the infinity.
func ParseNumber(text string) (float64, error) {
	text = strings.Trim(text, " \t")
	switch text {
	case "", "NA", "NaN", "nan", "NAN":
		return math.NaN(), nil
	}
	// ParseFloat would take hexadecimal numbers and underscores too.
	if strings.ContainsAny(text, "xX_pP") {
		return 0, ErrNotNumber
	}
	v, err := strconv.ParseFloat(text, 64)
	switch {
	case math.IsInf(v, 0):
		return v, ErrRange
	case err != nil || math.IsNaN(v):
		return 0, ErrNotNumber
	}
	return v, nil
}

// ParseCell reads what stands in a field of a column of a kind. An empty field
// of text is an empty text; a number too large for 64 bits is infinite. Of a number beyond
// 2^53 the digits are kept. The error is [ErrNotNumber].
func ParseCell(text string, kind Kind) (Cell, error) {
	switch {
	case kind == Text:
		return Cell{Kind: Text, Text: text}, nil
	case kind == Boolean && strings.EqualFold(text, "true"):
		return Cell{Kind: Boolean, Number: 1}, nil
	case kind == Boolean && strings.EqualFold(text, "false"):
		return Cell{Kind: Boolean}, nil
	}
	v, err := ParseNumber(text)
	if errors.Is(err, ErrRange) {
		err = nil
	}
	c := Cell{Number: v}
	if kind == Whole && math.Abs(v) >= maxExact {
		c.Text = strings.Trim(text, " \t")
	}
	return c, err
}
