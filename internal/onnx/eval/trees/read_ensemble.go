package trees

import (
	"math"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/attributes"
	"github.com/petal-ml/petal/internal/onnx/eval/numeric"
)

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
	f := &forest{targets: targets, nodes: make([]treeNode, branches+leaves), weights: attributes.NumberList{Doubles: weights}}
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
		f.roots = append(f.roots, int32(root))
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
		f.targetIDs = append(f.targetIDs, int32(target))
		f.starts = append(f.starts, int32(i))
	}
	f.starts = append(f.starts, int32(len(raw.leafTargets)))
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
			return onnx.Invalid("attribute \"nodes_modes\": %d is not a mode", mode)
		}
		if raw.features[i] < 0 || raw.features[i] > math.MaxInt32-1 {
			return onnx.Invalid("attribute \"nodes_featureids\": %d is not a feature", raw.features[i])
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
	return int32(first + int(id)), nil
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
		numeric.Convert(out, data)
		return out, nil
	default:
		return nil, onnx.Unsupported("elements of type %v", t.Type())
	}
}
