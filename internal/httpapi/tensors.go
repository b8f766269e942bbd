package httpapi

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/serving"
)

// maxTensors bounds the tensors of a request, and their dimensions.
const maxTensors = 10_000

// An inference is the JSON of an inference request as it was written.
type inference struct {
	id      string
	inputs  []inputTensor
	outputs []outputChoice
	// binary says that outputs go out in binary where nothing else is said.
	binary bool
}

// An inputTensor is a tensor that came in. Its data stand in values, or in
// binary behind the JSON.
type inputTensor struct {
	name, datatype string
	shape          []int
	values         []float64 // true is 1, false 0; those of text are in texts
	texts          []string
	kinds          [model.Text + 1]bool // of the data in the JSON
	hasValues      bool
	binarySize     int // -1 where the data stand in values
}

// An outputChoice asks for one output.
type outputChoice struct {
	name   string
	binary *bool // nil: as the request says for all
}

// decodeInference reads the JSON. Keys and parameters that mean nothing here are
// passed over, as the protocol wants.
func decodeInference(data []byte) (*inference, *fieldError) {
	d := decoder{data: data}
	if err := d.checkText(); err != nil {
		return nil, err
	}
	d.skipSpace()
	if d.peek() != '{' {
		return nil, d.wrongType("body", "an object")
	}
	req := &inference{}
	err := d.object("body", func(key string) *fieldError {
		switch key {
		case "id":
			return d.text("id", &req.id)
		case "parameters":
			return d.parameters("parameters", map[string]func() *fieldError{
				"binary_data_output": func() *fieldError { return d.boolean("parameters.binary_data_output", &req.binary) },
			})
		case "inputs":
			return d.list("inputs", func(i int) *fieldError {
				if i == maxTensors {
					return reject(rejectMalformed, "inputs", "there are too many")
				}
				t, err := d.input(fmt.Sprintf("inputs[%d]", i))
				req.inputs = append(req.inputs, t)
				return err
			})
		case "outputs":
			return d.list("outputs", func(i int) *fieldError {
				if i == maxTensors {
					return reject(rejectMalformed, "outputs", "there are too many")
				}
				o, err := d.output(fmt.Sprintf("outputs[%d]", i))
				req.outputs = append(req.outputs, o)
				return err
			})
		}
		return d.skip(0)
	})
	if err != nil {
		return nil, err
	}
	if d.skipSpace(); d.pos != len(d.data) {
		return nil, d.malformed("there is something after the JSON object")
	}
	if len(req.inputs) == 0 {
		return nil, reject(rejectMissingKey, "inputs", "at least one tensor is expected")
	}
	return req, nil
}

// checkSizes holds the binary sizes that are claimed against the bytes that are
// there, before anything of that size is made.
func (req *inference) checkSizes(there int) *fieldError {
	for i, t := range req.inputs {
		if there -= max(t.binarySize, 0); there < 0 {
			return reject(rejectMalformed, fmt.Sprintf("inputs[%d]", i), "the binary data end too early")
		}
	}
	return nil
}

func (d *decoder) input(at string) (inputTensor, *fieldError) {
	t := inputTensor{binarySize: -1}
	if d.peek() != '{' {
		return t, d.wrongType(at, "an object")
	}
	err := d.object(at, func(key string) *fieldError {
		switch key {
		case "name":
			return d.text(at+".name", &t.name)
		case "datatype":
			return d.text(at+".datatype", &t.datatype)
		case "shape":
			return d.list(at+".shape", func(i int) *fieldError {
				if i == maxTensors {
					return reject(rejectMalformed, at+".shape", "there are too many")
				}
				n, err := d.whole(at + ".shape")
				t.shape = append(t.shape, n)
				return err
			})
		case "parameters":
			return d.parameters(at+".parameters", map[string]func() *fieldError{
				"binary_data_size": func() (err *fieldError) {
					t.binarySize, err = d.whole(at + ".parameters.binary_data_size")
					return err
				},
			})
		case "data":
			t.hasValues = true
			return d.flatten(at+".data", &t, 0)
		}
		return d.skip(0)
	})
	return t, err
}

func (d *decoder) output(at string) (outputChoice, *fieldError) {
	var o outputChoice
	if d.peek() != '{' {
		return o, d.wrongType(at, "an object")
	}
	err := d.object(at, func(key string) *fieldError {
		switch key {
		case "name":
			return d.text(at+".name", &o.name)
		case "parameters":
			return d.parameters(at+".parameters", map[string]func() *fieldError{
				"binary_data": func() *fieldError {
					o.binary = new(bool)
					return d.boolean(at+".parameters.binary_data", o.binary)
				},
			})
		}
		return d.skip(0)
	})
	return o, err
}

// parameters reads those of an object's members that somebody wants.
func (d *decoder) parameters(at string, wanted map[string]func() *fieldError) *fieldError {
	if d.peek() != '{' {
		return d.wrongType(at, "an object")
	}
	return d.object(at, func(key string) *fieldError {
		if read := wanted[key]; read != nil {
			return read()
		}
		return d.skip(0)
	})
}

func (d *decoder) list(at string, item func(int) *fieldError) *fieldError {
	if d.peek() != '[' {
		return d.wrongType(at, "an array")
	}
	return d.array(item)
}

func (d *decoder) text(at string, into *string) *fieldError {
	if d.peek() != '"' {
		return d.wrongType(at, "a string")
	}
	var ok bool
	if *into, ok = d.str(); !ok {
		return d.malformed("a string is not written as JSON writes strings")
	}
	return nil
}

func (d *decoder) boolean(at string, into *bool) *fieldError {
	switch {
	case d.literal("true"):
		*into = true
	case d.literal("false"):
		*into = false
	default:
		return d.wrongType(at, "true or false")
	}
	return nil
}

// whole reads a size: a whole number from 0 on that an int32 holds.
func (d *decoder) whole(at string) (int, *fieldError) {
	written, ok := d.numberText()
	if !ok {
		return 0, d.wrongType(at, "a whole number")
	}
	n, err := strconv.ParseUint(written, 10, 31)
	if err != nil {
		return 0, reject(rejectOutOfRange, at, "a whole number from 0 on is expected")
	}
	return int(n), nil
}

// flatten reads values that may stand in nested arrays, row by row.
func (d *decoder) flatten(at string, into *inputTensor, depth int) *fieldError {
	if depth > maxDepth {
		return d.malformed("values nest too deep")
	}
	return d.list(at, func(int) *fieldError {
		if d.peek() == '[' {
			return d.flatten(at, into, depth+1)
		}
		c, err := d.cell(func() string { return fmt.Sprintf("%s[%d]", at, len(into.values)+len(into.texts)) })
		if c.Kind == model.Text {
			into.texts = append(into.texts, c.Text)
		} else {
			into.values = append(into.values, c.Number)
		}
		into.kinds[c.Kind] = true
		return err
	})
}

// bind makes a batch of the tensors: one with all columns, or one a feature.
// Tail holds the binary data. It returns the outputs asked for, too.
func (req *inference) bind(model *serving.Live, tail []byte) (*batch, []outputChoice, *fieldError) {
	features := model.Info().Features
	found, fault := req.find(model)
	if fault != nil {
		return nil, nil, fault
	}
	var b *batch
	for i, in := range found {
		t, at := &req.inputs[i], fmt.Sprintf("inputs[%d]", i)
		n, fault := t.rowsOf(at, in)
		if fault == nil && b == nil {
			b, fault = newBatch(model, n, make([]float32, n*len(features)))
		}
		if fault == nil && n != b.n {
			fault = reject(rejectWrongWidth, at+".shape", "the tensors have different numbers of rows")
		}
		if fault == nil {
			tail, fault = t.place(at, tail, b, in, model)
		}
		if fault != nil {
			return nil, nil, fault
		}
	}
	if len(tail) > 0 {
		return nil, nil, reject(rejectMalformed, "body", "there is binary data that no tensor claims")
	}
	wanted, fault := req.choose(model)
	return b, wanted, fault
}

// find says which input each tensor is for. Each feature has one: thus the rows
// that a tensor claims to have take no more memory than the values that came.
func (req *inference) find(live *serving.Live) ([]model.Input, *fieldError) {
	features, lookup := live.Info().Features, inputFinder(live)
	placed := make([]bool, len(features))
	found := make([]model.Input, len(req.inputs))
	for i := range req.inputs {
		at := fmt.Sprintf("inputs[%d].name", i)
		in, known := lookup(req.inputs[i].name)
		if !known {
			return nil, reject(rejectUnknownKey, at, "the live has no such input; its metadata lists them")
		}
		for c := in.First; c < in.First+in.Width; c++ {
			if placed[c] {
				return nil, reject(rejectMalformed, at, "a column is given twice")
			}
			placed[c] = true
		}
		found[i] = in
	}
	for c, ok := range placed {
		if !ok {
			return nil, reject(rejectMissingKey, "inputs", "there is no tensor for the feature "+features[c].Name)
		}
	}
	return found, nil
}

// inputFinder finds an input of the graph, or one feature, by name.
func inputFinder(live *serving.Live) func(name string) (model.Input, bool) {
	inputs, index := live.Inputs(), featureIndex(live.Info().Features)
	return func(name string) (model.Input, bool) {
		for _, in := range inputs {
			if in.Name == name {
				return in, true
			}
		}
		column, known := index[name]
		for _, in := range inputs {
			if known && column < in.First+in.Width {
				return model.Input{Name: name, Element: in.Element, First: column, Width: 1}, true
			}
		}
		return model.Input{}, false
	}
}

// rowsOf checks the shape and that as many values are there, before anything of
// that size is made.
func (t *inputTensor) rowsOf(at string, in model.Input) (int, *fieldError) {
	rows, ok := 0, false
	switch {
	case len(t.shape) == 2 && t.shape[1] == in.Width:
		rows, ok = t.shape[0], true
	case len(t.shape) == 1 && in.Width == 1:
		rows, ok = t.shape[0], true
	}
	if !ok {
		want := fmt.Sprintf("[n,%d]", in.Width)
		if in.Width == 1 {
			want = "[n] or [n,1]"
		}
		return 0, reject(rejectWrongWidth, at+".shape", "the shape must be "+want)
	}
	n, given := rows*in.Width, len(t.values)+len(t.texts)
	switch {
	case !fitsType(t.datatype, in.Element):
		return 0, reject(rejectWrongType, at+".datatype", expectedTypes(in.Element))
	case t.binarySize >= 0 && t.hasValues:
		return 0, reject(rejectMalformed, at, "the data are given twice, in JSON and in binary")
	case t.binarySize >= 0 && t.datatype == typeBytes && t.binarySize/4 < n, // each text has its length before it
		t.binarySize >= 0 && t.datatype != typeBytes && t.binarySize != n*sizes[t.datatype]:
		return 0, reject(rejectWrongWidth, at+".parameters.binary_data_size", "the size does not fit the shape")
	case t.binarySize < 0 && given != n:
		return 0, reject(rejectWrongWidth, at+".data", fmt.Sprintf("the shape has %d values, the data have %d", n, given))
	case t.kinds[model.Text] && (t.datatype != typeBytes || len(t.values) > 0), t.kinds[model.Number] && t.datatype == typeBytes,
		t.kinds[model.Boolean] && t.datatype != typeBool:
		return 0, reject(rejectWrongType, at+".data", "the values are not what the datatype says")
	}
	return rows, nil
}

// sizes are the bytes of one element. Those of BYTES differ.
var sizes = map[string]int{
	typeFP32: 4, typeFP64: 8, "INT8": 1, "INT16": 2, "INT32": 4, typeInt64: 8, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8, typeBool: 1,
}

// fitsType says whether a tensor of the datatype can be converted for an input.
func fitsType(datatype string, element onnx.ElementType) bool {
	switch datatype {
	case typeBytes:
		return element == onnx.String
	case typeBool:
		return element == onnx.Bool
	default:
		return sizes[datatype] > 0 && element != onnx.String
	}
}

func expectedTypes(element onnx.ElementType) string {
	if element == onnx.String {
		return "text is expected: BYTES"
	}
	numbers := "floats and integers are expected: FP32, FP64, INT8 to INT64, UINT8 to UINT64"
	if element == onnx.Bool {
		return numbers + ", or BOOL"
	}
	return numbers
}

// place checks the values and writes them to their columns. It returns the rest
// of the binary data.
func (t *inputTensor) place(at string, tail []byte, b *batch, in model.Input, live *serving.Live) ([]byte, *fieldError) {
	value := func(i int) float64 { return t.values[i] }
	if t.binarySize >= 0 {
		data := tail[:t.binarySize]
		tail = tail[t.binarySize:]
		if t.datatype != typeBytes {
			value = reader(t.datatype, data)
		} else if fault := t.readTexts(at, data, b.n*in.Width); fault != nil {
			return nil, fault
		}
	}
	all := len(live.Info().Features)
	for i := range b.n {
		for c := range in.Width {
			var cell model.Cell
			if t.datatype == typeBytes {
				cell = model.Cell{Kind: model.Text, Text: t.texts[i*in.Width+c]}
			} else {
				cell.Number = value(i*in.Width + c)
			}
			err := live.CheckCell(in.First+c, cell)
			if err == nil && b.table != nil {
				err = b.table.Set(i, in.First+c, cell)
			}
			if err != nil {
				return nil, cellFault(err, fmt.Sprintf("%s.data[%d]", at, i*in.Width+c))
			}
			b.x[i*all+in.First+c] = float32(cell.Number)
		}
	}
	return tail, nil
}

// cellFault is the model's objection to one value.
func cellFault(err error, at string) *fieldError {
	fault := inputFault(err, "", false)
	fault.location = at
	return fault
}

// readTexts reads n texts, each behind its length.
func (t *inputTensor) readTexts(at string, data []byte, n int) *fieldError {
	t.texts = make([]string, 0, n)
	for range n {
		if len(data) < 4 {
			return reject(rejectMalformed, at, "the binary data end in the middle of a text")
		}
		size := binary.LittleEndian.Uint32(data)
		data = data[4:]
		if uint64(size) > uint64(len(data)) || !utf8.Valid(data[:size]) {
			return reject(rejectMalformed, at, "the binary data hold a text that ends beyond them, or is not UTF-8")
		}
		t.texts = append(t.texts, string(data[:size]))
		data = data[size:]
	}
	if len(data) > 0 {
		return reject(rejectWrongWidth, at+".parameters.binary_data_size", "the size does not fit the shape")
	}
	return nil
}

// reader returns element i of little-endian data.
func reader(datatype string, data []byte) func(i int) float64 {
	le := binary.LittleEndian
	switch datatype {
	case typeFP32:
		return func(i int) float64 { return float64(math.Float32frombits(le.Uint32(data[4*i:]))) }
	case typeFP64:
		return func(i int) float64 { return math.Float64frombits(le.Uint64(data[8*i:])) }
	case "INT8":
		return func(i int) float64 { return float64(int8(data[i])) } //nolint:gosec // the bits of a signed number
	case "INT16":
		return func(i int) float64 { return float64(int16(le.Uint16(data[2*i:]))) } //nolint:gosec // the bits of a signed number
	case "INT32":
		return func(i int) float64 { return float64(int32(le.Uint32(data[4*i:]))) } //nolint:gosec // the bits of a signed number
	case "INT64":
		return func(i int) float64 { return float64(int64(le.Uint64(data[8*i:]))) } //nolint:gosec // the bits of a signed number
	case "UINT8", typeBool:
		return func(i int) float64 { return float64(data[i]) }
	case "UINT16":
		return func(i int) float64 { return float64(le.Uint16(data[2*i:])) }
	case "UINT32":
		return func(i int) float64 { return float64(le.Uint32(data[4*i:])) }
	default: // UINT64
		return func(i int) float64 { return float64(le.Uint64(data[8*i:])) }
	}
}

// choose finds the outputs asked for, all of them where none is named.
func (req *inference) choose(model *serving.Live) ([]outputChoice, *fieldError) {
	outputs := outputsOf(model)
	if len(req.outputs) == 0 {
		var all []outputChoice
		for _, o := range outputs {
			all = append(all, outputChoice{name: o.name})
		}
		return all, nil
	}
	for i, choice := range req.outputs {
		if slices.ContainsFunc(req.outputs[:i], func(o outputChoice) bool { return o.name == choice.name }) {
			return nil, reject(rejectMalformed, fmt.Sprintf("outputs[%d].name", i), "an output is asked for twice")
		}
		if !slices.ContainsFunc(outputs, func(o output) bool { return o.name == choice.name }) {
			return nil, reject(rejectUnknownKey, fmt.Sprintf("outputs[%d].name", i), "the model has no such output; its metadata lists them")
		}
	}
	return req.outputs, nil
}

// encodeInference writes the answer and returns the length of its JSON; what
// follows is binary.
func (a *api) encodeInference(model *serving.Live, req *inference, wanted []outputChoice, b *batch) ([]byte, int) {
	enc, info := a.encoders.of(model), model.Info()
	head := append([]byte(`{"model_name":`), encodeJSON(info.Name)...)
	head = append(append(head, `,"model_version":`...), encodeJSON(info.Version)...)
	if req.id != "" {
		head = append(append(head, `,"id":`...), encodeJSON(req.id)...)
	}
	head = append(head, `,"outputs":[`...)
	var tail []byte
	for i, choice := range wanted {
		if i > 0 {
			head = append(head, ',')
		}
		for _, o := range outputsOf(model) {
			if o.name != choice.name {
				continue
			}
			if choice.binary != nil && *choice.binary || choice.binary == nil && req.binary {
				before := len(tail)
				tail = o.appendBinary(tail, model, b)
				head = o.appendHead(head, b.n)
				head = strconv.AppendInt(append(head, `,"parameters":{"binary_data_size":`...), int64(len(tail)-before), 10)
				head = append(head, "}}"...)
				continue
			}
			head = append(o.appendHead(head, b.n), `,"data":[`...)
			head = append(o.appendData(head, enc, b), "]}"...)
		}
	}
	head = append(head, "]}"...)
	return append(head, tail...), len(head)
}

func (o output) appendHead(dst []byte, rows int) []byte {
	dst = append(append(dst, `{"name":`...), encodeJSON(o.name)...)
	dst = append(append(append(dst, `,"datatype":"`...), o.datatype...), `","shape":[`...)
	dst = strconv.AppendInt(dst, int64(rows), 10)
	if o.width > 0 {
		dst = strconv.AppendInt(append(dst, ','), int64(o.width), 10)
	}
	return append(dst, ']')
}

// appendData writes the elements as JSON.
func (o output) appendData(dst []byte, enc *encoder, b *batch) []byte {
	if o.datatype == typeFP32 {
		for i, s := range b.scores {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendScore(dst, s)
		}
		return dst
	}
	for i, class := range b.classes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, enc.labels[class]...)
	}
	return dst
}

// appendBinary writes the elements in little-endian order; text goes behind its
// length.
func (o output) appendBinary(dst []byte, model *serving.Live, b *batch) []byte {
	le, labels := binary.LittleEndian, model.Labels()
	switch o.datatype {
	case typeFP32:
		dst = slices.Grow(dst, 4*len(b.scores))
		for _, s := range b.scores {
			dst = le.AppendUint32(dst, math.Float32bits(s))
		}
	case typeInt64:
		for _, class := range b.classes {
			dst = le.AppendUint64(dst, uint64(labels.Ints[class])) //nolint:gosec // the bits of a signed number
		}
	default:
		for _, class := range b.classes {
			text := labels.Strings[class]
			dst = append(le.AppendUint32(dst, uint32(len(text))), text...) //nolint:gosec // no label is that long
		}
	}
	return dst
}
