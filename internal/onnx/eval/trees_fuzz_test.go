package eval

import (
	"math"
	"slices"

	"github.com/petal-ml/petal/internal/onnx"
)

// tree makes a tree of random shape. weigh gives a leaf its weights.
func (m *modelMaker) tree(depth, features, modes int, weigh func() []refWeight) *refTree {
	if depth == 0 || depth < 3 && m.next(4) == 0 {
		return &refTree{weights: weigh()}
	}
	t := &refTree{
		mode: refMode(m.next(modes)), feature: m.next(features), value: m.half(), missing: m.next(2) == 0,
		yes: m.tree(depth-1, features, modes, weigh), no: m.tree(depth-1, features, modes, weigh),
	}
	if t.mode == refMember {
		t.members = m.halves(m.next(3))
	}
	if m.next(16) == 0 {
		t.value = math.Inf(2*m.next(2) - 1)
	}
	return t
}

// forest makes trees of the modes below the number given.
func (m *modelMaker) forest(features, targets, modes int, weigh func() []refWeight) *refForest {
	f := &refForest{targets: targets, aggregate: "SUM", transform: m.postTransform(true)}
	for range []int{1, 2, 3, 9}[m.next(4)] { // nine are more than are walked side by side
		f.trees = append(f.trees, m.tree(1+m.next(3), features, modes, weigh))
	}
	return f
}

// weigher makes functions that give leaves their weights: one for one target,
// one for each, or any.
func (m *modelMaker) weigher(targets int) func() []refWeight {
	sign := []float64{1, 1, -1}[m.next(3)]
	weight := func() float64 {
		if w := m.half(); sign < 0 || w > 0 {
			return w
		} else { //nolint:revive // The other sign.
			return -w
		}
	}
	kind, fixed := m.next(3), m.next(targets)
	return func() []refWeight {
		var list []refWeight
		switch kind {
		case 0:
			return []refWeight{{fixed, weight()}}
		case 1:
			for k := range targets {
				list = append(list, refWeight{k, weight()})
			}
		default:
			for k := range targets {
				if m.next(2) == 0 {
					list = append(list, refWeight{k, weight()})
				}
			}
		}
		return list
	}
}

// attributes spells the forest as the two older operators do.
func (m *modelMaker) forestAttributes(f *refForest, prefix string) []onnx.Attribute {
	names := []string{"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"}
	var trees, ids, features, yes, no, missing, weightTrees, weightNodes, weightTargets []int64
	var modes []string
	var values, weights []float64
	stride := 1 + m.next(2) // numbers with gaps are found in another way
	for number, t := range f.trees {
		count := 0
		t.each(func(n *refTree) { n.ownIndex = stride * count; count++ })
		t.each(func(n *refTree) {
			trees, ids = append(trees, int64(number)), append(ids, int64(n.ownIndex))
			if n.yes == nil {
				modes, features, values = append(modes, "LEAF"), append(features, 0), append(values, 0)
				yes, no, missing = append(yes, 0), append(no, 0), append(missing, 0)
			} else {
				modes, features, values = append(modes, names[n.mode]), append(features, int64(n.feature)), append(values, n.value)
				yes, no = append(yes, int64(n.yes.ownIndex)), append(no, int64(n.no.ownIndex))
				missing = append(missing, int64(boolTo(n.missing)))
			}
			for _, w := range n.weights {
				weightTrees, weightNodes = append(weightTrees, int64(number)), append(weightNodes, int64(n.ownIndex))
				weightTargets, weights = append(weightTargets, int64(w.target)), append(weights, w.weight)
			}
		})
	}
	attributes := []onnx.Attribute{
		onnx.IntsAttribute("nodes_treeids", trees...), onnx.IntsAttribute("nodes_nodeids", ids...), onnx.IntsAttribute("nodes_featureids", features...),
		onnx.StringsAttribute("nodes_modes", modes...), onnx.IntsAttribute("nodes_truenodeids", yes...), onnx.IntsAttribute("nodes_falsenodeids", no...),
		onnx.IntsAttribute("nodes_missing_value_tracks_true", missing...),
		onnx.IntsAttribute(prefix+"_treeids", weightTrees...), onnx.IntsAttribute(prefix+"_nodeids", weightNodes...), onnx.IntsAttribute(prefix+"_ids", weightTargets...),
	}
	for name, list := range map[string][]float64{"nodes_values": values, prefix + "_weights": weights, "base_values": f.base} {
		switch {
		case len(list) == 0:
		case m.x.kind == onnx.Double:
			attributes = append(attributes, onnx.TensorAttribute(name+"_as_tensor", onnx.NewTensor([]int{len(list)}, list)))
		default:
			attributes = append(attributes, onnx.FloatsAttribute(name, as[float32](list)...))
		}
	}
	return attributes
}

func (m *modelMaker) treeClassifier(from string) {
	classes := []int{2, 2, 3, 5}[m.next(4)]
	m.chooseLabels(classes)
	f := m.forest(m.values[from].shape[1], classes, 6, m.weigher(classes))
	f.base = m.halves([]int{0, 1, classes}[m.next(3)])
	if only, _ := f.only(); classes == 2 && only >= 0 { // both are refused by name
		if f.transform == "PROBIT" {
			f.transform = "NONE"
		}
		f.base = f.base[:min(1, len(f.base))]
	} else if classes > 2 && len(f.base) == 1 {
		f.base = nil // onnxruntime leaves open what one value means
	}
	attributes := append(m.forestAttributes(f, "class"), m.labelAttribute("classlabels_int64s"))
	m.emitClassifier("TreeEnsembleClassifier", from, f.transform, attributes, f.classify)
}

func (m *modelMaker) treeRegressor(from string) {
	v, targets := m.values[from], 1+m.next(3)
	f := m.forest(v.shape[1], targets, 6, m.weigher(targets))
	f.base = m.halves([]int{0, targets}[m.next(2)])
	f.aggregate = []string{"SUM", "AVERAGE", "MIN", "MAX"}[m.next(4)]
	attributes := append(m.forestAttributes(f, "target"), onnx.IntAttribute("n_targets", int64(targets)),
		onnx.StringAttribute("aggregate_function", f.aggregate), onnx.StringAttribute("post_transform", f.transform))
	m.emitML("TreeEnsembleRegressor", []string{from}, attributes, m.forestValues(v, f))
}

func (m *modelMaker) forestValues(v refValue, f *refForest) refValue {
	out := transformed(refRows(v, f.values), f.transform)
	out.exact = out.exact && f.aggregate != "AVERAGE"
	return out
}

// treeEnsemble makes the operator of ai.onnx.ml 5, in which branches and leaves
// are numbered apart and leaves have one weight.
func (m *modelMaker) treeEnsemble(from string) {
	v, targets := m.values[from], 1+m.next(3)
	if v.kind == onnx.Int64 {
		m.treeRegressor(from)
		return
	}
	f := m.forest(v.shape[1], targets, 7, func() []refWeight { return []refWeight{{m.next(targets), m.half()}} })
	f.aggregate = []string{"AVERAGE", "SUM", "MIN", "MAX"}[m.next(4)]
	transforms := []string{"NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT"} // in onnxruntime's order
	var roots, features, yes, no, yesLeaf, noLeaf, missing, leafTargets []int64
	var modes []uint8
	var splits, members, weights []float64
	for i, t := range f.trees {
		if t.yes == nil { // a root is a branch here, though both its ways lead to one leaf
			t = &refTree{yes: t, no: t}
			f.trees[i] = t
		}
		roots = append(roots, int64(len(features)))
		branches := len(features)
		t.each(func(n *refTree) {
			if n.yes == nil {
				n.ownIndex = len(weights)
				leafTargets, weights = append(leafTargets, int64(n.weights[0].target)), append(weights, n.weights[0].weight)
				return
			}
			n.ownIndex = branches
			branches++
		})
		t.each(func(n *refTree) {
			if n.yes == nil {
				return
			}
			modes, splits = append(modes, uint8(n.mode)), append(splits, n.value)
			features, missing = append(features, int64(n.feature)), append(missing, int64(boolTo(n.missing)))
			yes, no = append(yes, int64(n.yes.ownIndex)), append(no, int64(n.no.ownIndex))
			yesLeaf, noLeaf = append(yesLeaf, int64(boolTo(n.yes.yes == nil))), append(noLeaf, int64(boolTo(n.no.yes == nil)))
			if n.mode == refMember {
				members = append(append(members, n.members...), math.NaN())
			}
		})
	}
	numbers := func(list []float64) *onnx.Tensor {
		return m.tensor("", refValue{kind: v.kind, shape: []int{len(list)}, data: list})
	}
	attributes := []onnx.Attribute{
		onnx.IntAttribute("n_targets", int64(targets)),
		onnx.IntAttribute("aggregate_function", int64(slices.Index([]string{"AVERAGE", "SUM", "MIN", "MAX"}, f.aggregate))),
		onnx.IntAttribute("post_transform", int64(slices.Index(transforms, f.transform))),
		onnx.IntsAttribute("tree_roots", roots...), onnx.IntsAttribute("nodes_featureids", features...),
		onnx.TensorAttribute("nodes_modes", onnx.NewTensor([]int{len(modes)}, modes)), onnx.TensorAttribute("nodes_splits", numbers(splits)),
		onnx.IntsAttribute("nodes_truenodeids", yes...), onnx.IntsAttribute("nodes_falsenodeids", no...),
		onnx.IntsAttribute("nodes_trueleafs", yesLeaf...), onnx.IntsAttribute("nodes_falseleafs", noLeaf...),
		onnx.IntsAttribute("nodes_missing_value_tracks_true", missing...),
		onnx.IntsAttribute("leaf_targetids", leafTargets...), onnx.TensorAttribute("leaf_weights", numbers(weights)),
	}
	if len(members) > 0 {
		attributes = append(attributes, onnx.TensorAttribute("membership_values", numbers(members)))
	}
	out := m.forestValues(v, f)
	out.kind = v.kind
	m.emitML("TreeEnsemble", []string{from}, attributes, out)
}
