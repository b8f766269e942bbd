package native

import (
	"errors"
	"fmt"

	"github.com/petal-ml/petal/internal/httpapi/jsonbody"
	"github.com/petal-ml/petal/internal/httpapi/problem"
	"github.com/petal-ml/petal/internal/predict"
)

// A sink takes one row of a body after another. The row is used again for the
// next one: many small rows must not take many times the memory of the body.
type sink interface {
	Add(row *predict.Row) error
	// Column finds a feature by name.
	Column(name string) (int, bool)
}

// decodePredict reads the body of POST /predict and hands its rows to the sink.
// Many says that they stood in "instances" rather than in "features". It is
// strict where encoding/json is lenient: a repeated key, a key in another case,
// an unknown key, anything after the object, a byte order mark, invalid UTF-8, a
// null row and a number beyond float64 are all errors, and nothing nests deeper
// than the shape itself.
//
// It is the reference for what /predict accepts: a faster reader of the plain
// shapes may stand before it as long as it leaves all else to this one.
func decodePredict(data []byte, rows sink) (many bool, err error) {
	seen := false
	err = jsonbody.Whole(data, func(d *jsonbody.Decoder) error {
		r := reader{Decoder: d, rows: rows}
		return d.Object("body", func(key string) error {
			switch {
			case key != "features" && key != "instances":
				return problem.Invalid(predict.UnknownKey, "body", `unknown key; the keys known here are "features" and "instances", in lower case`)
			case seen:
				return problem.Invalid(predict.Malformed, "body", `give "features" (one row) or "instances" (many), not both and not twice`)
			}
			seen, many = true, key == "instances"
			if !many {
				return r.read(-1)
			}
			return d.List("body.instances", "an array of rows", r.read)
		})
	})
	if err == nil && !seen {
		err = problem.Invalid(predict.MissingKey, "body", `"features" (one row) or "instances" (many) is missing`)
	}
	return many, err
}

// rowLocation names row i of a body, -1 all of them.
func rowLocation(many bool) func(i int) string {
	return func(i int) string {
		switch {
		case many && i < 0:
			return "body.instances"
		case many:
			return fmt.Sprintf("body.instances[%d]", i)
		default:
			return "body.features"
		}
	}
}

// A reader reads rows.
type reader struct {
	*jsonbody.Decoder
	rows  sink
	row   predict.Row
	names []string // of the row at hand, where it has its own
}

// read reads one row, an array or an object of values: number i of many, -1 the
// only one.
func (r *reader) read(i int) error {
	at := func() string { return rowLocation(i >= 0)(i) }
	var err error
	switch r.Peek() {
	case '[':
		r.row.Reset(nil)
		err = r.Array(func(k int) error {
			v, err := r.Cell(func() string { return fmt.Sprintf("%s[%d]", at(), k) })
			r.row.Add(v)
			return err
		})
	case '{':
		err = r.named(at)
	default:
		return r.WrongType(at(), "an array of numbers or an object of numbers by feature name")
	}
	if err != nil {
		return err
	}
	return located(r.rows.Add(&r.row), rowLocation(i >= 0))
}

// named reads a row by name. A place holds a name only where the model knows it.
func (r *reader) named(at func() string) error {
	r.row.Reset(r.names[:0])
	if r.row.Names == nil {
		r.row.Names = make([]string, 0, 8)
	}
	err := r.Object(at(), func(key string) error {
		v, err := r.Cell(func() string {
			if _, known := r.rows.Column(key); known {
				return at() + "." + key
			}
			return at()
		})
		r.row.Names = append(r.row.Names, key)
		r.row.Add(v)
		return err
	})
	r.names = r.row.Names
	return err
}

// located is [problem.Located] with a word of where to look for names.
func located(err error, row func(i int) string) error {
	var in *predict.InputError
	if errors.As(err, &in) && in.Reason == predict.UnknownKey {
		in.Message += "; GET /model-info lists its features"
	}
	return problem.Located(err, row)
}
