package trees

import "math/bits"

// Random is SplitMix64 (Steele, Lea and Flood 2014): small, quick to seed, and
// ours, so that no release of Go can change a model.
type Random struct{ state uint64 }

// NewRandom seeds a generator for stream number i of a seed.
func NewRandom(seed uint64, i int) *Random {
	r := &Random{state: seed}
	r.state = r.Uint64() ^ uint64(i)*0x9e3779b97f4a7c15
	r.Uint64()
	return r
}

// Uint64 returns 64 random bits.
func (r *Random) Uint64() uint64 {
	r.state += 0x9e3779b97f4a7c15
	z := r.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// IntN returns a number in 0 … n−1. Its bias is under n/2⁶⁴.
func (r *Random) IntN(n int) int {
	high, _ := bits.Mul64(r.Uint64(), uint64(n))
	return int(high)
}

// Float64 returns a number in [0, 1).
func (r *Random) Float64() float64 { return float64(r.Uint64()>>11) / (1 << 53) }
