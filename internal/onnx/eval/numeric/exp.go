package numeric

import "math"

// Exp32 is e^x to the precision of float32: x is split into n·ln 2 and a rest,
// of which a polynomial takes care (Cody & Waite 1980, chapter 6).
func Exp32(x float64) float64 {
	const (
		log2e = 1 / math.Ln2
		magic = 3 << 51 // adding it rounds to a whole number
	)
	if !(x <= 88) {
		return math.Exp(x)
	}
	if x <= -87 {
		return 0 // Less than any number that float32 holds in full.
	}
	shifted := x*log2e + magic
	n := int64(math.Float64bits(shifted)) - int64(math.Float64bits(magic))
	r := x - (shifted-magic)*math.Ln2
	p := 1 + r*(1+r*(1./2+r*(1./6+r*(1./24+r*(1./120+r*(1./720+r*(1./5040)))))))
	return p * math.Float64frombits(uint64(n+1023)<<52)
}
