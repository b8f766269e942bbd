package kernel

import "github.com/petal-ml/petal/internal/onnx"

// A Value is what flows between nodes: a [*Tensor], or [*ProbabilityMaps].
type Value interface{ ValueType() onnx.Type }

// ProbabilityMaps is what ZipMap makes: a sequence of maps, one a row, from
// label to score. All rows have the same keys.
type ProbabilityMaps struct {
	Keys   onnx.Labels
	Scores *onnx.Tensor // float, one row a map, one column a key
}

// ValueType returns the type of the maps.
func (p *ProbabilityMaps) ValueType() onnx.Type {
	if p.Keys.Strings != nil {
		return onnx.ProbabilityMapsType(onnx.String)
	}
	return onnx.ProbabilityMapsType(onnx.Int64)
}

// TensorOf takes a value that must be a tensor.
func TensorOf(v Value) (*onnx.Tensor, error) {
	t, ok := v.(*onnx.Tensor)
	if !ok {
		return nil, onnx.At(onnx.ErrInput, "a tensor wanted, %v given", v.ValueType())
	}
	return t, nil
}
