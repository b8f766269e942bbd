// Package calibration makes probabilities as sure as they are right.
package calibration

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// Bounds of the factor: a tenth and ten times as sure.
const (
	lowest  = 0.1
	highest = 10
)

// Factor returns what the scores behind probabilities (rows × classes) are to be
// multiplied by for the lowest log-loss of the rows' classes y, and that log-loss
// before and after. It is one by the temperature of Guo and others (2017). The rows
// must not be those that the model was fitted on.
func Factor(y []int, proba *mat.Dense) (factor, before, after float64) {
	logs := make([][]float64, len(y))
	for i := range y {
		for _, p := range proba.RawRowView(i) {
			logs[i] = append(logs[i], math.Log(max(p, math.SmallestNonzeroFloat64)))
		}
	}
	// The loss is convex in the factor: its slope changes sign once.
	low, high := lowest, float64(highest)
	for range 50 {
		middle := math.Sqrt(low * high)
		if _, slope := loss(y, logs, middle); slope > 0 {
			high = middle
		} else {
			low = middle
		}
	}
	factor = math.Sqrt(low * high)
	before, _ = loss(y, logs, 1)
	after, _ = loss(y, logs, factor)
	return factor, before, after
}

// loss returns the mean log-loss of scores times a factor, and its slope.
func loss(y []int, scores [][]float64, factor float64) (value, slope float64) {
	for i, row := range scores {
		top := row[0]
		for _, s := range row {
			top = max(top, s)
		}
		var total, mean float64
		for _, s := range row {
			e := math.Exp(factor * (s - top))
			total += e
			mean += e * (s - top)
		}
		own := row[y[i]] - top
		value += math.Log(total) - factor*own
		slope += mean/total - own
	}
	n := float64(len(y))
	return value / n, slope / n
}
