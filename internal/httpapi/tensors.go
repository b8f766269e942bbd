package httpapi

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/petal-ml/petal/internal/serving"
)

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
	values         []float64
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
				t, err := d.input(fmt.Sprintf("inputs[%d]", i))
				req.inputs = append(req.inputs, t)
				return err
			})
		case "outputs":
			return d.list("outputs", func(i int) *fieldError {
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
			return d.list(at+".shape", func(int) *fieldError {
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
			return d.flatten(at+".data", &t.values, 0)
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

// flatten reads numbers that may stand in nested arrays, row by row.
func (d *decoder) flatten(at string, into *[]float64, depth int) *fieldError {
	if depth > maxDepth {
		return d.malformed("values nest too deep")
	}
	return d.list(at, func(int) *fieldError {
		if d.peek() == '[' {
			return d.flatten(at, into, depth+1)
		}
		v, err := d.number(func() string { return fmt.Sprintf("%s[%d]", at, len(*into)) })
		*into = append(*into, v)
		return err
	})
}

// bind makes a batch of the tensors: one with all columns, or one a feature.
// Tail holds the binary data. It returns the outputs asked for, too.
func (req *inference) bind(model *serving.Model, tail []byte) (*batch, []outputChoice, *fieldError) {
	features := model.Info().Features
	rows := -1
	var b *batch
	placed := make([]bool, len(features))
	index := featureIndex(features)
	inputs := model.Inputs()
	for i := range req.inputs {
		t, at := &req.inputs[i], fmt.Sprintf("inputs[%d]", i)
		first, width := 0, len(features)
		if len(inputs) != 1 || t.name != inputs[0].Name {
			column, known := index[t.name]
			if !known {
				return nil, nil, reject(rejectUnknownKey, at+".name", "the model has no such input; its metadata lists them")
			}
			first, width = column, 1
		}
		if slices.Contains(placed[first:first+width], true) {
			return nil, nil, reject(rejectMalformed, at+".name", "a column is given twice")
		}
		n, fault := t.rowsOf(at, width)
		if fault == nil && rows >= 0 && n != rows {
			fault = reject(rejectWrongWidth, at+".shape", "the tensors have different numbers of rows")
		}
		if fault == nil && b == nil {
			rows = n
			b = &batch{n: n, x: make([]float32, n*len(features))}
		}
		if fault == nil {
			tail, fault = t.place(at, tail, b, first, width, features)
		}
		if fault != nil {
			return nil, nil, fault
		}
		for c := range width {
			placed[first+c] = true
		}
	}
	for c, ok := range placed {
		if !ok {
			return nil, nil, reject(rejectMissingKey, "inputs", "there is no tensor for the feature "+features[c].Name)
		}
	}
	if len(tail) > 0 {
		return nil, nil, reject(rejectMalformed, "body", "there is binary data that no tensor claims")
	}
	wanted, fault := req.choose(model)
	return b, wanted, fault
}

// rowsOf checks the shape and that as many numbers are there, before anything
// of that size is made.
func (t *inputTensor) rowsOf(at string, width int) (int, *fieldError) {
	rows, ok := 0, false
	switch {
	case len(t.shape) == 2 && t.shape[1] == width:
		rows, ok = t.shape[0], true
	case len(t.shape) == 1 && width == 1:
		rows, ok = t.shape[0], true
	}
	if !ok {
		want := fmt.Sprintf("[n,%d]", width)
		if width == 1 {
			want = "[n] or [n,1]"
		}
		return 0, reject(rejectWrongWidth, at+".shape", "the shape must be "+want)
	}
	size, known := sizes[t.datatype]
	switch {
	case !known:
		return 0, reject(rejectWrongType, at+".datatype", "floats and integers are expected: FP32, FP64, INT8 to INT64, UINT8 to UINT64")
	case t.binarySize >= 0 && t.hasValues:
		return 0, reject(rejectMalformed, at, "the data are given twice, in JSON and in binary")
	case t.binarySize >= 0 && t.binarySize != rows*width*size:
		return 0, reject(rejectWrongWidth, at+".parameters.binary_data_size", "the size does not fit the shape")
	case t.binarySize < 0 && len(t.values) != rows*width:
		return 0, reject(rejectWrongWidth, at+".data", fmt.Sprintf("the shape has %d values, the data have %d", rows*width, len(t.values)))
	}
	return rows, nil
}

// sizes are the bytes of one element.
var sizes = map[string]int{
	"FP32": 4, "FP64": 8, "INT8": 1, "INT16": 2, "INT32": 4, "INT64": 8, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8,
}

// place checks the values and writes them to their columns. It returns the rest
// of the binary data.
func (t *inputTensor) place(at string, tail []byte, b *batch, first, width int, features []serving.Feature) ([]byte, *fieldError) {
	value := func(i int) float64 { return t.values[i] }
	if t.binarySize >= 0 {
		value = reader(t.datatype, tail[:t.binarySize])
		tail = tail[t.binarySize:]
	}
	all := len(features)
	for i := range b.n {
		for c := range width {
			v := value(i*width + c)
			switch {
			case v != v:
				if !features[first+c].MayBeMissing {
					return nil, reject(rejectMissingValue, fmt.Sprintf("%s.data[%d]", at, i*width+c), "a number is expected, not a missing value")
				}
			case math.IsInf(float64(float32(v)), 0):
				return nil, reject(rejectOutOfRange, fmt.Sprintf("%s.data[%d]", at, i*width+c), "the number is out of range; a 32-bit float must hold it")
			}
			b.x[i*all+first+c] = float32(v)
		}
	}
	return tail, nil
}

// reader returns element i of little-endian data.
func reader(datatype string, data []byte) func(i int) float64 {
	le := binary.LittleEndian
	switch datatype {
	case "FP32":
		return func(i int) float64 { return float64(math.Float32frombits(le.Uint32(data[4*i:]))) }
	case "FP64":
		return func(i int) float64 { return math.Float64frombits(le.Uint64(data[8*i:])) }
	case "INT8":
		return func(i int) float64 { return float64(int8(data[i])) } //nolint:gosec // the bits of a signed number
	case "INT16":
		return func(i int) float64 { return float64(int16(le.Uint16(data[2*i:]))) } //nolint:gosec // the bits of a signed number
	case "INT32":
		return func(i int) float64 { return float64(int32(le.Uint32(data[4*i:]))) } //nolint:gosec // the bits of a signed number
	case "INT64":
		return func(i int) float64 { return float64(int64(le.Uint64(data[8*i:]))) } //nolint:gosec // the bits of a signed number
	case "UINT8":
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
func (req *inference) choose(model *serving.Model) ([]outputChoice, *fieldError) {
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
func (a *api) encodeInference(model *serving.Model, req *inference, wanted []outputChoice, b *batch) ([]byte, int) {
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
func (o output) appendBinary(dst []byte, model *serving.Model, b *batch) []byte {
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
