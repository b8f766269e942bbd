// Package emit builds the ONNX graph of a fitted estimator, node by node.
//
// Every graph has the same inputs and outputs, which the API, MLflow and onnxruntime share:
// the input "features", and the outputs "label" and "probabilities" of a
// classifier or "value" of a regressor. The operators are those that
// scikit-learn's own converter emits, so that whatever reads its models reads
// these.
package emit

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/petal-ml/petal/internal/onnx"
)

// The names that every graph shows outside.
const (
	Input         = "features"
	Label         = "label"
	Probabilities = "probabilities"
	Value         = "value"
)

// The versions that every graph declares: old enough for any onnxruntime of the
// last years, new enough for every operator used here.
const (
	irVersion   = 8
	onnxVersion = 15
	mlVersion   = 3
	setsVersion = 5 // where trees split sets of categories
)

// ErrLabels means that the labels cannot name the classes.
var ErrLabels = errors.New("labels do not fit the classes")

// Scores names what a classifier adds to the graph.
type Scores struct {
	// Label is a tensor [N] with each row's label.
	Label string
	// Probabilities is a float tensor [N, classes].
	Probabilities string
}

// A Builder is a graph in the making. Make one with [NewBuilder].
type Builder struct {
	graph    *onnx.Graph
	labels   onnx.Labels
	features int
	made     map[string]int // how often each operator or constant was named
	roundoff map[string]Roundoff
	ml       int64 // version of ai.onnx.ml; 0 for mlVersion

	// Of a graph with an input a column: their names, the names that nothing else
	// may have, and the constant of Column.
	inputs []string
	taken  map[string]bool
	axis   string
}

// A Roundoff says how far a value of the graph is from what was learned, because
// ONNX holds the numbers in float32: the exact feature j is Gain[j]·v + Shift[j],
// where v is the value in the graph. A linear model takes it into its own
// coefficients, where it is lost among numbers of their size.
type Roundoff struct{ Gain, Shift []float64 }

// NewBuilder starts a graph with one input of the given number of features, and
// classes with the given labels.
func NewBuilder(features int, labels onnx.Labels) (*Builder, error) {
	if (labels.Strings == nil) == (labels.Ints == nil) {
		return nil, fmt.Errorf("labels must be either text or integers: %w", ErrLabels)
	}
	b := NewValueBuilder(features)
	b.labels = labels
	return b, nil
}

// NewValueBuilder starts the graph of a regressor: one input of the given number
// of features, and no labels.
func NewValueBuilder(features int) *Builder {
	input := onnx.ValueInfo{Name: Input, Type: onnx.TensorType(onnx.Float, onnx.Symbolic("N"), onnx.Fixed(features))}
	return &Builder{
		graph:    &onnx.Graph{Inputs: []onnx.ValueInfo{input}},
		features: features,
		made:     map[string]int{},
		roundoff: map[string]Roundoff{},
	}
}

// Features returns the number of columns of the graph's input.
func (b *Builder) Features() int { return b.features }

// CheckClasses reports whether there are as many labels as classes.
func (b *Builder) CheckClasses(classes int) error {
	if b.labels.Len() != classes {
		return fmt.Errorf("there are %d labels for %d classes: %w", b.labels.Len(), classes, ErrLabels)
	}
	return nil
}

// Node adds a node of ai.onnx with one output, and returns the output's name.
func (b *Builder) Node(operator string, inputs []string, attributes ...onnx.Attribute) string {
	return b.add(onnx.DomainONNX, operator, inputs, 1, attributes)[0]
}

// Nodes adds a node of ai.onnx with several outputs, and returns their names.
func (b *Builder) Nodes(operator string, inputs []string, outputs int, attributes ...onnx.Attribute) []string {
	return b.add(onnx.DomainONNX, operator, inputs, outputs, attributes)
}

// NodeML adds a node of ai.onnx.ml with one output, and returns the output's
// name.
func (b *Builder) NodeML(operator string, inputs []string, attributes ...onnx.Attribute) string {
	return b.add(onnx.DomainML, operator, inputs, 1, attributes)[0]
}

// ClassifierML adds a classifier of ai.onnx.ml, gives it the labels, and returns
// its label and its scores.
func (b *Builder) ClassifierML(operator, input string, attributes ...onnx.Attribute) Scores {
	attributes = append(slices.Clone(attributes), b.labelAttribute("classlabels_int64s", "classlabels_strings"))
	if operator == "LinearClassifier" { // the one that spells it differently
		attributes[len(attributes)-1] = b.labelAttribute("classlabels_ints", "classlabels_strings")
	}
	out := b.add(onnx.DomainML, operator, []string{input}, 2, attributes)
	return Scores{Label: out[0], Probabilities: out[1]}
}

// TreeEnsemble adds the operator of that name, which replaced the two older ones
// in version 5 of ai.onnx.ml, and returns the name of its output.
func (b *Builder) TreeEnsemble(input string, attributes ...onnx.Attribute) string {
	b.ml = setsVersion
	return b.NodeML("TreeEnsemble", []string{input}, attributes...)
}

// SetRoundoff records the roundoff of a value.
func (b *Builder) SetRoundoff(value string, r Roundoff) { b.roundoff[value] = r }

// Roundoff returns the roundoff of a value; ok is false where none is known.
func (b *Builder) Roundoff(value string) (r Roundoff, ok bool) {
	r, ok = b.roundoff[value]
	return r, ok
}

// Double adds a cast to float64 and takes the value's roundoff out, so that what
// follows computes with what was learned.
func (b *Builder) Double(value string) string {
	double := b.Node("Cast", []string{value}, onnx.IntAttribute("to", int64(onnx.Double)))
	if r, ok := b.roundoff[value]; ok {
		shape := []int{1, len(r.Gain)}
		double = b.Node("Mul", []string{double, Constant(b, "gain", shape, r.Gain)})
		double = b.Node("Add", []string{double, Constant(b, "shift", shape, r.Shift)})
	}
	return double
}

// Single adds a cast to float32, the type that ZipMap takes.
func (b *Builder) Single(value string) string {
	return b.Node("Cast", []string{value}, onnx.IntAttribute("to", int64(onnx.Float)))
}

// Constant adds an initializer and returns its name, which starts with the one
// given.
func Constant[T onnx.Element](b *Builder, name string, shape []int, data []T) string {
	name = b.unique(name)
	b.graph.Initializers = append(b.graph.Initializers, onnx.NamedTensor(name, shape, data))
	return name
}

// ArgMaxLabel adds the label of the highest score of each row (of equal ones the
// first) and returns its name. The scores are a tensor [N, classes].
func (b *Builder) ArgMaxLabel(scores string) string {
	index := b.Node("ArgMax", []string{scores}, onnx.IntAttribute("axis", 1), onnx.IntAttribute("keepdims", 0))
	classes := b.labels.Len()
	var names string
	if b.labels.Strings != nil {
		names = Constant(b, "labels", []int{classes}, b.labels.Strings)
	} else {
		names = Constant(b, "labels", []int{classes}, b.labels.Ints)
	}
	return b.Node("Gather", []string{names, index}, onnx.IntAttribute("axis", 0))
}

// Model closes the graph: the label and a map of probabilities become its
// outputs.
func (b *Builder) Model(name string, s Scores) *onnx.Model {
	key := onnx.Int64
	closing := onnx.Node{Operator: "Cast", Attributes: []onnx.Attribute{onnx.IntAttribute("to", int64(onnx.Int64))}}
	if b.labels.Strings != nil {
		key = onnx.String
		closing = onnx.Node{Operator: "Identity"}
	}
	closing.Name, closing.Inputs, closing.Outputs = Label, []string{s.Label}, []string{Label}
	zip := onnx.Node{
		Name: "ZipMap", Operator: "ZipMap", Domain: onnx.DomainML,
		Inputs: []string{s.Probabilities}, Outputs: []string{Probabilities},
		Attributes: []onnx.Attribute{b.labelAttribute("classlabels_int64s", "classlabels_strings")},
	}
	b.graph.Nodes = append(b.graph.Nodes, closing, zip)
	b.graph.Outputs = []onnx.ValueInfo{
		{Name: Label, Type: onnx.TensorType(key, onnx.Symbolic("N"))},
		{Name: Probabilities, Type: onnx.ProbabilityMapsType(key)},
	}
	return b.model(name)
}

// ValueModel closes the graph of a regressor: the value, a float tensor [N,1],
// becomes its output.
func (b *Builder) ValueModel(name, value string) *onnx.Model {
	b.graph.Nodes = append(b.graph.Nodes, onnx.Node{Name: Value, Operator: "Identity", Inputs: []string{value}, Outputs: []string{Value}})
	b.graph.Outputs = []onnx.ValueInfo{{Name: Value, Type: onnx.TensorType(onnx.Float, onnx.Symbolic("N"), onnx.Fixed(1))}}
	return b.model(name)
}

func (b *Builder) model(name string) *onnx.Model {
	b.graph.Name = name
	return &onnx.Model{
		IRVersion:    irVersion,
		Opsets:       []onnx.Opset{{Domain: onnx.DomainONNX, Version: onnxVersion}, {Domain: onnx.DomainML, Version: cmp.Or(b.ml, mlVersion)}},
		ProducerName: "petal",
		Graph:        b.graph,
	}
}

func (b *Builder) add(domain, operator string, inputs []string, outputs int, attributes []onnx.Attribute) []string {
	name := b.unique(operator)
	node := onnx.Node{Name: name, Operator: operator, Domain: domain, Inputs: inputs, Attributes: attributes}
	for i := range outputs {
		node.Outputs = append(node.Outputs, name+"_"+strconv.Itoa(i))
	}
	b.graph.Nodes = append(b.graph.Nodes, node)
	return node.Outputs
}

// unique returns the name the first time, and the name with a number after that.
func (b *Builder) unique(name string) string {
	for {
		b.made[name]++
		free := name
		if n := b.made[name]; n > 1 {
			free += strconv.Itoa(n)
		}
		if !b.taken[free] && !b.taken[free+"_0"] && !b.taken[free+"_1"] {
			return free
		}
	}
}

func (b *Builder) labelAttribute(ints, strings string) onnx.Attribute {
	if b.labels.Strings != nil {
		return onnx.StringsAttribute(strings, b.labels.Strings...)
	}
	return onnx.IntsAttribute(ints, b.labels.Ints...)
}

// Floats converts to the float32 that ONNX attributes hold. A finite value
// beyond its range becomes the largest float32 of its sign rather than infinity.
func Floats(values []float64) []float32 {
	out := make([]float32, len(values))
	for i, v := range values {
		out[i] = Float(v)
	}
	return out
}

// Float converts one value as [Floats] does.
func Float(v float64) float32 {
	if !math.IsInf(v, 0) && math.Abs(v) > math.MaxFloat32 {
		return float32(math.Copysign(math.MaxFloat32, v))
	}
	return float32(v)
}

// ConstantScores adds the same scores for each row, whatever its features hold: a
// tree of one leaf, which has no condition to evaluate.
func (b *Builder) ConstantScores(input string, scores []float64) Scores {
	sums := b.ConstantRow(input, scores...)
	return Scores{Label: b.ArgMaxLabel(sums), Probabilities: sums}
}

// ConstantRow adds the same values for each row, a float tensor [N, values], and
// returns its name.
func (b *Builder) ConstantRow(input string, values ...float64) string {
	ids, zeros := make([]int64, len(values)), make([]int64, len(values))
	for k := range ids {
		ids[k] = int64(k)
	}
	one := []int64{0}
	return b.NodeML("TreeEnsembleRegressor", []string{input},
		onnx.IntAttribute("n_targets", int64(len(values))),
		onnx.IntsAttribute("nodes_treeids", one...),
		onnx.IntsAttribute("nodes_nodeids", one...),
		onnx.IntsAttribute("nodes_featureids", one...),
		onnx.StringsAttribute("nodes_modes", "LEAF"),
		onnx.FloatsAttribute("nodes_values", 0),
		onnx.IntsAttribute("nodes_truenodeids", one...),
		onnx.IntsAttribute("nodes_falsenodeids", one...),
		onnx.IntsAttribute("target_treeids", zeros...),
		onnx.IntsAttribute("target_nodeids", zeros...),
		onnx.IntsAttribute("target_ids", ids...),
		onnx.FloatsAttribute("target_weights", Floats(values)...))
}
