package mlflow

import (
	"strconv"
	"strings"

	"github.com/petal-ml/petal/internal/httpapi/jsonbody"
	"github.com/petal-ml/petal/internal/httpapi/problem"
	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/predict"
)

// kindAt is what column i of the model takes; beyond the last one, numbers.
func kindAt(b *predict.Batch, i int) model.Kind {
	if features := b.Model.Info().Features; i < len(features) {
		return features[i].Kind
	}
	return model.Number
}

// parseCell reads a value that stands in text.
func parseCell(written string, kind model.Kind, here func() string) (model.Cell, error) {
	switch {
	case kind == model.Text:
		return model.Cell{Kind: kind, Text: written}, nil
	case kind == model.Boolean && strings.EqualFold(written, "true"):
		return model.Cell{Kind: kind, Number: 1}, nil
	case kind == model.Boolean && strings.EqualFold(written, "false"):
		return model.Cell{Kind: kind}, nil
	}
	written = strings.TrimSpace(written)
	n := jsonbody.New([]byte(written))
	digits, ok := n.NumberText()
	if !ok || n.Pos() != len(written) {
		return model.Cell{}, problem.Invalid(predict.WrongType, here(), "a number is expected, not text")
	}
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		return model.Cell{}, problem.Invalid(predict.OutOfRange, here(), "the number is out of range; a 32-bit float must hold it")
	}
	return model.Cell{Number: v}, nil
}
