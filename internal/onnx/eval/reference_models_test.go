package eval

import (
	"math"
	"slices"

	"github.com/petal-ml/petal/internal/onnx"
)

// The reference of the operators of ai.onnx.ml, in the manner of
// reference_test.go: from the specification and, where onnxruntime 1.32 decides
// what that leaves open, from its results.

// undetermined stands for a label that rounding may decide either way.
var undetermined = math.NaN()

// refRows calls of for each row of a matrix and gathers what it returns.
func refRows(v refValue, of func(row []float64) []float64) refValue {
	out := refValue{kind: onnx.Float, exact: v.exact}
	for i := range v.shape[0] {
		row := of(v.data[i*v.shape[1] : (i+1)*v.shape[1]])
		out.data = append(out.data, row...)
		out.shape = []int{v.shape[0], len(row)}
	}
	return out
}

func refLogistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// refTransform is a post_transform.
func refTransform(name string, scores []float64) []float64 {
	out := slices.Clone(scores)
	for i, s := range scores {
		switch name {
		case "LOGISTIC":
			out[i] = refLogistic(s)
		case "PROBIT":
			out[i] = math.Sqrt2 * math.Erfinv(2*s-1)
		}
	}
	if name != "SOFTMAX" && name != "SOFTMAX_ZERO" {
		return out
	}
	top, sum := slices.Max(scores), 0.0
	for i, s := range scores {
		out[i] = math.Exp(s - top)
		if name == "SOFTMAX_ZERO" && s == 0 {
			out[i] = 0
		}
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

// refArgmax is the first of the largest; NaN in front stays.
func refArgmax(scores []float64) float64 {
	best := 0
	for i, s := range scores {
		if s > scores[best] {
			best = i
		}
	}
	return float64(best)
}

func refNormalize(row []float64, norm string) []float64 {
	var size float64
	switch norm {
	case "MAX":
		size = -math.MaxFloat32 // and with it no comparison sees a NaN, as in onnxruntime
		for _, x := range row {
			if x > size {
				size = x
			}
		}
	case "L1":
		size = refReduce["ReduceL1"](row)
	default:
		size = math.Sqrt(refReduce["ReduceSumSquare"](row))
	}
	out := slices.Clone(row)
	for i := range out {
		if size != 0 {
			out[i] /= size
		}
	}
	return out
}

// A refLinear is a linear model: a row of coefficients a target.
type refLinear struct {
	coefficients [][]float64
	intercepts   []float64
	transform    string
}

func (l refLinear) raw(row []float64) []float64 {
	var sums []float64
	for k, coefficients := range l.coefficients {
		sum := l.intercepts[k]
		for j, c := range coefficients {
			sum += c * row[j]
		}
		sums = append(sums, sum)
	}
	return sums
}

// classify scores a row for a number of classes.
func (l refLinear) classify(row []float64) (class float64, scores []float64) {
	raw := l.raw(row)
	if len(raw) > 1 {
		return refArgmax(raw), refTransform(l.transform, raw)
	}
	second := raw[0]
	if l.transform == "LOGISTIC" {
		second = refLogistic(second)
	}
	return boolTo(raw[0] > 0), []float64{1 - second, second}
}

// A refTree is a branch, or a leaf where yes is nil.
type refTree struct {
	mode     refMode
	feature  int
	value    float64
	members  []float64
	missing  bool // missing values take yes
	yes, no  *refTree
	weights  []refWeight
	ownIndex int // the node's number in what is written
}

type refWeight struct {
	target int
	weight float64
}

func (t *refTree) leaf(row []float64) *refTree {
	if t.yes == nil {
		return t
	}
	x := row[t.feature]
	yes := map[refMode]bool{
		refLEQ: x <= t.value, refLT: x < t.value, refGTE: x >= t.value, refGT: x > t.value,
		refEQ: x == t.value, refNEQ: x != t.value, refMember: slices.Contains(t.members, x),
	}[t.mode]
	if yes || t.missing && math.IsNaN(x) {
		return t.yes.leaf(row)
	}
	return t.no.leaf(row)
}

// each calls do for a tree's nodes, parents first.
func (t *refTree) each(do func(*refTree)) {
	do(t)
	if t.yes != nil {
		t.yes.each(do)
		t.no.each(do)
	}
}

// A refForest is an ensemble with what is done to its sums.
type refForest struct {
	trees     []*refTree
	targets   int
	aggregate string
	transform string
	base      []float64
}

// collect puts the weights of a row's leaves together, without base values.
func (f *refForest) collect(row []float64) (sums []float64, has []bool) {
	lists := make([][]float64, f.targets)
	for _, t := range f.trees {
		for _, w := range t.leaf(row).weights {
			lists[w.target] = append(lists[w.target], w.weight)
		}
	}
	for _, list := range lists {
		sum := sumOf(list)
		switch {
		case f.aggregate == "AVERAGE":
			sum /= float64(len(f.trees))
		case f.aggregate == "MIN" && len(list) > 0:
			sum = slices.Min(list)
		case f.aggregate == "MAX" && len(list) > 0:
			sum = slices.Max(list)
		}
		sums, has = append(sums, sum), append(has, len(list) > 0)
	}
	return sums, has
}

// values is what a regressor says of a row.
func (f *refForest) values(row []float64) []float64 {
	sums, has := f.collect(row)
	for k := range f.base {
		if has[k] || f.targets == 1 {
			sums[k] += f.base[k]
		}
	}
	return refValues(f.transform, sums)
}

// refValues is a post_transform of a regressor: one value is transformed by
// PROBIT only.
func refValues(name string, values []float64) []float64 {
	if len(values) == 1 && name != "PROBIT" {
		return values
	}
	return refTransform(name, values)
}

// only returns the class that all weights are for, −1 where there are several.
func (f *refForest) only() (class int, positive bool) {
	found := map[int]bool{}
	positive = true
	for _, t := range f.trees {
		t.each(func(n *refTree) {
			for _, w := range n.weights {
				found[w.target] = true
				positive = positive && w.weight >= 0
				class = w.target
			}
		})
	}
	if len(found) != 1 {
		class = -1
	}
	return class, positive
}

// classify is what a classifier says of a row. Two classes have rules of their
// own in onnxruntime.
func (f *refForest) classify(row []float64) (class float64, scores []float64) {
	sums, has := f.collect(row)
	if f.targets == 2 {
		if only, positive := f.only(); only >= 0 {
			return f.one(sums[only], positive)
		}
		return f.pair(sums, has)
	}
	best := -1
	for k := range sums {
		if k < len(f.base) {
			sums[k] += f.base[k]
			has[k] = true
		}
		if has[k] && (best < 0 || sums[k] > sums[best]) {
			best = k
		}
	}
	return float64(max(best, 0)), refTransform(f.transform, sums)
}

// one is the rule where all weights are for one of two classes.
func (f *refForest) one(v float64, positive bool) (class float64, scores []float64) {
	v += sumOf(f.base)
	if positive {
		class = boolTo(v > 0.5)
	} else {
		class = boolTo(v > 0)
	}
	switch {
	case f.transform == "LOGISTIC":
		return class, []float64{refLogistic(-v), refLogistic(v)}
	case positive:
		return class, []float64{1 - v, v}
	default:
		return class, []float64{-v, v}
	}
}

// pair is the rule for two classes that both have weights.
func (f *refForest) pair(sums []float64, has []bool) (class float64, scores []float64) {
	for k := range f.base {
		sums[k] += f.base[k]
	}
	if has[1] || len(f.base) == 2 {
		decisive := sums[1]
		if !has[1] {
			decisive = sums[0]
		}
		return boolTo(decisive > 0), refTransform(f.transform, sums)
	}
	v := sums[0]
	if f.transform == "LOGISTIC" {
		return boolTo(v > 0), []float64{refLogistic(-v), refLogistic(v)}
	}
	return boolTo(v > 0), []float64{-v, v}
}

// A refSVM is a support vector machine of libsvm's form.
type refSVM struct {
	kernel               string
	gamma, coef0, degree float64
	vectors              [][][]float64 // by class
	// coefficients[i][c][v] is that of vector v of class c where c votes
	// against the i-th of the other classes.
	coefficients [][][]float64
	rho          []float64 // by pair
	probA, probB []float64
	transform    string
}

func (m *refSVM) alike(x, y []float64) float64 {
	dot, far := 0.0, 0.0
	for i := range x {
		dot += x[i] * y[i]
		far += (x[i] - y[i]) * (x[i] - y[i])
	}
	switch m.kernel {
	case "RBF":
		return math.Exp(-m.gamma * far)
	case "POLY":
		return math.Pow(m.gamma*dot+m.coef0, m.degree)
	case "SIGMOID":
		return math.Tanh(m.gamma*dot + m.coef0)
	default:
		return dot
	}
}

// classify lets each pair of classes vote.
func (m *refSVM) classify(row []float64) (class float64, scores []float64) {
	k := len(m.vectors)
	votes := make([]float64, k)
	var pairs []float64
	sure := true
	for i := range k {
		for j := i + 1; j < k; j++ {
			sum := m.rho[len(pairs)]
			for v, y := range m.vectors[i] {
				sum += m.coefficients[j-1][i][v] * m.alike(row, y)
			}
			for v, y := range m.vectors[j] {
				sum += m.coefficients[i][j][v] * m.alike(row, y)
			}
			winner := j
			if sum > 0 {
				winner = i
			}
			votes[winner]++
			pairs = append(pairs, sum)
			sure = sure && (math.Abs(sum) > 1e-3 || m.kernel == "LINEAR")
		}
	}
	if class = refArgmax(votes); !sure {
		class = undetermined
	}
	return class, m.scores(pairs, k)
}

func (m *refSVM) scores(pairs []float64, k int) []float64 {
	switch {
	case len(m.probA) > 0:
		return refTransform(m.transform, refCouple(m.pairwise(pairs, k)))
	case k > 2:
		return refTransform(m.transform, pairs)
	case m.transform == "NONE":
		return []float64{-pairs[0], pairs[0]}
	case m.transform == "LOGISTIC":
		return []float64{refLogistic(-pairs[0]), refLogistic(pairs[0])}
	default:
		return []float64{1 - pairs[0], pairs[0]}
	}
}

// pairwise are the probabilities of i against j.
func (m *refSVM) pairwise(pairs []float64, k int) [][]float64 {
	r := make([][]float64, k)
	for i := range r {
		r[i] = make([]float64, k)
	}
	pair := 0
	for i := range k {
		for j := i + 1; j < k; j++ {
			p := refLogistic(-(pairs[pair]*m.probA[pair] + m.probB[pair]))
			r[i][j] = min(max(p, 1e-7), 1-1e-7)
			r[j][i] = 1 - r[i][j]
			pair++
		}
	}
	return r
}

// refCouple minimises Σᵢ Σⱼ (rⱼᵢ pᵢ − rᵢⱼ pⱼ)² where p adds up to 1 (Wu, Lin and
// Weng 2004), by solving the linear equations of its minimum.
func refCouple(r [][]float64) []float64 {
	k := len(r)
	a := make([][]float64, k+1)
	for i := range k {
		a[i] = make([]float64, k+2)
		for j := range k {
			if j != i {
				a[i][i] += r[j][i] * r[j][i]
				a[i][j] = -r[j][i] * r[i][j]
			}
		}
		a[i][k] = 1
	}
	a[k] = make([]float64, k+2)
	for j := range k {
		a[k][j] = 1
	}
	a[k][k+1] = 1
	for c := range a {
		pivot := c
		for i := c; i < len(a); i++ {
			if math.Abs(a[i][c]) > math.Abs(a[pivot][c]) {
				pivot = i
			}
		}
		a[c], a[pivot] = a[pivot], a[c]
		for i := range a {
			if i == c {
				continue
			}
			factor := a[i][c] / a[c][c]
			for j := c; j < k+2; j++ {
				a[i][j] -= factor * a[c][j]
			}
		}
	}
	p := make([]float64, k)
	for i := range p {
		p[i] = a[i][k+1] / a[i][i]
	}
	return p
}

// A refMode is the comparison of a branch, with TreeEnsemble's numbers.
type refMode uint8

const (
	refLEQ refMode = iota
	refLT
	refGTE
	refGT
	refEQ
	refNEQ
	refMember
)
