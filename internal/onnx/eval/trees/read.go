package trees

import (
	"math"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/attributes"
)

// readForest reads the attributes that TreeEnsembleClassifier and
// TreeEnsembleRegressor share. prefix is "class" or "target".
func readForest(r *attributes.Reader, prefix string, targets int) (*forest, error) {
	raw := rawForest{
		trees: r.IntList("nodes_treeids"), ids: r.IntList("nodes_nodeids"), features: r.IntList("nodes_featureids"),
		modes: r.Strings("nodes_modes"), values: r.Numbers("nodes_values"),
		yes: r.IntList("nodes_truenodeids"), no: r.IntList("nodes_falsenodeids"),
		nanIsTrue:   r.IntList("nodes_missing_value_tracks_true"),
		weightTrees: r.IntList(prefix + "_treeids"), weightNodes: r.IntList(prefix + "_nodeids"),
		weightTargets: r.IntList(prefix + "_ids"), weights: r.Numbers(prefix + "_weights"),
	}
	r.Numbers("nodes_hitrates") // Statistics of the training, which change nothing.
	if r.Err != nil {
		return nil, r.Err
	}
	if err := raw.checkLengths(prefix); err != nil {
		return nil, err
	}
	f := &forest{targets: targets}
	index, roots, err := raw.index()
	if err != nil {
		return nil, err
	}
	f.roots = roots
	if err := raw.nodes(f, index); err != nil {
		return nil, err
	}
	if err := raw.leafWeights(f, index, prefix); err != nil {
		return nil, err
	}
	return f, f.check()
}

// A rawForest is a forest as the attributes spell it: parallel lists, with trees
// and nodes named by numbers of their own.
type rawForest struct {
	trees, ids, features, yes, no, nanIsTrue onnx.IntList
	modes                                    []string
	values                                   attributes.NumberList
	weightTrees, weightNodes, weightTargets  onnx.IntList
	weights                                  attributes.NumberList
}

func (raw *rawForest) checkLengths(prefix string) error {
	n := raw.ids.Len()
	if n == 0 {
		return onnx.Invalid("attribute \"nodes_nodeids\" has no nodes")
	}
	if n > math.MaxInt32/2 || raw.weightNodes.Len() > math.MaxInt32/2 {
		return onnx.At(onnx.ErrLimit, "%d nodes and %d weights", n, raw.weightNodes.Len())
	}
	lists := []struct {
		name     string
		len      int
		wanted   int
		optional bool
	}{
		{"nodes_treeids", raw.trees.Len(), n, false},
		{"nodes_featureids", raw.features.Len(), n, false},
		{"nodes_modes", len(raw.modes), n, false},
		{"nodes_values", raw.values.Len(), n, false},
		{"nodes_truenodeids", raw.yes.Len(), n, false},
		{"nodes_falsenodeids", raw.no.Len(), n, false},
		{"nodes_missing_value_tracks_true", raw.nanIsTrue.Len(), n, true},
		{prefix + "_treeids", raw.weightTrees.Len(), raw.weightNodes.Len(), false},
		{prefix + "_ids", raw.weightTargets.Len(), raw.weightNodes.Len(), false},
		{prefix + "_weights", raw.weights.Len(), raw.weightNodes.Len(), false},
	}
	for _, l := range lists {
		if l.len != l.wanted && (!l.optional || l.len != 0) {
			return onnx.Invalid("attribute %q has %d entries, %d wanted", l.name, l.len, l.wanted)
		}
	}
	return nil
}

// A nodeIndex finds a node by the numbers of its tree and of itself. Files
// nearly always number the nodes of a tree from 0 in order; then a tree's first
// index is enough, and otherwise there is a map.
type nodeIndex struct {
	first map[int64]int32 // by tree
	size  map[int64]int32 // by tree
	exact map[[2]int64]int32

	lastTree  int64 // the tree that was asked for before, and what is known of it
	lastFirst int32
	lastSize  int32
}

func (raw *rawForest) index() (*nodeIndex, []int32, error) {
	x := &nodeIndex{first: map[int64]int32{}, size: map[int64]int32{}}
	var roots []int32
	regular := true
	for i := range raw.trees.Len() {
		tree := raw.trees.At(i)
		first, seen := x.first[tree]
		if i > 0 && tree == raw.trees.At(i-1) {
			first, seen = x.lastFirst, true
		}
		if !seen {
			first = int32(i)
			x.first[tree], x.lastFirst = first, first
			roots = append(roots, first)
		}
		x.size[tree]++
		regular = regular && raw.ids.At(i) == int64(i)-int64(first)
	}
	x.lastSize = -1
	if regular {
		return x, roots, nil
	}
	x.exact = make(map[[2]int64]int32, raw.ids.Len())
	for i := range raw.ids.Len() {
		id := raw.ids.At(i)
		key := [2]int64{raw.trees.At(i), id}
		if _, twice := x.exact[key]; twice {
			return nil, nil, onnx.Invalid("node %d of tree %d stands twice", id, raw.trees.At(i))
		}
		x.exact[key] = int32(i)
	}
	return x, roots, nil
}

// find returns the index of a node, −1 where there is none.
func (x *nodeIndex) find(tree, id int64) int32 {
	if x.exact != nil {
		if i, ok := x.exact[[2]int64{tree, id}]; ok {
			return i
		}
		return -1
	}
	if x.lastSize < 0 || tree != x.lastTree {
		size, ok := x.size[tree]
		if !ok {
			return -1
		}
		x.lastTree, x.lastFirst, x.lastSize = tree, x.first[tree], size
	}
	if id < 0 || id >= int64(x.lastSize) {
		return -1
	}
	return x.lastFirst + int32(id)
}

// modeNamed reads a mode of the older operators.
func modeNamed(name string) (branchMode, bool) {
	switch name {
	case "BRANCH_LEQ":
		return branchLEQ, true
	case "LEAF":
		return branchLeaf, true
	case "BRANCH_LT":
		return branchLT, true
	case "BRANCH_GTE":
		return branchGTE, true
	case "BRANCH_GT":
		return branchGT, true
	case "BRANCH_EQ":
		return branchEQ, true
	case "BRANCH_NEQ":
		return branchNEQ, true
	default:
		return 0, false
	}
}

// nodes turns the lists into nodes, and numbers the leaves.
func (raw *rawForest) nodes(f *forest, index *nodeIndex) error {
	f.nodes = make([]treeNode, raw.ids.Len())
	leaves := int32(0)
	for i := range f.nodes {
		n := &f.nodes[i]
		var ok bool
		if n.mode, ok = modeNamed(raw.modes[i]); !ok {
			return onnx.Invalid("attribute \"nodes_modes\": %.40q is not a mode", raw.modes[i])
		}
		if n.mode == branchLeaf {
			n.yes = leaves
			leaves++
			continue
		}
		feature := raw.features.At(i)
		if feature < 0 || feature > math.MaxInt32-1 {
			return onnx.Invalid("attribute \"nodes_featureids\": %d is not a feature", feature)
		}
		n.feature = int32(feature)
		n.value = raw.values.At(i)
		n.nanIsTrue = raw.nanIsTrue.Len() > 0 && raw.nanIsTrue.At(i) == 1
		if n.yes = index.find(raw.trees.At(i), raw.yes.At(i)); n.yes < 0 {
			return onnx.Invalid("attribute \"nodes_truenodeids\": tree %d has no node %d", raw.trees.At(i), raw.yes.At(i))
		}
		if n.no = index.find(raw.trees.At(i), raw.no.At(i)); n.no < 0 {
			return onnx.Invalid("attribute \"nodes_falsenodeids\": tree %d has no node %d", raw.trees.At(i), raw.no.At(i))
		}
	}
	f.starts = make([]int32, leaves+1)
	return nil
}

// leafWeights sorts the weights by leaf, keeping their order within one.
func (raw *rawForest) leafWeights(f *forest, index *nodeIndex, prefix string) error {
	for i := range raw.weightNodes.Len() {
		tree, id, target := raw.weightTrees.At(i), raw.weightNodes.At(i), raw.weightTargets.At(i)
		node := index.find(tree, id)
		if node < 0 {
			return onnx.Invalid("attribute %q: tree %d has no node %d", prefix+"_nodeids", tree, id)
		}
		if target < 0 || target >= int64(f.targets) {
			return onnx.Invalid("attribute %q: %d is not below %d", prefix+"_ids", target, f.targets)
		}
		if n := &f.nodes[node]; n.mode == branchLeaf {
			f.starts[n.leaf()]++
		}
	}
	total := int32(0)
	for i, n := range f.starts { // Each start is its leaf's end first, and is counted down to the start below.
		total += n
		f.starts[i] = total
	}
	f.targetIDs = make([]int32, total)
	f.weights = raw.weights.EmptyOfLength(len(f.targetIDs))
	for i := raw.weightNodes.Len() - 1; i >= 0; i-- {
		n := &f.nodes[index.find(raw.weightTrees.At(i), raw.weightNodes.At(i))]
		if n.mode != branchLeaf {
			continue // Nothing reads the weight of a branch.
		}
		f.starts[n.leaf()]--
		to := f.starts[n.leaf()]
		f.targetIDs[to] = int32(raw.weightTargets.At(i))
		f.weights.CopyFrom(int(to), raw.weights, i)
	}
	return nil
}
