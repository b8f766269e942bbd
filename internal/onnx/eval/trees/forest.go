// Package trees reads and scores the tree ensembles of ai.onnx.ml:
// TreeEnsembleClassifier, TreeEnsembleRegressor and TreeEnsemble.
package trees

import (
	"math"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/attributes"
)

// A branchMode is the comparison of a tree's node. The numbers are those of
// TreeEnsemble's nodes_modes.
type branchMode uint8

const (
	branchLEQ branchMode = iota
	branchLT
	branchGTE
	branchGT
	branchEQ
	branchNEQ
	branchMember
	branchLeaf
)

// A treeNode is a node of a validated tree. There are many: it is kept small.
type treeNode struct {
	value     float64 // the threshold; of branchMember the index into forest.sets
	yes, no   int32   // the children, as indices into forest.nodes; of a leaf, yes is its number
	feature   int32
	mode      branchMode
	nanIsTrue bool // a missing value takes the true branch
}

// leaf is the number of a leaf, by which its weights are found.
func (n *treeNode) leaf() int32 { return n.yes }

// A forest is a tree ensemble as its operator describes it, checked, and not yet
// laid out for speed. All operators of trees become one.
type forest struct {
	nodes    []treeNode
	roots    []int32
	features int // the largest feature index, plus one
	sets     [][]float64
	// The weights of leaf i are weights[starts[i]:starts[i+1]], for the targets
	// in targetIDs.
	starts    []int32
	targetIDs []int32
	weights   attributes.NumberList
	targets   int
}

// An aggregate says how the weights of the trees are put together.
type aggregate uint8

const (
	aggregateAverage aggregate = iota
	aggregateSum
	aggregateMin
	aggregateMax
)

// check walks every tree from its root: each branch is reached once at most, so
// that there is no cycle, and every branch has a threshold.
func (f *forest) check() error {
	reached := make([]bool, len(f.nodes))
	var stack []int32
	for t, root := range f.roots {
		stack = append(stack[:0], root)
		for len(stack) > 0 {
			i := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			n := &f.nodes[i]
			if n.mode == branchLeaf {
				continue // Two branches may share a leaf.
			}
			if reached[i] {
				return onnx.Invalid("tree %d has a cycle, or a node with two parents (node %d of the ensemble)", t, i)
			}
			reached[i] = true
			if n.feature < 0 {
				return onnx.Invalid("node %d of the ensemble asks for feature %d", i, n.feature)
			}
			if math.IsNaN(n.value) && n.mode != branchMember {
				return onnx.Invalid("node %d of the ensemble has the threshold NaN", i)
			}
			f.features = max(f.features, int(n.feature)+1)
			stack = append(stack, n.yes, n.no)
		}
	}
	return nil
}

// depth returns the number of branches on the longest way down a tree.
func (f *forest) depth(root int32) int {
	type item struct {
		node  int32
		depth int
	}
	deepest := 0
	stack := []item{{root, 0}}
	for len(stack) > 0 {
		top := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		deepest = max(deepest, top.depth)
		if n := &f.nodes[top.node]; n.mode != branchLeaf {
			stack = append(stack, item{n.yes, top.depth + 1}, item{n.no, top.depth + 1})
		}
	}
	return deepest
}

// takesYes says where a value goes at a branch.
func (f *forest) takesYes(n *treeNode, x float64) bool {
	var yes bool
	switch n.mode {
	case branchLEQ:
		yes = x <= n.value
	case branchLT:
		yes = x < n.value
	case branchGTE:
		yes = x >= n.value
	case branchGT:
		yes = x > n.value
	case branchEQ:
		yes = x == n.value
	case branchNEQ:
		yes = x != n.value
	case branchMember:
		for _, v := range f.sets[int(n.value)] {
			if x == v {
				yes = true
				break
			}
		}
	case branchLeaf:
	}
	return yes || n.nanIsTrue && x != x
}

// leafOf walks down one tree. It serves what the fast layout does not cover, and
// as the reference for what it does.
func leafOf[T float32 | float64](f *forest, root int32, row []T) int32 {
	n := &f.nodes[root]
	for n.mode != branchLeaf {
		if f.takesYes(n, float64(row[n.feature])) {
			n = &f.nodes[n.yes]
		} else {
			n = &f.nodes[n.no]
		}
	}
	return n.leaf()
}

// A treeScorer turns rows into the sums (or averages, minima, maxima) of the
// weights of their leaves.
type treeScorer struct {
	forest    *forest
	fast      *packedTrees // nil where the plain walk is taken
	aggregate aggregate
}

// newTreeScorer takes the fast layout where it can; rows of doubles cannot.
func newTreeScorer(f *forest, a aggregate, rows onnx.ElementType) *treeScorer {
	s := &treeScorer{forest: f, aggregate: a}
	if rows != onnx.Double && (a == aggregateSum || a == aggregateAverage) {
		s.fast = pack(f)
	}
	if s.fast != nil {
		s.forest = &forest{roots: f.roots, features: f.features, targets: f.targets} // Let go of the nodes.
	}
	return s
}

// accumulate walks all trees of one row and merges the weights into scores. has
// says which targets got a weight.
func accumulate[T float32 | float64](s *treeScorer, row, scores []T, has []bool) {
	f := s.forest
	clear(scores)
	clear(has)
	for _, root := range f.roots {
		leaf := leafOf(f, root, row)
		for k := f.starts[leaf]; k < f.starts[leaf+1]; k++ {
			target, w := f.targetIDs[k], T(f.weights.At(int(k)))
			switch {
			case s.aggregate == aggregateSum || s.aggregate == aggregateAverage:
				scores[target] += w
			case !has[target],
				s.aggregate == aggregateMin && w < scores[target],
				s.aggregate == aggregateMax && w > scores[target]:
				scores[target] = w
			}
			has[target] = true
		}
	}
	if s.aggregate == aggregateAverage {
		for i := range scores {
			scores[i] /= T(len(f.roots))
		}
	}
}
