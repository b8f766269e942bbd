package ensemble

import (
	"context"
	"math"

	"github.com/petal-ml/petal/internal/learn/internal/parallel"
	"github.com/petal-ml/petal/internal/learn/internal/trees"
)

// minHessian is the least sum of hessians on each side of a split.
const minHessian = 1e-3

// A treeBuilder grows the trees of a [booster], one at a time, and keeps its
// scratch memory.
type treeBuilder struct {
	*booster
	order   []uint32 // all rows; a node has a range of them, in ascending order
	scratch []uint32
	partial []histogram // of the workers beside the first
	free    []histogram

	chosen []int         // features, those drawn for a node in front
	drawn  int           // how many those are
	random *trees.Random // draws them; nil where all are
}

func newTreeBuilder(b *booster) *treeBuilder {
	t := &treeBuilder{
		booster: b,
		order:   make([]uint32, b.rows),
		scratch: make([]uint32, b.rows),
		chosen:  allRows(b.features),
		drawn:   max(1, int(b.model.MaxFeatures*float64(b.features))),
	}
	for range b.workers - 1 {
		t.partial = append(t.partial, newHistogram(len(b.words)))
	}
	return t
}

// A growing node is a leaf that may still be split.
type growing struct {
	node      int32
	depth     int
	from, to  int // its rows
	gradient  float64
	hessian   float64
	value     float64 // −gradient / hessian; 0 at the root
	histogram histogram
	best      candidate
	finished  bool // has no split, or may have none
}

// A candidate is a split of a growing node.
type candidate struct {
	gain        float64 // fall of the objective; not above 0 where there is no split
	feature     int
	bin         uint32     // the last that goes left
	bins        *trees.Set // of a categorical feature: those that go left
	missingLeft bool
	rowsLeft    int
	left, right moments
}

type moments struct{ gradient, hessian float64 }

// grow returns tree number number for the pairs and adds its values to raw.
func (t *treeBuilder) grow(ctx context.Context, raw []float64, number int) (*trees.Tree, error) {
	if t.drawn < t.features {
		t.random = trees.NewRandom(uint64(t.model.RandomState), number)
	}
	for i := range t.order {
		t.order[i] = uint32(i)
	}
	tree := &trees.Tree{Nodes: make([]trees.Node, 1)}
	root, err := t.root(ctx)
	if err != nil {
		return nil, err
	}
	leaves := []*growing{root}
	for len(leaves) < t.model.MaxLeafNodes {
		at := mostGain(leaves)
		if at < 0 {
			break
		}
		left, right, err := t.split(ctx, tree, leaves[at], len(leaves)+1)
		if err != nil {
			return nil, err
		}
		leaves[at] = left
		leaves = append(leaves, right)
	}
	for _, leaf := range leaves {
		t.release(leaf)
		tree.Nodes[leaf.node] = trees.Node{Feature: trees.Leaf, Left: int32(len(tree.Values))}
		if value, ok := t.objective.leaf(raw, t.order[leaf.from:leaf.to]); ok {
			leaf.value = value
		}
		tree.Values = append(tree.Values, leaf.value*t.model.LearningRate)
	}
	err = parallel.Do(ctx, t.workers, len(leaves), func(k int) {
		leaf, value := leaves[k], tree.Values[k]
		for _, i := range t.order[leaf.from:leaf.to] {
			raw[i] += value
		}
	})
	return tree, err
}

// mostGain returns the leaf to split next, or −1.
func mostGain(leaves []*growing) int {
	best := -1
	for i, leaf := range leaves {
		if !leaf.finished && (best < 0 || leaf.best.gain > leaves[best].best.gain) {
			best = i
		}
	}
	return best
}

func (t *treeBuilder) root(ctx context.Context) (*growing, error) {
	root := &growing{to: t.rows}
	if t.rows < 2*t.model.MinSamplesLeaf {
		root.finished = true
		return root, nil
	}
	root.histogram = t.take()
	if err := t.count(ctx, root.histogram, t.order); err != nil {
		return nil, err
	}
	var gradient int64
	var rest uint64
	for _, e := range root.histogram[0][0] {
		gradient += e.gradient
		rest += e.rest
	}
	m := t.moments(gradient, rest)
	root.gradient, root.hessian = m.gradient, m.hessian
	if root.hessian < minHessian {
		root.finished = true
		return root, nil
	}
	t.search(root)
	return root, nil
}

// split cuts a leaf in two, counts the smaller child and gets the larger one's
// histogram by subtraction. leaves is the number of leaves there are then.
func (t *treeBuilder) split(ctx context.Context, tree *trees.Tree, g *growing, leaves int) (left, right *growing, err error) {
	middle, err := t.partition(ctx, g)
	if err != nil {
		return nil, nil, err
	}
	c := g.best
	first := int32(len(tree.Nodes))
	tree.Nodes = append(tree.Nodes, trees.Node{}, trees.Node{})
	tree.Nodes[g.node] = t.branch(tree, g, middle, first)
	left = t.child(first, g, g.from, middle, c.left)
	right = t.child(first+1, g, middle, g.to, c.right)
	if leaves == t.model.MaxLeafNodes {
		left.finished, right.finished = true, true
	}
	if left.finished && right.finished {
		t.release(g)
		return left, right, nil
	}
	small, large := left, right
	if right.to-right.from < left.to-left.from {
		small, large = right, left
	}
	small.histogram, large.histogram = t.take(), g.histogram
	g.histogram = nil
	if err := t.count(ctx, small.histogram, t.order[small.from:small.to]); err != nil {
		return nil, nil, err
	}
	large.histogram.subtract(small.histogram)
	t.search(left)
	t.search(right)
	return left, right, nil
}

// branch is the inner node of a split. A split between the values and the
// missing ones has the largest float32 as threshold.
func (t *treeBuilder) branch(tree *trees.Tree, g *growing, middle int, left int32) trees.Node {
	c := &t.cuts[g.best.feature]
	n := trees.Node{Feature: int32(g.best.feature), Left: left, Right: left + 1, MissingLeft: g.best.missingLeft}
	if !c.missing { // none seen: with the larger part
		n.MissingLeft = middle-g.from > g.to-middle
	}
	if c.codes != nil {
		tree.Sets = append(tree.Sets, c.apart(g.best.bins, n.MissingLeft))
		n.Set = int32(len(tree.Sets))
		return n
	}
	n.Threshold = math.MaxFloat32
	if int(g.best.bin) < len(c.ends) {
		n.Threshold = c.ends[g.best.bin]
	}
	return n
}

// apart returns the codes that go another way than a missing value, and so than
// codes that training has not seen.
func (c *cut) apart(left *trees.Set, missingLeft bool) trees.Set {
	var set trees.Set
	for code := range missingBin {
		if c.codes.Has(code) && left.Has(code) != missingLeft {
			set.Add(code)
		}
	}
	return set
}

func (t *treeBuilder) child(node int32, parent *growing, from, to int, m moments) *growing {
	return &growing{
		node: node, depth: parent.depth + 1, from: from, to: to,
		gradient: m.gradient, hessian: m.hessian, value: t.value(m),
		finished: to-from < 2*t.model.MinSamplesLeaf || t.model.MaxDepth > 0 && parent.depth+1 >= t.model.MaxDepth,
	}
}

// value is the Newton step of a node.
func (t *treeBuilder) value(m moments) float64 {
	return -m.gradient / (m.hessian + t.model.L2Regularization + 1e-15)
}

func (t *treeBuilder) moments(gradient int64, rest uint64) moments {
	mask := uint64(1)<<t.fixed.sumBits - 1
	return moments{float64(gradient) / t.fixed.gradient, float64(rest&mask) / t.fixed.hessian}
}

// search finds the best split of a leaf, unless it may have none.
func (t *treeBuilder) search(g *growing) {
	if !g.finished {
		for _, j := range t.draw() {
			t.searchFeature(g, j)
		}
		g.finished = g.best.gain <= 0
	}
	if g.finished {
		t.release(g)
	}
}

// draw returns the features that the next node looks at.
func (t *treeBuilder) draw() []int {
	if t.random == nil {
		return t.chosen
	}
	for at := range t.drawn {
		other := at + t.random.IntN(t.features-at)
		t.chosen[at], t.chosen[other] = t.chosen[other], t.chosen[at]
	}
	return t.chosen[:t.drawn]
}

// searchFeature tries all splits of a feature: bins from the left with the
// missing values right, and where there are any, from the right with the missing
// values left.
func (t *treeBuilder) searchFeature(g *growing, feature int) {
	bins := &g.histogram[feature/packed][feature%packed]
	c := &t.cuts[feature]
	s := scan{treeBuilder: t, g: g, feature: feature}
	for _, e := range bins {
		s.totalGradient += e.gradient
		s.totalRest += e.rest
	}
	if c.codes != nil {
		s.searchSets(bins)
		return
	}
	last := len(c.ends) // the bin after the last end
	if c.missing {
		last++ // all values left, the missing ones right
	}
	for b := range last {
		s.gradient += bins[b].gradient
		s.rest += bins[b].rest
		if !s.try(uint32(b), false) {
			break
		}
	}
	if !c.missing {
		return
	}
	s.gradient, s.rest = s.totalGradient, s.totalRest
	for b := len(c.ends) - 1; b >= 0; b-- {
		s.gradient -= bins[b+1].gradient
		s.rest -= bins[b+1].rest
		if !s.try(uint32(b), true) {
			break
		}
	}
}

// A scan walks through the splits of one feature.
type scan struct {
	*treeBuilder
	g                       *growing
	feature                 int
	totalGradient, gradient int64 // of the node, of what goes left
	totalRest, rest         uint64
}

// try compares a split with the best so far. It returns false where no further
// one in its direction can be allowed.
func (s *scan) try(bin uint32, missingLeft bool) bool {
	rowsLeft := int(s.rest >> s.fixed.sumBits)
	rowsRight := int(s.totalRest>>s.fixed.sumBits) - rowsLeft
	left, right := s.moments(s.gradient, s.rest), s.moments(s.totalGradient-s.gradient, s.totalRest-s.rest)
	growing, shrinking := rowsLeft, rowsRight
	growingHessian, shrinkingHessian := left.hessian, right.hessian
	if missingLeft {
		growing, shrinking = shrinking, growing
		growingHessian, shrinkingHessian = shrinkingHessian, growingHessian
	}
	least := s.model.MinSamplesLeaf
	if shrinking < least || shrinkingHessian < minHessian && growing >= least {
		return false
	}
	if growing < least || growingHessian < minHessian {
		return true
	}
	if gain := s.gain(left, right); gain > s.g.best.gain {
		s.g.best = candidate{
			gain: gain, feature: s.feature, bin: bin, missingLeft: missingLeft,
			rowsLeft: rowsLeft, left: left, right: right,
		}
	}
	return true
}

// gain is how far a split lowers the objective.
func (s *scan) gain(left, right moments) float64 {
	return float64(s.g.gradient*s.g.value) - float64(left.gradient*s.value(left)) - float64(right.gradient*s.value(right))
}

// partition puts the rows that go left in front and returns where the others
// begin. Rows stay in ascending order. Each chunk is cut in two by itself; then
// its parts are moved to where they belong.
func (t *treeBuilder) partition(ctx context.Context, g *growing) (middle int, err error) {
	rows := t.order[g.from:g.to]
	pieces := chunksOf(len(rows))
	lefts := make([]int, pieces)
	err = parallel.Do(ctx, t.workers, pieces, func(c int) {
		from, to := c*chunkRows, min((c+1)*chunkRows, len(rows))
		lefts[c] = t.partitionChunk(&g.best, rows[from:to], t.scratch[from:to])
	})
	if err != nil {
		return 0, err
	}
	leftAt, rightAt := make([]int, pieces), make([]int, pieces)
	total := 0
	for c, n := range lefts {
		leftAt[c] = total
		total += n
	}
	at := total
	for c, n := range lefts {
		rightAt[c] = at
		at += min(chunkRows, len(rows)-c*chunkRows) - n
	}
	err = parallel.Do(ctx, t.workers, pieces, func(c int) {
		part := t.scratch[c*chunkRows : min((c+1)*chunkRows, len(rows))]
		copy(rows[leftAt[c]:], part[:lefts[c]])
		for i := range part[lefts[c]:] { // the right part stands there backwards
			rows[rightAt[c]+i] = part[len(part)-1-i]
		}
	})
	return g.from + total, err
}

// partitionChunk writes the rows that go left to dst from the front, and the
// others from the back. It has no branch that depends on the data.
func (t *treeBuilder) partitionChunk(c *candidate, rows, dst []uint32) (left int) {
	word := t.words[c.feature/packed]
	shift := 8 * (c.feature % packed)
	if c.bins != nil {
		return partitionSet(c.bins, word, shift, rows, dst)
	}
	missing := uint32(0)
	if c.missingLeft {
		missing = 1
	}
	right := len(dst) - 1
	for _, i := range rows {
		bin := word[i] >> shift & 0xff
		goes := uint32(0)
		if bin <= c.bin {
			goes = 1
		}
		if bin == missingBin {
			goes = missing
		}
		dst[left] = i
		dst[right] = i
		left += int(goes)
		right -= int(1 - goes)
	}
	return left
}

func (t *treeBuilder) take() histogram {
	if n := len(t.free); n > 0 {
		h := t.free[n-1]
		t.free = t.free[:n-1]
		return h
	}
	return newHistogram(len(t.words))
}

func (t *treeBuilder) release(g *growing) {
	if g.histogram != nil {
		t.free = append(t.free, g.histogram)
		g.histogram = nil
	}
}
