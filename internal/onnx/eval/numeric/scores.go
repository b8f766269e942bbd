package numeric

import "math"

// A Transform is what the operators of ai.onnx.ml do to raw scores.
type Transform uint8

// The transforms, with the numbers that TreeEnsemble gives them.
const (
	TransformNone Transform = iota
	TransformLogistic
	TransformSoftmax
	transformSoftmaxZero
	TransformProbit
)

// Apply transforms the scores of one row in place.
func (p Transform) Apply(scores []float32) {
	switch p {
	case TransformLogistic:
		for i, s := range scores {
			scores[i] = Logistic(s)
		}
	case TransformSoftmax:
		softmax(scores)
	case transformSoftmaxZero:
		softmaxZero(scores)
	case TransformProbit:
		for i, s := range scores {
			scores[i] = probit(s)
		}
	case TransformNone:
	}
}

// ApplyToValues transforms what a regressor says of one row. As in onnxruntime, a
// single value is left as it is by all transforms but PROBIT.
func (p Transform) ApplyToValues(values []float32) {
	if len(values) > 1 || p == TransformProbit {
		p.Apply(values)
	}
}

// Logistic is 1/(1+exp(−x)), with the exponential of a number that is not
// positive, so that it cannot overflow.
func Logistic(x float32) float32 {
	v := float32(1 / (1 + Exp32(-math.Abs(float64(x)))))
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
		e := float32(Exp32(float64(s - top)))
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

// Argmax returns the index of the largest score, the first of equals. Where the
// first score is NaN it wins, as comparisons with NaN are false.
func Argmax(scores []float32) int {
	best := 0
	for i, s := range scores {
		if s > scores[best] {
			best = i
		}
	}
	return best
}
