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
	features int  // the largest feature index, plus one
	shared   bool // a branch has several parents: the trees are graphs
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

// check walks every tree from its root: there is no cycle, and every branch has a
// threshold. Branches may share what they lead to, as converters write it for sets
// of categories.
func (f *forest) check() error {
	var fault error
	shared, cycle := f.eachBelowFirst(func(i int32) {
		switch n := &f.nodes[i]; {
		case n.mode == branchLeaf:
		case n.feature < 0:
			fault = onnx.Invalid("node %d of the ensemble asks for feature %d", i, n.feature)
		case math.IsNaN(n.value) && n.mode != branchMember:
			fault = onnx.Invalid("node %d of the ensemble has the threshold NaN", i)
		default:
			f.features = max(f.features, int(n.feature)+1)
		}
	})
	if cycle >= 0 {
		return onnx.Invalid("the ensemble has a cycle (through node %d)", cycle)
	}
	f.shared = shared
	return fault
}

// eachBelowFirst calls do once for each node that a root leads to, those below it
// first. shared says that a branch has several parents. cycle is a node that leads
// to itself, where it stops; −1 where none does.
func (f *forest) eachBelowFirst(do func(i int32)) (shared bool, cycle int32) {
	const open, done = 1, 2
	state := make([]uint8, len(f.nodes))
	var stack []int32
	for _, root := range f.roots {
		stack = append(stack[:0], root)
		for len(stack) > 0 {
			i := stack[len(stack)-1]
			n := &f.nodes[i]
			if state[i] == 0 && n.mode != branchLeaf {
				state[i] = open
				for _, child := range [2]int32{n.yes, n.no} {
					if state[child] == open {
						return shared, child
					}
					stack = append(stack, child)
				}
				continue
			}
			stack = stack[:len(stack)-1]
			if state[i] == done { // by way of another parent
				shared = shared || n.mode != branchLeaf
				continue
			}
			state[i] = done
			do(i)
		}
	}
	return shared, -1
}

// depth returns the number of branches on the longest way down a tree whose
// branches are not shared.
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
