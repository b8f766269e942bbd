package kernel

import "github.com/petal-ml/petal/internal/onnx"

// BroadcastShapes applies NumPy's rule: shapes are aligned at the end, and a
// dimension of 1 stretches.
func BroadcastShapes(a, b []int) ([]int, error) {
	out := make([]int, max(len(a), len(b)))
	for i := range out {
		da, db := 1, 1
		if j := i - len(out) + len(a); j >= 0 {
			da = a[j]
		}
		if j := i - len(out) + len(b); j >= 0 {
			db = b[j]
		}
		switch {
		case da == db, db == 1:
			out[i] = da
		case da == 1:
			out[i] = db
		default:
			return nil, onnx.At(onnx.ErrInput, "shapes %v and %v do not go together", a, b)
		}
	}
	return out, nil
}

// A Walker steps through the elements of a tensor as if it had the larger shape
// that it is broadcast to.
type Walker struct {
	Shape   []int
	Strides []int // 0 along stretched axes
	Index   []int
	Offset  int
}

// NewWalker walks through a tensor of one shape as if it had the other.
func NewWalker(from, to []int) *Walker {
	w := &Walker{Shape: to, Strides: make([]int, len(to)), Index: make([]int, len(to))}
	own := Strides(from)
	for i := range from {
		if from[i] != 1 {
			w.Strides[len(to)-len(from)+i] = own[i]
		}
	}
	return w
}

// Next returns the offset of the current element and moves on.
func (w *Walker) Next() int {
	at := w.Offset
	for i := len(w.Shape) - 1; i >= 0; i-- {
		w.Index[i]++
		w.Offset += w.Strides[i]
		if w.Index[i] < w.Shape[i] {
			break
		}
		w.Offset -= w.Strides[i] * w.Shape[i]
		w.Index[i] = 0
	}
	return at
}

// Apply2 computes f over two tensors, element by element.
func Apply2[A, R onnx.Element](e *Env, a, b *onnx.Tensor, f func(x, y A) R) (*onnx.Tensor, error) {
	x, ok := a.Data.([]A)
	y, ok2 := b.Data.([]A)
	if !ok || !ok2 {
		return nil, onnx.At(onnx.ErrInput, "elements of types %v and %v", a.Type(), b.Type())
	}
	shape, err := BroadcastShapes(a.Shape, b.Shape)
	if err != nil {
		return nil, err
	}
	t, out, err := Alloc[R](e, shape...)
	if err != nil || len(out) == 0 {
		return t, err
	}
	switch {
	case len(x) == len(out) && len(y) == len(out):
		for i := range out {
			out[i] = f(x[i], y[i])
		}
	case len(x) == len(out) && len(y) == 1:
		for i := range out {
			out[i] = f(x[i], y[0])
		}
	default:
		wx, wy := NewWalker(a.Shape, shape), NewWalker(b.Shape, shape)
		for i := range out {
			out[i] = f(x[wx.Next()], y[wy.Next()])
		}
	}
	return t, nil
}

// Apply1 computes f over a tensor, element by element.
func Apply1[A, R onnx.Element](e *Env, t *onnx.Tensor, f func(x A) R) (*onnx.Tensor, error) {
	x, ok := t.Data.([]A)
	if !ok {
		return nil, onnx.At(onnx.ErrInput, "elements of type %v", t.Type())
	}
	r, out, err := Alloc[R](e, t.Shape...)
	if err != nil {
		return nil, err
	}
	for i, v := range x {
		out[i] = f(v)
	}
	return r, nil
}
