package explanation

import (
	"fmt"

	"github.com/petal-ml/petal/internal/onnx"
)

// linear is a row of coefficients a target.
type linear struct {
	features     int
	coefficients []float32
	intercepts   []float32
}

func newLinear(n *onnx.Node) (*linear, int, error) {
	l := &linear{coefficients: floats(n, "coefficients"), intercepts: floats(n, "intercepts")}
	targets := len(l.intercepts)
	if targets == 0 || len(l.coefficients)%targets != 0 {
		return nil, 0, fmt.Errorf("%w: a linear model without intercepts", ErrUnsupported)
	}
	l.features = len(l.coefficients) / targets
	return l, targets, nil
}

func (*linear) method() string { return MethodLinear }

func (l *linear) explain(row []float32, target int, contributions []float64) float64 {
	for i, w := range l.coefficients[target*l.features:][:l.features] {
		contributions[i] = float64(w) * float64(row[i])
	}
	return float64(l.intercepts[target])
}
