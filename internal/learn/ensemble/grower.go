package ensemble

import (
	"context"

	"github.com/petal-ml/petal/internal/learn/internal/trees"
)

// A grower grows one tree at a time and keeps its scratch memory.
type grower struct {
	*samples
	forest    *Growth
	criterion criterion
	drawn     int // features looked at in each node

	random  *trees.Random
	tree    *trees.Tree
	order   []uint32 // the tree's rows; a node has a range of them
	carried []uint32 // by row: what the criterion has to know of it
	chosen  []int    // features, those drawn first in front
	keys    []uint64
	scratch []uint64
	moved   []uint32 // rows that go right, while a node is cut in two
}

func newGrower(f *Growth, s *samples, c criterion) *grower {
	g := &grower{
		samples:   s,
		forest:    f,
		criterion: c,
		drawn:     f.drawn(s.features),
		carried:   make([]uint32, s.rows),
		chosen:    make([]int, s.features),
		moved:     make([]uint32, s.rows),
	}
	if !f.random {
		g.keys, g.scratch = make([]uint64, s.rows), make([]uint64, s.rows)
	}
	return g
}

// A part is a range of the grower's rows that waits to become a node.
type part struct {
	from, to int
	depth    int
	parent   int32 // −1 for the root
	right    bool  // which child of the parent it is
}

// grow returns a tree, or nil once ctx is done.
func (g *grower) grow(ctx context.Context, random *trees.Random) *trees.Tree {
	g.random, g.tree = random, &trees.Tree{}
	for j := range g.chosen {
		g.chosen[j] = j
	}
	g.sample()
	waiting := []part{{to: len(g.order), parent: -1}}
	for len(waiting) > 0 {
		p := waiting[len(waiting)-1]
		waiting = waiting[:len(waiting)-1]
		if p.to-p.from > 1000 && ctx.Err() != nil {
			return nil
		}
		node := g.link(p)
		s, ok := g.split(p)
		if !ok {
			g.leaf(node)
			continue
		}
		g.tree.Nodes[node] = trees.Node{Feature: int32(s.feature), Threshold: s.threshold}
		middle := g.cut(p, s)
		waiting = append(waiting,
			part{from: middle, to: p.to, depth: p.depth + 1, parent: node, right: true},
			part{from: p.from, to: middle, depth: p.depth + 1, parent: node})
	}
	return g.tree
}

// sample draws the tree's rows and their weights.
func (g *grower) sample() {
	g.order = g.order[:0]
	clear(g.carried)
	for i := range g.rows {
		if g.forest.bootstrap {
			g.carried[g.random.IntN(g.rows)]++
		} else {
			g.carried[i] = 1
		}
	}
	for i, weight := range g.carried {
		if weight > 0 {
			g.order = append(g.order, uint32(i))
		}
	}
	g.criterion.sampled(g.carried)
}

// link appends a node and tells its parent.
func (g *grower) link(p part) int32 {
	node := int32(len(g.tree.Nodes))
	g.tree.Nodes = append(g.tree.Nodes, trees.Node{})
	if p.parent >= 0 {
		if p.right {
			g.tree.Nodes[p.parent].Right = node
		} else {
			g.tree.Nodes[p.parent].Left = node
		}
	}
	return node
}

// leaf makes the node a leaf with the values that the criterion has for it.
func (g *grower) leaf(node int32) {
	g.tree.Nodes[node] = trees.Node{Feature: trees.Leaf, Left: int32(len(g.tree.Values))}
	g.tree.Values = g.criterion.leaf(g.tree.Values)
}

// A split sends rows with values up to the threshold left.
type split struct {
	feature   int
	threshold float32
	score     float64
}

// split adds up the node's rows and returns its best split, if it has one.
func (g *grower) split(p part) (best split, ok bool) {
	rows := g.order[p.from:p.to]
	pure := g.criterion.node(rows)
	if len(rows) < g.forest.MinSamplesSplit || len(rows) < 2*g.forest.MinSamplesLeaf ||
		g.forest.MaxDepth > 0 && p.depth >= g.forest.MaxDepth || pure {
		return split{}, false
	}
	best.score = -1
	usable := 0
	// A feature that is constant here counts as looked at, but at least one that
	// is not has to be found.
	for looked := 0; looked < g.features && (looked < g.drawn || usable == 0); looked++ {
		other := looked + g.random.IntN(g.features-looked)
		g.chosen[looked], g.chosen[other] = g.chosen[other], g.chosen[looked]
		feature := g.chosen[looked]
		var varies bool
		if g.forest.random {
			varies = g.randomSplit(rows, feature, &best)
		} else {
			varies = g.bestSplit(rows, feature, &best)
		}
		if varies {
			usable++
		}
	}
	return best, best.score >= 0
}

// bestSplit tries every threshold of a feature and improves best. It returns
// false where the feature is constant.
func (g *grower) bestSplit(rows []uint32, feature int, best *split) bool {
	c := &g.columns[feature]
	keys := g.keys[:len(rows)]
	lowest, highest := ^uint32(0), uint32(0)
	for at, i := range rows {
		rank := c.ranks[i]
		lowest, highest = min(lowest, rank), max(highest, rank)
		keys[at] = uint64(rank)<<32 | uint64(g.carried[i])
	}
	if lowest == highest || !c.apart(lowest, highest) {
		return false
	}
	keys = sortKeys(keys, g.scratch[:len(rows)], c.bits)
	if threshold, score := g.criterion.best(keys, c, g.forest.MinSamplesLeaf, best.score); score > best.score {
		*best = split{feature: feature, threshold: threshold, score: score}
	}
	return true
}

// randomSplit draws one threshold of a feature and improves best. It returns
// false where the feature is constant.
func (g *grower) randomSplit(rows []uint32, feature int, best *split) bool {
	values := g.columns[feature].values
	lowest, highest := values[rows[0]], values[rows[0]]
	for _, i := range rows {
		v := values[i]
		lowest, highest = min(lowest, v), max(highest, v)
	}
	if highest <= lowest+equalWithin {
		return false
	}
	drawn := float64(lowest) + float64(g.random.Float64()*(float64(highest)-float64(lowest)))
	threshold := trees.RoundDown(drawn)
	if threshold >= highest {
		threshold = lowest
	}
	left, score := g.criterion.at(rows, values, threshold)
	if left < g.forest.MinSamplesLeaf || len(rows)-left < g.forest.MinSamplesLeaf {
		return true
	}
	if score > best.score {
		*best = split{feature: feature, threshold: threshold, score: score}
	}
	return true
}

// cut puts the part's rows that go left in front and returns where the others
// begin. Rows keep their order.
func (g *grower) cut(p part, s split) int {
	values := g.columns[s.feature].values
	left, right := p.from, 0
	for at := p.from; at < p.to; at++ {
		i := g.order[at]
		if values[i] <= s.threshold {
			g.order[left] = i
			left++
		} else {
			g.moved[right] = i
			right++
		}
	}
	copy(g.order[left:p.to], g.moved[:right])
	return left
}
