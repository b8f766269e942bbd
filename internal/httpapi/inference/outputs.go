package inference

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/petal-ml/petal/internal/httpapi/answer"
	"github.com/petal-ml/petal/internal/httpapi/problem"
	"github.com/petal-ml/petal/internal/predict"
	"github.com/petal-ml/petal/internal/rows"
	"github.com/petal-ml/petal/internal/serving"
)

// An output is a tensor that a model gives.
type output struct {
	name     string
	datatype string
	width    int // scores a row; 0 for one value a row
}

func (o output) shape(rows int) []int {
	if o.width == 0 {
		return []int{rows}
	}
	return []int{rows, o.width}
}

// outputsOf lists what a model gives: label and scores, or a value.
func outputsOf(m *serving.Live) []output {
	first := m.Outputs()[0].Name
	if m.Labels().Len() == 0 {
		return []output{{first, typeFP32, 0}}
	}
	labels := output{first, typeBytes, 0}
	if len(m.Labels().Ints) > 0 {
		labels.datatype = typeInt64
	}
	return []output{labels, {answer.ScoresName(m), typeFP32, m.NumScores()}}
}

// A wantedOutput is a tensor to be answered.
type wantedOutput struct {
	output
	binary bool
}

// choose finds the outputs asked for, all of them where none is named.
func choose(req *request, model *serving.Live) ([]wantedOutput, error) {
	outputs := outputsOf(model)
	var wanted []wantedOutput
	if len(req.outputs) == 0 {
		for _, o := range outputs {
			wanted = append(wanted, wantedOutput{o, req.binary})
		}
		return wanted, nil
	}
	for i, choice := range req.outputs {
		at := func() string { return fmt.Sprintf("outputs[%d].name", i) }
		if slices.ContainsFunc(wanted, func(w wantedOutput) bool { return w.name == choice.name }) {
			return nil, problem.Invalid(rows.Malformed, at(), "an output is asked for twice")
		}
		found := slices.IndexFunc(outputs, func(o output) bool { return o.name == choice.name })
		if found < 0 {
			return nil, problem.Invalid(predict.UnknownKey, at(), "the model has no such output; its metadata lists them")
		}
		binary := req.binary
		if choice.binary != nil {
			binary = *choice.binary
		}
		wanted = append(wanted, wantedOutput{outputs[found], binary})
	}
	return wanted, nil
}

// answerBytes estimates the size of an answer.
func answerBytes(labels *answer.Labels, wanted []wantedOutput, b *predict.Batch) int {
	bytes := 256
	for _, w := range wanted {
		switch {
		case w.datatype != typeFP32:
			longest := 8
			for _, v := range labels.Values {
				longest = max(longest, len(v)+4)
			}
			bytes += b.Len() * longest
		case w.binary:
			bytes += 4 * len(b.Scores)
		default:
			bytes += answer.ScoreBytes * len(b.Scores)
		}
	}
	return bytes
}

// appendAnswer writes the answer and returns the length of its JSON; what follows
// is binary.
func appendAnswer(labels *answer.Labels, id string, wanted []wantedOutput, b *predict.Batch) (body []byte, jsonLength int) {
	info := b.Model.Info()
	head := append([]byte(`{"model_name":`), answer.JSON(info.Name)...)
	head = append(append(head, `,"model_version":`...), answer.JSON(info.Version)...)
	if id != "" {
		head = append(append(head, `,"id":`...), answer.JSON(id)...)
	}
	head = append(head, `,"outputs":[`...)
	var tail []byte
	for i, w := range wanted {
		if i > 0 {
			head = append(head, ',')
		}
		head = w.appendHead(head, b.Len())
		if w.binary {
			before := len(tail)
			tail = w.appendBinary(tail, b)
			head = strconv.AppendInt(append(head, `,"parameters":{"binary_data_size":`...), int64(len(tail)-before), 10)
			head = append(head, "}}"...)
		} else {
			head = w.appendData(append(head, `,"data":[`...), labels, b)
			head = append(head, "]}"...)
		}
	}
	head = append(head, "]}"...)
	return append(head, tail...), len(head)
}

func (o output) appendHead(dst []byte, rows int) []byte {
	dst = append(append(dst, `{"name":`...), answer.JSON(o.name)...)
	dst = append(append(append(dst, `,"datatype":"`...), o.datatype...), `","shape":[`...)
	dst = strconv.AppendInt(dst, int64(rows), 10)
	if o.width > 0 {
		dst = strconv.AppendInt(append(dst, ','), int64(o.width), 10)
	}
	return append(dst, ']')
}

// appendData writes the elements as JSON.
func (o output) appendData(dst []byte, labels *answer.Labels, b *predict.Batch) []byte {
	if o.datatype == typeFP32 {
		for i, s := range b.Scores {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = answer.AppendScore(dst, s)
		}
		return dst
	}
	for i, class := range b.Classes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, labels.Values[class]...)
	}
	return dst
}

// appendBinary writes the elements in little-endian order; text goes behind its
// length.
func (o output) appendBinary(dst []byte, b *predict.Batch) []byte {
	le, labels := binary.LittleEndian, b.Model.Labels()
	switch o.datatype {
	case typeFP32:
		dst = slices.Grow(dst, 4*len(b.Scores))
		for _, s := range b.Scores {
			dst = le.AppendUint32(dst, math.Float32bits(s))
		}
	case typeInt64:
		for _, class := range b.Classes {
			dst = le.AppendUint64(dst, uint64(labels.Ints[class])) //nolint:gosec // the bits of a signed number
		}
	default:
		for _, class := range b.Classes {
			text := labels.Strings[class]
			dst = append(le.AppendUint32(dst, uint32(len(text))), text...) //nolint:gosec // no label is that long
		}
	}
	return dst
}
