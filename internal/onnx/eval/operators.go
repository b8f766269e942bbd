package eval

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/compile"
	"github.com/petal-ml/petal/internal/onnx/eval/operators"
)

// An OperatorCount says how often a model uses an operator.
type OperatorCount struct {
	Domain    string
	Name      string
	Count     int
	Supported bool
}

// Operators lists the operators that the model uses, subgraphs included, sorted
// by domain and name.
func Operators(m *onnx.Model) []OperatorCount {
	table := operators.Table()
	counts := map[compile.Key]int{}
	countOperators(m.Graph, counts)
	list := make([]OperatorCount, 0, len(counts))
	for key, n := range counts {
		op, ok := table[key]
		version, imported := m.Opset(key.Domain)
		ok = ok && imported && op.Covers(version)
		list = append(list, OperatorCount{Domain: key.Domain, Name: key.Name, Count: n, Supported: ok})
	}
	slices.SortFunc(list, func(a, b OperatorCount) int {
		return cmp.Or(strings.Compare(a.Domain, b.Domain), strings.Compare(a.Name, b.Name))
	})
	return list
}

func countOperators(g *onnx.Graph, counts map[compile.Key]int) {
	for i := range g.Nodes {
		n := &g.Nodes[i]
		counts[compile.Key{Domain: onnx.CanonicalDomain(n.Domain), Name: n.Operator}]++
		for j := range n.Attributes {
			if n.Attributes[j].Graph != nil {
				countOperators(n.Attributes[j].Graph, counts)
			}
		}
	}
}

// MissingOperators names the operators that the model uses and this package
// does not have, each with the version of its operator set. It is empty for a
// model that can be compiled, as far as operators go.
func MissingOperators(m *onnx.Model) []string {
	var missing []string
	for _, op := range Operators(m) {
		if op.Supported {
			continue
		}
		name := compile.Qualified(op.Domain, op.Name)
		if version, ok := m.Opset(op.Domain); ok {
			name += " (version " + strconv.FormatInt(version, 10) + ")"
		} else {
			name += " (operator set not imported)"
		}
		missing = append(missing, name)
	}
	return missing
}
