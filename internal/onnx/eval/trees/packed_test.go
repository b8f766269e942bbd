package trees

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/attributes"
	"github.com/petal-ml/petal/tests/testenv/onnxtest"
)

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
		fast := modelOf(t, m)
		require.NotNil(t, fast.scorer.fast)
		plain := plainForest(t, m)
		x := make([]float32, 133*5)
		for i := range x {
			x[i] = hard[r.IntN(len(hard))]
			if r.IntN(6) == 0 {
				x[i] = float32(math.NaN())
			}
		}
		width := fast.Width()
		all, classes := make([]float32, 133*width), make([]int, 133)
		fast.PredictRows(x, 5, width, classes, all)
		for i := range classes {
			row := x[i*5 : (i+1)*5]
			want := newScratch[float32](plain.targets)
			accumulate(&treeScorer{forest: plain, aggregate: aggregateSum}, row, want.sums, want.has)
			got := newScratch[float32](plain.targets)
			sums(fast, row, got)
			require.Equal(t, want.sums, got.sums, "round %d, row %v", round, row)
			scores := make([]float32, width)
			require.Equal(t, fast.Predict(row, scores), classes[i])
			require.Equal(t, scores, all[i*width:(i+1)*width], "one row and a batch")
		}
	}
}

// TestForestWeightsInAnyOrder lists the weights of a forest backwards, which
// changes nothing, and then two of a leaf for one class, which the fast layout
// cannot hold.
func TestForestWeightsInAnyOrder(t *testing.T) {
	m := onnxtest.Forest(3, 4, 5, 3)
	row, want, got := []float32{0.1, -0.7, 1.2, -0.2, 0.5}, make([]float32, 3), make([]float32, 3)
	modelOf(t, m).Predict(row, want)
	for _, name := range []string{"class_treeids", "class_nodeids", "class_ids"} {
		a := m.Graph.Nodes[0].Attribute(name)
		values := a.Ints.Slice()
		slices.Reverse(values)
		a.Ints = onnx.NewIntList(values...)
	}
	slices.Reverse(m.Graph.Nodes[0].Attribute("class_weights").Floats)
	backwards := modelOf(t, m)
	backwards.Predict(row, got)
	require.Equal(t, want, got)
	require.NotNil(t, backwards.scorer.fast)

	m = onnxtest.Forest(3, 4, 5, 3)
	onnxtest.SetInt(m.Graph.Nodes[0].Attribute("class_ids"), 0, 1)
	require.Nil(t, pack(plainForest(t, m)))
}

// modelOf reads the ensemble of a model.
func modelOf(t testing.TB, m *onnx.Model) *Model {
	t.Helper()
	read := ReadRegressor
	node := &m.Graph.Nodes[0]
	if node.Operator == "TreeEnsembleClassifier" {
		read = ReadClassifier
	}
	model, err := read(&attributes.Reader{Node: node}, onnx.Float)
	require.NoError(t, err)
	return model
}

// plainForest reads the forest of a model without the fast layout.
func plainForest(t testing.TB, m *onnx.Model) *forest {
	t.Helper()
	r := &attributes.Reader{Node: &m.Graph.Nodes[0]}
	prefix, targets := "target", 1
	if labels := r.Node.Attribute("classlabels_int64s"); labels != nil {
		prefix, targets = "class", labels.Ints.Len()
	}
	f, err := readForest(r, prefix, targets)
	require.NoError(t, err)
	if prefix == "class" && targets == 2 {
		m := &Model{Classes: onnx.Labels{Ints: []int64{0, 1}}}
		require.NoError(t, m.binary(f))
	}
	return f
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
		model := modelOf(t, m)
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
