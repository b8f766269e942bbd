package native

import (
	"errors"
	"fmt"

	"github.com/petal-ml/petal/internal/httpapi/problem"
	"github.com/petal-ml/petal/internal/predict"
	"github.com/petal-ml/petal/internal/rows"
)

// A sink takes one row of a body after another. The row is used again for the
// next one: many small rows must not take many times the memory of the body.
type sink interface {
	Add(row *rows.Row) error
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
func decodePredict(data []byte, into sink) (many bool, err error) {
	seen := false
	err = rows.ReadObject(data, func(d *rows.Decoder) error {
		r := rows.JSONReader{Decoder: d, Column: into.Column}
		read := func(i int) error {
			if err := r.Read(func() string { return rowLocation(i >= 0)(i) }, nil); err != nil {
				return err
			}
			return located(into.Add(&r.Row), rowLocation(i >= 0))
		}
		return d.Object("body", func(key string) error {
			switch {
			case key != "features" && key != "instances":
				return problem.Invalid(predict.UnknownKey, "body", `unknown key; the keys known here are "features" and "instances", in lower case`)
			case seen:
				return problem.Invalid(rows.Malformed, "body", `give "features" (one row) or "instances" (many), not both and not twice`)
			}
			seen, many = true, key == "instances"
			if !many {
				return read(-1)
			}
			return d.List("body.instances", "an array of rows", read)
		})
	})
	if err == nil && !seen {
		err = problem.Invalid(rows.MissingKey, "body", `"features" (one row) or "instances" (many) is missing`)
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

// located is [problem.Located] with a word of where to look for names.
func located(err error, row func(i int) string) error {
	var in *predict.InputError
	if errors.As(err, &in) && in.Reason == predict.UnknownKey {
		in.Message += "; GET /model-info lists its features"
	}
	return problem.Located(err, row)
}
