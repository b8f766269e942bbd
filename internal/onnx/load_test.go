package onnx_test

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/tests/testenv/golden"
	"github.com/petal-ml/petal/tests/testenv/onnxtest"
)

// Field numbers of onnx.proto's TensorProto and of the messages around it.
const (
	protoIRVersion = 1
	protoGraph     = 7

	protoDims     = 1
	protoType     = 2
	protoFloats   = 4
	protoInt64s   = 7
	protoRaw      = 9
	protoExternal = 13
	protoLocation = 14
)

// TestLoadRefuses holds one row a kind of hostile or broken file: a good model,
// spoilt in one way. What each error says stands in testdata/messages.golden.
func TestLoadRefuses(t *testing.T) {
	messages := golden.New(t)
	tests := []struct {
		name  string
		spoil func(*onnx.Model)
		is    error
	}{
		{"no graph", func(m *onnx.Model) { m.Graph = nil }, onnx.ErrInvalid},
		{"no IR version", func(m *onnx.Model) { m.IRVersion = 0 }, onnx.ErrInvalid},
		{"no output", func(m *onnx.Model) { m.Graph.Outputs = nil }, onnx.ErrInvalid},
		{"operator set twice", func(m *onnx.Model) { m.Opsets = append(m.Opsets, onnx.Opset{"ai.onnx", 9}) }, onnx.ErrInvalid},
		{"metadata key twice", func(m *onnx.Model) { m.Metadata = append(m.Metadata, m.Metadata[0]) }, onnx.ErrInvalid},
		{"input twice", func(m *onnx.Model) { m.Graph.Inputs = append(m.Graph.Inputs, m.Graph.Inputs[0]) }, onnx.ErrInvalid},
		{"output twice", func(m *onnx.Model) { m.Graph.Outputs = append(m.Graph.Outputs, m.Graph.Outputs[0]) }, onnx.ErrInvalid},
		{"value computed twice", func(m *onnx.Model) { m.Graph.Nodes[2].Outputs = []string{"raw"} }, onnx.ErrInvalid},
		{"initializer twice", func(m *onnx.Model) {
			c := onnx.NamedTensor("c", []int{1}, []float32{1})
			m.Graph.Initializers = []*onnx.Tensor{c, c}
		}, onnx.ErrInvalid},
		{"attribute twice", func(m *onnx.Model) {
			n := &m.Graph.Nodes[0]
			n.Attributes = append(n.Attributes, n.Attributes[0])
		}, onnx.ErrInvalid},
		{"value that nothing computes", func(m *onnx.Model) { m.Graph.Nodes[0].Inputs[0] = "ghost" }, onnx.ErrInvalid},
		{"output that nothing computes", func(m *onnx.Model) { m.Graph.Outputs[0].Name = "ghost" }, onnx.ErrInvalid},
		{"cycle", func(m *onnx.Model) { m.Graph.Nodes[0].Inputs[0] = "normal" }, onnx.ErrInvalid},
		{"node that feeds itself", func(m *onnx.Model) { m.Graph.Nodes[0].Inputs[0] = "scaled" }, onnx.ErrInvalid},
		{"bad UTF-8", func(m *onnx.Model) { m.Graph.Nodes[0].Name = "a\xff" }, onnx.ErrInvalid},
		{"bad UTF-8 in a label", func(m *onnx.Model) { m.Graph.Nodes[1].Attributes[2].Strings[0] = "\xc3" }, onnx.ErrInvalid},
		{"deep nesting", func(m *onnx.Model) {
			g := &onnx.Graph{}
			for range 20 {
				g = &onnx.Graph{Nodes: []onnx.Node{{Operator: "If", Attributes: []onnx.Attribute{onnx.GraphAttribute("then_branch", g)}}}}
			}
			m.Graph.Nodes = append(slices.Clone(m.Graph.Nodes), onnx.Node{Operator: "If", Attributes: []onnx.Attribute{onnx.GraphAttribute("then_branch", g)}})
		}, onnx.ErrLimit},
		{"deep type", func(m *onnx.Model) {
			typ := onnx.TensorType(onnx.Float)
			for range 20 {
				typ = onnx.SequenceType(typ)
			}
			m.Graph.Inputs[0].Type = typ
		}, onnx.ErrLimit},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := onnxtest.Iris()
			test.spoil(m)
			_, err := onnx.Load(bytes.NewReader(m.Marshal()), onnx.Limits{})
			require.ErrorIs(t, err, test.is)
			messages.Add(test.name, err)
		})
	}
}

func TestLoadRefusesTensors(t *testing.T) {
	float := onnxtest.Varint(protoType, int64(onnx.Float))
	messages := golden.New(t)
	tests := []struct {
		name string
		file []byte
		is   error
	}{
		{"10^9 elements, no data", onnxtest.TensorModel(onnxtest.Varint(protoDims, 1e9), float), onnx.ErrInvalid},
		{"10^18 elements", onnxtest.TensorModel(onnxtest.Varint(protoDims, 1e9), onnxtest.Varint(protoDims, 1e9), float), onnx.ErrLimit},
		{"dimension beyond int32", onnxtest.TensorModel(onnxtest.Varint(protoDims, 1e18), float), onnx.ErrInvalid},
		{"negative dimension", onnxtest.TensorModel(onnxtest.Varint(protoDims, -1), float), onnx.ErrInvalid},
		{"too little raw data", onnxtest.TensorModel(onnxtest.Varint(protoDims, 2), float, onnxtest.BytesField(protoRaw, make([]byte, 4))), onnx.ErrInvalid},
		{"data given twice", onnxtest.TensorModel(onnxtest.Varint(protoDims, 1), float, onnxtest.BytesField(protoRaw, make([]byte, 4)), onnxtest.BytesField(protoFloats, make([]byte, 4))), onnx.ErrInvalid},
		{"wrong list", onnxtest.TensorModel(onnxtest.Varint(protoDims, 1), float, onnxtest.BytesField(protoInt64s, []byte{1})), onnx.ErrInvalid},
		{"external data", onnxtest.TensorModel(onnxtest.Varint(protoDims, 1), float, onnxtest.BytesField(protoExternal, nil)), onnx.ErrUnsupported},
		{"external location", onnxtest.TensorModel(onnxtest.Varint(protoDims, 1), float, onnxtest.Varint(protoLocation, 1)), onnx.ErrUnsupported},
		{"float16", onnxtest.TensorModel(onnxtest.Varint(protoType, 10)), onnx.ErrUnsupported},
		{"strings in raw data", onnxtest.TensorModel(onnxtest.Varint(protoDims, 0), onnxtest.Varint(protoType, int64(onnx.String)), onnxtest.BytesField(protoRaw, nil)), onnx.ErrInvalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := onnx.Load(bytes.NewReader(test.file), onnx.Limits{})
			require.ErrorIs(t, err, test.is)
			messages.Add(test.name, err)
		})
	}
}

func TestLoadLimits(t *testing.T) {
	messages := golden.New(t)
	data := onnxtest.Iris().Marshal()
	_, err := onnx.Load(bytes.NewReader(data), onnx.Limits{Bytes: 100})
	require.ErrorIs(t, err, onnx.ErrLimit)
	messages.Add("bytes", err)
	_, err = onnx.Load(strings.NewReader(string(data)), onnx.Limits{Nodes: 3})
	require.ErrorIs(t, err, onnx.ErrLimit)
	messages.Add("nodes", err)
	_, err = onnx.Load(bytes.NewReader(data), onnx.Limits{Memory: 1000})
	require.ErrorIs(t, err, onnx.ErrLimit)
	messages.Add("memory", err)
	_, err = onnx.Load(strings.NewReader(""), onnx.Limits{})
	require.ErrorIs(t, err, onnx.ErrInvalid)
	messages.Add("empty file", err)

	// Two bytes of the file ask for a whole Node each.
	bomb := append(onnxtest.Varint(protoIRVersion, 8), onnxtest.BytesField(protoGraph, bytes.Repeat([]byte{0x0a, 0}, 1_000_000))...)
	_, err = onnx.Load(bytes.NewReader(bomb), onnx.Limits{Nodes: math.MaxInt, Memory: 1 << 20})
	require.ErrorIs(t, err, onnx.ErrLimit)
}
