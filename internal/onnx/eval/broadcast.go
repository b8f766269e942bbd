package eval

import "github.com/petal-ml/petal/internal/onnx"

// broadcastShapes applies NumPy's rule: shapes are aligned at the end, and a
// dimension of 1 stretches.
func broadcastShapes(a, b []int) ([]int, error) {
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

// broadcastTypes infers the shape of an element-wise operator; ok is false where
// a rank is not known.
func broadcastTypes(types ...onnx.Type) (shape []onnx.Dim, ok bool, err error) {
	for _, t := range types {
		if !t.HasShape {
			return nil, false, nil
		}
	}
	for _, t := range types {
		if shape, err = broadcastDims(shape, t.Shape); err != nil {
			return nil, false, err
		}
	}
	return shape, true, nil
}

func broadcastDims(a, b []onnx.Dim) ([]onnx.Dim, error) {
	out := make([]onnx.Dim, max(len(a), len(b)))
	for i := range out {
		da, db := onnx.Fixed(1), onnx.Fixed(1)
		if j := i - len(out) + len(a); j >= 0 {
			da = a[j]
		}
		if j := i - len(out) + len(b); j >= 0 {
			db = b[j]
		}
		switch {
		case db.Size == 1, da == db:
			out[i] = da
		case da.Size == 1:
			out[i] = db
		case da.Size < 0 && db.Size < 0:
			out[i] = onnx.Symbolic("")
		case da.Size < 0:
			out[i] = db
		case db.Size < 0:
			out[i] = da
		default:
			return nil, onnx.Invalid("shapes %v and %v do not go together", a, b)
		}
	}
	return out, nil
}

// A walker steps through the elements of a tensor as if it had the larger shape
// that it is broadcast to.
type walker struct {
	shape   []int
	strides []int // 0 along stretched axes
	index   []int
	offset  int
}

func newWalker(from, to []int) *walker {
	w := &walker{shape: to, strides: make([]int, len(to)), index: make([]int, len(to))}
	own := strides(from)
	for i := range from {
		if from[i] != 1 {
			w.strides[len(to)-len(from)+i] = own[i]
		}
	}
	return w
}

// next returns the offset of the current element and moves on.
func (w *walker) next() int {
	at := w.offset
	for i := len(w.shape) - 1; i >= 0; i-- {
		w.index[i]++
		w.offset += w.strides[i]
		if w.index[i] < w.shape[i] {
			break
		}
		w.offset -= w.strides[i] * w.shape[i]
		w.index[i] = 0
	}
	return at
}

// apply2 computes f over two tensors, element by element.
func apply2[A, R onnx.Element](e *env, a, b *onnx.Tensor, f func(x, y A) R) (*onnx.Tensor, error) {
	x, ok := a.Data.([]A)
	y, ok2 := b.Data.([]A)
	if !ok || !ok2 {
		return nil, onnx.At(onnx.ErrInput, "elements of types %v and %v", a.Type(), b.Type())
	}
	shape, err := broadcastShapes(a.Shape, b.Shape)
	if err != nil {
		return nil, err
	}
	t, out, err := alloc[R](e, shape...)
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
		wx, wy := newWalker(a.Shape, shape), newWalker(b.Shape, shape)
		for i := range out {
			out[i] = f(x[wx.next()], y[wy.next()])
		}
	}
	return t, nil
}
