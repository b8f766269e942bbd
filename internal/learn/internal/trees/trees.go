// Package trees holds what ensembles of decision trees share: the tree itself,
// its evaluation, and its form in ONNX.
package trees

import (
	"math"
	"math/bits"

	"github.com/petal-ml/petal/internal/learn/emit"
	"github.com/petal-ml/petal/internal/onnx"
)

// A Node is an inner node or, where Feature is negative, a leaf. A row goes left
// where its value of the feature, as float32, is at most Threshold, or is
// missing and MissingLeft says so. With a set of categories, rows of those go the
// one way, and all others, missing values among them, the way of MissingLeft.
type Node struct {
	Threshold   float32
	Feature     int32
	Left, Right int32 // for a leaf, Left is the index of its first value
	Set         int32 // number in the tree's Sets, from 1; 0 for none
	MissingLeft bool
}

// A Set holds categories, by codes from 0 to 255.
type Set [4]uint64

// Add puts a code into the set.
func (s *Set) Add(code int) { s[code>>6] |= 1 << (code & 63) }

// Has tells whether a code is in the set.
func (s *Set) Has(code int) bool { return s[code>>6]>>(code&63)&1 != 0 }

// holds tells whether a value is a code in the set.
func (s *Set) holds(v float32) bool {
	code := int(max(min(v, 255), 0)) // NaN comes out as any
	return float32(code) == v && s.Has(code&255)
}

// Leaf marks a leaf in Node.Feature.
const Leaf = -1

// A Tree has its root at node 0.
type Tree struct {
	Nodes  []Node
	Sets   []Set
	Values []float64 // of the leaves, as many as the ensemble has outputs each
}

// Find returns the index of the first value of the leaf that a row falls into.
func (t *Tree) Find(row []float32) int {
	i := int32(0)
	for {
		n := &t.Nodes[i]
		if n.Feature < 0 {
			return int(n.Left)
		}
		v := row[n.Feature]
		if n.Set > 0 {
			if t.Sets[n.Set-1].holds(v) != n.MissingLeft {
				i = n.Left
			} else {
				i = n.Right
			}
			continue
		}
		if v <= n.Threshold || n.MissingLeft && v != v {
			i = n.Left
		} else {
			i = n.Right
		}
	}
}

// Depth returns the number of edges from the root to the deepest leaf.
func (t *Tree) Depth() int {
	var below func(i int32) int
	below = func(i int32) int {
		if t.Nodes[i].Feature < 0 {
			return 0
		}
		return 1 + max(below(t.Nodes[i].Left), below(t.Nodes[i].Right))
	}
	return below(0)
}

// RoundDown returns the largest float32 that is at most v: x ≤ v and x ≤
// RoundDown(v) are the same for every float32 x.
func RoundDown(v float64) float32 {
	f := float32(v)
	if float64(f) > v {
		f = math.Nextafter32(f, float32(math.Inf(-1)))
	}
	return f
}

// An Ensemble adds up its trees. Value k of a leaf counts for output k.
type Ensemble struct {
	Trees   []*Tree
	Outputs int
	Base    []float64 // added to the sums; empty for none
	// Each tells that tree i has one value a leaf, which counts for output
	// i mod Outputs, as boosting grows a tree a class.
	Each bool
}

// Sum adds the outputs for a row to dst, which has Outputs elements.
func (e *Ensemble) Sum(dst []float64, row []float32) {
	for k, b := range e.Base {
		dst[k] += b
	}
	for i, t := range e.Trees {
		at := t.Find(row)
		if e.Each {
			dst[i%e.Outputs] += t.Values[at]
			continue
		}
		for k := range dst {
			dst[k] += t.Values[at+k]
		}
	}
}

// Scale multiplies all sums.
func (e *Ensemble) Scale(factor float64) {
	for k := range e.Base {
		e.Base[k] *= factor
	}
	for _, t := range e.Trees {
		for i := range t.Values {
			t.Values[i] *= factor
		}
	}
}

// Emit adds a TreeEnsembleClassifier. With one output, the score of the second
// of two classes, the label is the second class where the sum is above 0; with
// more it is the class of the highest sum, of equal ones the first. Transform is
// NONE, SOFTMAX or LOGISTIC; NONE of one output v gives the scores −v and v.
func (e *Ensemble) Emit(b *emit.Builder, input, transform string) emit.Scores {
	a := attributes{e: e, lift: e.lift()}
	return b.ClassifierML("TreeEnsembleClassifier", input, a.list("class", onnx.StringAttribute("post_transform", transform))...)
}

// EmitValue adds a TreeEnsembleRegressor and returns the name of its output, a
// float tensor [N, outputs].
func (e *Ensemble) EmitValue(b *emit.Builder, input string) string {
	a := attributes{e: e}
	return b.NodeML("TreeEnsembleRegressor", []string{input}, a.list("target", onnx.IntAttribute("n_targets", int64(e.Outputs)))...)
}

// lift is what has to be taken from the first tree, and added to the base, for
// some weight to be negative. Readers label one output at v > 0.5 where no
// weight is, and at v > 0 otherwise.
func (e *Ensemble) lift() float64 {
	if e.Outputs > 1 {
		return 0
	}
	lowest := math.Inf(1)
	for _, t := range e.Trees {
		for _, v := range t.Values {
			lowest = min(lowest, v)
		}
	}
	if float32(lowest) < 0 {
		return 0
	}
	return lowest + 1
}

// attributes are the parallel arrays of a TreeEnsembleClassifier or -Regressor.
type attributes struct {
	e    *Ensemble
	lift float64

	treeIDs, nodeIDs, features, left, right, missing []int64
	modes                                            []string
	thresholds, weights                              []float32
	classTrees, classNodes, classIDs                 []int64
}

// list makes the attributes; kind is how the operator calls what leaves count
// for, class or target, and further is the attribute that only it has.
func (a *attributes) list(kind string, further onnx.Attribute) []onnx.Attribute {
	for i, t := range a.e.Trees {
		a.add(i, t)
	}
	list := []onnx.Attribute{
		onnx.IntsAttribute("nodes_treeids", a.treeIDs...),
		onnx.IntsAttribute("nodes_nodeids", a.nodeIDs...),
		onnx.IntsAttribute("nodes_featureids", a.features...),
		onnx.StringsAttribute("nodes_modes", a.modes...),
		onnx.FloatsAttribute("nodes_values", a.thresholds...),
		onnx.IntsAttribute("nodes_truenodeids", a.left...),
		onnx.IntsAttribute("nodes_falsenodeids", a.right...),
		onnx.IntsAttribute("nodes_missing_value_tracks_true", a.missing...),
		onnx.IntsAttribute(kind+"_treeids", a.classTrees...),
		onnx.IntsAttribute(kind+"_nodeids", a.classNodes...),
		onnx.IntsAttribute(kind+"_ids", a.classIDs...),
		onnx.FloatsAttribute(kind+"_weights", a.weights...),
		further,
	}
	if base := a.base(); base != nil {
		list = append(list, onnx.FloatsAttribute("base_values", base...))
	}
	return list
}

func (a *attributes) add(tree int, t *Tree) {
	for i, n := range t.Nodes {
		a.treeIDs, a.nodeIDs = append(a.treeIDs, int64(tree)), append(a.nodeIDs, int64(i))
		if n.Feature < 0 {
			a.addNode("LEAF", Node{})
			a.addLeaf(tree, i, t.Values[n.Left:])
			continue
		}
		a.addNode("BRANCH_LEQ", n)
	}
}

func (a *attributes) addNode(mode string, n Node) {
	a.modes = append(a.modes, mode)
	a.features, a.thresholds = append(a.features, int64(n.Feature)), append(a.thresholds, n.Threshold)
	a.left, a.right = append(a.left, int64(n.Left)), append(a.right, int64(n.Right))
	tracks := int64(0)
	if n.MissingLeft {
		tracks = 1
	}
	a.missing = append(a.missing, tracks)
}

func (a *attributes) addLeaf(tree, node int, values []float64) {
	first, count := 0, a.e.Outputs
	if a.e.Each {
		first, count = tree%a.e.Outputs, 1
	}
	for k := range count {
		v := values[k]
		if tree == 0 {
			v -= a.lift
		}
		a.classTrees, a.classNodes = append(a.classTrees, int64(tree)), append(a.classNodes, int64(node))
		a.classIDs, a.weights = append(a.classIDs, int64(first+k)), append(a.weights, emit.Float(v))
	}
}

func (a *attributes) base() []float32 {
	if a.lift != 0 {
		base := a.lift
		if len(a.e.Base) > 0 {
			base += a.e.Base[0]
		}
		return []float32{emit.Float(base)}
	}
	if len(a.e.Base) == 0 {
		return nil
	}
	return emit.Floats(a.e.Base)
}

// Random is SplitMix64 (Steele, Lea and Flood 2014): small, quick to seed, and
// ours, so that no release of Go can change a model.
type Random struct{ state uint64 }

// NewRandom seeds a generator for stream number i of a seed.
func NewRandom(seed uint64, i int) *Random {
	r := &Random{state: seed}
	r.state = r.Uint64() ^ uint64(i)*0x9e3779b97f4a7c15
	r.Uint64()
	return r
}

// Uint64 returns 64 random bits.
func (r *Random) Uint64() uint64 {
	r.state += 0x9e3779b97f4a7c15
	z := r.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// IntN returns a number in 0 … n−1. Its bias is under n/2⁶⁴.
func (r *Random) IntN(n int) int {
	high, _ := bits.Mul64(r.Uint64(), uint64(n))
	return int(high)
}

// Float64 returns a number in [0, 1).
func (r *Random) Float64() float64 { return float64(r.Uint64()>>11) / (1 << 53) }
