// Package answer writes the parts that the answers of all dialects are made of:
// scores, and labels as JSON.
package answer

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"sync/atomic"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/serving"
)

// Labels are the labels of a model's classes, encoded once.
type Labels struct {
	Values [][]byte // as they are: "setosa", or 7
	Keys   [][]byte // as text before a score: "setosa": or "7":, with a comma before all but the first
}

// NewLabels encodes the labels of a model; a regressor has none.
func NewLabels(m *serving.Live) Labels {
	labels := m.Labels()
	var l Labels
	for i := range labels.Len() {
		l.Values = append(l.Values, JSON(labels.Value(i)))
		key := append(JSON(labels.Text(i)), ':')
		if i > 0 {
			key = append([]byte{','}, key...)
		}
		l.Keys = append(l.Keys, key)
	}
	return l
}

// AppendScores writes {"setosa":0.98,…}, in class order.
func (l *Labels) AppendScores(dst []byte, scores []float32) []byte {
	dst = append(dst, '{')
	for i, s := range scores {
		dst = AppendScore(append(dst, l.Keys[i]...), s)
	}
	return append(dst, '}')
}

// ScoreBytes is about what one score takes, in bytes.
const ScoreBytes = 14

// RowBytes estimates what label and scores of one row take.
func (l *Labels) RowBytes() int {
	if len(l.Values) == 0 {
		return ScoreBytes
	}
	longest := 0
	for _, v := range l.Values {
		longest = max(longest, len(v))
	}
	bytes := longest
	for _, key := range l.Keys {
		bytes += len(key) + ScoreBytes
	}
	return bytes
}

// AppendScore writes the shortest decimal that reads back as the same float32,
// in the form that encoding/json gives numbers, but always with a fraction or
// an exponent: 1.0, 0.98, 1.5e-7.
func AppendScore(dst []byte, s float32) []byte {
	format := byte('f')
	if abs := float32(math.Abs(float64(s))); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, float64(s), format, -1, 32)
	if format == 'f' {
		if bytes.IndexByte(dst[start:], '.') < 0 {
			dst = append(dst, ".0"...)
		}
		return dst
	}
	// e-09 is written e-9.
	if n := len(dst); n-start >= 4 && dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' {
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}

// JSON encodes a label or a name as it stands: < and & are not escaped.
func JSON(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil { // labels and names always encode
		panic("httpapi: encode label: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// ScoresName is the name of a classifier's scores among the graph's outputs.
// Where a graph gives them one output a class it is "probabilities".
func ScoresName(m *serving.Live) string {
	outputs := m.Outputs()
	if len(outputs) > 2 && outputs[1].Type.Kind == onnx.KindTensor {
		return "probabilities"
	}
	return outputs[1].Name
}

// PerModel keeps what is made of the model that serves until the next one.
type PerModel[T any] struct{ last atomic.Pointer[made[T]] }

type made[T any] struct {
	of   *serving.Live
	what T
}

// Of returns what was made of the model, or makes it. Two requests may make the
// same at once.
func (p *PerModel[T]) Of(m *serving.Live, build func(*serving.Live) T) *T {
	if last := p.last.Load(); last != nil && last.of == m {
		return &last.what
	}
	next := &made[T]{m, build(m)}
	p.last.Store(next)
	return &next.what
}
