package onnx_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval"
)

// A jsonValue is a value as the Python scripts write it.
type jsonValue struct {
	Type    string          `json:"type"`
	Shape   []int           `json:"shape"`
	Data    string          `json:"data"` // base64, little-endian
	Strings []string        `json:"strings"`
	Maps    json.RawMessage `json:"maps"` // the keys, sorted
	Scores  *jsonValue      `json:"scores"`
}

// tensor decodes a tensor.
func (v *jsonValue) tensor() (*onnx.Tensor, error) {
	data, err := base64.StdEncoding.DecodeString(v.Data)
	if err != nil {
		return nil, err
	}
	switch v.Type {
	case "string":
		return onnx.NewTensor(v.Shape, append([]string{}, v.Strings...)), nil
	case "float":
		return decode(v.Shape, data, 4, func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) })
	case "double":
		return decode(v.Shape, data, 8, func(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) })
	case "int64":
		return decode(v.Shape, data, 8, func(b []byte) int64 { return int64(binary.LittleEndian.Uint64(b)) })
	case "int32":
		return decode(v.Shape, data, 4, func(b []byte) int32 { return int32(binary.LittleEndian.Uint32(b)) })
	case "bool":
		return decode(v.Shape, data, 1, func(b []byte) bool { return b[0] != 0 })
	case "uint8":
		return decode(v.Shape, data, 1, func(b []byte) uint8 { return b[0] })
	case "int8":
		return decode(v.Shape, data, 1, func(b []byte) int8 { return int8(b[0]) })
	case "uint16":
		return decode(v.Shape, data, 2, binary.LittleEndian.Uint16)
	case "int16":
		return decode(v.Shape, data, 2, func(b []byte) int16 { return int16(binary.LittleEndian.Uint16(b)) })
	case "uint32":
		return decode(v.Shape, data, 4, binary.LittleEndian.Uint32)
	case "uint64":
		return decode(v.Shape, data, 8, binary.LittleEndian.Uint64)
	default:
		return nil, fmt.Errorf("type %q", v.Type)
	}
}

// text is an element of a tensor of labels as text.
func (v *jsonValue) text(i int) string {
	t, err := v.tensor()
	if err != nil {
		return err.Error()
	}
	switch data := t.Data.(type) {
	case []string:
		return data[i]
	case []int64:
		return strconv.FormatInt(data[i], 10)
	default:
		return fmt.Sprintf("a label of type %v", t.Type())
	}
}

func decode[T onnx.Element](shape []int, data []byte, width int, load func([]byte) T) (*onnx.Tensor, error) {
	out := make([]T, 0, len(data)/width)
	for ; len(data) >= width; data = data[width:] {
		out = append(out, load(data))
	}
	return onnx.NewTensor(shape, out), nil
}

// keys decodes the keys of maps.
func (v *jsonValue) keys() (onnx.Labels, error) {
	var l onnx.Labels
	if json.Unmarshal(v.Maps, &l.Ints) == nil {
		return l, nil
	}
	l.Ints = nil
	return l, json.Unmarshal(v.Maps, &l.Strings)
}

// differs compares what Go computed with what onnxruntime did, and says where
// they first differ, empty where they do not. Labels must be equal, numbers
// within tolerance·max(1, |wanted|).
func differs(got eval.Value, wanted *jsonValue, tolerance float64) string {
	if wanted.Maps != nil {
		return mapsDiffer(got, wanted, tolerance)
	}
	w, err := wanted.tensor()
	if err != nil {
		return err.Error()
	}
	g, ok := got.(*onnx.Tensor)
	if !ok {
		return fmt.Sprintf("a %T, a tensor wanted", got)
	}
	return tensorsDiffer(g, w, tolerance)
}

func tensorsDiffer(g, w *onnx.Tensor, tolerance float64) string {
	if g.Type() != w.Type() {
		return fmt.Sprintf("type %v, wanted %v", g.Type(), w.Type())
	}
	if !slices.Equal(g.Shape, w.Shape) {
		return fmt.Sprintf("shape %v, wanted %v", g.Shape, w.Shape)
	}
	switch w := w.Data.(type) {
	case []float32:
		g, _ := g.Data.([]float32)
		for i := range w {
			if !near(float64(g[i]), float64(w[i]), tolerance) {
				return fmt.Sprintf("element %d is %v, wanted %v", i, g[i], w[i])
			}
		}
	case []float64:
		g, _ := g.Data.([]float64)
		for i := range w {
			if !near(g[i], w[i], tolerance) {
				return fmt.Sprintf("element %d is %v, wanted %v", i, g[i], w[i])
			}
		}
	case []string:
		return firstUnequal(g, w)
	case []int64:
		return firstUnequal(g, w)
	case []int32:
		return firstUnequal(g, w)
	case []bool:
		return firstUnequal(g, w)
	case []uint8:
		return firstUnequal(g, w)
	case []int8:
		return firstUnequal(g, w)
	case []uint16:
		return firstUnequal(g, w)
	case []int16:
		return firstUnequal(g, w)
	case []uint32:
		return firstUnequal(g, w)
	case []uint64:
		return firstUnequal(g, w)
	}
	return ""
}

func firstUnequal[T onnx.Element](g *onnx.Tensor, w []T) string {
	got, _ := onnx.Elements[T](g)
	for i := range w {
		if got[i] != w[i] {
			return fmt.Sprintf("element %d is %v, wanted %v", i, got[i], w[i])
		}
	}
	return ""
}

func near(g, w, tolerance float64) bool {
	if math.IsNaN(w) || math.IsNaN(g) {
		return math.IsNaN(w) && math.IsNaN(g)
	}
	if g == w {
		return true
	}
	return math.Abs(g-w) <= tolerance*math.Max(1, math.Abs(w))
}

// mapsDiffer compares ZipMap's maps, whose keys Python has sorted.
func mapsDiffer(got eval.Value, wanted *jsonValue, tolerance float64) string {
	g, ok := got.(*eval.ProbabilityMaps)
	if !ok {
		return fmt.Sprintf("a %T, maps wanted", got)
	}
	keys, err := wanted.keys()
	if err != nil {
		return err.Error()
	}
	scores, err := wanted.Scores.tensor()
	if err != nil {
		return err.Error()
	}
	columns := make(map[string]int, g.Keys.Len())
	for i := range g.Keys.Len() {
		columns[g.Keys.Text(i)] = i
	}
	w, _ := onnx.Elements[float32](scores)
	have, _ := onnx.Elements[float32](g.Scores)
	if len(w) != len(have) || keys.Len() != g.Keys.Len() {
		return fmt.Sprintf("%d scores for %d keys, wanted %d for %d", len(have), g.Keys.Len(), len(w), keys.Len())
	}
	for i := range w {
		row, j := i/keys.Len(), i%keys.Len()
		column, ok := columns[keys.Text(j)]
		if !ok {
			return "no key " + strconv.Quote(keys.Text(j))
		}
		if v := have[row*keys.Len()+column]; !near(float64(v), float64(w[i]), tolerance) {
			return fmt.Sprintf("row %d, key %q is %v, wanted %v", row, keys.Text(j), v, w[i])
		}
	}
	return ""
}
