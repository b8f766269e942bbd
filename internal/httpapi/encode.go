package httpapi

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"sync/atomic"

	"github.com/petal-ml/petal/internal/serving"
)

// An encoder writes the predictions of one model. What is the same in every
// answer is encoded once.
type encoder struct {
	of         *serving.Live
	classes    [][]byte // "label":"setosa","class_index":0,"probabilities":{
	keys       [][]byte // "setosa":
	labels     [][]byte // as they are: "setosa", or 7
	labelTexts [][]byte // as text: "setosa", "7"
	features   [][]byte // "sepal_length"
	// recordKeys stand before the label and before the probabilities of a
	// record: {"label": and ,"probabilities":{
	recordKeys [2][]byte
	model      []byte // ,"model":{"name":"iris","version":"3"}
}

func newEncoder(m *serving.Live) *encoder {
	labels, info := m.Labels(), m.Info()
	e := &encoder{of: m}
	for i := range labels.Len() {
		e.labels = append(e.labels, encodeJSON(labels.Value(i)))
		class := append([]byte(`"label":`), e.labels[i]...)
		class = strconv.AppendInt(append(class, `,"class_index":`...), int64(i), 10)
		e.classes = append(e.classes, append(class, `,"probabilities":{`...))
		e.labelTexts = append(e.labelTexts, encodeJSON(labels.Text(i)))
		key := append(encodeJSON(labels.Text(i)), ':')
		if i > 0 {
			key = append([]byte{','}, key...)
		}
		e.keys = append(e.keys, key)
	}
	for _, f := range info.Features {
		e.features = append(e.features, encodeJSON(f.Name))
	}
	outputs := m.Outputs()
	e.recordKeys[0] = append(append([]byte{'{'}, encodeJSON(outputs[0].Name)...), ':')
	if len(outputs) > 1 {
		e.recordKeys[1] = append(append([]byte{','}, encodeJSON(scoresName(m))...), ":{"...)
	}
	e.model = append([]byte(`,"model":`), encodeJSON(modelRef{info.Name, info.Version})...)
	return e
}

// modelRef names the model in an answer.
type modelRef struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// appendPrediction writes the members of one prediction, without braces. The
// probabilities stand in class order. A regressor has a value in their place.
func (e *encoder) appendPrediction(dst []byte, class int, scores []float32) []byte {
	if len(e.classes) == 0 {
		return appendScore(append(dst, `"value":`...), scores[0])
	}
	dst = append(dst, e.classes[class]...)
	for i, s := range scores {
		dst = appendScore(append(dst, e.keys[i]...), s)
	}
	return append(dst, '}')
}

// appendRecord writes one prediction under the names of the model's outputs.
func (e *encoder) appendRecord(dst []byte, class int, scores []float32) []byte {
	if len(e.classes) == 0 {
		return append(appendScore(append(dst, e.recordKeys[0]...), scores[0]), '}')
	}
	dst = append(append(dst, e.recordKeys[0]...), e.labels[class]...)
	dst = append(dst, e.recordKeys[1]...)
	for i, s := range scores {
		dst = appendScore(append(dst, e.keys[i]...), s)
	}
	return append(dst, "}}"...)
}

// size estimates the bytes of an answer of n rows.
func (e *encoder) size(n int) int {
	row := 0
	for i := range e.keys {
		row += len(e.keys[i]) + 12
	}
	if len(e.classes) > 0 {
		row += len(e.classes[0]) + 16
	}
	return n*row + len(e.model) + 32
}

// appendScore writes the shortest decimal that reads back as the same float32,
// in the form that encoding/json gives numbers, but always with a fraction or
// an exponent: 1.0, 0.98, 1.5e-7.
func appendScore(dst []byte, s float32) []byte {
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

// encodeJSON encodes a label or a name as it stands: < and & are not escaped.
func encodeJSON(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil { // labels and names always encode
		panic("httpapi: encode label: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// encoderCache keeps the encoder of the model that serves.
type encoderCache struct{ last atomic.Pointer[encoder] }

func (c *encoderCache) of(m *serving.Live) *encoder {
	if e := c.last.Load(); e != nil && e.of == m {
		return e
	}
	e := newEncoder(m)
	c.last.Store(e)
	return e
}
