package trees

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/petal-ml/petal/internal/onnx/eval/numeric"
)

// Predict scores one row and returns its class, 0 for a regressor.
func (m *Model) Predict(row, scores []float32) int {
	s := m.pool.Get().(*scratch[float32])
	class := predictRow(m, row, s, scores)
	m.pool.Put(s)
	return class
}

// PredictRows scores a batch.
func (m *Model) PredictRows(x []float32, columns, _ int, classes []int, scores []float32) {
	if len(classes) == 0 {
		return
	}
	indices := make([]int32, len(classes))
	ScoreRows(m, x, columns, scores, indices)
	numeric.Convert(classes, indices)
}

// ScoreRows scores a batch: scores gets width() numbers a row, and classes the
// class, 0 for a regressor.
func ScoreRows[T float32 | float64](m *Model, x []T, columns int, scores []float32, classes []int32) {
	width, targets := m.Width(), m.scorer.forest.targets
	rows := len(scores) / width
	floats, isFloat := any(x).([]float32)
	parallel(rows, len(m.scorer.forest.roots)*rows, func(lo, hi int) {
		s := newScratch[T](targets)
		var block *keyBlock
		var sums []float32
		if isFloat && m.scorer.fast != nil && hi-lo > 1 {
			block, sums = new(keyBlock), make([]float32, blockRows*targets)
		}
		for i := lo; i < hi; i++ {
			out := scores[i*width : (i+1)*width]
			var class int
			if block == nil {
				class = predictRow(m, x[i*columns:(i+1)*columns], s, out)
			} else {
				at := (i - lo) % blockRows
				if at == 0 {
					n := min(blockRows, hi-i)
					m.scorer.fast.scoreBlock(floats[i*columns:(i+n)*columns], columns, sums[:n*targets], block)
				}
				class = m.finishSums(sums[at*targets:(at+1)*targets], any(s).(*scratch[float32]), out)
			}
			classes[i] = int32(class)
		}
	})
}

// ScoreDoubles gives a regressor's values in double precision, width() a row.
func (m *Model) ScoreDoubles(x []float64, columns int, values []float64) {
	s, width := newScratch[float64](m.Width()), m.Width()
	for i := 0; i*width < len(values); i++ {
		sums(m, x[i*columns:(i+1)*columns], s)
		finishValues(m, s, values[i*width:(i+1)*width])
	}
}

// finishSums turns the sums of one row into scores.
func (m *Model) finishSums(sums []float32, s *scratch[float32], scores []float32) int {
	s.sums = sums
	for i := range s.has {
		s.has[i] = true
	}
	if m.scorer.aggregate == aggregateAverage {
		for i := range sums {
			sums[i] /= float32(len(m.scorer.forest.roots))
		}
	}
	if m.Classes.Len() > 0 {
		return finishClass(m, s, scores)
	}
	finishValues(m, s, scores)
	return 0
}

// parallel splits rows over the processors where the work is worth it. work is
// the number of trees that all rows walk together. A panic of a share is one of the
// caller, who may recover: in a goroutine of its own it would end the process.
func parallel(rows, work int, do func(lo, hi int)) {
	const share = 50_000 // tree walks that are worth a goroutine: about a millisecond
	workers := min(runtime.GOMAXPROCS(0), work/share, rows/blockRows)
	if workers < 2 {
		do(0, rows)
		return
	}
	var wg sync.WaitGroup
	var fault atomic.Value
	for w := range workers {
		wg.Go(func() {
			defer func() {
				if r := recover(); r != nil {
					fault.CompareAndSwap(nil, fmt.Sprint(r)) // one type of value
				}
			}()
			do(rows*w/workers, rows*(w+1)/workers)
		})
	}
	wg.Wait()
	if r := fault.Load(); r != nil {
		panic(r)
	}
}
