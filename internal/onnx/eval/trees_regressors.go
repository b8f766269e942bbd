package eval

import (
	"github.com/petal-ml/petal/internal/onnx"
	"math"
)

func compileTreeRegressor(n *nodeCompiler) (kernel, error) {
	r := n.attributes()
	m := &treeModel{transform: r.postTransform(), output: onnx.Float}
	targets := r.int("n_targets", 1)
	base := r.numbers("base_values")
	kind := map[string]aggregate{"SUM": aggregateSum, "AVERAGE": aggregateAverage, "MIN": aggregateMin, "MAX": aggregateMax}[r.oneOf("aggregate_function", "SUM", "AVERAGE", "MIN", "MAX")]
	if r.err != nil {
		return nil, r.err
	}
	if targets < 1 || targets > math.MaxInt16 {
		return nil, onnx.Invalid("attribute \"n_targets\" is %d", targets)
	}
	f, err := readForest(r, "target", int(targets))
	if err != nil {
		return nil, err
	}
	if err := m.setBase(base, f.targets); err != nil {
		return nil, err
	}
	m.use(f, kind, n.inputs[0].typ.Element)
	if err := m.checkInput(n); err != nil {
		return nil, err
	}
	n.part = m
	n.outputs[0] = n.rows(onnx.Float, onnx.Fixed(f.targets))
	return m.regressorKernel, nil
}

// use takes over a forest.
func (m *treeModel) use(f *forest, a aggregate, rows onnx.ElementType) {
	m.scorer = newTreeScorer(f, a, rows)
	targets := f.targets
	m.pool.New = func() any { return newScratch[float32](targets) }
}

// compileTreeEnsemble compiles the operator that replaced the two others in
// version 5 of ai.onnx.ml: branches and leaves are numbered apart.
func compileTreeEnsemble(n *nodeCompiler) (kernel, error) {
	r := n.attributes()
	m := &treeModel{output: onnx.Float}
	kind, transform := r.int("aggregate_function", 1), r.int("post_transform", 0)
	targets := r.int("n_targets", 1)
	raw := rawEnsemble{
		roots: r.ints("tree_roots"), features: r.ints("nodes_featureids"),
		modes: r.tensor("nodes_modes"), splits: r.tensor("nodes_splits"),
		yes: r.ints("nodes_truenodeids"), no: r.ints("nodes_falsenodeids"),
		yesLeaf: r.ints("nodes_trueleafs"), noLeaf: r.ints("nodes_falseleafs"),
		nanIsTrue: r.ints("nodes_missing_value_tracks_true"), members: r.tensor("membership_values"),
		leafTargets: r.ints("leaf_targetids"), leafWeights: r.tensor("leaf_weights"),
	}
	r.tensor("nodes_hitrates")
	if r.err != nil {
		return nil, r.err
	}
	if kind < 0 || kind > 3 || transform < 0 || transform > 4 {
		return nil, onnx.Invalid("attribute \"aggregate_function\" is %d, \"post_transform\" %d", kind, transform)
	}
	if targets < 1 || targets > math.MaxInt16 {
		return nil, onnx.Invalid("attribute \"n_targets\" is %d", targets)
	}
	element, err := n.elementOf(0, onnx.Float, onnx.Double)
	if err != nil {
		return nil, err
	}
	f, err := raw.forest(int(targets))
	if err != nil {
		return nil, err
	}
	// onnxruntime counts LOGISTIC as 1 and SOFTMAX as 2, other than the
	// specification.
	m.transform, m.output = postTransform(transform), element
	m.use(f, aggregate(kind), element)
	if err := m.checkInput(n); err != nil {
		return nil, err
	}
	if element == onnx.Float {
		n.part = m
	}
	n.outputs[0] = n.rows(element, onnx.Fixed(f.targets))
	return m.ensembleKernel, nil
}

// A rawEnsemble is a forest as TreeEnsemble's attributes spell it.
type rawEnsemble struct {
	roots, features, yes, no, yesLeaf, noLeaf, nanIsTrue, leafTargets []int64
	modes, splits, members, leafWeights                               *onnx.Tensor
}

// forest checks the lists and builds the nodes: the branches first, the leaves
// after them.
func (raw *rawEnsemble) forest(targets int) (*forest, error) {
	if raw.modes == nil || raw.splits == nil || raw.leafWeights == nil {
		return nil, onnx.Invalid("attribute \"nodes_modes\", \"nodes_splits\" or \"leaf_weights\" is missing")
	}
	modes, ok := raw.modes.Data.([]uint8)
	splits, err := doublesOf(raw.splits)
	weights, err2 := doublesOf(raw.leafWeights)
	if !ok || err != nil || err2 != nil {
		return nil, onnx.Unsupported("attribute \"nodes_modes\", \"nodes_splits\" or \"leaf_weights\" has elements of another type than uint8, float or double")
	}
	branches, leaves := len(raw.features), len(raw.leafTargets)
	for name, got := range map[string]int{
		"nodes_modes": len(modes), "nodes_splits": len(splits), "nodes_truenodeids": len(raw.yes), "nodes_falsenodeids": len(raw.no),
		"nodes_trueleafs": len(raw.yesLeaf), "nodes_falseleafs": len(raw.noLeaf),
	} {
		if got != branches {
			return nil, onnx.Invalid("attribute %q has %d entries, %d wanted", name, got, branches)
		}
	}
	if len(weights) != leaves || leaves == 0 {
		return nil, onnx.Invalid("attribute \"leaf_weights\" has %d entries for %d in \"leaf_targetids\"", len(weights), leaves)
	}
	if len(raw.nanIsTrue) != 0 && len(raw.nanIsTrue) != branches {
		return nil, onnx.Invalid("attribute \"nodes_missing_value_tracks_true\" has %d entries, %d wanted", len(raw.nanIsTrue), branches)
	}
	f := &forest{targets: targets, nodes: make([]treeNode, branches+leaves), weights: numberList{doubles: weights}}
	if err := raw.leaves(f, branches); err != nil {
		return nil, err
	}
	if err := raw.branches(f, modes, splits); err != nil {
		return nil, err
	}
	for _, root := range raw.roots {
		if root < 0 || root >= int64(branches) {
			return nil, onnx.Invalid("attribute \"tree_roots\": there is no node %d", root)
		}
		f.roots = append(f.roots, int32(root)) //nolint:gosec // Just checked.
	}
	if len(f.roots) == 0 {
		return nil, onnx.Invalid("attribute \"tree_roots\" is empty")
	}
	return f, f.check()
}

func (raw *rawEnsemble) leaves(f *forest, branches int) error {
	for i, target := range raw.leafTargets {
		if target < 0 || target >= int64(f.targets) {
			return onnx.Invalid("attribute \"leaf_targetids\": %d is not below %d", target, f.targets)
		}
		f.nodes[branches+i] = treeNode{mode: branchLeaf, yes: int32(i)}
		f.targetIDs = append(f.targetIDs, int32(target)) //nolint:gosec // Below f.targets.
		f.starts = append(f.starts, int32(i))
	}
	f.starts = append(f.starts, int32(len(raw.leafTargets))) //nolint:gosec // As above.
	return nil
}

func (raw *rawEnsemble) branches(f *forest, modes []uint8, splits []float64) error {
	sets, err := raw.sets()
	if err != nil {
		return err
	}
	f.sets = sets
	next := int32(0)
	for i, mode := range modes {
		if mode > uint8(branchMember) {
			return onnx.Invalid("attribute \"nodes_modes\": %d is no mode", mode)
		}
		if raw.features[i] < 0 || raw.features[i] > math.MaxInt32-1 {
			return onnx.Invalid("attribute \"nodes_featureids\": %d", raw.features[i])
		}
		n := treeNode{
			mode: branchMode(mode), feature: int32(raw.features[i]), value: splits[i],
			nanIsTrue: len(raw.nanIsTrue) > 0 && raw.nanIsTrue[i] == 1,
		}
		if n.mode == branchMember {
			if int(next) >= len(sets) {
				return onnx.Invalid("attribute \"membership_values\" has %d sets, more are asked for", len(sets))
			}
			n.value = float64(next)
			next++
		}
		if n.yes, err = raw.child(raw.yes[i], raw.yesLeaf[i], len(modes)); err != nil {
			return err
		}
		if n.no, err = raw.child(raw.no[i], raw.noLeaf[i], len(modes)); err != nil {
			return err
		}
		f.nodes[i] = n
	}
	return nil
}

// child returns the node that a branch leads to: another branch, or a leaf.
func (raw *rawEnsemble) child(id, isLeaf int64, branches int) (int32, error) {
	limit, first := branches, 0
	if isLeaf != 0 {
		limit, first = len(raw.leafTargets), branches
	}
	if id < 0 || id >= int64(limit) {
		return 0, onnx.Invalid("a branch leads to node %d, which is not below %d", id, limit)
	}
	return int32(first + int(id)), nil //nolint:gosec // Just checked.
}

// sets splits membership_values at its NaNs.
func (raw *rawEnsemble) sets() ([][]float64, error) {
	if raw.members == nil {
		return nil, nil
	}
	values, err := doublesOf(raw.members)
	if err != nil {
		return nil, err
	}
	var sets [][]float64
	start := 0
	for i, v := range values {
		if math.IsNaN(v) {
			sets = append(sets, values[start:i])
			start = i + 1
		}
	}
	return sets, nil
}

// doublesOf returns the elements of a float or double tensor.
func doublesOf(t *onnx.Tensor) ([]float64, error) {
	switch data := t.Data.(type) {
	case []float64:
		return data, nil
	case []float32:
		out := make([]float64, len(data))
		convert(out, data)
		return out, nil
	default:
		return nil, onnx.Unsupported("elements of type %v", t.Type())
	}
}
