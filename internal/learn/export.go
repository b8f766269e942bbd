package learn

import (
	"fmt"

	"github.com/petal-ml/petal/internal/learn/emit"
	"github.com/petal-ml/petal/internal/onnx"
)

// ToONNX writes a fitted classifier as an ONNX model: one input "features"
// (float [N, features]), and the outputs "label" ([N], int64 or string as the
// labels are) and "probabilities" (one map a row, from label to probability).
// The labels stand in the order of the class indices. The model holds nothing
// but what was learned, no time and no name of a machine: equal models are equal
// bytes.
func ToONNX(c Classifier, features int, labels onnx.Labels) (*onnx.Model, error) {
	b, err := emit.NewBuilder(features, labels)
	if err != nil {
		return nil, fmt.Errorf("write %s as ONNX: %w", c.Name(), err)
	}
	scores, err := c.Emit(b, emit.Input)
	if err != nil {
		return nil, fmt.Errorf("write %s as ONNX: %w", c.Name(), err)
	}
	return b.Model(c.Name(), scores), nil
}
