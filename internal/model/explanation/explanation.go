// Package explanation says how much each feature of a row adds to the score of a
// class.
//
// Linear models are taken apart exactly: a contribution is coefficient times
// value, the baseline the intercept. Trees are followed along the row's path
// (Saabas, "Interpreting random forests", 2014): at each node the expected value
// changes, and the change is credited to the feature that the node asks for. An
// ONNX file does not tell how many training rows went which way, so that both
// branches of a node weigh the same in its expected value.
//
// In both cases baseline and contributions add up to the score, which is what
// the model has before its last step (a softmax, a logistic function, a
// normalization).
package explanation

import (
	"errors"
	"fmt"
	"slices"

	"github.com/petal-ml/petal/internal/onnx"
)

// ErrUnsupported means that the graph is of no form that can be taken apart.
var ErrUnsupported = errors.New("the model is neither linear nor made of trees")

// Methods of an [Explainer].
const (
	MethodLinear = "linear"
	MethodTrees  = "tree-path"
)

// An Explainer explains the scores of one model. It never changes, and is safe
// for concurrent use.
type Explainer struct {
	steps []step
	parts parts
	// second says that one score is that of the second of two classes. The
	// first has what is left: minus the score, or one minus it.
	second, complement bool
}

// parts takes a score apart.
type parts interface {
	method() string
	// explain adds the contributions of a row to the score of a target and
	// returns the baseline.
	explain(row []float32, target int, contributions []float64) float64
}

// A step changes each value by itself, before the model sees it.
type step func(row []float32)

// New finds the model in a graph: steps that keep features apart (Imputer,
// Scaler), then one linear model or ensemble of trees. Any other graph is
// [ErrUnsupported].
func New(m *onnx.Model) (*Explainer, error) {
	inputs := m.Inputs()
	if len(inputs) != 1 {
		return nil, fmt.Errorf("%w: it has %d inputs", ErrUnsupported, len(inputs))
	}
	e := &Explainer{}
	for name := inputs[0].Name; ; {
		node := consumer(m.Graph, name)
		if node == nil {
			return nil, fmt.Errorf("%w: input %q is read by several operators or none", ErrUnsupported, name)
		}
		s, err := stepOf(node)
		if err != nil {
			return nil, err
		}
		if s == nil {
			return e, e.use(m.Graph, node)
		}
		e.steps = append(e.steps, s)
		name = node.Outputs[0]
	}
}

// consumer is the one node that reads a value; nil where there is none or
// another.
func consumer(g *onnx.Graph, name string) *onnx.Node {
	var found *onnx.Node
	for i := range g.Nodes {
		for _, in := range g.Nodes[i].Inputs {
			if in != name {
				continue
			}
			if found != nil {
				return nil
			}
			found = &g.Nodes[i]
		}
	}
	return found
}

// stepOf makes a step of a node; nil where the node is none.
func stepOf(n *onnx.Node) (step, error) {
	switch n.Operator {
	case "Scaler":
		offset, scale := floats(n, "offset"), floats(n, "scale")
		if len(offset) == 0 || len(scale) == 0 {
			return nil, fmt.Errorf("%w: its Scaler has no offset or no scale", ErrUnsupported)
		}
		return func(row []float32) {
			for i, v := range row {
				row[i] = (v - offset[i%len(offset)]) * scale[i%len(scale)]
			}
		}, nil
	case "Imputer":
		fill := floats(n, "imputed_value_floats")
		if len(fill) == 0 {
			return nil, fmt.Errorf("%w: its Imputer does not fill in floats", ErrUnsupported)
		}
		return func(row []float32) {
			for i, v := range row {
				if v != v {
					row[i] = fill[i%len(fill)]
				}
			}
		}, nil
	}
	return nil, nil //nolint:nilnil // no step is no error: the model begins here
}

// use takes the node's parameters.
func (e *Explainer) use(g *onnx.Graph, n *onnx.Node) (err error) {
	classes := max(len(ints(n, "classlabels_ints"))+len(ints(n, "classlabels_int64s")),
		len(texts(n, "classlabels_strings")))
	var targets int
	switch n.Operator {
	case "LinearClassifier", "LinearRegressor":
		e.parts, targets, err = newLinear(n)
	case "TreeEnsembleClassifier", "TreeEnsembleRegressor":
		e.parts, targets, err = newTrees(n, classes, isShared(g, n))
	default:
		return fmt.Errorf("%w: it has a %s", ErrUnsupported, n.Operator)
	}
	e.second = classes == 2 && targets == 1
	transform := n.Attribute("post_transform")
	// Readers of ONNX take the score for a probability where no weight is negative.
	e.complement = e.second && n.Operator == "TreeEnsembleClassifier" &&
		(transform == nil || transform.String == "NONE") && slices.Min(append([]float32{0}, floats(n, "class_weights")...)) >= 0
	return err
}

// Method names how scores are taken apart.
func (e *Explainer) Method() string { return e.parts.method() }

// Explain fills contributions, a place a feature, with what each adds to the
// score of a class, and returns the baseline to which they are added. Class is
// 0 for a regressor.
func (e *Explainer) Explain(row []float32, class int, contributions []float64) (baseline float64) {
	x := append([]float32(nil), row...)
	for _, s := range e.steps {
		s(x)
	}
	clear(contributions)
	target := class
	if e.second {
		target = 0
	}
	baseline = e.parts.explain(x, target, contributions)
	if !e.second || class == 1 {
		return baseline
	}
	for i := range contributions {
		contributions[i] = -contributions[i]
	}
	if e.complement {
		return 1 - baseline
	}
	return -baseline
}

// isShared says whether the scores are brought to a sum of 1 by a Normalizer, as
// those of a forest whose leaves hold the shares of the classes.
func isShared(g *onnx.Graph, n *onnx.Node) bool {
	if len(n.Outputs) < 2 {
		return false
	}
	next := consumer(g, n.Outputs[1])
	if next == nil || next.Operator != "Normalizer" {
		return false
	}
	norm := next.Attribute("norm")
	return norm != nil && norm.String == "L1"
}

func floats(n *onnx.Node, name string) []float32 {
	if a := n.Attribute(name); a != nil {
		return a.Floats
	}
	return nil
}

func ints(n *onnx.Node, name string) []int64 {
	if a := n.Attribute(name); a != nil {
		return a.Ints.Slice()
	}
	return nil
}

func texts(n *onnx.Node, name string) []string {
	if a := n.Attribute(name); a != nil {
		return a.Strings
	}
	return nil
}
