package model

import (
	"errors"
	"fmt"
	"slices"
)

// ErrNoExplanation means that the model is of no kind that can be taken apart.
var ErrNoExplanation = errors.New("this model cannot be explained: it is neither linear nor made of trees, or has other steps between")

// Methods of an [Explanation].
const (
	MethodLinear = "linear"
	MethodTrees  = "tree-path"
)

// An Explanation says how much each feature of a row adds to the score of a class.
//
// Linear models are taken apart exactly: a contribution is coefficient times
// value, the baseline the intercept. Trees are followed along the row's path
// (Saabas, "Interpreting random forests", 2014): at each node the expected value
// changes, and the change is credited to the feature that the node asks for. An
// ONNX file does not tell how many training rows went which way, so that both
// branches of a node weigh the same in its expected value.
//
// In both cases baseline and contributions add up to the score, which is what
// the model has before its last step (a softmax, a logistic function, a
// normalization).
type Explanation struct {
	Method        string
	Baseline      float64
	Contributions []float64 // in the order of the features
}

// Explain takes the score of a class apart for a row that was predicted. A
// regressor has the class 0. The error is [ErrNoExplanation].
func (m *Model) Explain(row []float32, class int) (Explanation, error) {
	parts, err := m.parts()
	if err != nil {
		return Explanation{}, ErrNoExplanation
	}
	x := Explanation{Method: MethodTrees, Contributions: make([]float64, len(row))}
	if parts.Linear != nil {
		x.Method = MethodLinear
	}
	values := slices.Clone(row)
	parts.Prepare(values)
	if shared := parts.Classes == 2 && parts.Targets == 1; !shared {
		x.Baseline = parts.Explain(values, class, x.Contributions)
		return x, nil
	}
	// The one score is that of the second class. The first has what is left.
	x.Baseline = parts.Explain(values, 0, x.Contributions)
	if class == 1 {
		return x, nil
	}
	for i, c := range x.Contributions {
		x.Contributions[i] = -c
	}
	x.Baseline = -x.Baseline
	if parts.Complement {
		x.Baseline++
	}
	return x, nil
}

// TryExplain takes the model apart, where that is possible, and explains a row: what
// the first request for an explanation does. It takes memory by the number of nodes.
func (m *Model) TryExplain() (err error) {
	defer recovered(&err)
	if _, err := m.Explain(make([]float32, len(m.info.Features)), 0); err != nil && !errors.Is(err, ErrNoExplanation) {
		return fmt.Errorf("explain a row: %w", err)
	}
	return nil
}
