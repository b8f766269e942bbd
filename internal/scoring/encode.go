package scoring

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval"
)

// appendPredictions writes an object a row. Classes is nil for a regressor.
func appendPredictions[T float32 | float64](dst []byte, p *eval.Predictor, classes []int, scores []T) []byte {
	labels, width := p.Labels(), p.NumScores()
	for i := range len(scores) / width {
		row := scores[i*width : (i+1)*width]
		switch {
		case classes != nil:
			dst = appendJSON(append(dst, `{"label":`...), labels.Value(classes[i]))
			dst = append(dst, `,"probabilities":{`...)
			for j, v := range row {
				if j > 0 {
					dst = append(dst, ',')
				}
				dst = append(appendJSON(dst, labels.Text(j)), ':')
				dst = appendNumber(dst, v)
			}
			dst = append(dst, '}')
		case width == 1:
			dst = appendNumber(append(dst, `{"value":`...), row[0])
		default:
			dst = appendList(append(dst, `{"value":`...), row)
		}
		dst = append(dst, '}', '\n')
	}
	return dst
}

// appendRaw writes an object a row: what each output holds for the row.
func appendRaw(dst []byte, infos []onnx.ValueInfo, outputs []eval.Value, rows int) ([]byte, error) {
	for i := range rows {
		dst = append(dst, '{')
		for k, out := range outputs {
			if k > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendJSON(dst, infos[k].Name), ':')
			var ok bool
			if dst, ok = appendValue(dst, out, i, rows); !ok {
				return nil, fmt.Errorf("output %q is not made of rows: it cannot be written a row at a time", infos[k].Name)
			}
		}
		dst = append(dst, '}', '\n')
	}
	return dst, nil
}

// appendValue writes one row of an output; ok is false where it has not as many
// rows.
func appendValue(dst []byte, v eval.Value, row, rows int) (_ []byte, ok bool) {
	switch v := v.(type) {
	case *eval.ProbabilityMaps:
		scores, ok := onnx.Elements[float32](v.Scores)
		width := v.Keys.Len()
		if !ok || len(scores) != rows*width {
			return dst, false
		}
		dst = append(dst, '{')
		for j := range width {
			if j > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendJSON(dst, v.Keys.Text(j)), ':')
			dst = appendNumber(dst, scores[row*width+j])
		}
		return append(dst, '}'), true
	case *onnx.Tensor:
		if len(v.Shape) == 0 || v.Shape[0] != rows {
			return dst, false
		}
		return appendTensorRow(dst, v, row)
	default:
		return dst, false
	}
}

func appendTensorRow(dst []byte, t *onnx.Tensor, row int) ([]byte, bool) {
	switch data := t.Data.(type) {
	case []float32:
		return appendNested(dst, t.Shape[1:], data, row, appendNumber[float32]), true
	case []float64:
		return appendNested(dst, t.Shape[1:], data, row, appendNumber[float64]), true
	case []int64:
		return appendNested(dst, t.Shape[1:], data, row, func(dst []byte, v int64) []byte { return strconv.AppendInt(dst, v, 10) }), true
	case []int32:
		return appendNested(dst, t.Shape[1:], data, row, func(dst []byte, v int32) []byte { return strconv.AppendInt(dst, int64(v), 10) }), true
	case []bool:
		return appendNested(dst, t.Shape[1:], data, row, strconv.AppendBool), true
	case []string:
		return appendNested(dst, t.Shape[1:], data, row, func(dst []byte, v string) []byte { return appendJSON(dst, v) }), true
	default:
		return dst, false
	}
}

// appendNested writes block number i of the given shape as nested arrays.
func appendNested[T any](dst []byte, shape []int, data []T, i int, write func([]byte, T) []byte) []byte {
	if len(shape) == 0 {
		return write(dst, data[i])
	}
	dst = append(dst, '[')
	for j := range shape[0] {
		if j > 0 {
			dst = append(dst, ',')
		}
		dst = appendNested(dst, shape[1:], data, i*shape[0]+j, write)
	}
	return append(dst, ']')
}

func appendList[T float32 | float64](dst []byte, list []T) []byte {
	return appendNested(dst, []int{len(list)}, list, 0, appendNumber[T])
}

// appendNumber writes the shortest number that reads back as v; null for NaN,
// text for the infinities, which JSON has no numbers for.
func appendNumber[T float32 | float64](dst []byte, v T) []byte {
	f, bits := float64(v), 64
	if _, ok := any(v).(float32); ok {
		bits = 32
	}
	switch {
	case math.IsNaN(f):
		return append(dst, "null"...)
	case math.IsInf(f, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(dst, `"-Infinity"`...)
	}
	format := byte('f')
	if size := math.Abs(f); size != 0 && (size < 1e-6 || size >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, f, format, -1, bits)
}

// appendJSON writes a text or a whole number. Text stays readable: nothing is
// escaped for HTML.
func appendJSON(dst []byte, v any) []byte {
	if n, ok := v.(int64); ok {
		return strconv.AppendInt(dst, n, 10)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return append(dst, "null"...) // neither text nor number: labels are
	}
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}
