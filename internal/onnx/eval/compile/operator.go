package compile

import (
	"fmt"
	"strconv"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
)

// An Operator is one entry of the operator table: what a node may look like,
// and how it is compiled.
type Operator struct {
	Domain string
	Name   string
	// Since is the first version of the operator set whose meaning is implemented;
	// later ones are, up to the newest that was looked at.
	Since int64
	// Bounds on the number of inputs and outputs; Many means no upper bound.
	MinInputs, MaxInputs   int
	MinOutputs, MaxOutputs int
	absent                 bool // see [Operator.Absent]
	// Compile reads the attributes, infers the types of the outputs and
	// returns the kernel.
	Compile func(n *Node) (kernel.Kernel, error)
}

// Many is the upper bound of inputs or outputs where there is none.
const Many = 1 << 30

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

// Row makes an entry of the table for an operator of ai.onnx with one output.
func Row(name string, since int64, minInputs, maxInputs int, compile func(*Node) (kernel.Kernel, error)) Operator {
	return Operator{
		Name: name, Since: since, MinInputs: minInputs, MaxInputs: maxInputs,
		MinOutputs: 1, MaxOutputs: 1, Compile: compile,
	}
}

// Of returns the entry with another domain.
func (op Operator) Of(domain string) Operator {
	op.Domain = domain
	return op
}

// Outputs returns the entry with other bounds on the number of outputs.
func (op Operator) Outputs(lo, hi int) Operator {
	op.MinOutputs, op.MaxOutputs = lo, hi
	return op
}

// Absent returns the entry for nodes of which any input may be absent; the compile
// function looks itself.
func (op Operator) Absent() Operator {
	op.absent = true
	return op
}

// Covers says whether the operator's meaning in that version is implemented.
func (op Operator) Covers(version int64) bool {
	return version >= op.Since && version <= newestOpset(op.Domain)
}

// arity checks the number of inputs and outputs of a node.
func (op Operator) arity(n *onnx.Node) error {
	if len(n.Inputs) < op.MinInputs || len(n.Inputs) > op.MaxInputs {
		return onnx.Invalid("%d inputs, %s wanted", len(n.Inputs), bounds(op.MinInputs, op.MaxInputs))
	}
	if len(n.Outputs) < op.MinOutputs || len(n.Outputs) > op.MaxOutputs {
		return onnx.Invalid("%d outputs, %s wanted", len(n.Outputs), bounds(op.MinOutputs, op.MaxOutputs))
	}
	for i, in := range n.Inputs {
		if in == "" && !op.absent && (i < op.MinInputs || op.MaxInputs == Many) {
			return onnx.Invalid("input %d is absent, but not optional", i)
		}
	}
	return nil
}

func bounds(lo, hi int) string {
	switch {
	case lo == hi:
		return strconv.Itoa(lo)
	case hi == Many:
		return fmt.Sprintf("at least %d", lo)
	default:
		return fmt.Sprintf("%d to %d", lo, hi)
	}
}

// A Key names an operator.
type Key struct{ Domain, Name string }

// A Table holds operators by name.
type Table map[Key]Operator

// NewTable makes a table of families of operators.
func NewTable(families ...[]Operator) Table {
	table := Table{}
	for _, family := range families {
		for _, op := range family {
			table[Key{op.Domain, op.Name}] = op
		}
	}
	return table
}

// Qualified is an operator's name with its domain, unless that is the default.
func Qualified(domain, name string) string {
	if domain == onnx.DomainONNX {
		return name
	}
	return domain + "." + name
}
