//go:build !amd64 || purego

package linear

func sumLanes(sums *[linearRows * targetLanes]float32, x []float32, n, features int, weights, intercepts []float64) {
	sumLanesGo(sums, x, n, features, weights, intercepts)
}

func expAll(x []float32) { expAllGo(x) }

func inRanges(x, low, high []float32) bool { return inRangesGo(x, low, high) }
