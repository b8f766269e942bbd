package ensemble

import (
	"math"
	"slices"

	"github.com/petal-ml/petal/internal/learn/internal/vecmath"
	"github.com/petal-ml/petal/internal/learn/metrics"
)

// A Loss is what a [HistGradientBoostingRegressor] makes small, by scikit-learn's
// name.
type Loss string

// The values of [Loss]. Poisson and Gamma learn the logarithm of the target:
// Poisson takes targets of at least 0, not all 0, Gamma targets above 0.
const (
	SquaredError  Loss = "squared_error"
	AbsoluteError Loss = "absolute_error"
	Poisson       Loss = "poisson"
	Gamma         Loss = "gamma"
	QuantileLoss  Loss = "quantile"
)

// Losses are all of them.
func Losses() []Loss { return []Loss{SquaredError, AbsoluteError, Poisson, Gamma, QuantileLoss} }

// logLink tells that the raw score is the logarithm of the value.
func (l Loss) logLink() bool { return l == Poisson || l == Gamma }

// maxLog keeps the value of a raw score finite.
const maxLog = 700

// valueLoss is the loss of a regression. It keeps what follows from the raw
// scores: their exponentials with a logarithm as link, themselves otherwise.
type valueLoss struct {
	loss     Loss
	quantile float64 // of AbsoluteError ½
	y        []float64
	values   []float64
}

func newValueLoss(loss Loss, quantile float64, y []float64) *valueLoss {
	if loss == AbsoluteError {
		quantile = 0.5
	}
	return &valueLoss{loss: loss, quantile: quantile, y: y, values: make([]float64, len(y))}
}

func (v *valueLoss) baseline() []float64 {
	switch {
	case v.loss.logLink():
		return []float64{math.Log(metrics.Mean(v.y))}
	case v.loss == SquaredError:
		return []float64{metrics.Mean(v.y)}
	default:
		return []float64{metrics.Quantile(slices.Clone(v.y), v.quantile)}
	}
}

func (v *valueLoss) update(raw [][]float64, from, to int) (loss float64) {
	values := v.values[from:to]
	v.link(values, raw[0][from:to])
	for i, y := range v.y[from:to] {
		loss += v.of(raw[0][from+i], values[i], y)
	}
	return loss
}

// link writes the values that raw scores stand for.
func (v *valueLoss) link(values, raw []float64) {
	copy(values, raw)
	if v.loss.logLink() {
		for i, r := range values {
			values[i] = min(r, maxLog)
		}
		vecmath.Exp(values)
	}
}

// of is the loss of one row, up to what does not depend on the score.
func (v *valueLoss) of(raw, value, y float64) float64 {
	switch v.loss {
	case Poisson:
		return value - float64(y*raw)
	case Gamma:
		return raw + y/value
	case SquaredError:
		return float64((y-value)*(y-value)) / 2
	case AbsoluteError:
		return math.Abs(y - value)
	default:
		return max(v.quantile*(y-value), (v.quantile-1)*(y-value))
	}
}

// derivatives are those of the loss by the raw score. What has no second
// derivative has 1 for it, and leaves of its own.
func (v *valueLoss) derivatives(i int) (gradient, hessian float64) {
	y, value := v.y[i], v.values[i]
	switch v.loss {
	case Poisson:
		return value - y, value
	case Gamma:
		return 1 - y/value, y / value
	case SquaredError:
		return value - y, 1
	case AbsoluteError:
		if y > value {
			return -1, 1
		}
		return 1, 1
	default:
		if y >= value {
			return -v.quantile, 1
		}
		return 1 - v.quantile, 1
	}
}

func (v *valueLoss) largest(_, from, to int) (gradient, hessian float64) {
	for i := from; i < to; i++ {
		g, h := v.derivatives(i)
		gradient, hessian = max(gradient, math.Abs(g)), max(hessian, h)
	}
	return gradient, hessian
}

func (v *valueLoss) fill(_, from, to int, f *fixedPoint, pairs []uint64) {
	for i := from; i < to; i++ {
		pairs[i] = f.pair(v.derivatives(i))
	}
}

// leaf is the quantile of what is left of the rows' targets.
func (v *valueLoss) leaf(raw []float64, rows []uint32) (value float64, ok bool) {
	if v.loss != AbsoluteError && v.loss != QuantileLoss {
		return 0, false
	}
	rest := make([]float64, len(rows))
	for at, i := range rows {
		rest[at] = v.y[i] - raw[i]
	}
	return metrics.Quantile(rest, v.quantile), true
}
