package metrics

import (
	"fmt"
	"math"
	"slices"
)

// A ValueReport holds all figures of one set of predicted numbers. A figure that
// is not defined for the data is NaN.
type ValueReport struct {
	Rows     int
	RMSE     float64 // root of the mean squared error, in the target's unit
	MAE      float64 // mean absolute error, in the target's unit
	MedianAE float64 // median absolute error, in the target's unit
	R2       float64 // coefficient of determination: 1 is perfect, 0 the mean
	MAPE     float64 // mean of |error / target|; not defined where a target is 0
	Poisson  float64 // mean deviance; for targets of at least 0, predictions above
	Gamma    float64 // mean deviance; for targets and predictions above 0
}

// EvaluateValues computes all figures.
func EvaluateValues(y, predicted []float64) (*ValueReport, error) {
	if len(y) != len(predicted) || len(y) == 0 {
		return nil, fmt.Errorf("%d targets, %d predictions: %w", len(y), len(predicted), ErrInput)
	}
	for i := range y {
		if v := y[i] - predicted[i]; math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("row %d has the target %v and the prediction %v: %w", i, y[i], predicted[i], ErrInput)
		}
	}
	return &ValueReport{
		Rows: len(y),
		RMSE: RMSE(y, predicted), MAE: MAE(y, predicted), MedianAE: Quantile(absolute(y, predicted), 0.5),
		R2: R2(y, predicted), MAPE: MAPE(y, predicted),
		Poisson: PoissonDeviance(y, predicted), Gamma: GammaDeviance(y, predicted),
	}, nil
}

// RMSE is the root of the mean squared error.
func RMSE(y, predicted []float64) float64 {
	return math.Sqrt(meanOf(y, predicted, func(t, p float64) float64 { return (t - p) * (t - p) }))
}

// MAE is the mean absolute error.
func MAE(y, predicted []float64) float64 { return Mean(absolute(y, predicted)) }

func absolute(y, predicted []float64) []float64 {
	errors := make([]float64, len(y))
	for i, t := range y {
		errors[i] = math.Abs(t - predicted[i])
	}
	return errors
}

// R2 is 1 − Σ(y−p)²/Σ(y−ȳ)². Where the targets are constant it is 1 for perfect
// predictions and 0 otherwise; for less than two rows it is not defined.
func R2(y, predicted []float64) float64 {
	if len(y) < 2 {
		return math.NaN()
	}
	mean := Mean(y)
	var residual, total float64
	for i, t := range y {
		residual += float64((t - predicted[i]) * (t - predicted[i]))
		total += float64((t - mean) * (t - mean))
	}
	switch {
	case total > 0:
		return 1 - residual/total
	case residual > 0:
		return 0
	}
	return 1
}

// MAPE is the mean of |y−p|/|y|. Unlike scikit-learn's, which divides by 2⁻⁵²
// there, it is NaN where a target is 0.
func MAPE(y, predicted []float64) float64 {
	if slices.Contains(y, 0) {
		return math.NaN()
	}
	return meanOf(y, predicted, func(t, p float64) float64 { return math.Abs(t-p) / math.Abs(t) })
}

// Pinball is the mean of q·(y−p) where y is above the prediction of the quantile
// q, and (1−q)·(p−y) where it is not.
func Pinball(y, predicted []float64, quantile float64) float64 {
	return meanOf(y, predicted, func(t, p float64) float64 { return max(quantile*(t-p), (quantile-1)*(t-p)) })
}

// PoissonDeviance is the mean of 2·(y·ln(y/p) − y + p); NaN where a target is
// below 0 or a prediction not above.
func PoissonDeviance(y, predicted []float64) float64 {
	return meanOf(y, predicted, func(t, p float64) float64 {
		switch {
		case t < 0 || p <= 0:
			return math.NaN()
		case t == 0:
			return 2 * p
		}
		return 2 * (t*math.Log(t/p) - t + p)
	})
}

// GammaDeviance is the mean of 2·(ln(p/y) + y/p − 1); NaN where a target or a
// prediction is not above 0.
func GammaDeviance(y, predicted []float64) float64 {
	return meanOf(y, predicted, func(t, p float64) float64 {
		if t <= 0 || p <= 0 {
			return math.NaN()
		}
		return 2 * (math.Log(p/t) + t/p - 1)
	})
}

// Mean is the arithmetic mean.
func Mean(values []float64) float64 {
	var sum float64
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

func meanOf(y, predicted []float64, loss func(y, p float64) float64) float64 {
	var sum float64
	for i, t := range y {
		sum += loss(t, predicted[i])
	}
	return sum / float64(len(y))
}

// Quantile returns a quantile of the values, which it sorts: between two of them
// it is interpolated, as numpy's quantile does. q is between 0 and 1.
func Quantile(values []float64, q float64) float64 {
	slices.Sort(values)
	position := q * float64(len(values)-1)
	below := int(position)
	low, high := values[below], values[min(below+1, len(values)-1)]
	return low + float64((position-float64(below))*(high-low))
}
