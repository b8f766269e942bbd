package emit

import (
	"fmt"

	"github.com/petal-ml/petal/internal/onnx"
)

// An InputColumn is an input of a graph that takes its columns one by one.
type InputColumn struct {
	Name string
	Text bool // else 32-bit floats
}

// NewTypedBuilder starts a graph with an input [N] for each column, which is what
// MLflow gives an ONNX model for a table of columns of several types. Labels may be
// empty for a regressor.
func NewTypedBuilder(columns []InputColumn, labels onnx.Labels) (*Builder, error) {
	if labels.Strings != nil && labels.Ints != nil {
		return nil, fmt.Errorf("labels must be either text or integers: %w", ErrLabels)
	}
	b := &Builder{graph: &onnx.Graph{}, labels: labels, features: len(columns), made: map[string]int{}, roundoff: map[string]Roundoff{}, taken: map[string]bool{Label: true, Probabilities: true}}
	for _, c := range columns {
		element := onnx.Float
		if c.Text {
			element = onnx.String
		}
		name := c.Name
		for b.taken[name] { // an output, or a column before it
			name += "_"
		}
		b.taken[name] = true
		b.inputs = append(b.inputs, name)
		b.graph.Inputs = append(b.graph.Inputs, onnx.ValueInfo{Name: name, Type: onnx.TensorType(element, onnx.Symbolic("N"))})
	}
	return b, nil
}

// Inputs returns the names of the inputs of the columns; nil for a graph with the
// one input of [NewBuilder].
func (b *Builder) Inputs() []string { return b.inputs }

// Column makes a tensor [N,1] of one of shape [N].
func (b *Builder) Column(value string) string {
	if b.axis == "" {
		b.axis = Constant(b, "axis", []int{1}, []int64{1})
	}
	return b.Node("Unsqueeze", []string{value, b.axis})
}

// Concat puts tensors [N,…] side by side.
func (b *Builder) Concat(values []string) string {
	if len(values) == 1 {
		return values[0]
	}
	return b.Node("Concat", values, onnx.IntAttribute("axis", 1))
}

// Codes replaces the texts of a tensor by numbers, those that are not among the
// keys by the other one.
func (b *Builder) Codes(value string, keys []string, codes []float32, other float32) string {
	return b.NodeML("LabelEncoder", []string{value},
		onnx.StringsAttribute("keys_strings", keys...), onnx.FloatsAttribute("values_floats", codes...), onnx.FloatAttribute("default_float", other))
}

// OneHot replaces the texts of a tensor [N] by columns [N,width], of which the one
// with the text's code is 1. A text of no key has the other code; −1 stands for
// zeros.
func (b *Builder) OneHot(value string, keys []string, codes []int64, other int64, width int) string {
	index := b.NodeML("LabelEncoder", []string{value},
		onnx.StringsAttribute("keys_strings", keys...), onnx.IntsAttribute("values_int64s", codes...), onnx.IntAttribute("default_int64", other))
	categories := make([]int64, width)
	for i := range categories {
		categories[i] = int64(i)
	}
	return b.NodeML("OneHotEncoder", []string{index}, onnx.IntsAttribute("cats_int64s", categories...), onnx.IntAttribute("zeros", 1))
}
