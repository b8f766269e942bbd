// Package numeric holds what kernels of all families calculate with.
package numeric

import "math"

// A Number is an element type one can calculate with.
type Number interface {
	float32 | float64 | int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64
}

// Convert sets each element of out to that of in, as Go converts numbers.
func Convert[T, F Number | int](out []T, in []F) {
	for i, v := range in {
		out[i] = T(v)
	}
}

// Dot adds up products with one rounding a step, in blocks as long as those of
// onnxruntime's matrix product: sums, ties and overflows come out alike.
func Dot[T float32 | float64](x, y []T, stride int) T {
	const block = 128
	total := T(0)
	for first := 0; first < len(x); first += block {
		sum := T(0)
		for k := first; k < min(first+block, len(x)); k++ {
			sum = T(float64(x[k])*float64(y[k*stride]) + float64(sum))
		}
		if first == 0 {
			total = sum
		} else {
			total += sum
		}
	}
	return total
}

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
