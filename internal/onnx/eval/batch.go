package eval

import (
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval/kernel"
	"github.com/petal-ml/petal/internal/onnx/eval/numeric"
)

// A Batch holds rows in the types of the graph's inputs, a tensor an input. What
// is not set is 0, false or the empty text.
type Batch struct {
	rows    int
	inputs  []onnx.ValueInfo
	columns []cells // by input
	widths  []int   // by input
	places  []place // by feature
}

// A place is where the cells of a feature stand.
type place struct{ input, column int }

// cells are the elements of one input.
type cells interface {
	setNumber(i int, v float64)
	setInteger(i int, v int64) bool
	setText(i int, s string)
	tensor(shape []int) *onnx.Tensor
}

// NewBatch makes room for rows of [Session.Features].
func (s *Session) NewBatch(rows int) (*Batch, error) {
	features, err := s.Features()
	if err != nil {
		return nil, err
	}
	b := &Batch{rows: rows, inputs: s.inputs, widths: make([]int, len(s.inputs))}
	input := 0
	for _, f := range features {
		for s.inputs[input].Name != f.Input {
			input++
		}
		b.places = append(b.places, place{input, f.Column})
		b.widths[input]++
	}
	for i, in := range s.inputs {
		b.columns = append(b.columns, newCells(in.Type.Element, rows*b.widths[i]))
	}
	return b, nil
}

// SetNumber sets the cell of a feature that takes numbers. A cell of text is left
// alone by it, as one of numbers is by [Batch.SetText].
func (b *Batch) SetNumber(row, feature int, v float64) {
	p := b.places[feature]
	b.columns[p.input].setNumber(row*b.widths[p.input]+p.column, v)
}

// SetInteger sets the cell of a feature that takes whole numbers, or true (1) and
// false (0). It says false where the feature's type cannot hold the number.
func (b *Batch) SetInteger(row, feature int, v int64) bool {
	p := b.places[feature]
	return b.columns[p.input].setInteger(row*b.widths[p.input]+p.column, v)
}

// SetText sets the cell of a feature that takes text.
func (b *Batch) SetText(row, feature int, s string) {
	p := b.places[feature]
	b.columns[p.input].setText(row*b.widths[p.input]+p.column, s)
}

// Inputs returns the first rows as [Session.Run] takes them. The tensors share
// the batch's memory.
func (b *Batch) Inputs(rows int) map[string]kernel.Value {
	values := make(map[string]kernel.Value, len(b.inputs))
	for i, in := range b.inputs {
		shape := []int{rows, b.widths[i]}
		if in.Type.HasShape && len(in.Type.Shape) == 1 {
			shape = shape[:1]
		}
		values[in.Name] = b.columns[i].tensor(shape)
	}
	return values
}

func newCells(e onnx.ElementType, n int) cells {
	if allocate := numbers.Of(e); allocate != nil {
		return allocate(n)
	}
	if e == onnx.Bool {
		return make(boolCells, n)
	}
	return make(textCells, n)
}

var numbers = kernel.PerNumber(newNumbers[float32], newNumbers[float64], newNumbers[int64], newNumbers[int32], newNumbers[int16],
	newNumbers[int8], newNumbers[uint64], newNumbers[uint32], newNumbers[uint16], newNumbers[uint8])

func newNumbers[T numeric.Number](n int) cells { return make(numberCells[T], n) }

type numberCells[T numeric.Number] []T

func (c numberCells[T]) setNumber(i int, v float64) { c[i] = T(v) }

func (c numberCells[T]) setInteger(i int, v int64) bool {
	c[i] = T(v)
	return int64(c[i]) == v && (c[i] < 0) == (v < 0)
}

func (c numberCells[T]) setText(int, string) {}

func (c numberCells[T]) tensor(shape []int) *onnx.Tensor {
	return &onnx.Tensor{Shape: shape, Data: []T(c[:kernel.Product(shape)])}
}

type boolCells []bool

func (c boolCells) setNumber(i int, v float64) { c[i] = v != 0 }

func (c boolCells) setInteger(i int, v int64) bool {
	c[i] = v != 0
	return v == 0 || v == 1
}

func (c boolCells) setText(int, string) {}

func (c boolCells) tensor(shape []int) *onnx.Tensor {
	return &onnx.Tensor{Shape: shape, Data: []bool(c[:kernel.Product(shape)])}
}

type textCells []string

func (c textCells) setNumber(int, float64) {}

func (c textCells) setInteger(int, int64) bool { return false }

func (c textCells) setText(i int, s string) { c[i] = s }

func (c textCells) tensor(shape []int) *onnx.Tensor {
	return &onnx.Tensor{Shape: shape, Data: []string(c[:kernel.Product(shape)])}
}
