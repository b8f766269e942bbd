package trees

import (
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/numeric"
)

// Paths explain the sums of an ensemble by the way that a row takes down each tree
// (Saabas, "Interpreting random forests", 2014): at each node the expected value
// changes, and the change is credited to the feature that the node asks for. An
// ONNX file does not tell how many training rows went which way, so that both
// branches of a node weigh the same in its expected value. Paths never change and
// are safe for concurrent use.
type Paths struct {
	model  *Model
	values []float64 // the expected values: a number a node and target
}

// maxValues bounds the expected values that are kept, to 128 MiB.
const maxValues = 1 << 24

// NewPaths computes the expected values. shared says that the trees give shares
// of which a later step takes the mean. Trees whose sums are no sums, and too many
// of them, are [onnx.ErrUnsupported].
func NewPaths(m *Model, shared bool) (*Paths, error) {
	s := m.scorer
	if s.aggregate != aggregateSum && s.aggregate != aggregateAverage {
		return nil, onnx.Unsupported("trees that are not summed up")
	}
	average := 1.0
	if shared || s.aggregate == aggregateAverage {
		average = 1 / float64(len(s.forest.roots))
	}
	nodes := len(s.forest.nodes)
	if s.fast != nil {
		nodes = len(s.fast.nodes)
	}
	if nodes > maxValues/s.forest.targets {
		return nil, onnx.Unsupported("%d nodes of trees, too many to keep the values of", nodes)
	}
	p := &Paths{model: m, values: make([]float64, nodes*s.forest.targets)}
	if s.fast != nil {
		p.expectPacked(s.fast, average)
		return p, nil
	}
	s.forest.eachBelowFirst(func(i int32) { p.expect(s.forest, i, average) })
	return p, nil
}

// Targets is the number of sums.
func (p *Paths) Targets() int { return p.model.scorer.forest.targets }

// Complement says whether the one sum for two classes is a share: the first class
// has what is left of 1, and not the negative sum.
func (p *Paths) Complement() bool {
	return p.model.single && p.model.half && p.model.transform == numeric.TransformNone
}

// of returns the expected values of a node.
func (p *Paths) of(node int) []float64 {
	targets := p.Targets()
	return p.values[node*targets : (node+1)*targets]
}

// mean sets the values of a node to the mean of its children's.
func (p *Paths) mean(node, yes, no int) {
	of, yesValues, noValues := p.of(node), p.of(yes), p.of(no)
	for k := range of {
		of[k] = (yesValues[k] + noValues[k]) / 2
	}
}

// expect computes the values of a node; those of its children are known.
func (p *Paths) expect(f *forest, node int32, average float64) {
	n := &f.nodes[node]
	if n.mode != branchLeaf {
		p.mean(int(node), int(n.yes), int(n.no))
		return
	}
	of := p.of(int(node))
	for k := f.starts[n.leaf()]; k < f.starts[n.leaf()+1]; k++ {
		of[f.targetIDs[k]] += f.weights.At(int(k)) * average
	}
}

// expectPacked computes the values of all nodes; children stand behind their
// parents.
func (p *Paths) expectPacked(packed *packedTrees, average float64) {
	end := len(packed.nodes)
	weights := make([]float32, packed.targets)
	for t := len(packed.roots) - 1; t >= 0; t-- {
		for i := end - 1; i >= int(packed.roots[t]); i-- {
			if child := packed.nodes[i].child(); child != uint32(i) {
				p.mean(i, int(child), int(child)+1)
				continue
			}
			clear(weights)
			packed.add(t, packed.leaves[i], weights)
			for k, w := range weights {
				p.of(i)[k] = float64(w) * average
			}
		}
		end = int(packed.roots[t])
	}
}

// Explain adds to contributions, a number a feature, what each feature of a row
// adds to the sum of a target, and returns the baseline to which they are added.
func (p *Paths) Explain(row []float32, target int, contributions []float64) (baseline float64) {
	if base := p.model.base; target < len(base) {
		baseline = base[target]
	}
	targets := p.Targets()
	move := func(feature, from, to int) {
		contributions[feature] += p.values[to*targets+target] - p.values[from*targets+target]
	}
	packed, f := p.model.scorer.fast, p.model.scorer.forest
	if packed == nil {
		for _, root := range f.roots {
			baseline += p.values[int(root)*targets+target]
			for at := root; f.nodes[at].mode != branchLeaf; {
				n := &f.nodes[at]
				next := n.no
				if f.takesYes(n, float64(row[n.feature])) {
					next = n.yes
				}
				move(int(n.feature), int(at), int(next))
				at = next
			}
		}
		return baseline
	}
	var keys keyRow
	packed.keys(row, &keys)
	for _, at := range packed.roots {
		baseline += p.values[int(at)*targets+target]
		for packed.nodes[at].child() != at {
			next := step1(packed.nodes, at, &keys)
			move(packed.nodes[at].column()%packed.features, int(at), int(next))
			at = next
		}
	}
	return baseline
}
