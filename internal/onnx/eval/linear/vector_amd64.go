package linear

import (
	"golang.org/x/sys/cpu"

	"github.com/petal-ml/petal/internal/onnx/eval/numeric"
)

// hasVectors says whether the functions of this file may be called.
var hasVectors = cpu.X86.HasAVX2

// sumLanes computes, for each of n rows of x, targetLanes sums of products with the
// weights, features × targetLanes, adds the intercepts, and writes targetLanes numbers a row.
// Sums are kept in float64 and added in the order of the features, without fused
// operations, as plain Go does.
func sumLanes(sums *float32, x []float32, n, features int, weights, intercepts []float64) {
	if n == 0 {
		return
	}
	if features == 0 || len(x) < n*features || len(weights) < features*targetLanes || len(intercepts) < targetLanes {
		panic("onnx: sumLanes: too few numbers")
	}
	sumLanesAVX2(sums, &x[0], n, features, &weights[0], &intercepts[0])
}

// expAll replaces numbers that are not positive by exp32 of them.
func expAll(x []float32) {
	n := len(x) &^ 3
	if n > 0 {
		expAVX2(&x[0], n)
	}
	for i, v := range x[n:] {
		x[n+i] = float32(numeric.Exp32(float64(v)))
	}
}

// inRanges says whether, in each row of x, feature j lies between low[j] and high[j].
// There is one row at least, and vectorWidth features.
func inRanges(x, low, high []float32) bool {
	features := len(low)
	if features < vectorWidth || len(high) < features || len(x) < features || len(x)%features != 0 {
		panic("onnx: inRanges: not as many numbers as rows have")
	}
	return inRangesAVX2(&x[0], len(x)/features, features, &low[0], &high[0])
}

//go:noescape
func sumLanesAVX2(sums, x *float32, n, features int, weights, intercepts *float64)

// expAVX2 takes a multiple of four numbers.
//
//go:noescape
func expAVX2(x *float32, n int)

//go:noescape
func inRangesAVX2(x *float32, n, features int, low, high *float32) bool
