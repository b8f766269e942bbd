//go:build !purego

package linear

import "golang.org/x/sys/cpu"

var hasAVX2 = cpu.X86.HasAVX2

func sumLanes(sums *[linearRows * targetLanes]float32, x []float32, n, features int, weights, intercepts []float64) {
	if !hasAVX2 {
		sumLanesGo(sums, x, n, features, weights, intercepts)
		return
	}
	if n == 0 {
		return
	}
	if n > linearRows || features == 0 || len(x) < n*features || len(weights) < features*targetLanes || len(intercepts) < targetLanes {
		panic("onnx: sumLanes: too few numbers")
	}
	sumLanesAVX2(&sums[0], &x[0], n, features, &weights[0], &intercepts[0])
}

func expAll(x []float32) {
	n := 0 // how many vectors of four take care of
	if hasAVX2 {
		n = len(x) &^ 3
	}
	if n > 0 {
		expAVX2(&x[0], n)
	}
	expAllGo(x[n:])
}

func inRanges(x, low, high []float32) bool {
	features := len(low)
	if !hasAVX2 || features < vectorWidth {
		return inRangesGo(x, low, high)
	}
	if len(high) < features || len(x) < features || len(x)%features != 0 {
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

// inRangesAVX2 takes vectorWidth features at least.
//
//go:noescape
func inRangesAVX2(x *float32, n, features int, low, high *float32) bool
