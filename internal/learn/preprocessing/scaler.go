// Package preprocessing holds the transformers that stand before an estimator
// in a pipeline.
package preprocessing

import (
	"context"
	"fmt"
	"math"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/emit"
	"github.com/petal-ml/petal/internal/onnx"
)

// StandardScaler brings each feature to mean 0 and variance 1 over the training
// rows, as scikit-learn's does: variance with divisor n (ddof 0), in two passes
// with the correction of Chan, Golub and LeVeque (1983), and scale 1 for a
// feature that cannot be told from a constant, that is, where
// var ≤ n·ε·var + (n·mean·ε)². Missing values are left out of both and stay
// missing.
type StandardScaler struct {
	// First, where it is not nil, says that only so many features are scaled: the
	// others are 0 and 1 already.
	First *int
	// Mean and Scale hold each feature's mean and standard deviation after Fit.
	Mean, Scale []float64

	inverse []float64 // 1/Scale
}

var _ learn.Transformer = (*StandardScaler)(nil)

// Name returns "StandardScaler".
func (*StandardScaler) Name() string { return "StandardScaler" }

// Params returns what scikit-learn can switch off and Petal cannot.
func (*StandardScaler) Params() map[string]any {
	return map[string]any{"with_mean": true, "with_std": true}
}

// Fit learns mean and scale of each feature. An infinite value is a
// [learn.ErrValue]; so is a sum that overflows.
func (s *StandardScaler) Fit(ctx context.Context, rows learn.Rows) error {
	n, p := rows.Dims()
	count, mean := make([]float64, p), make([]float64, p)
	row := make([]float64, p)
	for i := range n {
		rows.Read(row, i)
		for j, v := range row {
			if !math.IsNaN(v) {
				count[j]++
				mean[j] += v
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for j := range mean {
		mean[j] /= max(count[j], 1)
		if math.IsInf(mean[j], 0) || math.IsNaN(mean[j]) {
			return fmt.Errorf("fit StandardScaler: the mean of column %d is %v: %w", j, mean[j], learn.ErrValue)
		}
	}
	variance := s.variance(rows, count, mean)
	scale, inverse := make([]float64, p), make([]float64, p)
	for j, v := range variance {
		if s.First != nil && j >= *s.First {
			mean[j], scale[j], inverse[j] = 0, 1, 1
			continue
		}
		scale[j] = scaleOf(v, mean[j], count[j])
		inverse[j] = 1 / scale[j]
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return fmt.Errorf("fit StandardScaler: the variance of column %d is %v: %w", j, v, learn.ErrValue)
		}
	}
	s.Mean, s.Scale, s.inverse = mean, scale, inverse
	return nil
}

// variance is the second pass: Σ(x−mean)² less the correction (Σ(x−mean))²/n,
// which would be zero without rounding.
func (*StandardScaler) variance(rows learn.Rows, count, mean []float64) []float64 {
	n, p := rows.Dims()
	squares, correction := make([]float64, p), make([]float64, p)
	row := make([]float64, p)
	for i := range n {
		rows.Read(row, i)
		for j, v := range row {
			if !math.IsNaN(v) {
				d := v - mean[j]
				correction[j] += d
				squares[j] += float64(d * d)
			}
		}
	}
	for j := range squares {
		if count[j] > 0 {
			squares[j] = (squares[j] - float64(correction[j]*correction[j]/count[j])) / count[j]
		}
	}
	return squares
}

func scaleOf(variance, mean, n float64) float64 {
	const eps = 0x1p-52
	drift := n * mean * eps
	if variance <= float64(n*eps*variance)+float64(drift*drift) {
		return 1
	}
	return math.Sqrt(variance)
}

// TransformRow writes (row − Mean) / Scale to dst.
func (s *StandardScaler) TransformRow(dst, row []float64) {
	mean, inverse := s.Mean[:len(row)], s.inverse[:len(row)]
	dst = dst[:len(row)]
	for j, v := range row {
		dst[j] = (v - mean[j]) * inverse[j]
	}
}

// Emit adds a Scaler node, (x − offset)·scale in float32, and records what the
// rounding of offset and scale does.
func (s *StandardScaler) Emit(b *emit.Builder, input string) (string, error) {
	if s.Mean == nil {
		return "", fmt.Errorf("write StandardScaler as ONNX: %w", learn.ErrNotFitted)
	}
	offset, scale := emit.Floats(s.Mean), emit.Floats(s.inverse)
	r := emit.Roundoff{Gain: make([]float64, len(s.Mean)), Shift: make([]float64, len(s.Mean))}
	for j := range s.Mean {
		r.Gain[j], r.Shift[j] = 1, (float64(offset[j])-s.Mean[j])*s.inverse[j]
		if scale[j] != 0 {
			r.Gain[j] = s.inverse[j] / float64(scale[j])
		}
	}
	output := b.NodeML("Scaler", []string{input},
		onnx.FloatsAttribute("offset", offset...), onnx.FloatsAttribute("scale", scale...))
	b.SetRoundoff(output, r)
	return output, nil
}
