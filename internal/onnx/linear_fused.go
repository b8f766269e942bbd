package onnx

import "math"

// A fusedLinear is a linear model with the scaling of its features worked into
// its coefficients, in float64, so that nothing is lost where an offset and a
// feature nearly cancel.
type fusedLinear struct {
	*linear
	weights    []float64 // targets × features
	intercepts []float64
	scale      *scaler // nil where there is none
	// Features between low and high, one pair each, are tame.
	low, high []float32
}

// tame bounds the scaled features that the fused sums are used for. Larger ones
// can cancel, and what is left then depends on every rounding on the way; those
// rows are scored step by step, as onnxruntime does.
const tame = 16

// fuse works a scaler, which may be nil, into a linear model.
func fuse(l *linear, s *scaler) *fusedLinear {
	f := &fusedLinear{linear: l, scale: s, weights: make([]float64, len(l.coefficients)), intercepts: make([]float64, l.targets)}
	convert(f.weights, l.coefficients)
	convert(f.intercepts, l.intercepts)
	f.bound(s)
	if s == nil {
		return f
	}
	for k := range l.targets {
		w := f.weights[k*l.features:][:l.features]
		for j := range w {
			offset, scale := s.at(j)
			w[j] *= float64(scale)
			f.intercepts[k] -= w[j] * float64(offset)
		}
	}
	return f
}

// bound finds the tame range of each feature.
func (f *fusedLinear) bound(s *scaler) {
	f.low, f.high = make([]float32, f.features), make([]float32, f.features)
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

// predict scores one row.
func (f *fusedLinear) predict(row, scores []float32) int {
	row = row[:f.features]
	low, high := f.low[:len(row)], f.high[:len(row)]
	for j, x := range row {
		if !(x > low[j] && x < high[j]) {
			return f.predictWild(row, scores)
		}
	}
	k := 0
	for ; k+4 <= f.targets; k += 4 {
		f.four(k, row, scores)
	}
	for ; k < f.targets; k++ {
		w := f.weights[k*f.features:][:len(row)]
		sum, rest := f.intercepts[k], 0.0
		j := 0
		for ; j+2 <= len(row); j += 2 {
			sum += float64(row[j]) * w[j]
			rest += float64(row[j+1]) * w[j+1] //nolint:gosec // j+2 is within the row.
		}
		if j < len(row) {
			sum += float64(row[j]) * w[j]
		}
		scores[k] = float32(sum + rest)
	}
	if f.classes.Len() > 0 {
		return f.finish(scores)
	}
	f.transform.apply(scores)
	return 0
}

// four computes four scores side by side, so that no addition waits for the one
// before it.
func (f *fusedLinear) four(k int, row, scores []float32) {
	n := len(row)
	a, b := f.weights[k*n:][:n], f.weights[(k+1)*n:][:n]
	c, d := f.weights[(k+2)*n:][:n], f.weights[(k+3)*n:][:n]
	var sa, sb, sc, sd float64
	for j, v := range row {
		x := float64(v)
		sa += x * a[j]
		sb += x * b[j]
		sc += x * c[j]
		sd += x * d[j]
	}
	scores[k] = float32(sa + f.intercepts[k])
	scores[k+1] = float32(sb + f.intercepts[k+1])
	scores[k+2] = float32(sc + f.intercepts[k+2])
	scores[k+3] = float32(sd + f.intercepts[k+3])
}

// predictWild scores a row with missing, infinite or extreme values step by step.
func (f *fusedLinear) predictWild(row, scores []float32) int {
	if f.scale == nil {
		return f.linear.predict(row, scores)
	}
	var small [32]float32 // escapes to the heap only for wider rows
	scaled := small[:]
	if len(row) > len(small) {
		scaled = make([]float32, len(row))
	}
	scaled = scaled[:len(row)]
	f.scale.apply(scaled, row)
	return f.linear.predict(scaled, scores)
}

// exp32 is e^x to the precision of float32: x is split into n·ln 2 and a rest,
// of which a polynomial takes care (Cody & Waite 1980, chapter 6).
func exp32(x float64) float64 {
	const (
		log2e = 1 / math.Ln2
		magic = 3 << 51 // adding it rounds to a whole number
	)
	if !(x > -87) || x > 88 {
		return math.Exp(x)
	}
	shifted := x*log2e + magic
	n := int64(math.Float64bits(shifted)) - int64(math.Float64bits(magic)) //nolint:gosec // Both are small apart from the exponent.
	r := x - (shifted-magic)*math.Ln2
	p := 1 + r*(1+r*(1./2+r*(1./6+r*(1./24+r*(1./120+r*(1./720+r*(1./5040)))))))
	return p * math.Float64frombits(uint64(n+1023)<<52) //nolint:gosec // n is within ±128.
}
