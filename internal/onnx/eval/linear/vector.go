package linear

import "github.com/petal-ml/petal/internal/onnx/eval/numeric"

// The functions of this file are what the vector instructions of vector_amd64.s
// compute, in plain Go and to the same bits. They serve processors without AVX2,
// and builds with the tag purego.

// sumLanesGo computes, for each of n rows of x, targetLanes sums of products with
// the weights, features × targetLanes, adds the intercepts, and writes targetLanes
// numbers a row. Sums are kept in float64 and added in the order of the features.
// The conversions keep a compiler from fusing a product with a sum.
func sumLanesGo(sums *[linearRows * targetLanes]float32, x []float32, n, features int, weights, intercepts []float64) {
	for i := range n {
		row := x[i*features:][:features]
		for first := 0; first < targetLanes; first += targetLanes / 2 {
			var a, b, c, d float64
			for j, v := range row {
				x, w := float64(v), weights[j*targetLanes+first:][:4]
				a += float64(x * w[0])
				b += float64(x * w[1])
				c += float64(x * w[2])
				d += float64(x * w[3])
			}
			for k, sum := range [4]float64{a, b, c, d} {
				sums[i*targetLanes+first+k] = float32(sum + intercepts[first+k])
			}
		}
	}
}

// expAllGo replaces numbers that are not positive by Exp32 of them.
func expAllGo(x []float32) {
	for i, v := range x {
		x[i] = float32(numeric.Exp32(float64(v)))
	}
}

// inRangesGo says whether, in each row of x, feature j lies between low[j] and
// high[j].
func inRangesGo(x, low, high []float32) bool {
	for ; len(x) > 0; x = x[len(low):] {
		if !inRange(x[:len(low)], low, high) {
			return false
		}
	}
	return true
}

// inRange is inRangesGo of one row.
func inRange(row, low, high []float32) bool {
	low, high = low[:len(row)], high[:len(row)]
	for j, x := range row {
		if !(x > low[j] && x < high[j]) {
			return false
		}
	}
	return true
}
