package scoring

import (
	"fmt"
	"math"
	"strconv"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
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

// A batch gathers the rows of one run, at most batchRows.
type batch struct {
	rows     int
	features []eval.Feature
	table    *eval.Batch
}

// newBatch makes an empty batch for a model.
func (m *Model) newBatch(rows int) (*batch, error) {
	table, err := m.session.NewBatch(rows)
	return &batch{features: m.features, table: table}, err
}

// add appends a row, which has a cell a feature; with an error, nothing.
func (b *batch) add(row []cell) error {
	for i, c := range row {
		if err := b.set(i, c); err != nil {
			return fmt.Errorf("feature %q: %w", b.features[i].Name, err)
		}
	}
	b.rows++
	return nil
}

// set writes a cell of the row that is being added.
func (b *batch) set(feature int, c cell) error {
	switch b.features[feature].Type {
	case onnx.Float, onnx.Double:
		v, err := readFloat(c)
		b.table.SetNumber(b.rows, feature, v)
		return err
	case onnx.String:
		v, err := readText(c)
		b.table.SetText(b.rows, feature, v)
		return err
	case onnx.Bool:
		v, err := readBool(c)
		b.table.SetInteger(b.rows, feature, v)
		return err
	default:
		v, err := readInt(c)
		if !b.table.SetInteger(b.rows, feature, v) && err == nil {
			err = fmt.Errorf("%d does not fit into %v", v, b.features[feature].Type)
		}
		return err
	}
}

// values returns the batch as the graph takes it.
func (b *batch) values() map[string]kernel.Value { return b.table.Inputs(b.rows) }

// floats are the rows of a batch whose only input is a matrix of floats.
func (b *batch) floats() []float32 {
	for _, v := range b.values() {
		if t, ok := v.(*onnx.Tensor); ok {
			data, _ := onnx.Elements[float32](t)
			return data
		}
	}
	return nil
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

// readBool takes true, which is 1, and false.
func readBool(c cell) (int64, error) {
	switch {
	case c.kind != cellText && (c.text == "true" || c.text == "True" || c.text == "1"):
		return 1, nil
	case c.kind != cellText && (c.text == "false" || c.text == "False" || c.text == "0"):
		return 0, nil
	default:
		return 0, fmt.Errorf("true or false wanted")
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
