package dataset

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // G501: DVC and MLflow identify data by MD5; nothing is trusted because of it
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/petal-ml/petal/internal/rows"
)

// ReadTable reads a file whose table [Look] has found out, as [Read] reads a table
// of numbers: columns that are left out are not there, a category's value is the
// index of its text in Column.Categories, and rows without a label are passed
// over. What is wrong is told for each column, with the first line of it.
func ReadTable(ctx context.Context, path string, opts Options, t *Table) (*Dataset, error) {
	form := t.Form
	in, err := openText(path, &form, opts.limit())
	if err != nil {
		return nil, err
	}
	defer in.Close() //nolint:errcheck // only read from
	skipped, err := t.begin(in)
	if err != nil {
		return nil, badArchive(path, err)
	}
	if opts.MD5 == "" {
		if opts.MD5, err = digestOf(path, opts.limit()); err != nil {
			return nil, err
		}
	}
	var text io.Reader = in
	comma := t.Delimiter[0]
	if comma == ' ' {
		text, comma = &blankReader{r: in.Reader}, '\t'
	}
	r := newReader(path, text, in.limit, 0, opts)
	r.table, r.line, r.layout.comma = t, skipped, comma
	d, err := r.read(ctx)
	if err != nil {
		return nil, err
	}
	d.Label = t.Label().Name
	d.leaveOutIDs(opts)
	return d, nil
}

func digestOf(path string, limit int64) (string, error) {
	f, _, err := openFile(path, limit)
	if err != nil {
		return "", err
	}
	defer f.Close()  //nolint:errcheck // only read from
	sum := md5.New() //nolint:gosec // G401: see the import
	if _, err := io.Copy(sum, f); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// typedColumn is what the first column that is read by its own rules has in a
// layout, the next ones below it.
const typedColumn = -10

// A reading says what the texts of a column are in the matrix.
type reading struct {
	known    map[string]float64 // categories, booleans and what is missing
	numbers  bool               // other texts are numbers
	notation notation
}

// value is that of a field; ok is false for a text that is none.
func (c *reading) value(field []byte) (v float64, ok bool) {
	if v, ok = c.known[string(field)]; ok {
		return v, true
	}
	text := trim(string(field))
	if v, ok = c.known[text]; ok {
		return v, true
	}
	if !c.numbers {
		return 0, false
	}
	v, err := rows.ParseNumber(c.notation.clean(text))
	return v, err == nil && !math.IsInf(float64(float32(v)), 0)
}

// newReading is how a column is read; nil for plain numbers.
func newReading(c Column, opts *Options) *reading {
	missing := slices.Concat(missingTexts, c.Markers, opts.Missing, opts.MissingIn[c.Name])
	if !c.IsText() && c.notation == plain && c.Missing == 0 {
		return nil
	}
	r := &reading{known: map[string]float64{"": math.NaN()}, numbers: !c.IsText(), notation: c.notation}
	for _, text := range missing {
		r.known[text] = math.NaN()
	}
	for i, text := range c.Categories {
		if c.Kind == Boolean {
			for _, spelled := range []string{text, strings.ToLower(text), strings.ToUpper(text), strings.ToUpper(text[:1]) + strings.ToLower(text[1:])} {
				r.known[spelled] = float64(i)
			}
		}
		r.known[text] = float64(i)
	}
	return r
}

// tableHeader takes the header, where there is one, off the first block's text
// and sorts the columns.
func (r *reader) tableHeader(b *block) error {
	if r.table.Header {
		records := r.records(bytes.NewReader(b.text))
		if _, err := records.Read(); err != nil {
			return r.readError(err)
		}
		length := records.Offset()
		r.line += bytes.Count(b.text[:length], []byte{'\n'})
		r.offset, b.text = length, b.text[length:]
	}
	r.names, r.label = r.table.Names, r.table.label
	r.layout.unlabelled = func(label []byte) bool {
		text := trim(string(label))
		return text == "" || r.opts.isMissing(r.names[r.label], text)
	}
	for i, c := range r.table.Columns {
		switch c.Use {
		case Label:
			r.layout.columns = append(r.layout.columns, labelColumn)
		case Feature:
			feature := len(r.features)
			r.features = append(r.features, i)
			typed := newReading(c, &r.opts)
			r.layout.typed = append(r.layout.typed, typed)
			if typed != nil {
				feature = typedColumn - feature
			}
			r.layout.columns = append(r.layout.columns, feature)
		default:
			r.layout.columns = append(r.layout.columns, droppedColumn)
		}
	}
	r.missing = make([]int, len(r.features))
	r.layout.features, r.layout.allowMissing = len(r.features), true
	r.columnFaults = make([]columnFault, len(r.names)+1)
	return nil
}

// A columnFault gathers the faults of one column; the one after the last column
// is that of whole rows.
type columnFault struct {
	n, line int // how many, and where the first one is
	problem string
	texts   []string // the first few different ones
}

// maxTexts is how many texts of a column a fault shows.
const maxTexts = 5

func (f *columnFault) add(line int, problem, text string) {
	if f.n == 0 {
		f.line, f.problem = line, problem
	}
	f.n++
	if text != "" && len(f.texts) < maxTexts && !slices.Contains(f.texts, text) {
		f.texts = append(f.texts, text)
	}
}

// addTableRow is addRow for a table that [Look] has found out.
func (r *reader) addTableRow(records *rows.Records, record []string) error {
	line := r.line + records.Line(0)
	if n := len(record); n != len(r.names) {
		record = fitRow(record, len(r.table.first), len(r.names))
		if record == nil {
			r.columnFaults[len(r.names)].add(line, fmt.Sprintf("there are %d fields, the header has %d", n, len(r.names)), "")
			return nil
		}
	}
	if r.layout.unlabelled([]byte(record[r.label])) {
		return nil
	}
	have, good := len(r.classes), true
	for j, column := range r.features {
		var v float64
		var problem string
		if typed := r.layout.typed[j]; typed == nil {
			v, problem, _ = parseNumber(record[column])
		} else if value, ok := typed.value([]byte(record[column])); ok {
			v = value
		} else if _, problem, _ = parseNumber(typed.notation.clean(record[column])); problem == "" {
			problem = quote(record[column]) + " was not there before"
		}
		if problem != "" {
			r.columnFaults[column].add(r.line+records.Line(column), problem, trim(record[column]))
			good = false
		}
		r.values = append(r.values, v)
	}
	problem, remedy := r.addLabel(trim(record[r.label]))
	if problem != "" {
		return &Error{File: r.path, Line: line, Column: r.names[r.label], Problem: problem, Remedy: remedy}
	}
	if !good {
		r.values, r.classes = r.values[:have*len(r.features)], r.classes[:have]
	}
	return nil
}

// fitRow makes a record as wide as the table where only empty fields at its end
// are too many, or those are missing that the first line has not either; nil where
// it cannot.
func fitRow(record []string, first, width int) []string {
	for len(record) > width && trim(record[len(record)-1]) == "" {
		record = record[:len(record)-1]
	}
	for len(record) >= first && len(record) < width {
		record = append(slices.Clone(record), "")
	}
	if len(record) != width {
		return nil
	}
	return record
}

// tableFaults are the faults of all columns, one each.
func (r *reader) tableFaults() error {
	var all []error
	for i, f := range r.columnFaults {
		if f.n == 0 {
			continue
		}
		e := &Error{File: r.path, Line: f.line}
		switch {
		case i == len(r.names):
			e.Problem = f.problem
			if f.n > 1 {
				e.Problem += fmt.Sprintf("; so have %d rows, this is the first", f.n)
			}
			e.Remedy = "give every row one field for each column"
		default:
			e.Column, e.Problem = r.names[i], f.problem
			if f.n > 1 {
				e.Problem += fmt.Sprintf("; so are %d values, this is the first", f.n)
			}
			quoted := make([]string, len(f.texts))
			for k, text := range f.texts {
				quoted[k] = fmt.Sprintf("%q", text)
			}
			e.Remedy = fmt.Sprintf("write numbers, or paste --set 'missing=[%s]', or %s", strings.Join(quoted, ", "), setColumn(e.Column, Category))
		}
		all = append(all, e)
	}
	return errors.Join(all...)
}

// setColumn is what to write for another kind of column.
func setColumn(name string, kind Kind) string {
	setting := "columns." + name + "=" + string(kind)
	if strings.ContainsAny(setting, " '\"$&|;<>()*?[]#~!\\`{}\t\n") {
		setting = "'" + strings.ReplaceAll(setting, "'", `'\''`) + "'"
	}
	return "--set " + setting
}

// leaveOutIDs takes columns of numbers off that only tell the rows apart.
func (d *Dataset) leaveOutIDs(opts Options) {
	keep := make([]int, 0, len(d.Features))
	for j, name := range d.Features {
		why := ""
		if opts.Columns[name].Kind == "" && (d.Columns == nil || !d.Columns[j].IsText()) {
			why = d.idNumbers(j)
		}
		if why == "" {
			keep = append(keep, j)
			continue
		}
		d.LeftOut = append(d.LeftOut, Column{
			Name: name, Kind: ID, Use: LeftOut, Why: why, Distinct: d.Rows(), Example: fmt.Sprint(d.X.At(0, j)),
		})
	}
	if len(keep) > 0 && len(keep) < len(d.Features) {
		d.keep(keep)
	} else {
		d.LeftOut = nil // a model of nothing would help nobody
	}
}

// idNumbers says by what a column of numbers is an identifier; "" for one that is
// none: whole numbers, each once, one after another in any order, or of a name
// that says so, or too large for float64.
func (d *Dataset) idNumbers(j int) string {
	n := d.Rows()
	if n < minIDRows {
		return ""
	}
	smallest, largest, total := math.Inf(1), math.Inf(-1), 0.0
	for i := range n {
		v := d.X.At(i, j)
		if v != math.Trunc(v) || v != v {
			return ""
		}
		smallest, largest = min(smallest, v), max(largest, v)
		total += v
	}
	named, dense := idName.MatchString(d.Features[j]), largest-smallest == float64(n-1)
	if !named && !dense && largest <= maxExact {
		return ""
	}
	different := make(map[float64]struct{}, n)
	for i := range n {
		different[d.X.At(i, j)] = struct{}{}
	}
	switch {
	case largest > maxExact && 2*len(different) > n:
		return "beyond 2^53"
	case len(different) < n:
		return ""
	case dense:
		return "consecutive"
	default:
		return "every row differs"
	}
}

// keep keeps some of the features.
func (d *Dataset) keep(features []int) {
	data := d.X.RawMatrix().Data
	width := len(d.Features)
	at := 0
	for i := range d.Rows() {
		for _, j := range features {
			data[at] = data[i*width+j]
			at++
		}
	}
	d.X = newDense(d.Rows(), len(features), data[:at:at])
	d.Features = pick(d.Features, features)
	d.Missing = pick(d.Missing, features)
	if d.Columns != nil {
		d.Columns = pick(d.Columns, features)
	}
}

func pick[T any](all []T, which []int) []T {
	out := make([]T, len(which))
	for i, j := range which {
		out[i] = all[j]
	}
	return out
}
