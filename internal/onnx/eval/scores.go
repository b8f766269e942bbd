package eval

import "math"

// A postTransform is what the operators of ai.onnx.ml do to raw scores.
type postTransform uint8

const (
	transformNone postTransform = iota
	transformLogistic
	transformSoftmax
	transformSoftmaxZero
	transformProbit
)

func (r *attributeReader) postTransform() postTransform {
	names := []string{"NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT"}
	name := r.oneOf("post_transform", names...)
	for i, n := range names {
		if n == name {
			return postTransform(i)
		}
	}
	return transformNone
}

// apply transforms the scores of one row in place.
func (p postTransform) apply(scores []float32) {
	switch p {
	case transformLogistic:
		for i, s := range scores {
			scores[i] = logistic(s)
		}
	case transformSoftmax:
		softmax(scores)
	case transformSoftmaxZero:
		softmaxZero(scores)
	case transformProbit:
		for i, s := range scores {
			scores[i] = probit(s)
		}
	case transformNone:
	}
}

// applyToValues transforms what a regressor says of one row. As in onnxruntime, a
// single value is left as it is by all transforms but PROBIT.
func (p postTransform) applyToValues(values []float32) {
	if len(values) > 1 || p == transformProbit {
		p.apply(values)
	}
}

// logistic is 1/(1+exp(−x)), with the exponential of a number that is not
// positive, so that it cannot overflow.
func logistic(x float32) float32 {
	v := float32(1 / (1 + exp32(-math.Abs(float64(x)))))
	if x < 0 {
		return 1 - v
	}
	return v
}

// softmax subtracts the maximum first, so that nothing overflows. A NaN among
// the scores makes all of them NaN.
func softmax(scores []float32) {
	top := float32(-math.MaxFloat32)
	for _, s := range scores {
		if s > top {
			top = s
		}
	}
	sum := float32(0)
	for i, s := range scores {
		e := float32(exp32(float64(s - top)))
		scores[i] = e
		sum += e
	}
	for i := range scores {
		scores[i] /= sum
	}
}

// softmaxZero is softmax that leaves zeros out: a score of zero stays zero.
func softmaxZero(scores []float32) {
	top := float32(-math.MaxFloat32)
	for _, s := range scores {
		if s > top {
			top = s
		}
	}
	scale := float32(math.Exp(float64(-top)))
	sum := float32(0)
	for i, s := range scores {
		if s > 1e-7 || s < -1e-7 {
			scores[i] = float32(math.Exp(float64(s - top)))
			sum += scores[i]
		} else {
			scores[i] = s * scale
		}
	}
	for i := range scores {
		scores[i] /= sum
	}
}

// probit is the inverse of the normal distribution, by the approximation of the
// inverse error function that onnxruntime uses (Winitzki 2008, a = 0.147).
func probit(x float32) float32 {
	y := 2*x - 1
	sign := float32(1)
	if y < 0 {
		sign = -1
	}
	log := float32(math.Log(float64((1 - y) * (1 + y))))
	v := 2/(math.Pi*0.147) + 0.5*log
	w := 1 / float32(0.147) * log
	return math.Sqrt2 * sign * float32(math.Sqrt(float64(-v+float32(math.Sqrt(float64(v*v-w))))))
}

// argmax returns the index of the largest score, the first of equals. Where the
// first score is NaN it wins, as comparisons with NaN are false.
func argmax(scores []float32) int {
	best := 0
	for i, s := range scores {
		if s > scores[best] {
			best = i
		}
	}
	return best
}
