package onnx

import (
	"math"
)

// readForest reads the attributes that TreeEnsembleClassifier and
// TreeEnsembleRegressor share. prefix is "class" or "target".
func readForest(r *attributeReader, prefix string, targets int) (*forest, error) {
	raw := rawForest{
		trees: r.ints("nodes_treeids"), ids: r.ints("nodes_nodeids"), features: r.ints("nodes_featureids"),
		modes: r.strings("nodes_modes"), values: r.numbers("nodes_values"),
		yes: r.ints("nodes_truenodeids"), no: r.ints("nodes_falsenodeids"),
		nanIsTrue:   r.ints("nodes_missing_value_tracks_true"),
		weightTrees: r.ints(prefix + "_treeids"), weightNodes: r.ints(prefix + "_nodeids"),
		weightTargets: r.ints(prefix + "_ids"), weights: r.numbers(prefix + "_weights"),
	}
	r.numbers("nodes_hitrates") // Statistics of the training, which change nothing.
	if r.err != nil {
		return nil, r.err
	}
	if err := raw.checkLengths(prefix); err != nil {
		return nil, err
	}
	f := &forest{targets: targets}
	if err := raw.nodes(f); err != nil {
		return nil, err
	}
	if err := raw.leafWeights(f, prefix); err != nil {
		return nil, err
	}
	return f, f.check()
}

// numbers reads a list of floats, or its twin in a tensor of doubles, named
// …_as_tensor.
func (r *attributeReader) numbers(name string) numberList {
	list := numberList{floats: r.floats(name)}
	t := r.tensor(name + "_as_tensor")
	if t == nil {
		return list
	}
	switch data := t.Data.(type) {
	case []float64:
		list.doubles = data
	case []float32:
		list.floats = data
	default:
		if r.err == nil {
			r.err = unsupported("attribute %q has elements of type %v", name+"_as_tensor", t.Type())
		}
	}
	return list
}

// A numberList is a list of floats or of doubles.
type numberList struct {
	floats  []float32
	doubles []float64
}

func (l numberList) len() int { return max(len(l.floats), len(l.doubles)) }

func (l numberList) at(i int) float64 {
	if l.doubles != nil {
		return l.doubles[i]
	}
	return float64(l.floats[i])
}

// A rawForest is a forest as the attributes spell it: parallel lists, with trees
// and nodes named by numbers of their own.
type rawForest struct {
	trees, ids, features, yes, no, nanIsTrue []int64
	modes                                    []string
	values                                   numberList
	weightTrees, weightNodes, weightTargets  []int64
	weights                                  numberList
}

func (raw *rawForest) checkLengths(prefix string) error {
	n := len(raw.ids)
	if n == 0 {
		return invalid("attribute \"nodes_nodeids\" has no nodes")
	}
	if n > math.MaxInt32/2 || len(raw.weightNodes) > math.MaxInt32/2 {
		return at(ErrLimit, "%d nodes and %d weights", n, len(raw.weightNodes))
	}
	lists := []struct {
		name     string
		len      int
		wanted   int
		optional bool
	}{
		{"nodes_treeids", len(raw.trees), n, false},
		{"nodes_featureids", len(raw.features), n, false},
		{"nodes_modes", len(raw.modes), n, false},
		{"nodes_values", raw.values.len(), n, false},
		{"nodes_truenodeids", len(raw.yes), n, false},
		{"nodes_falsenodeids", len(raw.no), n, false},
		{"nodes_missing_value_tracks_true", len(raw.nanIsTrue), n, true},
		{prefix + "_treeids", len(raw.weightTrees), len(raw.weightNodes), false},
		{prefix + "_ids", len(raw.weightTargets), len(raw.weightNodes), false},
		{prefix + "_weights", raw.weights.len(), len(raw.weightNodes), false},
	}
	for _, l := range lists {
		if l.len != l.wanted && (!l.optional || l.len != 0) {
			return invalid("attribute %q has %d entries, %d wanted", l.name, l.len, l.wanted)
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
	for i, tree := range raw.trees {
		first, seen := x.first[tree]
		if i > 0 && tree == raw.trees[i-1] {
			first, seen = x.lastFirst, true
		}
		if !seen {
			first = int32(i)
			x.first[tree], x.lastFirst = first, first
			roots = append(roots, first)
		}
		x.size[tree]++
		regular = regular && raw.ids[i] == int64(i)-int64(first)
	}
	x.lastSize = -1
	if regular {
		return x, roots, nil
	}
	x.exact = make(map[[2]int64]int32, len(raw.ids))
	for i, id := range raw.ids {
		key := [2]int64{raw.trees[i], id}
		if _, twice := x.exact[key]; twice {
			return nil, nil, invalid("node %d of tree %d stands twice", id, raw.trees[i])
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
	return x.lastFirst + int32(id) //nolint:gosec // id is less than an int32.
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
func (raw *rawForest) nodes(f *forest) error {
	index, roots, err := raw.index()
	if err != nil {
		return err
	}
	f.roots = roots
	f.nodes = make([]treeNode, len(raw.ids))
	leaves := int32(0)
	for i := range f.nodes {
		n := &f.nodes[i]
		var ok bool
		if n.mode, ok = modeNamed(raw.modes[i]); !ok {
			return invalid("attribute \"nodes_modes\": %.40q is no mode", raw.modes[i])
		}
		if n.mode == branchLeaf {
			n.leaf = leaves
			leaves++
			continue
		}
		if raw.features[i] < 0 || raw.features[i] > math.MaxInt32-1 {
			return invalid("attribute \"nodes_featureids\": %d", raw.features[i])
		}
		n.feature = int32(raw.features[i])
		n.value = raw.values.at(i)
		n.nanIsTrue = len(raw.nanIsTrue) > 0 && raw.nanIsTrue[i] == 1
		if n.yes = index.find(raw.trees[i], raw.yes[i]); n.yes < 0 {
			return invalid("attribute \"nodes_truenodeids\": tree %d has no node %d", raw.trees[i], raw.yes[i])
		}
		if n.no = index.find(raw.trees[i], raw.no[i]); n.no < 0 {
			return invalid("attribute \"nodes_falsenodeids\": tree %d has no node %d", raw.trees[i], raw.no[i])
		}
	}
	f.starts = make([]int32, leaves+1)
	return nil
}

// leafWeights sorts the weights by leaf, keeping their order within one.
func (raw *rawForest) leafWeights(f *forest, prefix string) error {
	index, _, err := raw.index()
	if err != nil {
		return err
	}
	leafOf := make([]int32, len(raw.weightNodes)) // −1 for the weight of a branch, which nothing reads
	for i, id := range raw.weightNodes {
		node := index.find(raw.weightTrees[i], id)
		if node < 0 {
			return invalid("attribute %q: tree %d has no node %d", prefix+"_nodeids", raw.weightTrees[i], id)
		}
		if t := raw.weightTargets[i]; t < 0 || t >= int64(f.targets) {
			return invalid("attribute %q: %d is not below %d", prefix+"_ids", t, f.targets)
		}
		leafOf[i] = -1
		if n := &f.nodes[node]; n.mode == branchLeaf {
			leafOf[i] = n.leaf
			f.starts[n.leaf+1]++
		}
	}
	for i := 1; i < len(f.starts); i++ {
		f.starts[i] += f.starts[i-1]
	}
	next := append([]int32(nil), f.starts...)
	f.targetIDs = make([]int32, f.starts[len(f.starts)-1])
	f.weights = make([]float64, len(f.targetIDs))
	for i, leaf := range leafOf {
		if leaf < 0 {
			continue
		}
		f.targetIDs[next[leaf]] = int32(raw.weightTargets[i]) //nolint:gosec // Below f.targets.
		f.weights[next[leaf]] = raw.weights.at(i)
		next[leaf]++
	}
	return nil
}
