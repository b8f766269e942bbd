package onnx

import (
	"bytes"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
)

// TestLoadRefuses holds one row a kind of hostile or broken file: a good model,
// spoilt in one way, and what the error must say.
func TestLoadRefuses(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*Model)
		is    error
		says  string
	}{
		{"no graph", func(m *Model) { m.Graph = nil }, ErrInvalid, "no graph"},
		{"no IR version", func(m *Model) { m.IRVersion = 0 }, ErrInvalid, "IR version"},
		{"no output", func(m *Model) { m.Graph.Outputs = nil }, ErrInvalid, "no output"},
		{"operator set twice", func(m *Model) { m.Opsets = append(m.Opsets, Opset{"ai.onnx", 9}) }, ErrInvalid, "imported twice"},
		{"metadata key twice", func(m *Model) { m.Metadata = append(m.Metadata, m.Metadata[0]) }, ErrInvalid, `"origin" stands twice`},
		{"input twice", func(m *Model) { m.Graph.Inputs = append(m.Graph.Inputs, m.Graph.Inputs[0]) }, ErrInvalid, `"features" is defined twice`},
		{"output twice", func(m *Model) { m.Graph.Outputs = append(m.Graph.Outputs, m.Graph.Outputs[0]) }, ErrInvalid, `"label" is declared twice`},
		{"value computed twice", func(m *Model) { m.Graph.Nodes[2].Outputs = []string{"raw"} }, ErrInvalid, `"raw" is computed twice`},
		{"initializer twice", func(m *Model) {
			c := NamedTensor("c", []int{1}, []float32{1})
			m.Graph.Initializers = []*Tensor{c, c}
		}, ErrInvalid, `"c" is defined twice`},
		{"attribute twice", func(m *Model) {
			n := &m.Graph.Nodes[0]
			n.Attributes = append(n.Attributes, n.Attributes[0])
		}, ErrInvalid, `attribute "offset" stands twice`},
		{"value that nothing computes", func(m *Model) { m.Graph.Nodes[0].Inputs[0] = "ghost" }, ErrInvalid, `"ghost": nothing computes it`},
		{"output that nothing computes", func(m *Model) { m.Graph.Outputs[0].Name = "ghost" }, ErrInvalid, `"ghost": nothing computes it`},
		{"cycle", func(m *Model) { m.Graph.Nodes[0].Inputs[0] = "normal" }, ErrInvalid, `cycle through node "scale"`},
		{"node that feeds itself", func(m *Model) { m.Graph.Nodes[0].Inputs[0] = "scaled" }, ErrInvalid, `cycle through node "scale"`},
		{"bad UTF-8", func(m *Model) { m.Graph.Nodes[0].Name = "a\xff" }, ErrInvalid, "is not UTF-8"},
		{"bad UTF-8 in a label", func(m *Model) { m.Graph.Nodes[1].Attributes[2].Strings[0] = "\xc3" }, ErrInvalid, "is not UTF-8"},
		{"deep nesting", func(m *Model) {
			g := &Graph{}
			for range 20 {
				g = &Graph{Nodes: []Node{{Operator: "If", Attributes: []Attribute{GraphAttribute("then_branch", g)}}}}
			}
			m.Graph.Nodes = append(slices.Clone(m.Graph.Nodes), Node{Operator: "If", Attributes: []Attribute{GraphAttribute("then_branch", g)}})
		}, ErrLimit, "nested"},
		{"deep type", func(m *Model) {
			typ := TensorType(Float)
			for range 20 {
				typ = SequenceType(typ)
			}
			m.Graph.Inputs[0].Type = typ
		}, ErrLimit, "nested"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := irisLike()
			test.spoil(m)
			_, err := Load(bytes.NewReader(m.Marshal()), Limits{})
			require.ErrorIs(t, err, test.is)
			require.ErrorContains(t, err, test.says)
		})
	}
}

// tensorModel is a model whose only initializer has the fields given.
func tensorModel(fields ...[]byte) []byte {
	tensor := putString(nil, tensorName, "c")
	for _, f := range fields {
		tensor = append(tensor, f...)
	}
	g := putBytes(nil, graphInitializer, tensor)
	g = putBytes(g, graphOutput, encodeValue(ValueInfo{Name: "c", Type: TensorType(Float)}))
	m := putInt(nil, modelIRVersion, 8)
	return putBytes(m, modelGraph, g)
}

func varint(number protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), uint64(v))
}

func TestLoadRefusesTensors(t *testing.T) {
	float := varint(tensorType, int64(Float))
	tests := []struct {
		name string
		file []byte
		is   error
		says string
	}{
		{"10^9 elements, no data", tensorModel(varint(tensorDims, 1e9), float), ErrInvalid, "declares 1000000000 elements"},
		{"10^18 elements", tensorModel(varint(tensorDims, 1e9), varint(tensorDims, 1e9), float), ErrLimit, "elements"},
		{"dimension beyond int32", tensorModel(varint(tensorDims, 1e18), float), ErrInvalid, "dimension"},
		{"negative dimension", tensorModel(varint(tensorDims, -1), float), ErrInvalid, "dimension -1"},
		{"too little raw data", tensorModel(varint(tensorDims, 2), float, putBytes(nil, tensorRaw, make([]byte, 4))), ErrInvalid, "raw_data holds 4 bytes"},
		{"data given twice", tensorModel(varint(tensorDims, 1), float, putBytes(nil, tensorRaw, make([]byte, 4)), putBytes(nil, tensorFloats, make([]byte, 4))), ErrInvalid, "given twice"},
		{"wrong list", tensorModel(varint(tensorDims, 1), float, putBytes(nil, tensorInt64s, []byte{1})), ErrInvalid, "float elements in field 7"},
		{"external data", tensorModel(varint(tensorDims, 1), float, putBytes(nil, tensorExternal, nil)), ErrUnsupported, "external_data"},
		{"external location", tensorModel(varint(tensorDims, 1), float, varint(tensorLocation, 1)), ErrUnsupported, "data_location"},
		{"float16", tensorModel(varint(tensorType, 10)), ErrUnsupported, "float16"},
		{"strings in raw data", tensorModel(varint(tensorDims, 0), varint(tensorType, int64(String)), putBytes(nil, tensorRaw, nil)), ErrInvalid, "strings in raw_data"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Load(bytes.NewReader(test.file), Limits{})
			require.ErrorIs(t, err, test.is)
			require.ErrorContains(t, err, test.says)
			require.ErrorContains(t, err, `tensor "c"`)
		})
	}
}

func TestLoadLimits(t *testing.T) {
	data := irisLike().Marshal()
	_, err := Load(bytes.NewReader(data), Limits{Bytes: 100})
	require.ErrorIs(t, err, ErrLimit)
	_, err = Load(strings.NewReader(string(data)), Limits{Nodes: 3})
	require.ErrorIs(t, err, ErrLimit)
	require.ErrorContains(t, err, "more than 3 nodes")
	_, err = Load(bytes.NewReader(data), Limits{Memory: 1000})
	require.ErrorIs(t, err, ErrLimit)
	_, err = Load(strings.NewReader(""), Limits{})
	require.ErrorIs(t, err, ErrInvalid)

	// Two bytes of the file ask for a whole Node each.
	bomb := putBytes(putInt(nil, modelIRVersion, 8), modelGraph, bytes.Repeat([]byte{0x0a, 0}, 1_000_000))
	_, err = Load(bytes.NewReader(bomb), Limits{Nodes: math.MaxInt, Memory: 1 << 20})
	require.ErrorIs(t, err, ErrLimit)
}

// TestLoadTruncated cuts a file at every byte: each prefix is refused, and none
// makes the reader panic.
func TestLoadTruncated(t *testing.T) {
	whole := irisLike()
	whole.Metadata = nil // a file without its last metadata entry is a good one
	data := whole.Marshal()
	for n := range data {
		m, err := Load(bytes.NewReader(data[:n]), Limits{})
		if err == nil {
			// A cut between two fields can leave a model that loads, but lacks
			// the operator sets at its end.
			_, err = NewSession(m)
		}
		require.Error(t, err, "cut after %d bytes", n)
		require.True(t, isModelFault(err), "cut after %d bytes: %v", n, err)
	}
}

// TestLoadBitFlips flips every bit of a file. What still loads must compile or
// be refused, and never panic.
func TestLoadBitFlips(t *testing.T) {
	data := irisLike().Marshal()
	for i := range data {
		for bit := range 8 {
			flipped := slices.Clone(data)
			flipped[i] ^= 1 << bit
			m, err := Load(bytes.NewReader(flipped), Limits{})
			if err == nil {
				_, err = NewSession(m)
			}
			if err != nil {
				require.True(t, isModelFault(err), "bit %d of byte %d: %v", bit, i, err)
			}
		}
	}
}

func TestUnknownOperatorIsNamed(t *testing.T) {
	m := irisLike()
	m.Graph.Nodes[0].Operator, m.Graph.Nodes[0].Domain = "Conv", ""
	m.Graph.Nodes[2].Operator, m.Graph.Nodes[2].Domain = "Quantum", "org.example"
	_, err := NewSession(m)
	require.ErrorIs(t, err, ErrUnsupported)
	require.ErrorContains(t, err, "Conv (version 15)")
	require.ErrorContains(t, err, "org.example.Quantum (operator set not imported)")
	require.Len(t, m.MissingOperators(), 2)
}

// TestRunsStayWithinMemory asks for 10^9 elements in the ways that a few bytes
// can: when a model is compiled, since its constants are folded, and when it runs.
func TestRunsStayWithinMemory(t *testing.T) {
	ints := func(name string, v ...int64) *Tensor { return NamedTensor(name, []int{len(v)}, v) }
	scalar := func(name string, v int64) *Tensor { return NamedTensor(name, nil, []int64{v}) }
	empty := Node{Operator: "ConstantOfShape", Inputs: []string{"empty"}, Outputs: []string{"e"}}
	tests := map[string][]Node{
		"ConstantOfShape": {{Operator: "ConstantOfShape", Inputs: []string{"many"}, Outputs: []string{"y"}}},
		"Expand":          {{Operator: "Expand", Inputs: []string{"one", "many"}, Outputs: []string{"y"}}},
		"Tile":            {{Operator: "Tile", Inputs: []string{"one", "many"}, Outputs: []string{"y"}}},
		"Range":           {{Operator: "Range", Inputs: []string{"zero", "billion", "step"}, Outputs: []string{"y"}}},
		"Tile of Tile": {
			{Operator: "Tile", Inputs: []string{"one", "some"}, Outputs: []string{"t"}},
			{Operator: "Tile", Inputs: []string{"t", "some"}, Outputs: []string{"y"}},
		},
		"Scan of empty slices": {empty, {
			Operator: "Scan", Inputs: []string{"e"}, Outputs: []string{"y"},
			Attributes: []Attribute{IntAttribute("num_scan_inputs", 1), GraphAttribute("body", &Graph{
				Inputs: []ValueInfo{{Name: "s"}}, Outputs: []ValueInfo{{Name: "r"}},
				Nodes: []Node{{Operator: "Identity", Inputs: []string{"s"}, Outputs: []string{"r"}}},
			})},
		}},
	}
	const limit = 4 << 20
	for name, nodes := range tests {
		sizes := []*Tensor{
			ints("many", 1e9), ints("some", 40_000), ints("empty", 1e9, 0), ints("one", 1),
			scalar("zero", 0), scalar("billion", 1e9), scalar("step", 1),
		}
		m := &Model{IRVersion: 8, Opsets: []Opset{{Version: 15}}, Graph: &Graph{Nodes: nodes, Outputs: []ValueInfo{{Name: "y"}}}}
		refuses := func(t *testing.T, do func() error) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := do()
			runtime.ReadMemStats(&after)
			require.ErrorIs(t, err, ErrLimit)
			require.ErrorContains(t, err, nodes[len(nodes)-1].Operator)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(limit+1<<20))
		}
		t.Run(name+" folded", func(t *testing.T) {
			m.Graph.Initializers = sizes
			refuses(t, func() error {
				_, err := NewSession(m, WithLimits(Limits{Memory: limit}))
				return err
			})
		})
		t.Run(name+" at run time", func(t *testing.T) {
			m.Graph.Initializers, m.Graph.Inputs = nil, nil
			inputs := map[string]Value{}
			for _, v := range sizes {
				shape := make([]Dim, len(v.Shape))
				for i, n := range v.Shape {
					shape[i] = Fixed(n)
				}
				m.Graph.Inputs = append(m.Graph.Inputs, ValueInfo{Name: v.Name, Type: TensorType(Int64, shape...)})
				inputs[v.Name] = v
			}
			s, err := NewSession(m, WithLimits(Limits{Memory: limit}))
			require.NoError(t, err)
			refuses(t, func() error {
				_, err := s.Run(inputs)
				return err
			})
		})
	}
}

// TestLoadMemory loads a forest of 100,000 nodes: what is allocated on the way,
// the file included, is at most three times the file.
func TestLoadMemory(t *testing.T) {
	file := forestModel(100, 9, 20, 5).Marshal()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m, err := Load(bytes.NewReader(file), Limits{})
	require.NoError(t, err)
	s, err := NewSession(m)
	require.NoError(t, err)
	runtime.ReadMemStats(&after)
	require.LessOrEqual(t, float64(after.TotalAlloc-before.TotalAlloc)/float64(len(file)), 3.0)
	runtime.KeepAlive(s)
}
