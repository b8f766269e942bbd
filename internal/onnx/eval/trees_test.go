package eval

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/onnxtest"
	"github.com/stretchr/testify/require"
)

// TestForestRefuses holds one row a kind of hostile forest.
func TestForestRefuses(t *testing.T) {
	attribute := func(m *onnx.Model, name string) *onnx.Attribute { return m.Graph.Nodes[0].Attribute(name) }
	tests := []struct {
		name  string
		spoil func(*onnx.Model)
		says  string
	}{
		{"cycle", func(m *onnx.Model) { setInt(attribute(m, "nodes_truenodeids"), 1, 0) }, "has a cycle"},
		{"node that is its own child", func(m *onnx.Model) { setInt(attribute(m, "nodes_falsenodeids"), 2, 2) }, "has a cycle"},
		{"child beyond the tree", func(m *onnx.Model) { setInt(attribute(m, "nodes_truenodeids"), 0, 7) }, `"nodes_truenodeids": tree 0 has no node 7`},
		{"negative child", func(m *onnx.Model) { setInt(attribute(m, "nodes_falsenodeids"), 0, -1) }, "has no node -1"},
		{"negative feature", func(m *onnx.Model) { setInt(attribute(m, "nodes_featureids"), 0, -1) }, `"nodes_featureids": -1`},
		{"feature beyond the input", func(m *onnx.Model) { setInt(attribute(m, "nodes_featureids"), 0, 3) }, "ask for feature 3"},
		{"feature beyond int32", func(m *onnx.Model) { setInt(attribute(m, "nodes_featureids"), 0, 1<<40) }, `"nodes_featureids"`},
		{"NaN threshold", func(m *onnx.Model) { attribute(m, "nodes_values").Floats[0] = float32(math.NaN()) }, "threshold NaN"},
		{"unknown mode", func(m *onnx.Model) { attribute(m, "nodes_modes").Strings[0] = "BRANCH_MAYBE" }, "BRANCH_MAYBE"},
		{"list too short", func(m *onnx.Model) { a := attribute(m, "nodes_values"); a.Floats = a.Floats[1:] }, `"nodes_values" has 13 entries, 14 wanted`},
		{"node twice", func(m *onnx.Model) { setInt(attribute(m, "nodes_nodeids"), 1, 0) }, "node 0 of tree 0 stands twice"},
		{"class beyond the labels", func(m *onnx.Model) { setInt(attribute(m, "class_ids"), 0, 9) }, `"class_ids": 9 is not below 3`},
		{"weight of a node that is not there", func(m *onnx.Model) { setInt(attribute(m, "class_nodeids"), 0, 99) }, `"class_nodeids": tree 0 has no node 99`},
		{"no labels", func(m *onnx.Model) { attribute(m, "classlabels_int64s").Ints = onnx.IntList{} }, "classlabels"},
		{"unknown attribute", func(m *onnx.Model) {
			n := &m.Graph.Nodes[0]
			n.Attributes = append(n.Attributes, onnx.IntAttribute("surprise", 1))
		}, `attribute "surprise"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := onnxtest.Forest(2, 2, 3, 3)
			test.spoil(m)
			_, err := NewSession(m)
			require.True(t, onnxtest.IsModelFault(err), "%v", err)
			require.ErrorContains(t, err, test.says)
			require.ErrorContains(t, err, "TreeEnsembleClassifier")
		})
	}
}

// setInt changes an entry of a list of integers.
func setInt(a *onnx.Attribute, i int, v int64) {
	values := a.Ints.Slice()
	values[i] = v
	a.Ints = onnx.NewIntList(values...)
}

// modes lists the comparisons that the fast layout takes.
func modes() []string { return []string{"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"} }

// hardFloats are values at which comparisons are easily wrong.
func hardFloats() []float32 {
	inf := float32(math.Inf(1))
	return []float32{
		0, float32(math.Copysign(0, -1)), 1, -1, math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32,
		math.MaxFloat32, -math.MaxFloat32, inf, -inf, 0.5, math.Nextafter32(0.5, 0), math.Nextafter32(0.5, 1),
	}
}

// TestPackedTreesAgree compares the fast layout with the plain walk on every
// comparison, with missing values either way, at values that are hard to tell
// apart.
func TestPackedTreesAgree(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	hard := hardFloats()
	for round := range 60 {
		m := onnxtest.Forest(19, 4, 5, 1+round%4)
		node := &m.Graph.Nodes[0]
		modeList, values := node.Attribute("nodes_modes").Strings, node.Attribute("nodes_values").Floats
		tracks := make([]int64, len(modeList))
		for i, mode := range modeList {
			if mode != "LEAF" {
				modeList[i], values[i] = modes()[r.IntN(4)], hard[r.IntN(len(hard))]
				tracks[i] = r.Int64N(2)
			}
		}
		if round%2 == 0 {
			node.Attributes = append(node.Attributes, onnx.IntsAttribute("nodes_missing_value_tracks_true", tracks...))
		}
		p := predictorOf(t, m)
		fast := p.fast.model.(*treeModel)
		require.NotNil(t, fast.scorer.fast)
		plain := plainForest(t, m)
		x := make([]float32, 133*5)
		for i := range x {
			x[i] = hard[r.IntN(len(hard))]
			if r.IntN(6) == 0 {
				x[i] = float32(math.NaN())
			}
		}
		all, classes := make([]float32, 133*p.NumScores()), make([]int, 133)
		require.NoError(t, p.PredictRows(x, classes, all))
		for i := range classes {
			row := x[i*5 : (i+1)*5]
			want := newScratch[float32](plain.targets)
			accumulate(&treeScorer{forest: plain, aggregate: aggregateSum}, row, want.sums, want.has)
			got := newScratch[float32](plain.targets)
			sums(fast, row, got)
			require.Equal(t, want.sums, got.sums, "round %d, row %v", round, row)
			scores := make([]float32, p.NumScores())
			class, err := p.PredictRow(row, scores)
			require.NoError(t, err)
			if !p.IsRegressor() {
				require.Equal(t, class, classes[i])
			}
			require.Equal(t, scores, all[i*p.NumScores():(i+1)*p.NumScores()], "one row and a batch")
		}
	}
}

// TestForestWeightsInAnyOrder lists the weights of a forest backwards, which
// changes nothing, and then two of a leaf for one class, which the fast layout
// cannot hold.
func TestForestWeightsInAnyOrder(t *testing.T) {
	m := onnxtest.Forest(3, 4, 5, 3)
	row, want, got := randomRows(5)[:5], make([]float32, 3), make([]float32, 3)
	_, err := predictorOf(t, m).PredictRow(row, want)
	require.NoError(t, err)
	for _, name := range []string{"class_treeids", "class_nodeids", "class_ids"} {
		a := m.Graph.Nodes[0].Attribute(name)
		values := a.Ints.Slice()
		slices.Reverse(values)
		a.Ints = onnx.NewIntList(values...)
	}
	slices.Reverse(m.Graph.Nodes[0].Attribute("class_weights").Floats)
	p := predictorOf(t, m)
	_, err = p.PredictRow(row, got)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.NotNil(t, p.fast.model.(*treeModel).scorer.fast)

	m = onnxtest.Forest(3, 4, 5, 3)
	setInt(m.Graph.Nodes[0].Attribute("class_ids"), 0, 1)
	require.Nil(t, pack(plainForest(t, m)))
}

// plainForest reads the forest of a model without the fast layout.
func plainForest(t testing.TB, m *onnx.Model) *forest {
	t.Helper()
	n := &nodeCompiler{node: &m.Graph.Nodes[0]}
	prefix, targets := "target", 1
	if labels := n.node.Attribute("classlabels_int64s"); labels != nil {
		prefix, targets = "class", labels.Ints.Len()
	}
	f, err := readForest(n.attributes(), prefix, targets)
	require.NoError(t, err)
	if prefix == "class" && targets == 2 {
		m := &treeModel{classes: onnx.Labels{Ints: []int64{0, 1}}}
		require.NoError(t, m.binary(f))
	}
	return f
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
		inputs := map[string]Value{}
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
func exampleOf(t onnx.Type) Value {
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
	zeros := &onnx.Tensor{Shape: shape, Data: make([]float32, product(shape))}
	v, err := castTensor(&env{memory: 1 << 20, limit: 1 << 20}, zeros, t.Element)
	if err != nil {
		return nil
	}
	return v
}

// FuzzForest compares the fast layout with the plain walk on forests and rows
// that the fuzzer makes up.
func FuzzForest(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint8(3), uint8(4), uint8(2))
	f.Add(uint64(9), uint64(9), uint8(17), uint8(1), uint8(1))
	f.Fuzz(func(t *testing.T, seed1, seed2 uint64, trees, depth, classes uint8) {
		r := rand.New(rand.NewPCG(seed1, seed2))
		m := onnxtest.Forest(1+int(trees%20), 1+int(depth%6), 4, 1+int(classes%5))
		node := &m.Graph.Nodes[0]
		modeList, values := node.Attribute("nodes_modes").Strings, node.Attribute("nodes_values").Floats
		tracks := make([]int64, len(modeList))
		for i, mode := range modeList {
			if mode != "LEAF" {
				modeList[i] = modes()[r.IntN(4)]
				if v := math.Float32frombits(r.Uint32()); v == v {
					values[i] = v
				}
				tracks[i] = r.Int64N(2)
			}
		}
		node.Attributes = append(node.Attributes, onnx.IntsAttribute("nodes_missing_value_tracks_true", tracks...))
		model := predictorOf(t, m).fast.model.(*treeModel)
		plain := plainForest(t, m)
		for range 20 {
			row := make([]float32, 4)
			for j := range row {
				row[j] = math.Float32frombits(r.Uint32())
				if r.IntN(2) == 0 {
					row[j] = values[r.IntN(len(values))]
				}
			}
			want, got := newScratch[float32](plain.targets), newScratch[float32](plain.targets)
			accumulate(&treeScorer{forest: plain, aggregate: aggregateSum}, row, want.sums, want.has)
			sums(model, row, got)
			require.Equal(t, want.sums, got.sums, "row %v", row)
		}
	})
}
