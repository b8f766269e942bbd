package eval

import (
	"fmt"
	"github.com/petal-ml/petal/internal/onnx"
	"slices"
	"strconv"
)

// An operator is one entry of the operator table: what a node may look like,
// and how it is compiled.
type operator struct {
	domain string
	name   string
	// since and until are the operator set versions whose meaning is
	// implemented; until 0 means every published one.
	since, until int64
	// Bounds on the number of inputs and outputs; many means no upper bound.
	minInputs, maxInputs   int
	minOutputs, maxOutputs int
	// compile reads the attributes, infers the types of the outputs and
	// returns the kernel.
	compile func(n *nodeCompiler) (kernel, error)
}

const many = 1 << 30

// newestOpset is the newest version of each operator set that has been
// published and looked at. A model of a newer one is refused.
func newestOpset(domain string) int64 {
	switch domain {
	case onnx.DomainONNX:
		return 28
	case onnx.DomainML:
		return 5
	case onnx.DomainMicrosoft:
		return 1
	default:
		return 0
	}
}

// operatorTable lists all operators, family by family.
func operatorTable() []operator {
	return slices.Concat(
		linearOperators(),
		treeOperators(),
		preprocessingOperators(),
		castOperators(),
		encoderOperators(),
		svmOperators(),
		elementwiseOperators(),
		reductionOperators(),
		matrixOperators(),
		shapeOperators(),
		gatherOperators(),
		controlOperators(),
	)
}

type operatorKey struct{ domain, name string }

// operatorIndex makes the table searchable.
func operatorIndex() map[operatorKey]operator {
	table := operatorTable()
	index := make(map[operatorKey]operator, len(table))
	for _, op := range table {
		index[operatorKey{op.domain, op.name}] = op
	}
	return index
}

// SupportedOperators lists what [NewSession] can run, as "domain.Name" (the
// default domain is left out), sorted.
func SupportedOperators() []string {
	var names []string
	for _, op := range operatorTable() {
		names = append(names, qualified(op.domain, op.name))
	}
	slices.Sort(names)
	return names
}

func qualified(domain, name string) string {
	if domain == onnx.DomainONNX {
		return name
	}
	return domain + "." + name
}

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
	index := operatorIndex()
	counts := map[operatorKey]int{}
	countOperators(m.Graph, counts)
	list := make([]OperatorCount, 0, len(counts))
	for key, n := range counts {
		op, ok := index[key]
		version, imported := m.Opset(key.domain)
		ok = ok && imported && op.covers(version)
		list = append(list, OperatorCount{Domain: key.domain, Name: key.name, Count: n, Supported: ok})
	}
	slices.SortFunc(list, func(a, b OperatorCount) int {
		if c := compareStrings(a.Domain, b.Domain); c != 0 {
			return c
		}
		return compareStrings(a.Name, b.Name)
	})
	return list
}

func compareStrings(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

// covers says whether the operator's meaning in that version is implemented.
func (op operator) covers(version int64) bool {
	return version >= op.since && (op.until == 0 || version <= op.until) && version <= newestOpset(op.domain)
}

func countOperators(g *onnx.Graph, counts map[operatorKey]int) {
	for i := range g.Nodes {
		n := &g.Nodes[i]
		counts[operatorKey{onnx.CanonicalDomain(n.Domain), n.Operator}]++
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
		name := qualified(op.Domain, op.Name)
		if version, ok := m.Opset(op.Domain); ok {
			name += " (version " + strconv.FormatInt(version, 10) + ")"
		} else {
			name += " (operator set not imported)"
		}
		missing = append(missing, name)
	}
	return missing
}

// arity checks the number of inputs and outputs of a node.
func (op operator) arity(n *onnx.Node) error {
	if len(n.Inputs) < op.minInputs || len(n.Inputs) > op.maxInputs {
		return onnx.Invalid("%d inputs, %s wanted", len(n.Inputs), bounds(op.minInputs, op.maxInputs))
	}
	if len(n.Outputs) < op.minOutputs || len(n.Outputs) > op.maxOutputs {
		return onnx.Invalid("%d outputs, %s wanted", len(n.Outputs), bounds(op.minOutputs, op.maxOutputs))
	}
	for i := range op.minInputs {
		if n.Inputs[i] == "" {
			return onnx.Invalid("input %d is absent, but not optional", i)
		}
	}
	return nil
}

func bounds(lo, hi int) string {
	switch {
	case lo == hi:
		return strconv.Itoa(lo)
	case hi == many:
		return fmt.Sprintf("at least %d", lo)
	default:
		return fmt.Sprintf("%d to %d", lo, hi)
	}
}
