package linear

import (
	"math"

	"github.com/petal-ml/petal/internal/onnx/eval/numeric"
)

// A Fused is a linear model with the scaling of its features worked into
// its coefficients, in float64, so that nothing is lost where an offset and a
// feature nearly cancel.
type Fused struct {
	*Model
	// weights hold, for each group of targetLanes targets, features × targetLanes numbers, so
	// that the weights of one feature stand side by side; zeros fill the last group.
	weights    []float64
	intercepts []float64
	scale      *Scaler // nil where there is none
	// Features between low and high, one pair each, are tame.
	low, high []float32
	// moderate says that no sum over tame features can leave float32's range.
	moderate bool
}

// targetLanes is how many targets are summed side by side.
const targetLanes = 8

// tame bounds the scaled features that the fused sums are used for. Larger ones
// can cancel, and what is left then depends on every rounding on the way; those
// rows are scored step by step, as onnxruntime does.
const tame = 16

// Fuse works a scaler, which may be nil, into a linear model.
func Fuse(l *Model, s *Scaler) *Fused {
	padded := (l.targets + targetLanes - 1) / targetLanes * targetLanes
	f := &Fused{
		Model: l, scale: s, moderate: true,
		weights: make([]float64, padded*l.Features), intercepts: make([]float64, padded),
	}
	numeric.Convert(f.intercepts[:l.targets], l.intercepts)
	f.bound(s)
	for k := range l.targets {
		group := f.weights[k/targetLanes*targetLanes*l.Features:]
		for j, c := range l.coefficients[k*l.Features:][:l.Features] {
			w := float64(c)
			if s != nil {
				offset, scale := s.at(j)
				w *= float64(scale)
				f.intercepts[k] -= w * float64(offset)
			}
			group[j*targetLanes+k%targetLanes] = w
			f.moderate = f.moderate && math.Abs(float64(c)) < 1e15
		}
		f.moderate = f.moderate && math.Abs(f.intercepts[k]) < 1e30
	}
	return f
}

// bound finds the tame range of each feature.
func (f *Fused) bound(s *Scaler) {
	f.low, f.high = make([]float32, f.Features), make([]float32, f.Features)
	for j := range f.low {
		offset, scale := float32(0), float32(1)
		if s != nil {
			offset, scale = s.at(j)
		}
		reach := tame / float32(math.Abs(float64(scale)))
		if !(reach < 1e15) {
			reach = 1e15 // A scale of 0, or nearly.
		}
		f.low[j], f.high[j] = offset-reach, offset+reach
	}
}

// Predict scores one row.
func (f *Fused) Predict(row, scores []float32) int {
	row = row[:f.Features]
	if !inRange(row, f.low, f.high) {
		return f.predictWild(row, scores)
	}
	for k := 0; k < f.targets; k += 4 {
		f.sumFour(k, row, scores[k:min(k+4, f.targets)])
	}
	if f.Classes.Len() > 0 {
		return f.finish(scores)
	}
	f.transform.ApplyToValues(scores)
	return 0
}

// sumFour computes up to four scores from target k on side by side, so that no
// addition waits for the one before it.
func (f *Fused) sumFour(k int, row, scores []float32) {
	w := f.weights[k/targetLanes*targetLanes*f.Features+k%targetLanes:]
	var a, b, c, d float64
	for j, v := range row {
		x, w := float64(v), w[j*targetLanes:][:4]
		a += float64(x * w[0]) // not fused with the sum, as in sumLanes
		b += float64(x * w[1])
		c += float64(x * w[2])
		d += float64(x * w[3])
	}
	sums := [4]float64{a, b, c, d}
	for i := range scores {
		scores[i] = float32(sums[i] + f.intercepts[k+i])
	}
}

const (
	linearRows  = 64 // how many rows are scored at once
	vectorWidth = 8  // numbers of a vector
)

// PredictRows scores a batch.
func (f *Fused) PredictRows(x []float32, columns, width int, classes []int, scores []float32) {
	for first := 0; first < len(classes); first += linearRows {
		n := min(linearRows, len(classes)-first)
		block, into := x[first*columns:][:n*columns], scores[first*width:][:n*width]
		if f.moderate && width == f.targets && inRanges(block, f.low, f.high) {
			f.predictBlock(block, classes[first:][:n], into)
			continue
		}
		for i := range n {
			class := f.Predict(block[i*columns:(i+1)*columns], into[i*width:(i+1)*width])
			classes[first+i] = class
		}
	}
}

// predictBlock does what predict does for up to linearRows tame rows, by vector
// instructions. The results are the same to the bit.
func (f *Fused) predictBlock(x []float32, classes []int, scores []float32) {
	n, k := len(classes), f.targets
	var sums [linearRows * targetLanes]float32
	for first := 0; first < k; first += targetLanes {
		sumLanes(&sums, x, n, f.Features, f.weights[first*f.Features:], f.intercepts[first:])
		width := min(targetLanes, k-first)
		for i := range n {
			copy(scores[i*k+first:][:width], sums[i*targetLanes:])
		}
	}
	if k > 1 && f.transform == numeric.TransformSoftmax {
		softmaxRows(scores, k, classes)
		if f.Classes.Len() == 0 {
			clear(classes)
		}
		return
	}
	for i := range n {
		row := scores[i*k : (i+1)*k]
		if f.Classes.Len() > 0 {
			classes[i] = f.finish(row)
		} else {
			f.transform.ApplyToValues(row)
			classes[i] = 0
		}
	}
}

// softmaxRows is argmax and softmax of finite scores, width a row.
func softmaxRows(scores []float32, width int, classes []int) {
	for i := range classes {
		row := scores[i*width:][:width]
		best := argmaxFinite(row)
		top := row[best]
		classes[i] = best
		for k := range row {
			row[k] -= top
		}
	}
	expAll(scores)
	for i := range classes {
		row := scores[i*width:][:width]
		sum := float32(0)
		for _, e := range row {
			sum += e
		}
		for k := range row {
			row[k] /= sum
		}
	}
}

// predictWild scores a row with missing, infinite or extreme values step by step.
func (f *Fused) predictWild(row, scores []float32) int {
	if f.scale == nil {
		return f.Model.Predict(row, scores)
	}
	var small [32]float32 // escapes to the heap only for wider rows
	scaled := small[:]
	if len(row) > len(small) {
		scaled = make([]float32, len(row))
	}
	scaled = scaled[:len(row)]
	f.scale.Apply(scaled, row)
	return f.Model.Predict(scaled, scores)
}

// argmaxFinite returns the place of the largest number, the first of equals. No
// branch depends on the numbers: which class wins is not to be foreseen. Each number
// becomes a whole one of the same order, with the place behind it.
func argmaxFinite(row []float32) int {
	const last = math.MaxInt32
	most := int64(math.MinInt64)
	for k, v := range row {
		bits := int32(math.Float32bits(v + 0))
		ordered := bits ^ bits>>31&math.MaxInt32
		most = max(most, int64(ordered)<<32|int64(last-k))
	}
	return last - int(int32(most))
}
