package scoring

import (
	"fmt"
	"math"
	"strconv"

	"github.com/petal-ml/petal/internal/onnx"
)

// A cell is one value of a row as it was written.
type cell struct {
	kind cellKind
	text string // a number's digits, or the text itself; "true" or "false"
}

type cellKind uint8

const (
	cellMissing cellKind = iota
	cellNumber
	cellText
	cellBool
	cellAny // from CSV: whatever the feature takes
)

// A batch gathers the rows of one run, an input of the graph at a time.
type batch struct {
	rows   int
	inputs []column
}

// A column holds one input of the graph: rows times width values.
type column struct {
	info  onnx.ValueInfo
	width int
	data  appender
}

// An appender is a slice of one element type that takes cells.
type appender interface {
	add(c cell) error
	tensor(shape []int) *onnx.Tensor
	// truncate keeps the first n values.
	truncate(n int)
}

// newBatch makes an empty batch for a model.
func (m *Model) newBatch() (*batch, error) {
	b := &batch{}
	for _, in := range m.session.Inputs() {
		c := column{info: in}
		for _, f := range m.features {
			if f.Input == in.Name {
				c.width++
			}
		}
		if c.data = appenderFor(in.Type.Element); c.data == nil {
			return nil, fmt.Errorf("input %q takes %v, which rows cannot hold", in.Name, in.Type)
		}
		b.inputs = append(b.inputs, c)
	}
	return b, nil
}

// add appends a row, which has a cell a feature; all of it or, with an error,
// nothing.
func (b *batch) add(row []cell, features []onnx.Feature) error {
	i := 0
	for _, in := range b.inputs {
		for range in.width {
			if err := in.data.add(row[i]); err != nil {
				b.truncate(b.rows)
				return fmt.Errorf("feature %q: %w", features[i].Name, err)
			}
			i++
		}
	}
	b.rows++
	return nil
}

// values returns the batch as the graph takes it.
func (b *batch) values() map[string]onnx.Value {
	values := make(map[string]onnx.Value, len(b.inputs))
	for _, in := range b.inputs {
		shape := []int{b.rows, in.width}
		if in.info.Type.HasShape && len(in.info.Type.Shape) == 1 {
			shape = shape[:1]
		}
		values[in.info.Name] = in.data.tensor(shape)
	}
	return values
}

// truncate keeps the first rows.
func (b *batch) truncate(rows int) {
	b.rows = rows
	for _, in := range b.inputs {
		in.data.truncate(rows * in.width)
	}
}

// list is an appender of one element type.
type list[T onnx.Element] struct {
	data []T
	read func(cell) (T, error)
}

func (l *list[T]) add(c cell) error {
	v, err := l.read(c)
	if err != nil {
		return err
	}
	l.data = append(l.data, v)
	return nil
}

func (l *list[T]) tensor(shape []int) *onnx.Tensor { return onnx.NewTensor(shape, l.data) }

func (l *list[T]) truncate(n int) { l.data = l.data[:n] }

func appenderFor(e onnx.ElementType) appender {
	switch e {
	case onnx.Float:
		return &list[float32]{read: func(c cell) (float32, error) {
			v, err := readFloat(c)
			return float32(v), err
		}}
	case onnx.Double:
		return &list[float64]{read: readFloat}
	case onnx.Int64:
		return &list[int64]{read: readInt}
	case onnx.Int32:
		return &list[int32]{read: func(c cell) (int32, error) {
			v, err := readInt(c)
			if err == nil && (v < math.MinInt32 || v > math.MaxInt32) {
				err = fmt.Errorf("%d does not fit into 32 bits", v)
			}
			return int32(v), err //nolint:gosec // checked above
		}}
	case onnx.Bool:
		return &list[bool]{read: readBool}
	case onnx.String:
		return &list[string]{read: readText}
	default:
		return nil
	}
}

// readFloat takes a number; what is beyond the largest is infinite, what is
// missing NaN.
func readFloat(c cell) (float64, error) {
	switch c.kind {
	case cellMissing:
		return math.NaN(), nil
	case cellBool:
		if c.text == "true" {
			return 1, nil
		}
		return 0, nil
	case cellAny:
		if c.text == "" {
			return math.NaN(), nil
		}
	case cellText:
		return 0, fmt.Errorf("text given, a number wanted")
	}
	v, err := strconv.ParseFloat(c.text, 64)
	if err != nil && !math.IsInf(v, 0) {
		return 0, fmt.Errorf("%.40q is no number", c.text)
	}
	return v, nil
}

func readInt(c cell) (int64, error) {
	if c.kind == cellMissing || c.kind == cellAny && c.text == "" {
		return 0, fmt.Errorf("the value is missing, and a whole number cannot be")
	}
	if c.kind == cellNumber || c.kind == cellAny {
		if v, err := strconv.ParseInt(c.text, 10, 64); err == nil {
			return v, nil
		}
	}
	v, err := readFloat(c)
	if err != nil {
		return 0, err
	}
	if v != math.Trunc(v) || math.Abs(v) > 1<<53 {
		return 0, fmt.Errorf("%.40s given, a whole number of 64 bits wanted", c.text)
	}
	return int64(v), nil
}

func readBool(c cell) (bool, error) {
	switch {
	case c.kind != cellText && (c.text == "true" || c.text == "True" || c.text == "1"):
		return true, nil
	case c.kind != cellText && (c.text == "false" || c.text == "False" || c.text == "0"):
		return false, nil
	default:
		return false, fmt.Errorf("true or false wanted")
	}
}

func readText(c cell) (string, error) {
	switch c.kind {
	case cellText, cellAny:
		return c.text, nil
	case cellMissing:
		return "", fmt.Errorf("the value is missing, and a text cannot be")
	default:
		return "", fmt.Errorf("%.40s given, a text wanted", c.text)
	}
}
