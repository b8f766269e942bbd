package inference

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/petal-ml/petal/internal/httpapi/problem"
	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/predict"
	"github.com/petal-ml/petal/internal/rows"
)

// A binding says which columns of the model each tensor of a request has.
type binding []model.Input

// bind puts the tensors into a batch: one with all columns, or one a feature.
// Tail holds the binary data.
func (req *request) bind(b *predict.Batch, tail []byte) (binding, error) {
	if err := req.checkSizes(len(tail)); err != nil {
		return nil, err
	}
	found, err := req.find(b)
	if err != nil {
		return nil, err
	}
	for i, in := range found {
		t, at := &req.inputs[i], fmt.Sprintf("inputs[%d]", i)
		n, err := t.rowsOf(at, in)
		if err == nil && i == 0 {
			err = b.Resize(n)
		}
		if err == nil && n != b.Len() {
			err = problem.Invalid(rows.WrongWidth, at+".shape", "the tensors have different numbers of rows")
		}
		if err == nil {
			tail, err = t.place(at, tail, b, in)
		}
		if err != nil {
			return nil, found.located(err)
		}
	}
	if len(tail) > 0 {
		return nil, problem.Invalid(rows.Malformed, "body", "there is binary data that no tensor claims")
	}
	return found, nil
}

// located gives an error of package predict about the input its place: that of a
// value in its tensor, or of a row.
func (bound binding) located(err error) error {
	var in *predict.InputError
	if !errors.As(err, &in) {
		return err
	}
	for i, t := range bound {
		if in.Column >= t.First && in.Column < t.First+t.Width {
			return problem.Invalid(in.Reason, fmt.Sprintf("inputs[%d].data[%d]", i, in.Row*t.Width+in.Column-t.First), in.Message)
		}
	}
	at := "the rows"
	if in.Row >= 0 {
		at = fmt.Sprintf("row %d", in.Row)
	}
	return problem.Invalid(in.Reason, at, in.Message)
}

// checkSizes holds the binary sizes that are claimed against the bytes that are
// there, before anything of that size is made.
func (req *request) checkSizes(there int) error {
	for i, t := range req.inputs {
		if there -= max(t.binarySize, 0); there < 0 {
			return problem.Invalid(rows.Malformed, fmt.Sprintf("inputs[%d]", i), "the binary data end too early")
		}
	}
	return nil
}

// find says which input each tensor is for. Each feature has one: thus the rows
// that a tensor claims to have take no more memory than the values that came.
func (req *request) find(b *predict.Batch) (binding, error) {
	features, inputs := b.Model.Info().Features, b.Model.Inputs()
	placed := make([]bool, len(features))
	found := make(binding, len(req.inputs))
	for i := range req.inputs {
		at := fmt.Sprintf("inputs[%d].name", i)
		in, known := findInput(b, inputs, req.inputs[i].name)
		if !known {
			return nil, problem.Invalid(predict.UnknownKey, at, "the model has no such input; its metadata lists them")
		}
		for c := in.First; c < in.First+in.Width; c++ {
			if placed[c] {
				return nil, problem.Invalid(rows.Malformed, at, "a column is given twice")
			}
			placed[c] = true
		}
		found[i] = in
	}
	for c, ok := range placed {
		if !ok {
			return nil, problem.Invalid(rows.MissingKey, "inputs", "there is no tensor for the feature "+features[c].Name)
		}
	}
	return found, nil
}

// findInput finds an input of the graph, or one feature, by name.
func findInput(b *predict.Batch, inputs []model.Input, name string) (model.Input, bool) {
	for _, in := range inputs {
		if in.Name == name {
			return in, true
		}
	}
	column, known := b.Column(name)
	for _, in := range inputs {
		if known && column < in.First+in.Width {
			return model.Input{Name: name, Element: in.Element, First: column, Width: 1, Boolean: b.Model.Info().Features[column].Boolean}, true
		}
	}
	return model.Input{}, false
}

// rowsOf checks the shape and that as many values are there, before anything of
// that size is made.
func (t *inputTensor) rowsOf(at string, in model.Input) (int, error) {
	count, ok := 0, false
	switch {
	case len(t.shape) == 2 && t.shape[1] == in.Width:
		count, ok = t.shape[0], true
	case len(t.shape) == 1 && in.Width == 1:
		count, ok = t.shape[0], true
	}
	if !ok {
		want := fmt.Sprintf("[n,%d]", in.Width)
		if in.Width == 1 {
			want = "[n] or [n,1]"
		}
		return 0, problem.Invalid(rows.WrongWidth, at+".shape", "the shape must be "+want)
	}
	n, given := count*in.Width, len(t.values)+len(t.texts)
	switch {
	case !fitsType(t.datatype, in.Element) && (!in.Boolean || t.datatype != typeBool):
		return 0, problem.Invalid(rows.WrongType, at+".datatype", expectedTypes(in.Element))
	case t.binarySize >= 0 && t.hasValues:
		return 0, problem.Invalid(rows.Malformed, at, "the data are given twice, in JSON and in binary")
	case t.binarySize >= 0 && t.datatype == typeBytes && t.binarySize/4 < n, // each text has its length before it
		t.binarySize >= 0 && t.datatype != typeBytes && t.binarySize != n*sizes[t.datatype]:
		return 0, problem.Invalid(rows.WrongWidth, at+".parameters.binary_data_size", "the size does not fit the shape")
	case t.binarySize < 0 && given != n:
		return 0, problem.Invalid(rows.WrongWidth, at+".data", fmt.Sprintf("the shape has %d values, the data have %d", n, given))
	case t.kinds[model.Text] && (t.datatype != typeBytes || len(t.values) > 0), t.kinds[model.Number] && t.datatype == typeBytes,
		t.kinds[model.Boolean] && t.datatype != typeBool:
		return 0, problem.Invalid(rows.WrongType, at+".data", "the values are not what the datatype says")
	}
	return count, nil
}

// place puts the values into their columns. It returns the rest of the binary
// data.
func (t *inputTensor) place(at string, tail []byte, b *predict.Batch, in model.Input) ([]byte, error) {
	value := func(i int) model.Cell { return model.Cell{Number: t.values[i], Text: t.digits[i]} }
	if t.binarySize >= 0 {
		data := tail[:t.binarySize]
		tail = tail[t.binarySize:]
		if t.datatype != typeBytes {
			value = reading(t.datatype, data)
		} else if err := t.readTexts(at, data, b.Len()*in.Width, b); err != nil {
			return nil, err
		}
	}
	limits, isWhole := bounds[t.datatype]
	for i := range b.Len() {
		for c := range in.Width {
			var cell model.Cell
			if t.datatype == typeBytes {
				cell = model.Cell{Kind: model.Text, Text: t.texts[i*in.Width+c]}
			} else {
				cell = value(i*in.Width + c)
			}
			if err := b.Set(i, in.First+c, cell); err != nil {
				return nil, err
			}
			if isWhole && t.binarySize < 0 && !holds(t.datatype, cell) {
				return nil, problem.Invalid(rows.OutOfRange, fmt.Sprintf("%s.data[%d]", at, i*in.Width+c),
					fmt.Sprintf("%s has whole numbers from %s to %s", t.datatype, limits[0], limits[1]))
			}
		}
	}
	return tail, nil
}

// readTexts reads n texts, each behind its length.
func (t *inputTensor) readTexts(at string, data []byte, n int, b *predict.Batch) error {
	if err := b.Take(16*n + len(data)); err != nil {
		return err
	}
	t.texts = make([]string, 0, n)
	for range n {
		if len(data) < 4 {
			return problem.Invalid(rows.Malformed, at, "the binary data end in the middle of a text")
		}
		size := binary.LittleEndian.Uint32(data)
		data = data[4:]
		if uint64(size) > uint64(len(data)) || !utf8.Valid(data[:size]) {
			return problem.Invalid(rows.Malformed, at, "the binary data hold a text that ends beyond them, or is not UTF-8")
		}
		t.texts = append(t.texts, string(data[:size]))
		data = data[size:]
	}
	if len(data) > 0 {
		return problem.Invalid(rows.WrongWidth, at+".parameters.binary_data_size", "the size does not fit the shape")
	}
	return nil
}
