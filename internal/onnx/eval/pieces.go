package eval

import (
	"slices"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
)

// Pieces are how a batch goes through a graph whose inputs are no batches of flat
// rows of any number: a fixed number of rows at a time (one, in what most exporters
// write), one row without an axis of rows, or rows of several axes.
type pieces struct {
	rows     int              // that the graph takes at a time; 0: any number
	flat     bool             // the graph takes one row, and its input has no axis of rows
	declared []onnx.ValueInfo // the inputs as the graph has them
	shapes   [][]int          // by input: the shape of one row
}

// newPieces looks at the inputs of a graph; nil means that batches go through it as
// they are. The inputs come back as callers see them: [N, columns], or [N].
func newPieces(inputs []onnx.ValueInfo) (*pieces, []onnx.ValueInfo) {
	p := &pieces{declared: inputs}
	p.flat = len(inputs) == 1 && isVector(inputs[0].Type)
	if p.flat {
		p.rows = 1
	}
	seen := slices.Clone(inputs)
	deep := false
	for i, in := range inputs {
		t := in.Type
		if t.Kind != onnx.KindTensor || !t.HasShape || len(t.Shape) == 0 {
			return nil, inputs
		}
		rest := t.Shape
		if !p.flat {
			rest = t.Shape[1:]
			if rows := t.Shape[0].Size; p.rows == 0 && rows > 0 {
				p.rows = rows
			} else if rows == 0 || rows > 0 && rows != p.rows {
				return nil, inputs
			}
		}
		row := make([]int, len(rest))
		for k, d := range rest {
			row[k] = d.Size
		}
		if len(rest) > 1 && slices.Min(row) < 1 {
			return nil, inputs
		}
		deep = deep || len(rest) > 1
		p.shapes = append(p.shapes, row)
		seen[i].Type = onnx.TensorType(t.Element, onnx.Symbolic("N"))
		switch {
		case len(rest) == 1:
			seen[i].Type.Shape = append(seen[i].Type.Shape, rest[0])
		case len(rest) > 1:
			width, err := onnx.ElementCount(row)
			if err != nil {
				return nil, inputs
			}
			seen[i].Type.Shape = append(seen[i].Type.Shape, onnx.Fixed(width))
		}
	}
	if p.rows == 0 && !deep {
		return nil, inputs
	}
	return p, seen
}

// isVector says whether a value is a list of a fixed number of elements, more than
// one.
func isVector(t onnx.Type) bool {
	return t.Kind == onnx.KindTensor && t.HasShape && len(t.Shape) == 1 && t.Shape[0].Size > 1
}

// seenOutputs are the outputs as callers see them, with rows on the first axis.
func (p *pieces) seenOutputs(outputs []onnx.ValueInfo) []onnx.ValueInfo {
	if p.rows == 0 {
		return outputs
	}
	seen := slices.Clone(outputs)
	for i := range seen {
		t := &seen[i].Type
		if t.Kind != onnx.KindTensor || !t.HasShape {
			continue
		}
		rest := t.Shape
		if len(rest) > 0 && (rest[0].Size == p.rows || rest[0].Size < 0) && (!p.flat || len(rest) > 1) {
			rest = rest[1:]
		}
		t.Shape = append([]onnx.Dim{onnx.Symbolic("N")}, rest...)
	}
	return seen
}

// fit says whether the inputs are what the graph itself takes.
func (p *pieces) fit(inputs map[string]kernel.Value) bool {
	for _, in := range p.declared {
		if v, ok := inputs[in.Name]; !ok || v == nil || fits(v, in.Type) != nil {
			return false
		}
	}
	return true
}

// runPieces sends a batch through the graph piece by piece. values holds the inputs
// as callers see them.
func (s *Session) runPieces(e *kernel.Env, values []kernel.Value) ([]kernel.Value, error) {
	p := s.pieces
	inputs, n, err := p.shaped(values, s.program.InputSlots)
	if err != nil {
		return nil, err
	}
	if p.rows == 0 {
		for i, t := range inputs {
			values[s.program.InputSlots[i]] = t
		}
		return s.runOnce(e, values)
	}
	parts := make([][]kernel.Value, len(s.outputs))
	for first := 0; first < n; first += p.rows {
		for i, t := range inputs {
			if values[s.program.InputSlots[i]], err = p.cut(e, t, first); err != nil {
				return nil, err
			}
		}
		out, err := s.runPiece(values)
		if err != nil {
			return nil, onnx.At(err, "row %d", first)
		}
		for k, v := range out {
			if v, err = p.rowsOf(e, v, min(p.rows, n-first)); err != nil {
				return nil, onnx.At(err, "output %q", s.outputs[k].Name)
			}
			parts[k] = append(parts[k], v)
		}
	}
	joined := make([]kernel.Value, len(parts))
	for k, list := range parts {
		if joined[k], err = join(e, list); err != nil {
			return nil, onnx.At(err, "output %q", s.outputs[k].Name)
		}
	}
	return joined, nil
}

// runPiece runs one piece, whose memory is given back behind it.
func (s *Session) runPiece(values []kernel.Value) ([]kernel.Value, error) {
	e := s.newEnv()
	defer e.Release()
	return s.runOnce(e, values)
}

// shaped gives the inputs the rows of the graph, and counts them.
func (p *pieces) shaped(values []kernel.Value, slots []int) (inputs []*onnx.Tensor, n int, err error) {
	for i, slot := range slots {
		t, err := kernel.TensorOf(values[slot])
		if err != nil {
			return nil, 0, err
		}
		if i > 0 && n != t.Shape[0] {
			return nil, 0, onnx.At(onnx.ErrInput, "inputs of %d and %d rows", n, t.Shape[0])
		}
		n = t.Shape[0]
		if len(p.shapes[i]) > 1 {
			t = kernel.Reshaped(t, append([]int{n}, p.shapes[i]...))
		}
		inputs = append(inputs, t)
	}
	if n == 0 {
		return nil, 0, onnx.At(onnx.ErrInput, "no rows")
	}
	return inputs, n, nil
}

// cut takes the rows of one piece. One that is too short is filled up with its last
// row.
func (p *pieces) cut(e *kernel.Env, t *onnx.Tensor, first int) (*onnx.Tensor, error) {
	shape := slices.Clone(t.Shape)
	last := t.Shape[0] - 1
	shape[0] = p.rows
	width := kernel.Product(shape[1:])
	if p.flat {
		shape = shape[1:]
	}
	return kernel.Take(e, t, shape, func(i int) int { return min(first+i/width, last)*width + i%width })
}

// rowsOf gives an output of one piece rows on its first axis, n of them.
func (p *pieces) rowsOf(e *kernel.Env, v kernel.Value, n int) (kernel.Value, error) {
	if maps, ok := v.(*kernel.ProbabilityMaps); ok {
		scores, err := p.rowsOf(e, maps.Scores, n)
		if err != nil {
			return nil, err
		}
		return &kernel.ProbabilityMaps{Keys: maps.Keys, Scores: scores.(*onnx.Tensor)}, nil
	}
	t, err := kernel.TensorOf(v)
	if err != nil {
		return nil, err
	}
	// A row alone may have lost its axis.
	if p.rows == 1 && (len(t.Shape) == 0 || t.Shape[0] != 1 || p.flat && len(t.Shape) == 1) {
		t = kernel.Reshaped(t, append([]int{1}, t.Shape...))
	}
	if len(t.Shape) == 0 || t.Shape[0] != p.rows {
		return nil, onnx.At(onnx.ErrInput, "shape %v for %d rows", t.Shape, p.rows)
	}
	if n == p.rows {
		return t, nil
	}
	shape := append([]int{n}, t.Shape[1:]...)
	return kernel.Take(e, t, shape, func(i int) int { return i })
}

// join puts the rows of all pieces below one another.
func join(e *kernel.Env, parts []kernel.Value) (kernel.Value, error) {
	tensors := make([]*onnx.Tensor, len(parts))
	maps, isMaps := parts[0].(*kernel.ProbabilityMaps)
	for i, v := range parts {
		if m, ok := v.(*kernel.ProbabilityMaps); ok {
			v = m.Scores
		}
		t, err := kernel.TensorOf(v)
		if err != nil {
			return nil, err
		}
		tensors[i] = t
	}
	shape := slices.Clone(tensors[0].Shape)
	shape[0] = 0
	for _, t := range tensors {
		if !slices.Equal(t.Shape[1:], shape[1:]) {
			return nil, onnx.At(onnx.ErrInput, "shapes %v and %v of different rows", tensors[0].Shape, t.Shape)
		}
		shape[0] += t.Shape[0]
	}
	t, err := kernel.Join(e, tensors, shape, 0)
	if err != nil || !isMaps {
		return t, err
	}
	return &kernel.ProbabilityMaps{Keys: maps.Keys, Scores: t}, nil
}
