package trees

import (
	"math"

	"github.com/petal-ml/petal/internal/learn/emit"
	"github.com/petal-ml/petal/internal/onnx"
)

// The numbers that TreeEnsemble gives its modes.
const (
	branchLEQ    = 0
	branchMember = 6
)

// HasSets tells whether some node splits categories.
func (e *Ensemble) HasSets() bool {
	for _, t := range e.Trees {
		if t.Sets != nil {
			return true
		}
	}
	return false
}

// EmitSets adds a TreeEnsemble, the one operator that knows sets, and returns the
// name of its output, a float tensor [N, outputs] with the sums. They are not
// transformed by the operator: onnxruntime takes its number for softmax as another.
// The ensemble is one of [Ensemble.Each]. It is written as trees: no node has two
// parents, which some readers refuse.
func (e *Ensemble) EmitSets(b *emit.Builder, input string) string {
	var a setAttributes
	for i, t := range e.Trees {
		target := i % e.Outputs
		var base float64
		if i < len(e.Base) { // the first tree of each output has its base
			base = e.Base[target]
		}
		a.add(t, target, base)
	}
	return b.TreeEnsemble(input,
		onnx.IntAttribute("n_targets", int64(e.Outputs)),
		onnx.IntAttribute("aggregate_function", 1), // their sum
		onnx.IntAttribute("post_transform", 0),     // none
		onnx.IntsAttribute("tree_roots", a.roots...),
		onnx.IntsAttribute("nodes_featureids", a.features...),
		onnx.TensorAttribute("nodes_modes", onnx.NewTensor([]int{len(a.modes)}, a.modes)),
		onnx.TensorAttribute("nodes_splits", onnx.NewTensor([]int{len(a.splits)}, a.splits)),
		onnx.IntsAttribute("nodes_truenodeids", a.yes...),
		onnx.IntsAttribute("nodes_falsenodeids", a.no...),
		onnx.IntsAttribute("nodes_trueleafs", a.yesLeaf...),
		onnx.IntsAttribute("nodes_falseleafs", a.noLeaf...),
		onnx.IntsAttribute("nodes_missing_value_tracks_true", a.missing...),
		onnx.TensorAttribute("membership_values", onnx.NewTensor([]int{len(a.members)}, a.members)),
		onnx.IntsAttribute("leaf_targetids", a.targets...),
		onnx.TensorAttribute("leaf_weights", onnx.NewTensor([]int{len(a.weights)}, a.weights)))
}

// setAttributes are the parallel arrays of a TreeEnsemble: branches and leaves
// are numbered by themselves.
type setAttributes struct {
	roots, features          []int64
	modes                    []uint8
	splits, members          []float32
	yes, no, yesLeaf, noLeaf []int64
	missing, targets         []int64
	weights                  []float32
}

func (a *setAttributes) add(t *Tree, target int, base float64) {
	a.roots = append(a.roots, int64(len(a.modes)))
	if t.Nodes[0].Feature < 0 { // a branch with the same leaf on both sides
		at := a.branch(0, branchLEQ, 0, false)
		a.link(at, a.leaf(t, 0, target, base), true, a.leaf(t, 0, target, base), true)
		return
	}
	a.node(t, 0, target, base)
}

// node adds a node and all below it, and returns its number among its kind.
func (a *setAttributes) node(t *Tree, i int32, target int, base float64) (number int64, isLeaf bool) {
	n := &t.Nodes[i]
	if n.Feature < 0 {
		return a.leaf(t, i, target, base), true
	}
	yes, no := n.Left, n.Right
	var at int64
	if n.Set > 0 {
		if n.MissingLeft { // members go right
			yes, no = no, yes
		}
		at = a.branch(n.Feature, branchMember, 0, false)
		set := &t.Sets[n.Set-1]
		for code := range 256 {
			if set.Has(code) {
				a.members = append(a.members, float32(code))
			}
		}
		a.members = append(a.members, float32(math.NaN()))
	} else {
		at = a.branch(n.Feature, branchLEQ, n.Threshold, n.MissingLeft)
	}
	yesAt, yesLeaf := a.node(t, yes, target, base)
	noAt, noLeaf := a.node(t, no, target, base)
	a.link(at, yesAt, yesLeaf, noAt, noLeaf)
	return at, false
}

func (a *setAttributes) branch(feature int32, mode uint8, split float32, missing bool) int64 {
	a.features, a.modes, a.splits = append(a.features, int64(feature)), append(a.modes, mode), append(a.splits, split)
	a.yes, a.no = append(a.yes, 0), append(a.no, 0)
	a.yesLeaf, a.noLeaf = append(a.yesLeaf, 0), append(a.noLeaf, 0)
	a.missing = append(a.missing, flag(missing))
	return int64(len(a.modes) - 1)
}

func (a *setAttributes) link(at, yes int64, yesLeaf bool, no int64, noLeaf bool) {
	a.yes[at], a.yesLeaf[at] = yes, flag(yesLeaf)
	a.no[at], a.noLeaf[at] = no, flag(noLeaf)
}

func (a *setAttributes) leaf(t *Tree, i int32, target int, base float64) int64 {
	a.targets = append(a.targets, int64(target))
	a.weights = append(a.weights, emit.Float(t.Values[t.Nodes[i].Left]+base))
	return int64(len(a.weights) - 1)
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
