package inference

import (
	"fmt"

	"github.com/petal-ml/petal/internal/httpapi/problem"
	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/predict"
	"github.com/petal-ml/petal/internal/rows"
)

// maxTensors bounds the tensors of a request, and their dimensions.
const maxTensors = 10_000

// A request is the JSON of an inference request as it was written.
type request struct {
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
	values         []float64      // true is 1, false 0; those of text are in texts
	digits         map[int]string // of the values that float64 may not hold to the last digit
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

// decode reads the JSON. Keys and parameters that mean nothing here are passed
// over, as the protocol wants. Memory for the values is taken from share.
func decode(data []byte, share *predict.Share) (*request, error) {
	req := &request{}
	err := rows.ReadObject(data, func(d *rows.Decoder) error {
		r := reader{Decoder: d, share: share}
		return r.object("body", func(key string) error {
			switch key {
			case "id":
				return d.Text("id", &req.id)
			case "parameters":
				return r.parameter("parameters", "binary_data_output", func(at string) error { return d.Boolean(at, &req.binary) })
			case "inputs":
				return r.list("inputs", func(at string) error {
					t, err := r.input(at)
					req.inputs = append(req.inputs, t)
					return err
				})
			case "outputs":
				return r.list("outputs", func(at string) error {
					o, err := r.output(at)
					req.outputs = append(req.outputs, o)
					return err
				})
			}
			return d.Skip()
		})
	})
	if err == nil && len(req.inputs) == 0 {
		err = problem.Invalid(rows.MissingKey, "inputs", "at least one tensor is expected")
	}
	return req, err
}

// A reader reads the parts of a request.
type reader struct {
	*rows.Decoder
	share  *predict.Share
	values int // that were read
}

// object reads an object's members. One that is null is taken as absent, as some
// clients write what they leave out.
func (r *reader) object(at string, member func(key string) error) error {
	if r.Peek() != '{' {
		return r.WrongType(at, "an object")
	}
	return r.Object(at, func(key string) error {
		if r.Literal("null") {
			return nil
		}
		return member(key)
	})
}

// list reads an array of at most [maxTensors] items, and tells each its place.
func (r *reader) list(at string, item func(at string) error) error {
	return r.List(at, "an array", func(i int) error {
		if i == maxTensors {
			return problem.Invalid(rows.Malformed, at, "there are too many")
		}
		return item(fmt.Sprintf("%s[%d]", at, i))
	})
}

// parameter reads the one of an object's members that is wanted.
func (r *reader) parameter(at, wanted string, read func(at string) error) error {
	return r.object(at, func(key string) error {
		if key == wanted {
			return read(at + "." + key)
		}
		return r.Skip()
	})
}

func (r *reader) input(at string) (inputTensor, error) {
	t := inputTensor{binarySize: -1}
	err := r.object(at, func(key string) error {
		switch key {
		case "name":
			return r.Text(at+".name", &t.name)
		case "datatype":
			return r.Text(at+".datatype", &t.datatype)
		case "shape":
			return r.list(at+".shape", func(string) error {
				n, err := r.Size(at + ".shape")
				t.shape = append(t.shape, n)
				return err
			})
		case "parameters":
			return r.parameter(at+".parameters", "binary_data_size", func(at string) (err error) {
				t.binarySize, err = r.Size(at)
				return err
			})
		case "data":
			t.hasValues = true
			return r.flatten(at+".data", &t, 0)
		}
		return r.Skip()
	})
	return t, err
}

func (r *reader) output(at string) (outputChoice, error) {
	var o outputChoice
	err := r.object(at, func(key string) error {
		switch key {
		case "name":
			return r.Text(at+".name", &o.name)
		case "parameters":
			return r.parameter(at+".parameters", "binary_data", func(at string) error {
				o.binary = new(bool)
				return r.Boolean(at, o.binary)
			})
		}
		return r.Skip()
	})
	return o, err
}

// valuesAtOnce is for how many values memory is taken together, 16 bytes each:
// those of a number that grow by doubling, or of a text beside its bytes.
const valuesAtOnce = 1024

// flatten reads values that may stand in nested arrays, row by row.
func (r *reader) flatten(at string, into *inputTensor, depth int) error {
	if depth > rows.MaxDepth {
		return r.Malformed("values nest too deep")
	}
	return r.List(at, "an array", func(int) error {
		if r.Peek() == '[' {
			return r.flatten(at, into, depth+1)
		}
		if r.values%valuesAtOnce == 0 {
			if err := r.share.Take(16 * valuesAtOnce); err != nil {
				return err
			}
		}
		r.values++
		c, err := r.Cell(func() string { return fmt.Sprintf("%s[%d]", at, len(into.values)+len(into.texts)) })
		if c.Kind == model.Text {
			into.texts = append(into.texts, c.Text)
		} else {
			if c.Text != "" && into.digits == nil {
				into.digits = map[int]string{}
			}
			if c.Text != "" {
				into.digits[len(into.values)] = c.Text
			}
			into.values = append(into.values, c.Number)
		}
		into.kinds[c.Kind] = true
		return err
	})
}
