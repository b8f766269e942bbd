// Package onnxtest makes the models and the broken files of the tests.
package onnxtest

import (
	"errors"
	"math/rand/v2"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/petal-ml/petal/internal/onnx"
)

// Iris is the graph that Petal's trainer writes: scaled multinomial
// logistic regression with string labels.
func Iris() *onnx.Model {
	rows := onnx.Symbolic("N")
	return &onnx.Model{
		IRVersion: 8,
		Opsets:    []onnx.Opset{{Domain: onnx.DomainONNX, Version: 15}, {Domain: onnx.DomainML, Version: 3}},
		Metadata:  []onnx.Property{{Key: "origin", Value: "test"}},
		Graph: &onnx.Graph{
			Name:    "iris",
			Inputs:  []onnx.ValueInfo{{Name: "features", Type: onnx.TensorType(onnx.Float, rows, onnx.Fixed(4))}},
			Outputs: []onnx.ValueInfo{{Name: "label", Type: onnx.TensorType(onnx.String, rows)}, {Name: "probabilities", Type: onnx.ProbabilityMapsType(onnx.String)}},
			Nodes: []onnx.Node{
				{
					Name: "scale", Operator: "Scaler", Domain: onnx.DomainML, Inputs: []string{"features"}, Outputs: []string{"scaled"},
					Attributes: []onnx.Attribute{onnx.FloatsAttribute("offset", 5.8, 3, 3.8, 1.2), onnx.FloatsAttribute("scale", 1.2, 2.3, 0.6, 1.3)},
				},
				{
					Name: "classify", Operator: "LinearClassifier", Domain: onnx.DomainML, Inputs: []string{"scaled"}, Outputs: []string{"label", "raw"},
					Attributes: []onnx.Attribute{
						onnx.FloatsAttribute("coefficients", -1, 1, -1.8, -1.7, 0.5, -0.3, -0.2, -0.7, 0.5, -0.7, 2, 2.4),
						onnx.FloatsAttribute("intercepts", -0.2, 2, -1.8),
						onnx.StringsAttribute("classlabels_strings", "setosa", "versicolor", "virginica"),
						onnx.StringAttribute("post_transform", "SOFTMAX"), onnx.IntAttribute("multi_class", 1),
					},
				},
				{
					Name: "normalize", Operator: "Normalizer", Domain: onnx.DomainML, Inputs: []string{"raw"}, Outputs: []string{"normal"},
					Attributes: []onnx.Attribute{onnx.StringAttribute("norm", "L1")},
				},
				{
					Name: "zip", Operator: "ZipMap", Domain: onnx.DomainML, Inputs: []string{"normal"}, Outputs: []string{"probabilities"},
					Attributes: []onnx.Attribute{onnx.StringsAttribute("classlabels_strings", "setosa", "versicolor", "virginica")},
				},
			},
		},
	}
}

// Forest is a random forest of complete trees: a classifier where classes is
// more than one, else a regressor.
func Forest(trees, depth, features, classes int) *onnx.Model {
	r := rand.New(rand.NewPCG(1, 2))
	var treeIDs, nodeIDs, featureIDs, yes, no, leafTrees, leafNodes, leafTargets []int64
	var values, weights []float32
	var modes []string
	for t := range trees {
		first := 1<<depth - 1
		for i := range 2*first + 1 {
			treeIDs, nodeIDs = append(treeIDs, int64(t)), append(nodeIDs, int64(i))
			if i < first {
				modes = append(modes, "BRANCH_LEQ")
				featureIDs, values = append(featureIDs, int64(r.IntN(features))), append(values, float32(r.NormFloat64()))
				yes, no = append(yes, int64(2*i+1)), append(no, int64(2*i+2))
				continue
			}
			modes, featureIDs, values = append(modes, "LEAF"), append(featureIDs, 0), append(values, 0)
			yes, no = append(yes, 0), append(no, 0)
			for k := range max(classes, 1) {
				leafTrees, leafNodes, leafTargets = append(leafTrees, int64(t)), append(leafNodes, int64(i)), append(leafTargets, int64(k))
				weights = append(weights, r.Float32()/float32(trees))
			}
		}
	}
	prefix := "class"
	node := onnx.Node{Operator: "TreeEnsembleClassifier", Domain: onnx.DomainML, Inputs: []string{"X"}, Outputs: []string{"label", "scores"}}
	outputs := []onnx.ValueInfo{{Name: "label", Type: onnx.TensorType(onnx.Int64, onnx.Symbolic("N"))}, {Name: "scores", Type: onnx.TensorType(onnx.Float, onnx.Symbolic("N"), onnx.Fixed(classes))}}
	if classes < 2 {
		prefix, node.Operator, node.Outputs = "target", "TreeEnsembleRegressor", []string{"scores"}
		node.Attributes = []onnx.Attribute{onnx.IntAttribute("n_targets", 1)}
		outputs = []onnx.ValueInfo{{Name: "scores", Type: onnx.TensorType(onnx.Float, onnx.Symbolic("N"), onnx.Fixed(1))}}
	} else {
		labels := make([]int64, classes)
		for i := range labels {
			labels[i] = int64(i)
		}
		node.Attributes = []onnx.Attribute{onnx.IntsAttribute("classlabels_int64s", labels...)}
	}
	node.Attributes = append(node.Attributes,
		onnx.IntsAttribute("nodes_treeids", treeIDs...), onnx.IntsAttribute("nodes_nodeids", nodeIDs...), onnx.IntsAttribute("nodes_featureids", featureIDs...),
		onnx.StringsAttribute("nodes_modes", modes...), onnx.FloatsAttribute("nodes_values", values...),
		onnx.IntsAttribute("nodes_truenodeids", yes...), onnx.IntsAttribute("nodes_falsenodeids", no...),
		onnx.IntsAttribute(prefix+"_treeids", leafTrees...), onnx.IntsAttribute(prefix+"_nodeids", leafNodes...),
		onnx.IntsAttribute(prefix+"_ids", leafTargets...), onnx.FloatsAttribute(prefix+"_weights", weights...))
	return &onnx.Model{
		IRVersion: 8, Opsets: []onnx.Opset{{Domain: onnx.DomainONNX, Version: 15}, {Domain: onnx.DomainML, Version: 3}},
		Graph: &onnx.Graph{
			Name: "forest", Nodes: []onnx.Node{node}, Outputs: outputs,
			Inputs: []onnx.ValueInfo{{Name: "X", Type: onnx.TensorType(onnx.Float, onnx.Symbolic("N"), onnx.Fixed(features))}},
		},
	}
}

// TensorModel is the file of a model whose only initializer has the fields given.
func TensorModel(fields ...[]byte) []byte {
	tensor := BytesField(8, []byte("c"))
	for _, f := range fields {
		tensor = append(tensor, f...)
	}
	// Output "c" is a tensor(float): name, and type with tensor type, element type and shape.
	output := append(BytesField(1, []byte("c")), BytesField(2, BytesField(1, append(Varint(1, int64(onnx.Float)), BytesField(2, nil)...)))...)
	graph := append(BytesField(5, tensor), BytesField(12, output)...)
	return append(Varint(1, 8), BytesField(7, graph)...)
}

// Varint is a field that holds a whole number.
func Varint(number protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), uint64(v))
}

// BytesField is a field that holds bytes.
func BytesField(number protowire.Number, data []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), data)
}

// IsModelFault says whether an error is about the model, not about the run.
func IsModelFault(err error) bool {
	return errors.Is(err, onnx.ErrInvalid) || errors.Is(err, onnx.ErrLimit) || errors.Is(err, onnx.ErrUnsupported)
}

// SetInt changes an entry of a list of integers.
func SetInt(a *onnx.Attribute, i int, v int64) {
	values := a.Ints.Slice()
	values[i] = v
	a.Ints = onnx.NewIntList(values...)
}

// Small is a model of a few nodes, as other producers write them.
func Small(inputs, outputs []onnx.ValueInfo, constants []*onnx.Tensor, nodes ...onnx.Node) *onnx.Model {
	return &onnx.Model{
		IRVersion: 10, Opsets: []onnx.Opset{{Domain: onnx.DomainONNX, Version: 21}, {Domain: onnx.DomainML, Version: 3}},
		Graph: &onnx.Graph{Name: "small", Inputs: inputs, Outputs: outputs, Initializers: constants, Nodes: nodes},
	}
}

// Value declares a tensor; −1 is an open dimension.
func Value(name string, e onnx.ElementType, shape ...int) onnx.ValueInfo {
	dims := make([]onnx.Dim, len(shape))
	for i, d := range shape {
		dims[i] = onnx.Fixed(d)
		if d < 0 {
			dims[i] = onnx.Symbolic("")
		}
	}
	return onnx.ValueInfo{Name: name, Type: onnx.TensorType(e, dims...)}
}

// Node is a node of ai.onnx; names of inputs and outputs are separated by spaces.
func Node(operator, inputs, outputs string, attributes ...onnx.Attribute) onnx.Node {
	return onnx.Node{Operator: operator, Inputs: strings.Fields(inputs), Outputs: strings.Fields(outputs), Attributes: attributes}
}

// NodeML is a node of ai.onnx.ml.
func NodeML(operator, inputs, outputs string, attributes ...onnx.Attribute) onnx.Node {
	n := Node(operator, inputs, outputs, attributes...)
	n.Domain = onnx.DomainML
	return n
}
