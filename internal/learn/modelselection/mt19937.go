package modelselection

// RandomState is numpy's legacy generator, numpy.random.RandomState(seed): the
// Mersenne Twister MT19937 of Matsumoto and Nishimura (1998), and the methods
// that scikit-learn's splitters call. The same seed gives the same numbers, bit
// for bit. It is not safe for concurrent use.
type RandomState struct {
	state [mtLength]uint32
	next  int
}

const (
	mtLength = 624
	mtShift  = 397
)

// NewRandomState seeds a generator as RandomState(seed) does.
func NewRandomState(seed uint32) *RandomState {
	r := &RandomState{next: mtLength}
	r.state[0] = seed
	for i := uint32(1); i < mtLength; i++ {
		prev := r.state[i-1]
		r.state[i] = 1812433253*(prev^prev>>30) + i
	}
	return r
}

// Uint32 returns the next 32 random bits.
func (r *RandomState) Uint32() uint32 {
	if r.next == mtLength {
		r.generate()
	}
	y := r.state[r.next]
	r.next++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// Uint64 returns the next 64 random bits, the high half first.
func (r *RandomState) Uint64() uint64 {
	high := uint64(r.Uint32())
	return high<<32 | uint64(r.Uint32())
}

// Float64 returns a number in [0, 1) with 53 random bits, as random_sample does.
func (r *RandomState) Float64() float64 {
	a, b := r.Uint32()>>5, r.Uint32()>>6
	return (float64(a)*(1<<26) + float64(b)) / (1 << 53)
}

// Interval returns a number in 0 … limit, both included, by masked rejection:
// numpy's legacy random_interval.
func (r *RandomState) Interval(limit uint64) uint64 {
	mask := limit
	for shift := 1; shift <= 32; shift *= 2 {
		mask |= mask >> shift
	}
	for {
		var v uint64
		if limit <= 0xffffffff {
			v = uint64(r.Uint32()) & mask
		} else {
			v = r.Uint64() & mask
		}
		if v <= limit {
			return v
		}
	}
}

// Shuffle puts x in random order in place (Fisher and Yates, from the end).
func (r *RandomState) Shuffle(x []int) {
	for i := len(x) - 1; i > 0; i-- {
		j := r.Interval(uint64(i))
		x[i], x[j] = x[j], x[i]
	}
}

// Permutation returns 0 … n−1 in random order.
func (r *RandomState) Permutation(n int) []int {
	x := make([]int, n)
	for i := range x {
		x[i] = i
	}
	r.Shuffle(x)
	return x
}

// choose returns size of the elements of x, without replacement, as
// RandomState.choice does.
func (r *RandomState) choose(x []int, size int) []int {
	chosen := make([]int, size)
	for i, j := range r.Permutation(len(x))[:size] {
		chosen[i] = x[j]
	}
	return chosen
}

func (r *RandomState) generate() {
	for i := range r.state {
		y := r.state[i]&0x80000000 | r.state[(i+1)%mtLength]&0x7fffffff
		v := r.state[(i+mtShift)%mtLength] ^ y>>1
		if y&1 == 1 {
			v ^= 0x9908b0df
		}
		r.state[i] = v
	}
	r.next = 0
}
