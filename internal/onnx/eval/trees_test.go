package eval

import (
	"bytes"
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
	"github.com/petal-ml/petal/tests/testenv/golden"
	"github.com/petal-ml/petal/tests/testenv/onnxtest"
)

// TestForestRefuses holds one row a kind of hostile forest.
func TestForestRefuses(t *testing.T) {
	messages := golden.New(t)
	attribute := func(m *onnx.Model, name string) *onnx.Attribute { return m.Graph.Nodes[0].Attribute(name) }
	tests := []struct {
		name  string
		spoil func(*onnx.Model)
		is    error
	}{
		{"cycle", func(m *onnx.Model) { onnxtest.SetInt(attribute(m, "nodes_truenodeids"), 1, 0) }, onnx.ErrInvalid},
		{"node that is its own child", func(m *onnx.Model) { onnxtest.SetInt(attribute(m, "nodes_falsenodeids"), 2, 2) }, onnx.ErrInvalid},
		{"child beyond the tree", func(m *onnx.Model) { onnxtest.SetInt(attribute(m, "nodes_truenodeids"), 0, 7) }, onnx.ErrInvalid},
		{"negative child", func(m *onnx.Model) { onnxtest.SetInt(attribute(m, "nodes_falsenodeids"), 0, -1) }, onnx.ErrInvalid},
		{"negative feature", func(m *onnx.Model) { onnxtest.SetInt(attribute(m, "nodes_featureids"), 0, -1) }, onnx.ErrInvalid},
		{"feature beyond the input", func(m *onnx.Model) { onnxtest.SetInt(attribute(m, "nodes_featureids"), 0, 3) }, onnx.ErrInvalid},
		{"feature beyond int32", func(m *onnx.Model) { onnxtest.SetInt(attribute(m, "nodes_featureids"), 0, 1<<40) }, onnx.ErrInvalid},
		{"NaN threshold", func(m *onnx.Model) { attribute(m, "nodes_values").Floats[0] = float32(math.NaN()) }, onnx.ErrInvalid},
		{"unknown mode", func(m *onnx.Model) { attribute(m, "nodes_modes").Strings[0] = "BRANCH_MAYBE" }, onnx.ErrInvalid},
		{"list too short", func(m *onnx.Model) { a := attribute(m, "nodes_values"); a.Floats = a.Floats[1:] }, onnx.ErrInvalid},
		{"node twice", func(m *onnx.Model) { onnxtest.SetInt(attribute(m, "nodes_nodeids"), 1, 0) }, onnx.ErrInvalid},
		{"class beyond the labels", func(m *onnx.Model) { onnxtest.SetInt(attribute(m, "class_ids"), 0, 9) }, onnx.ErrInvalid},
		{"weight of a node that is not there", func(m *onnx.Model) { onnxtest.SetInt(attribute(m, "class_nodeids"), 0, 99) }, onnx.ErrInvalid},
		{"no labels", func(m *onnx.Model) { attribute(m, "classlabels_int64s").Ints = onnx.IntList{} }, onnx.ErrInvalid},
		{"unknown attribute", func(m *onnx.Model) {
			n := &m.Graph.Nodes[0]
			n.Attributes = append(n.Attributes, onnx.IntAttribute("surprise", 1))
		}, onnx.ErrUnsupported},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := onnxtest.Forest(2, 2, 3, 3)
			test.spoil(m)
			_, err := NewSession(m)
			require.ErrorIs(t, err, test.is)
			messages.Add(test.name, err)
		})
	}
}

func TestForestRowsDoNotAllocate(t *testing.T) {
	for _, classes := range []int{1, 2, 5} {
		p := predictorOf(t, onnxtest.Forest(30, 6, 20, classes))
		row, scores := randomRows(20), make([]float32, p.NumScores())
		require.Zero(t, testing.AllocsPerRun(200, func() { _, _ = p.PredictRow(row, scores) }))
	}
}

// TestPredictorsAreConcurrent is for the race detector.
func TestPredictorsAreConcurrent(t *testing.T) {
	for _, p := range []*Predictor{predictorOf(t, onnxtest.Iris()), predictorOf(t, onnxtest.Forest(30, 6, 4, 3))} {
		x := randomRows(4 * 50)
		want := make([]float32, 3*50)
		require.NoError(t, p.PredictRows(x, make([]int, 50), want))
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				scores := make([]float32, 3)
				for i := range 50 {
					_, err := p.PredictRow(x[4*i:4*i+4], scores)
					if err != nil || fmt.Sprint(scores) != fmt.Sprint(want[3*i:3*i+3]) {
						t.Errorf("row %d: %v, wanted %v (%v)", i, scores, want[3*i:3*i+3], err)
					}
				}
			})
		}
		wg.Wait()
	}
}

// FuzzLoad feeds files to the reader and, where one loads, to the compiler and a
// run. Nothing may panic, and every refusal is one of the package's errors.
func FuzzLoad(f *testing.F) {
	f.Add(onnxtest.Iris().Marshal())
	f.Add(onnxtest.Forest(2, 2, 3, 3).Marshal())
	f.Add(onnxtest.Forest(2, 2, 3, 1).Marshal())
	f.Add(onnxtest.TensorModel(onnxtest.Varint(1, 1e9), onnxtest.Varint(2, 1)))
	limits := onnx.Limits{Bytes: 1 << 20, Memory: 8 << 20, Nodes: 200}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := onnx.Load(bytes.NewReader(data), limits)
		if err != nil {
			require.True(t, onnxtest.IsModelFault(err), "%v", err)
			return
		}
		require.NotNil(t, m.Marshal())
		s, err := NewSession(m, WithLimits(limits))
		if err != nil {
			return // Folding constants can fail as a run can.
		}
		inputs := map[string]kernel.Value{}
		for _, in := range s.Inputs() {
			v := exampleOf(in.Type)
			if v == nil {
				return
			}
			inputs[in.Name] = v
		}
		_, _ = s.Run(inputs)
		if p, err := NewPredictor(s); err == nil && p.NumFeatures() < 1000 && p.NumScores() < 1000 && p.NumScores() > 0 {
			_, _ = p.PredictRow(make([]float32, p.NumFeatures()), make([]float32, p.NumScores()))
		}
	})
}

// exampleOf makes a small value of a type, nil where it cannot.
func exampleOf(t onnx.Type) kernel.Value {
	if t.Kind != onnx.KindTensor {
		return nil
	}
	shape := make([]int, len(t.Shape))
	for i, d := range t.Shape {
		shape[i] = d.Size
		if d.Size < 0 {
			shape[i] = 2
		}
		if d.Size > 50 {
			return nil
		}
	}
	if n, err := onnx.ElementCount(shape); err != nil || n > 10_000 {
		return nil
	}
	zeros := &onnx.Tensor{Shape: shape, Data: make([]float32, kernel.Product(shape))}
	v, err := kernel.CastTensor(kernel.NewEnv(1<<20), zeros, t.Element)
	if err != nil {
		return nil
	}
	return v
}
