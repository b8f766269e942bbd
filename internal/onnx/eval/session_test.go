package eval

import (
	"bytes"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
	"github.com/petal-ml/petal/tests/testenv/golden"
	"github.com/petal-ml/petal/tests/testenv/onnxtest"
)

// TestLoadTruncated cuts a file at every byte: each prefix is refused, and none
// makes the reader panic.
func TestLoadTruncated(t *testing.T) {
	whole := onnxtest.Iris()
	whole.Metadata = nil // a file without its last metadata entry is a good one
	data := whole.Marshal()
	for n := range data {
		m, err := onnx.Load(bytes.NewReader(data[:n]), onnx.Limits{})
		if err == nil {
			// A cut between two fields can leave a model that loads, but lacks
			// the operator sets at its end.
			_, err = NewSession(m)
		}
		require.True(t, onnxtest.IsModelFault(err), "cut after %d bytes: %v", n, err)
	}
}

// TestLoadBitFlips flips every bit of a file. What still loads must compile or
// be refused, and never panic.
func TestLoadBitFlips(t *testing.T) {
	data := onnxtest.Iris().Marshal()
	for i := range data {
		for bit := range 8 {
			flipped := slices.Clone(data)
			flipped[i] ^= 1 << bit
			m, err := onnx.Load(bytes.NewReader(flipped), onnx.Limits{})
			if err == nil {
				_, err = NewSession(m)
			}
			if err != nil {
				require.True(t, onnxtest.IsModelFault(err), "bit %d of byte %d: %v", bit, i, err)
			}
		}
	}
}

func TestUnknownOperatorIsNamed(t *testing.T) {
	m := onnxtest.Iris()
	m.Graph.Nodes[0].Operator, m.Graph.Nodes[0].Domain = "Conv", ""
	m.Graph.Nodes[2].Operator, m.Graph.Nodes[2].Domain = "Quantum", "org.example"
	_, err := NewSession(m)
	require.ErrorIs(t, err, onnx.ErrUnsupported)
	require.Equal(t, []string{"Conv (version 15)", "org.example.Quantum (operator set not imported)"}, MissingOperators(m))
	golden.New(t).Add("two operators", err)
}

// TestAbsentInputs leaves out one of the inputs that an operator folds or joins.
func TestAbsentInputs(t *testing.T) {
	messages := golden.New(t)
	for _, operator := range []string{"Concat", "Max", "Sum"} {
		m := &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 15}}, Graph: &onnx.Graph{
			Inputs:  []onnx.ValueInfo{{Name: "x", Type: onnx.TensorType(onnx.Float, onnx.Fixed(2))}},
			Nodes:   []onnx.Node{{Operator: operator, Inputs: []string{"x", ""}, Outputs: []string{"y"}}},
			Outputs: []onnx.ValueInfo{{Name: "y", Type: onnx.TensorType(onnx.Float, onnx.Symbolic("N"))}},
		}}
		_, err := NewSession(m)
		require.ErrorIs(t, err, onnx.ErrInvalid, operator)
		messages.Add(operator, err)
	}
}

// TestRunsStayWithinMemory asks for 10^9 elements in the ways that a few bytes
// can: when a model is compiled, since its constants are folded, and when it runs.
func TestRunsStayWithinMemory(t *testing.T) {
	messages := golden.New(t)
	ints := func(name string, v ...int64) *onnx.Tensor { return onnx.NamedTensor(name, []int{len(v)}, v) }
	scalar := func(name string, v int64) *onnx.Tensor { return onnx.NamedTensor(name, nil, []int64{v}) }
	empty := onnx.Node{Operator: "ConstantOfShape", Inputs: []string{"empty"}, Outputs: []string{"e"}}
	tests := map[string][]onnx.Node{
		"ConstantOfShape": {{Operator: "ConstantOfShape", Inputs: []string{"many"}, Outputs: []string{"y"}}},
		"Expand":          {{Operator: "Expand", Inputs: []string{"one", "many"}, Outputs: []string{"y"}}},
		"Tile":            {{Operator: "Tile", Inputs: []string{"one", "many"}, Outputs: []string{"y"}}},
		"Range":           {{Operator: "Range", Inputs: []string{"zero", "billion", "step"}, Outputs: []string{"y"}}},
		"Tile of Tile": {
			{Operator: "Tile", Inputs: []string{"one", "some"}, Outputs: []string{"t"}},
			{Operator: "Tile", Inputs: []string{"t", "some"}, Outputs: []string{"y"}},
		},
		"Scan of empty slices": {empty, {
			Operator: "Scan", Inputs: []string{"e"}, Outputs: []string{"y"},
			Attributes: []onnx.Attribute{onnx.IntAttribute("num_scan_inputs", 1), onnx.GraphAttribute("body", &onnx.Graph{
				Inputs: []onnx.ValueInfo{{Name: "s"}}, Outputs: []onnx.ValueInfo{{Name: "r"}},
				Nodes: []onnx.Node{{Operator: "Identity", Inputs: []string{"s"}, Outputs: []string{"r"}}},
			})},
		}},
	}
	const limit = 4 << 20
	for name, nodes := range tests {
		sizes := []*onnx.Tensor{
			ints("many", 1e9), ints("some", 40_000), ints("empty", 1e9, 0), ints("one", 1),
			scalar("zero", 0), scalar("billion", 1e9), scalar("step", 1),
		}
		m := &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 15}}, Graph: &onnx.Graph{Nodes: nodes, Outputs: []onnx.ValueInfo{{Name: "y"}}}}
		refuses := func(t *testing.T, do func() error) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := do()
			runtime.ReadMemStats(&after)
			require.ErrorIs(t, err, onnx.ErrLimit)
			_, name, _ := strings.Cut(t.Name(), "/")
			messages.Add(name, err)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(limit+1<<20))
		}
		t.Run(name+" folded", func(t *testing.T) {
			m.Graph.Initializers = sizes
			refuses(t, func() error {
				_, err := NewSession(m, WithLimits(onnx.Limits{Memory: limit}))
				return err
			})
		})
		t.Run(name+" at run time", func(t *testing.T) {
			m.Graph.Initializers, m.Graph.Inputs = nil, nil
			inputs := map[string]kernel.Value{}
			for _, v := range sizes {
				shape := make([]onnx.Dim, len(v.Shape))
				for i, n := range v.Shape {
					shape[i] = onnx.Fixed(n)
				}
				m.Graph.Inputs = append(m.Graph.Inputs, onnx.ValueInfo{Name: v.Name, Type: onnx.TensorType(onnx.Int64, shape...)})
				inputs[v.Name] = v
			}
			s, err := NewSession(m, WithLimits(onnx.Limits{Memory: limit}))
			require.NoError(t, err)
			refuses(t, func() error {
				_, err := s.Run(inputs)
				return err
			})
		})
	}
}

// TestLoadMemory loads a forest of 100,000 nodes: what is allocated on the way,
// the file included, is at most three times the file.
func TestLoadMemory(t *testing.T) {
	file := onnxtest.Forest(100, 9, 20, 5).Marshal()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m, err := onnx.Load(bytes.NewReader(file), onnx.Limits{})
	require.NoError(t, err)
	s, err := NewSession(m)
	require.NoError(t, err)
	runtime.ReadMemStats(&after)
	require.LessOrEqual(t, float64(after.TotalAlloc-before.TotalAlloc)/float64(len(file)), 3.0)
	runtime.KeepAlive(s)
}

func TestPredictIrisLike(t *testing.T) {
	s, err := NewSession(onnxtest.Iris())
	require.NoError(t, err)
	p, err := NewPredictor(s)
	require.NoError(t, err)
	require.Equal(t, []string{"setosa", "versicolor", "virginica"}, p.Labels().Strings)
	require.Equal(t, 4, p.NumFeatures())
	fast, why := p.FastPath()
	require.True(t, fast, why)

	scores := make([]float32, 3)
	rows := map[string][]float32{
		"setosa": {5.1, 3.5, 1.4, 0.2}, "versicolor": {5.7, 2.8, 4.1, 1.3}, "virginica": {6.5, 3, 5.8, 2.2},
	}
	for label, row := range rows {
		class, err := p.PredictRow(row, scores)
		require.NoError(t, err)
		require.Equal(t, label, p.Labels().Text(class))
		require.InDelta(t, 1, scores[0]+scores[1]+scores[2], 1e-6)

		out, err := s.Run(map[string]kernel.Value{"features": onnx.NewTensor([]int{1, 4}, row)})
		require.NoError(t, err)
		require.Equal(t, []string{label}, out[0].(*onnx.Tensor).Data)
		maps := out[1].(*kernel.ProbabilityMaps)
		require.InDeltaSlice(t, maps.Scores.Data.([]float32), scores, 1e-6)
	}
	allocs := testing.AllocsPerRun(100, func() { _, _ = p.PredictRow(rows["setosa"], scores) })
	require.Zero(t, allocs)
}
