package native

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"

	"github.com/petal-ml/petal/internal/httpapi/answer"
	"github.com/petal-ml/petal/internal/httpapi/route"
	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/predict"
	"github.com/petal-ml/petal/internal/serving"
)

// An encoder writes the predictions of one model. What is the same in every
// answer is encoded once.
type encoder struct {
	labels   answer.Labels
	classes  [][]byte // "label":"setosa","class_index":0,"probabilities":
	features [][]byte // "sepal_length":
	model    []byte   // ,"model":{"name":"iris","version":"3"}}
}

func newEncoder(m *serving.Live) encoder {
	e := encoder{labels: answer.NewLabels(m)}
	for i, label := range e.labels.Values {
		class := append([]byte(`"label":`), label...)
		class = strconv.AppendInt(append(class, `,"class_index":`...), int64(i), 10)
		e.classes = append(e.classes, append(class, `,"probabilities":`...))
	}
	info := m.Info()
	for _, f := range info.Features {
		e.features = append(e.features, append(answer.JSON(f.Name), ':'))
	}
	e.model = append(append([]byte(`,"model":`), answer.JSON(route.ModelRef{Name: info.Name, Version: info.Version})...), "}\n"...)
	return e
}

// options say what of a prediction is wanted.
type options struct {
	topK    int // 0: all classes
	explain bool
}

// size estimates the bytes of an answer of n rows.
func (e *encoder) size(n int, wanted options) int {
	row := e.labels.RowBytes() + 16
	if len(e.classes) > 0 {
		row += len(e.classes[0])
	}
	if wanted.explain {
		row += 64
		for _, name := range e.features {
			row += len(name) + answer.ScoreBytes
		}
	}
	return n*row + len(e.model) + 32
}

// appendAnswer writes the answer for a batch.
func (e *encoder) appendAnswer(dst []byte, b *predict.Batch, many bool, wanted options) []byte {
	if many {
		dst = append(dst, `{"predictions":[`...)
	}
	unseen := b.Unseen
	for i, class := range b.Classes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '{')
		if wanted.topK > 0 && len(e.classes) > 0 {
			dst = e.appendTop(dst, class, b.RowScores(i), wanted.topK)
		} else {
			dst = e.appendPrediction(dst, class, b.RowScores(i))
		}
		if wanted.explain {
			dst = e.appendExplanation(dst, b.Explanations[i])
		}
		for first := len(unseen); len(unseen) > 0 && unseen[0].Row == i; unseen = unseen[1:] {
			dst = e.appendUnseen(dst, unseen[0], len(unseen) == first)
			if len(unseen) == 1 || unseen[1].Row != i {
				dst = append(dst, ']')
			}
		}
		if many {
			dst = append(dst, '}')
		}
	}
	if many {
		dst = append(dst, ']')
	}
	return append(dst, e.model...)
}

// appendUnseen writes one of the warnings of a row: a category that training did
// not know.
func (e *encoder) appendUnseen(dst []byte, u predict.Unseen, first bool) []byte {
	const most = 64 // of what somebody sent
	if r := []rune(u.Value); len(r) > most {
		u.Value = string(r[:most]) + "…"
	}
	lead := `,"warnings":[`
	if !first {
		lead = ","
	}
	name := bytes.TrimSuffix(e.features[u.Column], []byte(":"))
	dst = append(append(append(dst, lead...), `{"feature":`...), name...)
	dst = append(append(dst, `,"value":`...), answer.JSON(u.Value)...)
	return append(dst, `,"reason":"unseen"}`...)
}

// appendPrediction writes the members of one prediction, without braces. The
// probabilities stand in class order. A regressor has a value in their place.
func (e *encoder) appendPrediction(dst []byte, class int, scores []float32) []byte {
	if len(e.classes) == 0 {
		return answer.AppendScore(append(dst, `"value":`...), scores[0])
	}
	return e.labels.AppendScores(append(dst, e.classes[class]...), scores)
}

// appendTop is appendPrediction with the k most likely classes, the most likely
// first; equal ones stay in order.
func (e *encoder) appendTop(dst []byte, class int, scores []float32, k int) []byte {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	dst = append(append(dst, e.classes[class]...), '{')
	for i, c := range order[:min(k, len(order))] {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = answer.AppendScore(append(dst, bytes.TrimPrefix(e.labels.Keys[c], []byte(","))...), scores[c])
	}
	return append(dst, '}')
}

// appendExplanation writes what each feature adds.
func (e *encoder) appendExplanation(dst []byte, x model.Explanation) []byte {
	dst = append(append(append(dst, `,"explanation":{"method":"`...), x.Method...), `","baseline":`...)
	dst = append(answer.AppendScore(dst, float32(x.Baseline)), `,"contributions":{`...)
	for i, c := range x.Contributions {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = answer.AppendScore(append(dst, e.features[i]...), float32(c))
	}
	return append(dst, "}}"...)
}
