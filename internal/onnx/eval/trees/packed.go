package trees

import (
	"math"
	"slices"
)

// A packedNode is a branch or leaf in the layout that is fast to walk, in one
// word: the key in the lower half; above it, in 8 bits, the column of the row's
// keys, and in the other 24 the child. Values are compared as integers, see
// [orderedKey].
//
// The two children of a branch stand next to each other: the row goes to child
// where its key is at most the node's, and to child+1 otherwise. A leaf is its
// own child, with a key that nothing exceeds, so that walking on changes nothing
// and all trees can take the same number of steps without a branch of the CPU.
type packedNode uint64

func packNode(key int32, column uint8, child uint32) packedNode {
	return packedNode(uint32(key)) | packedNode(column)<<32 | packedNode(child)<<40
}

// child is the first child, or the leaf itself.
func (n packedNode) child() uint32 { return uint32(n >> 40) }

// column is the column of the row's keys.
func (n packedNode) column() int { return int(uint8(n >> 32)) }

const (
	maxKeys  = 256     // columns that 8 bits can name
	maxNodes = 1 << 24 // nodes that 24 bits can name
	lanes    = 8       // trees, or rows, that are walked side by side
)

// A packedTrees is a forest in the fast layout. It takes every comparison but
// equality and membership, and missing values either way.
type packedTrees struct {
	nodes  []packedNode
	leaves []uint32 // by node: the leaf's number
	roots  []uint32
	depths []int32
	// features is the number of columns of a row that are looked at; where
	// doubled is set, the keys hold them twice: with missing values as the
	// largest key, and as the smallest.
	features int
	doubled  bool
	targets  int
	// treeTargets is the one target that a tree has weights for, where each tree
	// has one; a leaf has one weight then. Otherwise a leaf has a weight for
	// each target.
	treeTargets []int32
	weights     []float32
}

// orderedKey maps a float to an integer such that the integers compare as the
// floats do; both zeros give the same. NaN gives what the caller wants it to be.
func orderedKey(x float32, nan int32) int32 {
	if x != x {
		return nan
	}
	bits := int32(math.Float32bits(x + 0))
	return bits ^ (bits >> 31 & math.MaxInt32)
}

const (
	keyOfLeaf = math.MaxInt32     // not less than any key
	keyNaN    = math.MaxInt32     // a missing value that exceeds every threshold
	keyNaNYes = math.MinInt32     // a missing value that exceeds none
	keyNever  = math.MinInt32 + 1 // a threshold that only keyNaNYes meets
)

// threshold returns the key k such that a row takes the yes-branch where its own
// key is at most k (or, if swapped, where it is more).
func threshold(n *treeNode) (key int32, swapped bool) {
	v := orderedKey(float32(n.value), 0)
	switch n.mode {
	case branchLT, branchGTE:
		// x < v is x ≤ the float before v; keys of neighbours differ by one.
		// Below −∞ there is none.
		if math.IsInf(n.value, -1) {
			return keyNever, n.mode == branchGTE
		}
		return v - 1, n.mode == branchGTE
	default:
		return v, n.mode == branchGT
	}
}

// pack lays a forest out, or returns nil where the layout cannot hold it.
func pack(f *forest) *packedTrees {
	p := &packedTrees{features: f.features, targets: f.targets}
	if !p.accepts(f) || !p.packWeights(f) {
		return nil
	}
	p.nodes = make([]packedNode, 0, len(f.nodes))
	p.leaves = make([]uint32, 0, len(f.nodes))
	var queue []packItem
	for _, root := range f.roots {
		queue = p.packTree(f, root, queue)
	}
	if len(p.roots) == 0 {
		return nil
	}
	return p
}

// accepts looks at what the layout cannot express, and finds out whether missing
// values have to go both ways.
func (p *packedTrees) accepts(f *forest) bool {
	if f.shared || 2*len(f.nodes)+len(f.roots) >= maxNodes {
		return false // A shared leaf is packed once for each parent. A branch would be, with all below it.
	}
	for i := range f.nodes {
		n := &f.nodes[i]
		switch n.mode {
		case branchLeaf:
			continue
		case branchEQ, branchNEQ, branchMember:
			return false
		}
		if float64(float32(n.value)) != n.value {
			return false
		}
		if _, swapped := threshold(n); n.nanIsTrue != swapped {
			p.doubled = true
		}
	}
	keys := p.features
	if p.doubled {
		keys *= 2
	}
	return keys <= maxKeys
}

// packWeights finds a dense form of the weights: one a tree, or all targets.
func (p *packedTrees) packWeights(f *forest) bool {
	if p.packOneEach(f) {
		return true
	}
	p.treeTargets = nil
	inOrder := true
	for leaf := range len(f.starts) - 1 {
		ids := f.targetIDs[f.starts[leaf]:f.starts[leaf+1]]
		if len(ids) != f.targets {
			return false
		}
		for i, id := range ids {
			inOrder = inOrder && int(id) == i
			if !inOrder && slices.Contains(ids[:i], id) {
				return false
			}
		}
	}
	p.weights = f.weights.Singles()
	if inOrder {
		return true
	}
	p.weights = make([]float32, len(f.targetIDs))
	for i, id := range f.targetIDs {
		p.weights[i/f.targets*f.targets+int(id)] = float32(f.weights.At(i))
	}
	return true
}

// packOneEach takes a forest whose trees have weights for one target each.
func (p *packedTrees) packOneEach(f *forest) bool {
	for leaf := range len(f.starts) - 1 {
		if f.starts[leaf+1]-f.starts[leaf] != 1 {
			return false
		}
	}
	p.treeTargets = make([]int32, len(f.roots))
	covered := make([]bool, f.targets)
	var stack []int32
	for t, root := range f.roots {
		p.treeTargets[t] = -1
		stack = append(stack[:0], root)
		for len(stack) > 0 {
			n := &f.nodes[stack[len(stack)-1]]
			stack = stack[:len(stack)-1]
			if n.mode != branchLeaf {
				stack = append(stack, n.yes, n.no)
				continue
			}
			target := f.targetIDs[f.starts[n.leaf()]]
			if p.treeTargets[t] >= 0 && p.treeTargets[t] != target {
				return false
			}
			p.treeTargets[t] = target
			covered[target] = true
		}
	}
	if slices.Contains(covered, false) {
		return false
	}
	p.weights = f.weights.Singles()
	return true
}

// A packItem is a node that waits for its place in the fast layout.
type packItem struct {
	from int32
	to   uint32
}

// packTree appends one tree, level by level. queue is room to work in, which is
// returned for the next tree.
func (p *packedTrees) packTree(f *forest, root int32, queue []packItem) []packItem {
	first := uint32(len(p.nodes))
	p.roots = append(p.roots, first)
	p.depths = append(p.depths, int32(f.depth(root)))
	p.nodes, p.leaves = append(p.nodes, 0), append(p.leaves, 0)
	queue = append(queue[:0], packItem{root, first})
	for next := 0; next < len(queue); next++ {
		at := queue[next]
		n := &f.nodes[at.from]
		if n.mode == branchLeaf {
			p.nodes[at.to], p.leaves[at.to] = packNode(keyOfLeaf, 0, at.to), uint32(n.leaf())
			continue
		}
		child := uint32(len(p.nodes))
		p.nodes, p.leaves = append(p.nodes, 0, 0), append(p.leaves, 0, 0)
		key, swapped := threshold(n)
		column := n.feature
		if p.doubled && n.nanIsTrue != swapped {
			column += int32(p.features)
		}
		yes, no := n.yes, n.no
		if swapped {
			yes, no = no, yes
		}
		p.nodes[at.to] = packNode(key, uint8(column), child)
		queue = append(queue, packItem{yes, child}, packItem{no, child + 1})
	}
	return queue
}

// A keyRow holds the keys of one row.
type keyRow [maxKeys]int32

// keys converts a row.
func (p *packedTrees) keys(row []float32, keys *keyRow) {
	for j, x := range row[:p.features] {
		keys[j&(maxKeys-1)] = orderedKey(x, keyNaN)
	}
	if p.doubled {
		for j, x := range row[:p.features] {
			keys[(p.features+j)&(maxKeys-1)] = orderedKey(x, keyNaNYes)
		}
	}
}

// step1 walks one node down. The comparison is a subtraction, whose sign bit is
// added: the compiler turns an if into a jump, which the CPU guesses wrong every
// other time.
func step1(nodes []packedNode, at uint32, keys *keyRow) uint32 {
	n := nodes[at]
	ahead := int64(int32(n)) - int64(keys[uint8(n>>32)])
	return uint32(n>>40) + uint32(uint64(ahead)>>63)
}

// score adds up the weights of one row, in the order of the trees.
func (p *packedTrees) score(row, scores []float32) {
	var keys keyRow
	p.keys(row, &keys)
	clear(scores)
	nodes := p.nodes
	t := 0
	for ; t+lanes <= len(p.roots); t += lanes {
		roots := p.roots[t : t+lanes : t+lanes]
		a, b, c, d := roots[0], roots[1], roots[2], roots[3]
		e, f, g, h := roots[4], roots[5], roots[6], roots[7]
		for range slices.Max(p.depths[t : t+lanes]) {
			a, b = step1(nodes, a, &keys), step1(nodes, b, &keys)
			c, d = step1(nodes, c, &keys), step1(nodes, d, &keys)
			e, f = step1(nodes, e, &keys), step1(nodes, f, &keys)
			g, h = step1(nodes, g, &keys), step1(nodes, h, &keys)
		}
		for i, leaf := range [lanes]uint32{a, b, c, d, e, f, g, h} {
			p.add(t+i, p.leaves[leaf], scores)
		}
	}
	for ; t < len(p.roots); t++ {
		at := p.roots[t]
		for range p.depths[t] {
			at = step1(nodes, at, &keys)
		}
		p.add(t, p.leaves[at], scores)
	}
}

// add adds the weights of a leaf.
func (p *packedTrees) add(tree int, leaf uint32, scores []float32) {
	if p.treeTargets != nil {
		scores[p.treeTargets[tree]] += p.weights[leaf]
		return
	}
	weights := p.weights[int(leaf)*p.targets:][:p.targets]
	scores = scores[:len(weights)]
	for k, w := range weights {
		scores[k] += w
	}
}

// blockRows is how many rows go through one tree before the next tree: enough
// for the tree to stay in the nearest cache.
const blockRows = 64

// A keyBlock holds the keys of a block of rows.
type keyBlock [blockRows]keyRow

// scoreBlock adds up the weights of at most blockRows rows. sums has targets
// numbers a row. Each row's weights are added in the order of the trees, so that
// the sums are those of score.
func (p *packedTrees) scoreBlock(x []float32, columns int, sums []float32, block *keyBlock) {
	rows := len(x) / columns
	for i := range rows {
		p.keys(x[i*columns:(i+1)*columns], &block[i])
	}
	clear(sums)
	nodes := p.nodes
	for t, root := range p.roots {
		depth := p.depths[t]
		i := 0
		for ; i+lanes <= rows; i += lanes {
			k := (*[lanes]keyRow)(block[i : i+lanes])
			a, b, c, d, e, f, g, h := root, root, root, root, root, root, root, root
			for range depth {
				a, b = step1(nodes, a, &k[0]), step1(nodes, b, &k[1])
				c, d = step1(nodes, c, &k[2]), step1(nodes, d, &k[3])
				e, f = step1(nodes, e, &k[4]), step1(nodes, f, &k[5])
				g, h = step1(nodes, g, &k[6]), step1(nodes, h, &k[7])
			}
			for j, leaf := range [lanes]uint32{a, b, c, d, e, f, g, h} {
				p.add(t, p.leaves[leaf], sums[(i+j)*p.targets:(i+j+1)*p.targets])
			}
		}
		for ; i < rows; i++ {
			at := root
			for range depth {
				at = step1(nodes, at, &block[i])
			}
			p.add(t, p.leaves[at], sums[i*p.targets:(i+1)*p.targets])
		}
	}
}
