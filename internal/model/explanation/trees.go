package explanation

import (
	"fmt"

	"github.com/petal-ml/petal/internal/onnx"
)

// maxValues bounds the expected values that are kept: one a node and target.
const maxValues = 1 << 24

// trees are an ensemble with the expected values of all nodes.
type trees struct {
	targets int
	nodes   []node
	roots   []int
	base    []float64
	average float64   // what each tree's values are multiplied with
	values  []float64 // targets a node
}

type node struct {
	mode        string
	feature     int
	threshold   float32
	missingTrue bool
	yes, no     int // indices of nodes
}

const leaf = "LEAF"

// modes are the comparisons of a node.
var modes = map[string]func(x, threshold float32) bool{
	"BRANCH_LEQ": func(x, t float32) bool { return x <= t },
	"BRANCH_LT":  func(x, t float32) bool { return x < t },
	"BRANCH_GTE": func(x, t float32) bool { return x >= t },
	"BRANCH_GT":  func(x, t float32) bool { return x > t },
	"BRANCH_EQ":  func(x, t float32) bool { return x == t },
	"BRANCH_NEQ": func(x, t float32) bool { return x != t },
}

// place names a node in the file's parallel lists.
type place struct{ tree, id int64 }

// newTrees reads an ensemble. The graph has been compiled before, so that its
// lists are as long as one another and its trees are trees. Shared says that each
// tree gives shares, and that a later step takes their mean.
func newTrees(n *onnx.Node, classes int, shared bool) (*trees, int, error) {
	prefix := "target"
	if n.Operator == "TreeEnsembleClassifier" {
		prefix = "class"
	}
	ids, treeIDs := ints(n, "nodes_nodeids"), ints(n, "nodes_treeids")
	thresholds, weights := floats(n, "nodes_values"), floats(n, prefix+"_weights")
	aggregate := n.Attribute("aggregate_function")
	switch {
	case len(thresholds) != len(ids) || len(weights) == 0:
		return nil, 0, fmt.Errorf("%w: its trees are written in doubles", ErrUnsupported)
	case aggregate != nil && aggregate.String != "SUM" && aggregate.String != "AVERAGE":
		return nil, 0, fmt.Errorf("%w: its trees are not summed up", ErrUnsupported)
	}
	t := &trees{nodes: make([]node, len(ids)), average: 1}
	index := make(map[place]int, len(ids))
	for i := range ids {
		index[place{treeIDs[i], ids[i]}] = i
	}
	t.link(n, index)
	if shared || aggregate != nil && aggregate.String == "AVERAGE" {
		t.average = 1 / float64(len(t.roots))
	}
	targetIDs := ints(n, prefix+"_ids")
	t.targets = targetsOf(n, targetIDs, classes)
	if len(t.nodes)*t.targets > maxValues {
		return nil, 0, fmt.Errorf("%w: it has too many trees to keep the values of", ErrUnsupported)
	}
	t.values = make([]float64, len(t.nodes)*t.targets)
	weightTrees, weightNodes := ints(n, prefix+"_treeids"), ints(n, prefix+"_nodeids")
	for i, w := range weights {
		target := int(targetIDs[i])
		if t.targets == 1 {
			target = 0
		}
		t.values[index[place{weightTrees[i], weightNodes[i]}]*t.targets+target] += float64(w) * t.average
	}
	for _, root := range t.roots {
		t.expect(root)
	}
	t.base = make([]float64, t.targets)
	for i, b := range floats(n, "base_values") {
		if i < t.targets {
			t.base[i] = float64(b)
		}
	}
	return t, t.targets, nil
}

// targetsOf counts the scores. Two classes may share one, that of the second.
func targetsOf(n *onnx.Node, targetIDs []int64, classes int) int {
	if classes == 0 {
		if a := n.Attribute("n_targets"); a != nil {
			return int(a.Int)
		}
		return 1
	}
	distinct := map[int64]bool{}
	for _, id := range targetIDs {
		distinct[id] = true
	}
	if classes == 2 && len(distinct) == 1 {
		return 1
	}
	return classes
}

// link finds the children of all nodes, and the roots, which are nobody's.
func (t *trees) link(n *onnx.Node, index map[place]int) {
	treeIDs, features, thresholds := ints(n, "nodes_treeids"), ints(n, "nodes_featureids"), floats(n, "nodes_values")
	yes, no, missing := ints(n, "nodes_truenodeids"), ints(n, "nodes_falsenodeids"), ints(n, "nodes_missing_value_tracks_true")
	isChild := make([]bool, len(t.nodes))
	for i, mode := range texts(n, "nodes_modes") {
		t.nodes[i] = node{mode: mode, feature: int(features[i]), threshold: thresholds[i], missingTrue: len(missing) > i && missing[i] != 0}
		if mode == leaf {
			continue
		}
		t.nodes[i].yes, t.nodes[i].no = index[place{treeIDs[i], yes[i]}], index[place{treeIDs[i], no[i]}]
		isChild[t.nodes[i].yes], isChild[t.nodes[i].no] = true, true
	}
	for i, child := range isChild {
		if !child {
			t.roots = append(t.roots, i)
		}
	}
}

// expect computes the values of a node from those of its children.
func (t *trees) expect(i int) []float64 {
	own := t.values[i*t.targets : (i+1)*t.targets]
	if n := &t.nodes[i]; n.mode != leaf {
		yes, no := t.expect(n.yes), t.expect(n.no)
		for k := range own {
			own[k] = (yes[k] + no[k]) / 2
		}
	}
	return own
}

func (*trees) method() string { return MethodTrees }

func (t *trees) explain(row []float32, target int, contributions []float64) float64 {
	baseline := t.base[target]
	for _, at := range t.roots {
		baseline += t.values[at*t.targets+target]
		for t.nodes[at].mode != leaf {
			n := &t.nodes[at]
			x := row[n.feature]
			next := n.no
			if x != x && n.missingTrue || x == x && modes[n.mode](x, n.threshold) {
				next = n.yes
			}
			contributions[n.feature] += t.values[next*t.targets+target] - t.values[at*t.targets+target]
			at = next
		}
	}
	return baseline
}
