package linear

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFusedLinearAgrees compares the fused model with scaling and scoring one
// after the other, wild values included.
func TestFusedLinearAgrees(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	wild := []float32{float32(math.NaN()), float32(math.Inf(1)), math.MaxFloat32, -1e20, 1e6, 0}
	for targets := 1; targets < 12; targets++ {
		l := &Model{targets: targets, Features: 7, coefficients: make([]float32, 7*targets), intercepts: make([]float32, targets)}
		s := &Scaler{Offset: make([]float32, 7), Scale: make([]float32, 7)}
		for _, list := range [][]float32{l.coefficients, l.intercepts, s.Offset, s.Scale} {
			for i := range list {
				list[i] = float32(r.NormFloat64())
			}
		}
		fused := Fuse(l, s)
		for range 50 {
			row, scaled := make([]float32, 7), make([]float32, 7)
			for j := range row {
				row[j] = float32(r.NormFloat64())
				if r.IntN(10) == 0 {
					row[j] = wild[r.IntN(len(wild))]
				}
			}
			want, got := make([]float32, targets), make([]float32, targets)
			s.Apply(scaled, row)
			l.Predict(scaled, want)
			fused.Predict(row, got)
			for k := range want {
				if math.IsNaN(float64(want[k])) || math.IsInf(float64(want[k]), 0) {
					require.Equal(t, math.Float32bits(want[k]), math.Float32bits(got[k]))
					continue
				}
				size := math.Max(1, math.Abs(float64(want[k])))
				require.InDelta(t, want[k], got[k], 3e-6*math.Max(size, maxAbs(scaled)), "row %v", row)
			}
		}
	}
}

func maxAbs(row []float32) float64 {
	top := 0.0
	for _, v := range row {
		top = math.Max(top, math.Abs(float64(v)))
	}
	return top
}

func TestArgmaxFinite(t *testing.T) {
	negativeZero := float32(math.Copysign(0, -1))
	values := []float32{-math.MaxFloat32, -2, -1, -math.SmallestNonzeroFloat32, negativeZero, 0, math.SmallestNonzeroFloat32, 1, 2, math.MaxFloat32}
	r := rand.New(rand.NewPCG(9, 10))
	for range 5000 {
		row := make([]float32, 1+r.IntN(6))
		for k := range row {
			row[k] = values[r.IntN(len(values))]
		}
		want := 0
		for k, v := range row {
			if v > row[want] {
				want = k
			}
		}
		require.Equal(t, want, argmaxFinite(row), "%v", row)
	}
}
