package training

import (
	"fmt"
	"strings"

	"github.com/petal-ml/petal/internal/learn/metrics"
)

// A Verdict is what the gate says of a challenger, and why.
type Verdict struct {
	Promote bool
	Reasons []string
}

// String is the verdict in one line.
func (v Verdict) String() string {
	word := "refused"
	if v.Promote {
		word = "promoted"
	}
	return word + ": " + strings.Join(v.Reasons, "; ")
}

// judgeGate decides on promotion. A model has to beat the prior, which looks at
// no feature: one that does not has learned nothing.
func judgeGate(f *fitted, test part) Verdict {
	prior := metrics.LogLoss(test.y, f.baseline)
	if !(f.test.LogLoss < prior) { // NaN loses
		return Verdict{Reasons: []string{fmt.Sprintf("the hold-out's log-loss %.4f does not beat that of the prior, %.4f", f.test.LogLoss, prior)}}
	}
	return Verdict{Promote: true, Reasons: []string{fmt.Sprintf("the hold-out's log-loss %.4f beats that of the prior, %.4f", f.test.LogLoss, prior)}}
}
