// Package metrics judges predictions of classes, and of numbers. Every figure is that of
// sklearn.metrics (1.9.1) on the same predictions, degenerate cases included;
// where scikit-learn has no such figure the docstring says what it is.
//
// True classes are indices y (n values in 0 … K−1), predictions either indices
// as well or probabilities (n × K, rows sum to 1). The callers see to equal
// lengths; [Evaluate] checks them.
package metrics

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"
)

// ErrInput means that labels and predictions cannot be compared.
var ErrInput = errors.New("labels and predictions do not fit")

// CalibrationBins is the number of bins of the calibration error in [Evaluate].
const CalibrationBins = 10

// A Report holds all figures of one set of predictions. A figure that is not
// defined for the data is NaN.
type Report struct {
	Rows             int
	Accuracy         float64
	BalancedAccuracy float64
	Macro, Weighted  Average
	LogLoss          float64
	ROCAUC           float64 // one against the rest, macro average
	PRAUC            float64 // average precision, macro average
	Brier            float64 // sum over the classes: 0 … 2
	ECE              float64 // expected calibration error, 10 bins
	MCC              float64 // Matthews correlation coefficient
	Classes          []ClassReport
	Confusion        [][]int // Confusion[true][predicted]
}

// An Average holds the averages over classes of precision, recall and F1.
type Average struct{ Precision, Recall, F1 float64 }

// A ClassReport holds the figures of one class against the rest.
type ClassReport struct {
	Precision, Recall, F1 float64
	ROCAUC, PRAUC         float64
	Support               int // rows that truly are of the class
}

// Evaluate computes all figures. The predicted class is that of the highest
// probability, of equal ones the first.
func Evaluate(y []int, proba *mat.Dense) (*Report, error) {
	n, classes := proba.Dims()
	if n != len(y) || n == 0 {
		return nil, fmt.Errorf("%d labels, %d predictions: %w", len(y), n, ErrInput)
	}
	predicted := make([]int, n)
	for i, k := range y {
		if k < 0 || k >= classes {
			return nil, fmt.Errorf("row %d has class %d, the predictions have %d classes: %w", i, k, classes, ErrInput)
		}
		row := proba.RawRowView(i)
		for j, p := range row {
			if !(p >= 0 && p <= 1+1e-9) {
				return nil, fmt.Errorf("row %d has probability %v for class %d: %w", i, p, j, ErrInput)
			}
			if p > row[predicted[i]] {
				predicted[i] = j
			}
		}
	}
	confusion := ConfusionMatrix(y, predicted, classes)
	r := &Report{
		Rows:             n,
		Accuracy:         Accuracy(y, predicted),
		BalancedAccuracy: BalancedAccuracy(confusion),
		LogLoss:          LogLoss(y, proba),
		ROCAUC:           ROCAUC(y, proba),
		PRAUC:            AveragePrecision(y, proba),
		Brier:            Brier(y, proba),
		ECE:              ECE(y, proba, CalibrationBins),
		MCC:              MCC(confusion),
		Classes:          PerClass(confusion),
		Confusion:        confusion,
	}
	r.Macro, r.Weighted = MacroAverage(confusion), WeightedAverage(confusion)
	for k := range r.Classes {
		positive, scores := oneAgainstRest(y, proba, k)
		r.Classes[k].ROCAUC = BinaryROCAUC(positive, scores)
		r.Classes[k].PRAUC = BinaryAveragePrecision(positive, scores)
	}
	return r, nil
}

// Accuracy is the share of rows whose predicted class is the true one.
func Accuracy(y, predicted []int) float64 {
	right := 0
	for i := range y {
		if y[i] == predicted[i] {
			right++
		}
	}
	return float64(right) / float64(len(y))
}

// ConfusionMatrix counts rows by true (first index) and predicted class.
func ConfusionMatrix(y, predicted []int, classes int) [][]int {
	counts := make([]int, classes*classes)
	m := make([][]int, classes)
	for k := range m {
		m[k] = counts[k*classes : (k+1)*classes : (k+1)*classes]
	}
	for i := range y {
		m[y[i]][predicted[i]]++
	}
	return m
}

// BalancedAccuracy is the mean recall of the classes that truly occur.
func BalancedAccuracy(confusion [][]int) float64 {
	var sum float64
	present := 0
	for _, c := range PerClass(confusion) {
		if c.Support > 0 {
			sum += c.Recall
			present++
		}
	}
	return sum / float64(present)
}

// PerClass gives precision, recall, F1 and support of each class. A ratio with
// denominator zero is 0 (scikit-learn's zero_division). The areas are left 0.
func PerClass(confusion [][]int) []ClassReport {
	report := make([]ClassReport, len(confusion))
	for k := range confusion {
		right, truly, said := confusion[k][k], 0, 0
		for j := range confusion {
			truly += confusion[k][j]
			said += confusion[j][k]
		}
		report[k] = ClassReport{
			Precision: ratio(right, said),
			Recall:    ratio(right, truly),
			F1:        ratio(2*right, truly+said),
			Support:   truly,
		}
	}
	return report
}

// MacroAverage is the plain mean over the classes that occur, truly or as
// predictions: scikit-learn counts no others when it is told no labels.
func MacroAverage(confusion [][]int) Average {
	return average(confusion, func(k, support int) float64 {
		if support > 0 {
			return 1
		}
		for j := range confusion {
			if confusion[j][k] > 0 {
				return 1
			}
		}
		return 0
	})
}

// WeightedAverage is the mean over the classes, each weighted by the number of
// its true rows.
func WeightedAverage(confusion [][]int) Average {
	return average(confusion, func(_, support int) float64 { return float64(support) })
}

func average(confusion [][]int, weight func(k, support int) float64) Average {
	var a Average
	var total float64
	for k, c := range PerClass(confusion) {
		w := weight(k, c.Support)
		total += w
		a.Precision += w * c.Precision
		a.Recall += w * c.Recall
		a.F1 += w * c.F1
	}
	a.Precision /= total
	a.Recall /= total
	a.F1 /= total
	return a
}

// LogLoss is the mean negative natural logarithm of the probability given to the
// true class, each clipped to [ε, 1−ε] with ε = 2⁻⁵².
func LogLoss(y []int, proba *mat.Dense) float64 {
	const eps = 0x1p-52
	losses := make([]float64, len(y))
	for i, k := range y {
		losses[i] = -math.Log(min(max(proba.At(i, k), eps), 1-eps))
	}
	return stat.Mean(losses, nil)
}

// Brier is the mean over the rows of Σₖ (pₖ − [k is the true class])², between 0
// and 2: scikit-learn's brier_score_loss with scale_by_half=False.
func Brier(y []int, proba *mat.Dense) float64 {
	var sum float64
	for i, truth := range y {
		for k, p := range proba.RawRowView(i) {
			if k == truth {
				p--
			}
			sum += p * p
		}
	}
	return sum / float64(len(y))
}

// MCC is the Matthews correlation coefficient for any number of classes
// (Gorodkin 2004); 0 where truth or prediction is constant.
func MCC(confusion [][]int) float64 {
	var n, right, crossed, saidSquared, trulySquared float64
	for k := range confusion {
		var truly, said float64
		for j := range confusion {
			truly += float64(confusion[k][j])
			said += float64(confusion[j][k])
		}
		n += truly
		right += float64(confusion[k][k])
		crossed += truly * said
		trulySquared += truly * truly
		saidSquared += said * said
	}
	spread := (n*n - saidSquared) * (n*n - trulySquared)
	if spread == 0 {
		return 0
	}
	return (right*n - crossed) / math.Sqrt(spread)
}

func ratio(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}
