package eval

import (
	"github.com/petal-ml/petal/internal/onnx"
	"runtime"
	"sync"
)

// predict makes a treeModel a model of the fast path.
func (m *treeModel) predict(row, scores []float32) int {
	s := m.pool.Get().(*scratch[float32])
	class := predictRow(m, row, s, scores)
	m.pool.Put(s)
	return class
}

// predictRows makes it a model of batches.
func (m *treeModel) predictRows(x []float32, columns, _ int, classes []int, scores []float32) {
	if len(classes) == 0 {
		return
	}
	indices := make([]int32, len(classes))
	scoreRows(m, x, columns, scores, indices)
	convert(classes, indices)
}

// scoreRows scores a batch: scores gets width() numbers a row, and classes (nil
// for a regressor) the class.
func scoreRows[T float32 | float64](m *treeModel, x []T, columns int, scores []float32, classes []int32) {
	width, targets := m.width(), m.scorer.forest.targets
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
			if classes != nil {
				classes[i] = int32(class) //nolint:gosec // An index of a label.
			}
		}
	})
}

// finishSums turns the sums of one row into scores.
func (m *treeModel) finishSums(sums []float32, s *scratch[float32], scores []float32) int {
	s.sums = sums
	for i := range s.has {
		s.has[i] = true
	}
	if m.scorer.aggregate == aggregateAverage {
		for i := range sums {
			sums[i] /= float32(len(m.scorer.forest.roots))
		}
	}
	if m.classes.Len() > 0 {
		return finishClass(m, s, scores)
	}
	finishValues(m, s, scores)
	return 0
}

// parallel splits rows over the processors where the work is worth it. work is
// the number of trees that all rows walk together.
func parallel(rows, work int, do func(lo, hi int)) {
	const share = 50_000 // tree walks that are worth a goroutine: about a millisecond
	workers := min(runtime.GOMAXPROCS(0), work/share, rows/blockRows)
	if workers < 2 {
		do(0, rows)
		return
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() { do(rows*w/workers, rows*(w+1)/workers) })
	}
	wg.Wait()
}

// classifierKernel runs a TreeEnsembleClassifier.
func (m *treeModel) classifierKernel(e *env, in []Value) ([]Value, error) {
	rows, err := m.rows(in[0])
	if err != nil {
		return nil, err
	}
	out, scores, err := alloc[float32](e, rows, m.width())
	if err != nil {
		return nil, err
	}
	classes := make([]int32, rows)
	if err := m.scoreTensor(e, in[0].(*onnx.Tensor), scores, classes); err != nil {
		return nil, err
	}
	labels, err := labelTensor(e, m.classes, classes)
	return []Value{labels, out}, err
}

// rows returns the number of rows of an input that is wide enough.
func (m *treeModel) rows(v Value) (int, error) {
	t, err := tensorOf(v)
	if err != nil {
		return 0, err
	}
	rows, columns, err := matrixShape(t)
	if err != nil {
		return 0, err
	}
	if columns < m.columns() {
		return 0, onnx.At(onnx.ErrInput, "%d features given, the trees ask for feature %d", columns, m.columns()-1)
	}
	return rows, nil
}

// scoreTensor scores a matrix of any number type; whole numbers are compared as
// floats.
func (m *treeModel) scoreTensor(e *env, t *onnx.Tensor, scores []float32, classes []int32) error {
	rows, columns, err := matrixShape(t)
	if err != nil || rows == 0 {
		return err
	}
	if doubles, ok := t.Data.([]float64); ok {
		scoreRows(m, doubles, columns, scores, classes)
		return nil
	}
	c, err := castTensor(e, t, onnx.Float)
	if err != nil {
		return err
	}
	scoreRows(m, c.Data.([]float32), columns, scores, classes)
	return nil
}

// regressorKernel runs a TreeEnsembleRegressor, whose output is always float.
func (m *treeModel) regressorKernel(e *env, in []Value) ([]Value, error) {
	rows, err := m.rows(in[0])
	if err != nil {
		return nil, err
	}
	out, scores, err := alloc[float32](e, rows, m.width())
	if err != nil {
		return nil, err
	}
	return []Value{out}, m.scoreTensor(e, in[0].(*onnx.Tensor), scores, nil)
}

// ensembleKernel runs a TreeEnsemble, whose output has the type of its input.
func (m *treeModel) ensembleKernel(e *env, in []Value) ([]Value, error) {
	if m.output != onnx.Double {
		return m.regressorKernel(e, in)
	}
	rows, err := m.rows(in[0])
	if err != nil {
		return nil, err
	}
	out, values, err := alloc[float64](e, rows, m.width())
	if err != nil {
		return nil, err
	}
	t := in[0].(*onnx.Tensor)
	x, ok := t.Data.([]float64)
	if !ok {
		return nil, onnx.At(onnx.ErrInput, "%v given, double wanted", t.Type())
	}
	columns := t.Shape[len(t.Shape)-1]
	s := newScratch[float64](m.width())
	for i := range rows {
		sums(m, x[i*columns:(i+1)*columns], s)
		finishValues(m, s, values[i*m.width():(i+1)*m.width()])
	}
	return []Value{out}, nil
}
