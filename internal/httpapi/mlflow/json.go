package mlflow

import (
	"fmt"
	"math"
	"strings"

	"github.com/petal-ml/petal/internal/httpapi/problem"
	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/predict"
	"github.com/petal-ml/petal/internal/rows"
)

// forms are the keys of which exactly one holds the rows.
var forms = []string{"dataframe_split", "dataframe_records", "instances", "inputs"}

// decodeJSON reads one of the JSON forms of /invocations into a batch.
func decodeJSON(data []byte, into *predict.Batch) error {
	var members map[string]int
	err := rows.ReadObject(data, func(d *rows.Decoder) (err error) {
		d.SkipNaN = true
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
			return problem.Invalid(rows.Malformed, "body", `give exactly one of "dataframe_split", "dataframe_records", "instances" and "inputs"`)
		case given:
			form, start = name, pos
		}
	}
	d := reader{batch: into}
	d.JSONReader = rows.JSONReader{Decoder: rows.NewDecoder(data), Column: into.Column, SkipUnknown: true, ReadCell: d.readCell}
	d.SkipNaN = true
	d.Seek(start)
	switch at := "body." + form; {
	case form == "":
		return problem.Invalid(rows.Malformed, "body", `one of "dataframe_split", "dataframe_records", "instances" and "inputs" is missing`)
	case form == "dataframe_split":
		return d.split(at)
	case form == "inputs" && d.Peek() == '{':
		return d.columns(at)
	default:
		return d.records(at)
	}
}

// findMembers finds where the values of an object begin.
func findMembers(d *rows.Decoder, at string) (map[string]int, error) {
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

// numberedRow names row i, -1 all of them.
func numberedRow(i int) string {
	if i < 0 {
		return "the rows"
	}
	return fmt.Sprintf("row %d", i)
}

// A reader reads tables as pandas writes them. Values of columns that the model
// does not know may be anything.
type reader struct {
	rows.JSONReader
	batch *predict.Batch
}

// add appends the row at hand.
func (d *reader) add() error {
	return problem.Located(d.batch.Add(&d.Row), numberedRow)
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
		return problem.Invalid(rows.MissingKey, at+".data", "the rows are missing")
	}
	d.Seek(pos)
	at += ".data"
	return d.List(at, "an array of rows", func(i int) error {
		if err := d.Read(func() string { return fmt.Sprintf("%s[%d]", at, i) }, names); err != nil {
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
			return problem.Invalid(rows.Malformed, at, "a column comes twice")
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
		if err := d.Read(func() string { return fmt.Sprintf("%s[%d]", at, i) }, nil); err != nil {
			return err
		}
		return d.add()
	})
}

// columns reads {"a":[…],"b":[…]}, or {"a":1,"b":2} for one row.
func (d *reader) columns(at string) error {
	var names []string
	var all []rows.Row // a column each
	err := d.Object(at, func(key string) error {
		index, known := d.Column(key)
		if !known {
			return d.Skip()
		}
		kind, isCategory := kindAt(d.batch, index)
		column, err := d.column(at+"."+key, kind, isCategory)
		if err == nil && len(all) > 0 && len(column.Values) != len(all[0].Values) {
			err = problem.Invalid(rows.WrongWidth, at+"."+key, "the columns are not equally long")
		}
		names, all = append(names, key), append(all, column)
		return err
	})
	switch {
	case err != nil:
		return err
	case len(all) > 0:
		return d.transpose(names, all)
	case len(d.batch.Model.Info().Features) > 0:
		return problem.Invalid(rows.MissingKey, at, "there is no column that the model knows")
	}
	return nil
}

// valuesAtOnce is for how many values of a column memory is taken together.
const valuesAtOnce = 256

// column reads the values of one column, or the one value.
func (d *reader) column(at string, kind model.Kind, isCategory bool) (rows.Row, error) {
	var column rows.Row
	if d.Peek() != '[' {
		v, err := d.cell(func() string { return at }, kind, isCategory)
		column.Add(v)
		return column, err
	}
	err := d.Array(func(i int) error {
		if i%valuesAtOnce == 0 {
			if err := d.batch.Take(16 * valuesAtOnce); err != nil {
				return err
			}
		}
		v, err := d.cell(func() string { return fmt.Sprintf("%s[%d]", at, i) }, kind, isCategory)
		column.Add(v)
		return err
	})
	return column, err
}

// transpose takes the rows of columns that are equally long.
func (d *reader) transpose(names []string, columns []rows.Row) error {
	for i := range columns[0].Values {
		d.Row.Reset(names)
		for c := range columns {
			d.Row.Add(columns[c].Cell(i))
		}
		if err := d.add(); err != nil {
			return err
		}
	}
	return nil
}

// readCell reads a value of a row. Columns beyond the last one take numbers.
func (d *reader) readCell(column int) (model.Cell, error) {
	kind, isCategory := kindAt(d.batch, column)
	return d.cell(rows.Here, kind, isCategory)
}

// cell reads a value for a column of that kind. Numbers, true and false may be
// written as text, as pandas writes columns of mixed types.
func (d *reader) cell(here func() string, kind model.Kind, isCategory bool) (model.Cell, error) {
	switch {
	case d.Peek() == '"':
		written, ok := d.String()
		if !ok {
			return model.Cell{}, d.Malformed("a value is not written as JSON writes strings")
		}
		return parseCell(written, kind, here)
	case isCategory:
		return d.Cell(here) // whether the model takes it, the batch says
	case kind == model.Text && d.Peek() != 'n':
		return model.Cell{}, d.WrongType(here(), "text")
	case kind == model.Boolean:
		return d.Cell(here)
	default:
		return d.NumberCell(here)
	}
}

// kindAt is what column i of the model takes; beyond the last one, numbers. Some
// columns of texts are categories that training knew.
func kindAt(b *predict.Batch, i int) (kind model.Kind, isCategory bool) {
	if features := b.Model.Info().Features; i < len(features) {
		return features[i].Kind, features[i].Learned() != ""
	}
	return model.Number, false
}

// parseCell reads a value that stands in text of JSON. There null is the missing
// value, and none of the texts.
func parseCell(written string, kind model.Kind, here func() string) (model.Cell, error) {
	if kind != model.Text {
		written = strings.TrimSpace(written)
	}
	c, err := rows.ParseCell(written, kind)
	switch {
	case err != nil || c.IsMissing():
		return c, rows.Invalid(rows.WrongType, here(), rows.ErrNotNumber.Error())
	case math.IsInf(c.Number, 0):
		return c, rows.Invalid(rows.OutOfRange, here(), "the number is out of range; a 32-bit float must hold it")
	}
	return c, nil
}
