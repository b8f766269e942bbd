package mlflow

import (
	"fmt"

	"github.com/petal-ml/petal/internal/httpapi/jsonbody"
	"github.com/petal-ml/petal/internal/httpapi/problem"
	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/predict"
)

// forms are the keys of which exactly one holds the rows.
var forms = []string{"dataframe_split", "dataframe_records", "instances", "inputs"}

// decodeJSON reads one of the JSON forms of /invocations into a batch.
func decodeJSON(data []byte, into *predict.Batch) error {
	var members map[string]int
	err := jsonbody.Whole(data, func(d *jsonbody.Decoder) (err error) {
		members, err = findMembers(d, "body")
		return err
	})
	if err != nil {
		return err
	}
	form, start := "", 0
	for _, name := range forms {
		pos, given := members[name]
		switch {
		case given && form != "":
			return problem.Invalid(predict.Malformed, "body", `give exactly one of "dataframe_split", "dataframe_records", "instances" and "inputs"`)
		case given:
			form, start = name, pos
		}
	}
	d := reader{Decoder: jsonbody.New(data), rows: into, keys: make([]string, 0, 8)}
	d.Seek(start)
	switch at := "body." + form; {
	case form == "":
		return problem.Invalid(predict.Malformed, "body", `one of "dataframe_split", "dataframe_records", "instances" and "inputs" is missing`)
	case form == "dataframe_split":
		return d.split(at)
	case form == "inputs" && d.Peek() == '{':
		return d.columns(at)
	default:
		return d.records(at)
	}
}

// findMembers finds where the values of an object begin.
func findMembers(d *jsonbody.Decoder, at string) (map[string]int, error) {
	if d.Peek() != '{' {
		return nil, d.WrongType(at, "an object")
	}
	found := map[string]int{}
	err := d.Object(at, func(key string) error {
		found[key] = d.Pos()
		return d.Skip()
	})
	return found, err
}

// A reader reads tables as pandas writes them. Values of columns that the model
// does not know may be anything.
type reader struct {
	*jsonbody.Decoder
	rows *predict.Batch
	row  predict.Row // the one at hand: many small rows must not take many times the memory of the body
	keys []string    // its names, where it has its own
}

// add appends the row at hand.
func (d *reader) add() error {
	return problem.Located(d.rows.Add(&d.row), numberedRow)
}

// split reads {"columns":[…],"data":[[…]]}; without columns the order is the
// model's.
func (d *reader) split(at string) error {
	members, err := findMembers(d.Decoder, at)
	if err != nil {
		return err
	}
	var names []string
	if pos, given := members["columns"]; given {
		d.Seek(pos)
		if names, err = d.names(at + ".columns"); err != nil {
			return err
		}
	}
	pos, given := members["data"]
	if !given {
		return problem.Invalid(predict.MissingKey, at+".data", "the rows are missing")
	}
	d.Seek(pos)
	at += ".data"
	return d.List(at, "an array of rows", func(i int) error {
		if err := d.cells(func() string { return fmt.Sprintf("%s[%d]", at, i) }, names); err != nil {
			return err
		}
		return d.add()
	})
}

// names reads an array of column names.
func (d *reader) names(at string) ([]string, error) {
	names, seen := []string{}, map[string]bool{}
	err := d.List(at, "an array of names", func(int) error {
		if d.Peek() != '"' {
			return d.WrongType(at, "a name")
		}
		name, ok := d.String()
		if !ok {
			return d.Malformed("a name is not written as JSON writes strings")
		}
		if seen[name] {
			return problem.Invalid(predict.Malformed, at, "a column comes twice")
		}
		seen[name] = true
		names = append(names, name)
		return nil
	})
	return names, err
}

// records reads an array of rows, by position or by name.
func (d *reader) records(at string) error {
	return d.List(at, "an array of rows", func(i int) error {
		here := func() string { return fmt.Sprintf("%s[%d]", at, i) }
		var err error
		if d.Peek() == '{' {
			err = d.record(here)
		} else {
			err = d.cells(here, nil)
		}
		if err != nil {
			return err
		}
		return d.add()
	})
}

func (d *reader) record(at func() string) error {
	d.row.Reset(d.keys[:0])
	err := d.Object(at(), func(key string) error {
		column, known := d.rows.Column(key)
		if !known {
			return d.Skip()
		}
		v, err := d.cell(func() string { return at() + "." + key }, kindAt(d.rows, column))
		d.row.Names = append(d.row.Names, key)
		d.row.Add(v)
		return err
	})
	d.keys = d.row.Names
	return err
}

// cells reads one row by position; with names, those of the columns.
func (d *reader) cells(at func() string, names []string) error {
	d.row.Reset(names)
	if d.Peek() != '[' {
		return d.WrongType(at(), "an array of numbers")
	}
	err := d.Array(func(i int) error {
		column := i
		if names != nil && i < len(names) {
			var known bool
			if column, known = d.rows.Column(names[i]); !known {
				d.row.Add(model.Cell{})
				return d.Skip()
			}
		}
		v, err := d.cell(func() string { return fmt.Sprintf("%s[%d]", at(), i) }, kindAt(d.rows, column))
		d.row.Add(v)
		return err
	})
	if err == nil && names != nil && len(d.row.Values) != len(names) {
		err = problem.Invalid(predict.WrongWidth, at(), fmt.Sprintf("there are %d columns and %d values", len(names), len(d.row.Values)))
	}
	return err
}

// columns reads {"a":[…],"b":[…]}, or {"a":1,"b":2} for one row.
func (d *reader) columns(at string) error {
	var names []string
	var all []predict.Row // a column each
	err := d.Object(at, func(key string) error {
		index, known := d.rows.Column(key)
		if !known {
			return d.Skip()
		}
		column, err := d.column(at+"."+key, kindAt(d.rows, index))
		if err == nil && len(all) > 0 && len(column.Values) != len(all[0].Values) {
			err = problem.Invalid(predict.WrongWidth, at+"."+key, "the columns are not equally long")
		}
		names, all = append(names, key), append(all, column)
		return err
	})
	switch {
	case err != nil:
		return err
	case len(all) > 0:
		return d.transpose(names, all)
	case len(d.rows.Model.Info().Features) > 0:
		return problem.Invalid(predict.MissingKey, at, "there is no column that the model knows")
	}
	return nil
}

// column reads the values of one column, or the one value.
func (d *reader) column(at string, kind model.Kind) (predict.Row, error) {
	var column predict.Row
	if d.Peek() != '[' {
		v, err := d.cell(func() string { return at }, kind)
		column.Add(v)
		return column, err
	}
	err := d.Array(func(i int) error {
		v, err := d.cell(func() string { return fmt.Sprintf("%s[%d]", at, i) }, kind)
		column.Add(v)
		return err
	})
	return column, err
}

// transpose takes the rows of columns that are equally long.
func (d *reader) transpose(names []string, columns []predict.Row) error {
	for i := range columns[0].Values {
		d.row.Reset(names)
		for c := range columns {
			d.row.Add(columns[c].Cell(i))
		}
		if err := d.add(); err != nil {
			return err
		}
	}
	return nil
}

// cell reads a value for a column of that kind. Numbers, true and false may be
// written as text, as pandas writes columns of mixed types.
func (d *reader) cell(here func() string, kind model.Kind) (model.Cell, error) {
	switch {
	case d.Peek() == '"':
		written, ok := d.String()
		if !ok {
			return model.Cell{}, d.Malformed("a value is not written as JSON writes strings")
		}
		return parseCell(written, kind, here)
	case kind == model.Text && d.Peek() != 'n':
		return model.Cell{}, d.WrongType(here(), "text")
	case kind == model.Boolean:
		return d.Cell(here)
	default:
		v, err := d.Number(here)
		return model.Cell{Number: v}, err
	}
}
