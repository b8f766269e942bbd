package linear

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/numeric"
)

// A batch gives what its rows give one by one, to the bit.
func TestBatchAgreesWithRows(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		l := &Model{targets: 1 + r.IntN(19), Features: 1 + r.IntN(40), transform: numeric.Transform(r.IntN(3))}
		for range l.targets * l.Features {
			l.coefficients = append(l.coefficients, float32(r.NormFloat64()*math.Exp(r.NormFloat64())))
		}
		for k := range l.targets {
			l.intercepts = append(l.intercepts, float32(r.NormFloat64()))
			l.Classes.Ints = append(l.Classes.Ints, int64(k))
		}
		if r.IntN(2) == 0 {
			l.Classes = onnx.Labels{}
		}
		s := &Scaler{Offset: []float32{float32(r.NormFloat64())}, Scale: []float32{r.Float32() + 0.1}}
		f := Fuse(l, s)
		n := 1 + r.IntN(linearRows)
		x := make([]float32, n*l.Features)
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		if r.IntN(4) == 0 {
			x[r.IntN(len(x))] = float32(math.NaN())
		}
		classes, scores := make([]int, n), make([]float32, n*l.targets)
		f.PredictRows(x, l.Features, l.targets, classes, scores)
		one := make([]float32, l.targets)
		for i := range n {
			require.Equal(t, f.Predict(x[i*l.Features:(i+1)*l.Features], one), classes[i])
			for k, want := range one {
				require.Equal(t, math.Float32bits(want), math.Float32bits(scores[i*l.targets+k]), "row %d of %d, target %d of %d", i, n, k, l.targets)
			}
		}
	}
}

// One value out of its range is found wherever it stands.
func TestInRanges(t *testing.T) {
	const rows = 3
	for features := vectorWidth; features < 4*vectorWidth; features++ {
		x, low, high := make([]float32, rows*features), make([]float32, features), make([]float32, features)
		for j := range features {
			low[j], high[j] = float32(j)-1, float32(j)+1
			for i := range rows {
				x[i*features+j] = float32(j)
			}
		}
		require.True(t, inRanges(x, low, high))
		for i, within := range x {
			bound := i % features
			for _, v := range []float32{low[bound], high[bound], low[bound] - 1, high[bound] + 1, float32(math.NaN()), float32(math.Inf(1))} {
				x[i] = v
				require.False(t, inRanges(x, low, high), "%v at %d of %d features", v, i, features)
			}
			x[i] = within
		}
	}
}

func TestExpAll(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	x := []float32{0, -1e-45, -86.999, -87, -87.0001, -88, -1e30, -math.MaxFloat32, -math.SmallestNonzeroFloat32, float32(math.Copysign(0, -1))}
	for range 5001 {
		x = append(x, -r.Float32()*100, -r.Float32())
	}
	want := make([]float32, len(x))
	for i, v := range x {
		want[i] = float32(numeric.Exp32(float64(v)))
		e := math.Exp(float64(v))
		require.InDelta(t, e, float64(want[i]), 1e-7*e+2e-38)
	}
	expAll(x)
	require.Equal(t, want, x)
}
