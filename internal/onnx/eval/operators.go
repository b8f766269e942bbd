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
	missing   int64 // the version of the operator set that is not there
}

// Operators lists the operators that the model uses, subgraphs included, sorted
// by domain and name.
func Operators(m *onnx.Model) []OperatorCount {
	counts := map[compile.Key]*OperatorCount{}
	countOperators(m, m.Graph, counts)
	list := make([]OperatorCount, 0, len(counts))
	for _, count := range counts {
		list = append(list, *count)
	}
	slices.SortFunc(list, func(a, b OperatorCount) int {
		return cmp.Or(strings.Compare(a.Domain, b.Domain), strings.Compare(a.Name, b.Name))
	})
	return list
}

func countOperators(m *onnx.Model, g *onnx.Graph, counts map[compile.Key]*OperatorCount) {
	table := operators.Table()
	for i := range g.Nodes {
		n := &g.Nodes[i]
		key := compile.Key{Domain: onnx.CanonicalDomain(n.Domain), Name: n.Operator}
		count := counts[key]
		if count == nil {
			count = &OperatorCount{Domain: key.Domain, Name: key.Name, Supported: true}
			counts[key] = count
		}
		count.Count++
		op, ok := table[key]
		version, _ := m.OpsetOf(n)
		if (!ok || !op.Covers(version)) && count.Supported {
			count.Supported, count.missing = false, version
		}
		for j := range n.Attributes {
			if n.Attributes[j].Graph != nil {
				countOperators(m, n.Attributes[j].Graph, counts)
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
		if op.missing > 0 {
			name += " (version " + strconv.FormatInt(op.missing, 10) + ")"
		} else {
			name += " (operator set not imported)"
		}
		missing = append(missing, name)
	}
	return missing
}
