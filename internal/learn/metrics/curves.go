package metrics

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// A CurvePoint is where a classifier of one class against the rest stands when
// scores of at least Threshold count as positive.
type CurvePoint struct {
	Threshold                     float64
	TruePositives, FalsePositives int
}

// Curve returns the points of one class against the rest, by falling threshold:
// one for each distinct score. ROC and precision-recall curves are both drawn
// from it.
func Curve(positive []bool, scores []float64) []CurvePoint {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case scores[a] > scores[b]:
			return -1
		case scores[a] < scores[b]:
			return 1
		default:
			return a - b
		}
	})
	var points []CurvePoint
	at := CurvePoint{}
	for i, row := range order {
		if positive[row] {
			at.TruePositives++
		} else {
			at.FalsePositives++
		}
		if i+1 == len(order) || scores[order[i+1]] != scores[row] {
			at.Threshold = scores[row]
			points = append(points, at)
		}
	}
	return points
}

// BinaryROCAUC is the area under the receiver operating characteristic: the
// chance that a positive row scores higher than a negative one, ties counted
// half. It is NaN where all rows are of one kind.
func BinaryROCAUC(positive []bool, scores []float64) float64 {
	points := Curve(positive, scores)
	last := points[len(points)-1]
	if last.TruePositives == 0 || last.FalsePositives == 0 {
		return math.NaN()
	}
	var area float64 // in counts, twice: exact in float64 up to 2⁵³
	var before CurvePoint
	for _, p := range points {
		area += float64(p.FalsePositives-before.FalsePositives) * float64(p.TruePositives+before.TruePositives)
		before = p
	}
	return area / 2 / (float64(last.TruePositives) * float64(last.FalsePositives))
}

// BinaryAveragePrecision summarises the precision-recall curve as Σ (Rᵢ −
// Rᵢ₋₁)·Pᵢ, without interpolation. It is 0 where no row is positive.
func BinaryAveragePrecision(positive []bool, scores []float64) float64 {
	points := Curve(positive, scores)
	total := points[len(points)-1].TruePositives
	if total == 0 {
		return 0
	}
	var sum float64
	before := 0
	for _, p := range points {
		precision := float64(p.TruePositives) / float64(p.TruePositives+p.FalsePositives)
		sum += float64(p.TruePositives-before) / float64(total) * precision
		before = p.TruePositives
	}
	return sum
}

// ROCAUC is scikit-learn's roc_auc_score. With two classes it is that of the
// second class; with more it is the mean of every class against the rest. It is
// NaN where some class does not occur in y: the area is not defined then.
func ROCAUC(y []int, proba *mat.Dense) float64 {
	return meanOverClasses(y, proba, BinaryROCAUC)
}

// AveragePrecision is scikit-learn's average_precision_score, the area under the
// precision-recall curve. With two classes it is that of the second class; with
// more it is the mean over the classes that occur in y, where scikit-learn
// would refuse scores of a class that does not.
func AveragePrecision(y []int, proba *mat.Dense) float64 {
	return meanOverClasses(y, proba, func(positive []bool, scores []float64) float64 {
		if !slices.Contains(positive, true) && proba.RawMatrix().Cols > 2 {
			return skip
		}
		return BinaryAveragePrecision(positive, scores)
	})
}

// skip marks a class that a mean leaves out.
const skip = -1

func meanOverClasses(y []int, proba *mat.Dense, of func([]bool, []float64) float64) float64 {
	_, classes := proba.Dims()
	if classes == 2 {
		return of(oneAgainstRest(y, proba, 1))
	}
	var sum float64
	counted := 0
	for k := range classes {
		if v := of(oneAgainstRest(y, proba, k)); v != skip {
			sum += v
			counted++
		}
	}
	return sum / float64(counted)
}

func oneAgainstRest(y []int, proba *mat.Dense, class int) (positive []bool, scores []float64) {
	positive = make([]bool, len(y))
	for i, k := range y {
		positive[i] = k == class
	}
	return positive, mat.Col(nil, class, proba)
}

// A CalibrationBin holds the rows whose highest probability lies in a range.
type CalibrationBin struct {
	Low, High  float64
	Rows       int
	Confidence float64 // mean highest probability
	Accuracy   float64 // share of rows whose predicted class is the true one
}

// Calibration sorts rows into bins of equal width by their highest probability;
// a bin holds Low < p ≤ High. Confidence and accuracy of an empty bin are 0.
func Calibration(y []int, proba *mat.Dense, bins int) []CalibrationBin {
	out := make([]CalibrationBin, bins)
	for b := range out {
		out[b].Low, out[b].High = float64(b)/float64(bins), float64(b+1)/float64(bins)
	}
	for i, truth := range y {
		row := proba.RawRowView(i)
		best := 0
		for k, p := range row {
			if p > row[best] {
				best = k
			}
		}
		b := min(max(int(math.Ceil(row[best]*float64(bins)))-1, 0), bins-1)
		out[b].Rows++
		out[b].Confidence += row[best]
		if best == truth {
			out[b].Accuracy++
		}
	}
	for b := range out {
		if n := float64(out[b].Rows); n > 0 {
			out[b].Confidence /= n
			out[b].Accuracy /= n
		}
	}
	return out
}

// ECE is the expected calibration error (Naeini, Cooper and Hauskrecht 2015; Guo
// and others 2017): the mean distance of accuracy and confidence over the bins
// of [Calibration], weighted by their rows. scikit-learn has no such figure.
func ECE(y []int, proba *mat.Dense, bins int) float64 {
	var sum float64
	for _, b := range Calibration(y, proba, bins) {
		sum += float64(b.Rows) * math.Abs(b.Accuracy-b.Confidence)
	}
	return sum / float64(len(y))
}
