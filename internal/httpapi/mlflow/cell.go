package mlflow

import (
	"math"
	"strings"

	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/predict"
	"github.com/petal-ml/petal/internal/rows"
)

// kindAt is what column i of the model takes; beyond the last one, numbers.
func kindAt(b *predict.Batch, i int) model.Kind {
	if features := b.Model.Info().Features; i < len(features) {
		return features[i].Kind
	}
	return model.Number
}

// parseCell reads a value that stands in text of JSON. There null is the missing
// value, and none of the texts.
func parseCell(written string, kind model.Kind, here func() string) (model.Cell, error) {
	if kind != model.Text {
		written = strings.TrimSpace(written)
	}
	c, err := rows.ParseCell(written, kind)
	switch {
	case err != nil || c.IsMissing():
		return c, rows.Invalid(rows.WrongType, here(), rows.ErrNotNumber.Error())
	case math.IsInf(c.Number, 0):
		return c, rows.Invalid(rows.OutOfRange, here(), "the number is out of range; a 32-bit float must hold it")
	}
	return c, nil
}
