package ensemble

import "math"

// A criterion scores the splits of a node of a forest's tree, and says what its
// leaves hold. One grower uses it at a time: sampled for a tree, node for each
// node, then the others for that node.
type criterion interface {
	// sampled is told each row's weight in the tree that is grown next, and puts in
	// its place what best wants to know of the row.
	sampled(carried []uint32)
	// node adds up the rows of a node and reports whether they are all alike.
	node(rows []uint32) (pure bool)
	// leaf appends the values of a leaf with the node's rows.
	leaf(values []float64) []float64
	// best returns the threshold of the best split of the node's rows, sorted by
	// value: keys hold ranks in their upper half, in the lower what sampled left.
	// Only scores above least count; each side has at least leaf rows.
	best(keys []uint64, c *column, leaf int, least float64) (threshold float32, score float64)
	// at returns how many rows go left at a threshold, and the split's score.
	at(rows []uint32, values []float32, threshold float32) (left int, score float64)
}

// gini splits by Gini impurity.
//
// With the class weights lₖ and rₖ on both sides, the split of lowest Gini
// impurity is that of the largest Σlₖ²/Σlₖ + Σrₖ²/Σrₖ. The sums are kept in
// integers, exact and quick to change row by row.
type gini struct {
	y      []int
	packed []uint32 // by row: class in the upper half, weight in the lower
	total  []int64  // weight of each class in the node
	left   []int64  // and in the rows left of a split
}

func newGini(y []int, classes int) *gini {
	return &gini{y: y, total: make([]int64, classes), left: make([]int64, classes)}
}

func (g *gini) sampled(carried []uint32) {
	for i, weight := range carried {
		carried[i] = uint32(g.y[i])<<16 | min(weight, 1<<16-1)
	}
	g.packed = carried
}

func (g *gini) node(rows []uint32) (pure bool) {
	clear(g.total)
	for _, i := range rows {
		w := g.packed[i]
		g.total[w>>16] += int64(w & 0xffff)
	}
	present := 0
	for _, w := range g.total {
		if w > 0 {
			present++
		}
	}
	return present < 2
}

// leaf has the share of each class.
func (g *gini) leaf(values []float64) []float64 {
	var sum int64
	for _, w := range g.total {
		sum += w
	}
	for _, w := range g.total {
		values = append(values, float64(w)/float64(sum))
	}
	return values
}

func (g *gini) best(keys []uint64, c *column, leaf int, least float64) (threshold float32, score float64) {
	score = least
	clear(g.left)
	var leftSum, leftSquares, rightSum, rightSquares int64
	for _, w := range g.total {
		rightSum += w
		rightSquares += w * w
	}
	for at := 1; at < len(keys); at++ {
		before := keys[at-1]
		class, w := uint32(before)>>16, int64(before&0xffff)
		l := g.left[class]
		leftSquares += w * (2*l + w)
		rightSquares -= w * (2*(g.total[class]-l) - w)
		leftSum += w
		rightSum -= w
		g.left[class] = l + w
		low, high := uint32(before>>32), uint32(keys[at]>>32)
		if low == high || at < leaf || len(keys)-at < leaf {
			continue
		}
		s := float64(leftSquares)/float64(leftSum) + float64(rightSquares)/float64(rightSum)
		if s > score && c.apart(low, high) { // apart reads memory: only where it decides
			threshold, score = midpoint(c.distinct[low], c.distinct[high]), s
		}
	}
	return threshold, score
}

func (g *gini) at(rows []uint32, values []float32, threshold float32) (left int, score float64) {
	clear(g.left)
	for _, i := range rows {
		if values[i] <= threshold {
			w := g.packed[i]
			g.left[w>>16] += int64(w & 0xffff)
			left++
		}
	}
	var leftSum, leftSquares, rightSum, rightSquares int64
	for k, l := range g.left {
		r := g.total[k] - l
		leftSum += l
		leftSquares += l * l
		rightSum += r
		rightSquares += r * r
	}
	return left, float64(leftSquares)/float64(leftSum) + float64(rightSquares)/float64(rightSum)
}

// squares splits by the squared error: the best split is that of the largest
// (Σl)²/wl + (Σr)²/wr of the targets less their mean, weighted.
type squares struct {
	y       []float64 // less the mean of all
	weights []float64
	weight  float64 // of the node's rows
	sum     float64 // of their targets
}

func newSquares(y []float64) *squares {
	return &squares{y: y, weights: make([]float64, len(y))}
}

func (s *squares) sampled(carried []uint32) {
	for i, weight := range carried {
		s.weights[i] = float64(weight)
		carried[i] = uint32(i)
	}
}

func (s *squares) node(rows []uint32) (pure bool) {
	s.weight, s.sum = 0, 0
	lowest, highest := math.Inf(1), math.Inf(-1)
	for _, i := range rows {
		y, w := s.y[i], s.weights[i]
		lowest, highest = min(lowest, y), max(highest, y)
		s.weight += w
		s.sum += float64(w * y)
	}
	return lowest == highest
}

// leaf has the mean target.
func (s *squares) leaf(values []float64) []float64 { return append(values, s.sum/s.weight) }

func (s *squares) best(keys []uint64, c *column, leaf int, least float64) (threshold float32, score float64) {
	score = least
	var sum, weight float64
	for at := 1; at < len(keys); at++ {
		before := keys[at-1]
		i := uint32(before)
		w := s.weights[i]
		weight += w
		sum += float64(w * s.y[i])
		low, high := uint32(before>>32), uint32(keys[at]>>32)
		if low == high || at < leaf || len(keys)-at < leaf {
			continue
		}
		if found := s.score(sum, weight); found > score && c.apart(low, high) {
			threshold, score = midpoint(c.distinct[low], c.distinct[high]), found
		}
	}
	return threshold, score
}

func (s *squares) at(rows []uint32, values []float32, threshold float32) (left int, score float64) {
	var sum, weight float64
	for _, i := range rows {
		if values[i] <= threshold {
			weight += s.weights[i]
			sum += float64(s.weights[i] * s.y[i])
			left++
		}
	}
	return left, s.score(sum, weight)
}

// score is that of a split with a sum of targets, and of weights, on the left.
func (s *squares) score(sum, weight float64) float64 {
	rest := s.sum - sum
	return float64(sum*sum)/weight + float64(rest*rest)/(s.weight-weight)
}
