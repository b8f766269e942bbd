package rows

import (
	"errors"
	"fmt"
)

// A Row is one row as it was written, by position (Names is nil) or by name (as
// many names as values, none twice). Of a cell that is no number the value is that
// of [Cell.Number], of one that is missing NaN.
type Row struct {
	Names  []string
	Values []float64
	// Cells are the values of a row of which some are no numbers; nil for others.
	Cells []Cell
}

// Reset makes it an empty row that uses the memory of the one before.
func (r *Row) Reset(names []string) { *r = Row{Names: names, Values: r.Values[:0]} }

// Add appends a value.
func (r *Row) Add(c Cell) {
	if (c.Kind != Number || c.Text != "") && r.Cells == nil { // or digits that float64 does not hold
		r.Cells = Widen(make([]Cell, 0, 8), r.Values)
	}
	r.Values = append(r.Values, c.Number)
	if r.Cells != nil {
		r.Cells = append(r.Cells, c)
	}
}

// Cell returns value i.
func (r *Row) Cell(i int) Cell {
	if r.Cells != nil {
		return r.Cells[i]
	}
	return Cell{Number: r.Values[i]}
}

// Widen appends numbers to cells.
func Widen(cells []Cell, numbers []float64) []Cell {
	for _, v := range numbers {
		cells = append(cells, Cell{Number: v})
	}
	return cells
}

// A JSONReader reads rows of JSON, one after another into the same memory: many
// small rows must not take many times the memory of the text.
type JSONReader struct {
	*Decoder
	Row Row // the one that was read last
	// Column finds a column by its name.
	Column func(name string) (column int, known bool)
	// SkipUnknown passes over the values of other columns, whatever they are. Else
	// the columns of objects are all -1.
	SkipUnknown bool
	// ReadCell reads the value of a column; [Decoder.Cell] where it is nil. The
	// place of what it finds wrong is [Here].
	ReadCell func(column int) (Cell, error)

	names []string // of the row at hand, where it has its own
}

// Read reads the row that stands here, an array or an object of values. At tells
// its place. Names are those of the values of an array, where they are known; such
// a row is no object.
func (r *JSONReader) Read(at func() string, names []string) error {
	switch c := r.Peek(); {
	case c == '[':
		return r.array(at, names)
	case c == '{' && names == nil:
		return r.object(at)
	case names != nil:
		return r.WrongType(at(), "an array of numbers")
	default:
		return r.WrongType(at(), "an array of numbers or an object of numbers by feature name")
	}
}

func (r *JSONReader) array(at func() string, names []string) error {
	r.Row.Reset(names)
	err := r.Array(func(i int) error {
		column := i
		if i < len(names) {
			var known bool
			if column, known = r.Column(names[i]); !known {
				r.Row.Add(Cell{})
				return r.Skip()
			}
		}
		return r.cell(column, func() string { return fmt.Sprintf("%s[%d]", at(), i) })
	})
	if err == nil && names != nil && len(r.Row.Values) != len(names) {
		err = Invalid(WrongWidth, at(), fmt.Sprintf("there are %d columns and %d values", len(names), len(r.Row.Values)))
	}
	return err
}

// object reads a row by name. A place holds a name only where it is a column's.
func (r *JSONReader) object(at func() string) error {
	if r.names == nil {
		r.names = make([]string, 0, 8)
	}
	r.Row.Reset(r.names[:0])
	err := r.Object(at(), func(key string) error {
		column := -1
		if r.SkipUnknown {
			var known bool
			if column, known = r.Column(key); !known {
				return r.Skip()
			}
		}
		r.Row.Names = append(r.Row.Names, key)
		return r.cell(column, func() string {
			if _, known := r.Column(key); known {
				return at() + "." + key
			}
			return at()
		})
	})
	r.names = r.Row.Names
	return err
}

func (r *JSONReader) cell(column int, at func() string) error {
	var c Cell
	var err error
	if r.ReadCell != nil {
		c, err = r.ReadCell(column)
	} else {
		c, err = r.Cell(Here)
	}
	if err == nil {
		r.Row.Add(c)
		return nil
	}
	var fault *JSONError
	if errors.As(err, &fault) && fault.Place == Here() {
		fault.Place = at()
	}
	return err
}

// Here stands for the place of a cell that is read by [JSONReader.Read].
func Here() string { return "\x00" }
