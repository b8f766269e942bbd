// Package numeric holds what kernels of all families calculate with.
package numeric

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
