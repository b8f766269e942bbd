package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/petal-ml/petal/internal/rows"
)

// A Table is what a file of rows and columns is: its form and its columns, all
// found out from the whole of it, or as the user says.
type Table struct {
	Form

	Columns []Column `json:"columns"` // all, in the file's order
	Rows    int      `json:"rows"`    // that have a label
	// Unlabelled counts the rows that have none: they are left out.
	Unlabelled int `json:"unlabelled_rows,omitempty"`
	// Task is Classification or Regression.
	Task string `json:"task"`
	// LabelNotes say what of the label to look at.
	LabelNotes []string `json:"-"`

	label int
	path  string
}

// The tasks that a label column can ask for.
const (
	Classification = "classification"
	Regression     = "regression"
)

// IsPlain says whether [Read] reads such a table: one of numbers with names in its
// first line. What it says of its faults is then right.
func (t *Table) IsPlain() bool {
	return t.Header && len(t.first) == t.width && t.Delimiter != " " && t.Delimiter != "|" && t.Encoding == "utf-8" && t.Archive == "" &&
		t.skip == 0 && t.Unlabelled == 0 &&
		!slices.ContainsFunc(t.Columns, func(c Column) bool {
			return c.Use == Feature && (c.IsText() || c.notation != plain || len(c.Markers) > 0) || c.Use == LeftOut || c.Given
		})
}

// Label is the column to predict.
func (t *Table) Label() *Column { return &t.Columns[t.label] }

// Features are the columns to learn from, in the file's order.
func (t *Table) Features() []Column {
	var all []Column
	for _, c := range t.Columns {
		if c.Use == Feature {
			all = append(all, c)
		}
	}
	return all
}

// Look reads a whole file and tells what it is. It trusts no part of a file for
// the rest of it, and no order of its rows: the same rows in another order are
// the same table. Bad data are an [*Error].
func Look(ctx context.Context, path string, opts Options) (*Table, error) {
	form := opts.Form
	for {
		t, err := lookAs(ctx, path, form, opts)
		if !errors.Is(err, errEncoding) {
			return t, err
		}
		if form.Encoding != "" {
			return nil, &Error{File: path, Problem: "is not " + form.Encoding, Remedy: `write its encoding under "encoding", such as latin-1`, Err: err}
		}
		form.Encoding = latin1
	}
}

// errEncoding says that a text is not UTF-8.
var errEncoding = errors.New("not UTF-8")

func lookAs(ctx context.Context, path string, form Form, opts Options) (*Table, error) {
	t := &Table{Form: form, path: path}
	in, err := openText(path, &t.Form, opts.limit())
	if err != nil {
		return nil, err
	}
	defer in.Close() //nolint:errcheck // only read from
	if err := t.sniff(path, in, opts.HeaderGiven); err != nil {
		return nil, err
	}
	if t.label, err = findLabel(path, t.Names, opts.Label); err != nil {
		return nil, err
	}
	surveys, err := t.survey(ctx, in, opts)
	if err != nil {
		return nil, err
	}
	if t.Rows == 0 && t.Unlabelled == 0 {
		return nil, &Error{File: path, Problem: "has a header and no rows", Remedy: "add rows below the header"}
	}
	for i, s := range surveys {
		spec := opts.Columns[t.Names[i]]
		spec.Decimal = cmp.Or(spec.Decimal, opts.Decimal)
		c := s.column(t.Names[i], spec, t.Delimiter)
		switch {
		case i == t.label:
			c.Use, c.Categories = Label, nil
		case slices.Contains(opts.Drop, c.Name):
			c.Use = Dropped
		}
		t.Columns = append(t.Columns, c)
	}
	t.judgeLabel(surveys[t.label], opts)
	return t, t.check(opts)
}

// findLabel finds the label column by its name, or by its position: from 1, or
// from −1 at the end.
func findLabel(path string, names []string, label string) (int, error) {
	if i := slices.Index(names, label); i >= 0 {
		return i, nil
	}
	if i := slices.Index(names, trim(label)); i >= 0 && trim(label) != "" {
		return i, nil
	}
	if n, err := strconv.Atoi(label); err == nil && n != 0 && n >= -len(names) && n <= len(names) {
		if n < 0 {
			return n + len(names), nil
		}
		return n - 1, nil
	}
	e := &Error{
		File: path, Line: 1,
		Problem: fmt.Sprintf("there is no label column %s", quote(label)),
		Remedy:  `choose it by --label or by "label" in params.yaml from ` + list(names),
	}
	if label == "" {
		e.Line, e.Problem = 0, "no label column is named"
	}
	for _, name := range names {
		if strings.EqualFold(name, label) {
			e.Remedy = fmt.Sprintf("write --label %s", printable(name))
		}
	}
	return 0, e
}

// survey reads all rows.
func (t *Table) survey(ctx context.Context, in *text, opts Options) ([]*survey, error) {
	surveys := make([]*survey, t.width)
	for i := range surveys {
		surveys[i] = newSurvey()
	}
	skipped, err := t.begin(in)
	if err != nil {
		return nil, err
	}
	bounded := &bounded{r: in, left: in.limit, path: t.path}
	records, header := newRecords(bounded, t.Delimiter[0]), t.Header
	for n := 0; ; n++ {
		if n%contextRows == 0 && ctx.Err() != nil {
			return nil, fmt.Errorf("read %s: %w", t.path, ctx.Err())
		}
		record, err := records.Read()
		if errors.Is(err, io.EOF) {
			return surveys, nil
		} else if err != nil {
			return nil, lookError(t.path, skipped, err)
		}
		if slices.ContainsFunc(record, func(s string) bool { return !utf8.ValidString(s) }) && t.Encoding == "utf-8" {
			return nil, errEncoding
		}
		if header {
			header = false
			continue
		}
		t.look(record, surveys, skipped+records.Line(0), opts)
	}
}

// look takes one row. One of another width is for the reading to refuse.
func (t *Table) look(record []string, surveys []*survey, line int, opts Options) {
	if t.label >= len(record) {
		return
	}
	label := trim(record[t.label])
	if label == "" || opts.isMissing(t.Names[t.label], label) {
		t.Unlabelled++
		return
	}
	t.Rows++
	for i, field := range record[:min(len(record), t.width)] {
		field = trim(field)
		missing := i != t.label && isMissing(field) || opts.isMissing(t.Names[i], field)
		surveys[i].add(field, missing, line)
	}
}

// lookError explains what reading failed with.
func lookError(path string, skipped int, err error) error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	var fault *rows.Error
	if !errors.As(err, &fault) {
		return badArchive(path, err)
	}
	return &Error{
		File: path, Line: skipped + fault.Line, Err: err,
		Problem: fault.Err.Error(), Remedy: `double a quote inside a quoted field: "so ""said"" she"`,
	}
}

// bounded refuses more than so many bytes.
type bounded struct {
	r    io.Reader
	left int64
	path string
}

// Read implements [io.Reader].
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, &Error{File: b.path, Problem: "is larger than can be read once it is unpacked", Remedy: "train on a sample of its rows"}
	}
	return n, err
}

// Bounds of the rule that tells classes from numbers to predict.
const (
	maxWholeClasses = 20
	minRowsAClass   = 5
	easyRowsAClass  = 10
)

// task tells classes from numbers to predict: texts, and two different values, are
// classes; a fraction anywhere makes it a regression; whole numbers are classes
// where there are few of them with many rows each.
func (s *survey) task() string {
	d := s.distinct()
	if len(s.texts) > 0 || d <= 2 || s.whole && d <= maxWholeClasses && d*minRowsAClass <= s.n {
		return Classification
	}
	return Regression
}

// judgeLabel tells the task from the label's values, and what there is to look at.
func (t *Table) judgeLabel(s *survey, opts Options) {
	label := t.Label()
	note := func(format string, args ...any) { t.LabelNotes = append(t.LabelNotes, fmt.Sprintf(format, args...)) }
	d := s.distinct()
	if t.Task = opts.Task; t.Task == "" {
		t.Task = s.task()
	}
	if opts.Task == "" && t.Task == Classification && len(s.texts) == 0 && d > 2 && d*easyRowsAClass > s.n {
		note("label %s has %d whole numbers with few rows each, which are taken as classes", printable(label.Name), d)
	}
	if t.Task == Classification && s.n < 2*d && d > 2 {
		note("label %s has %d classes in %d rows: is it an identifier?", printable(label.Name), d, s.n)
	}
	lower, numbers := map[string][]string{}, map[float64][]string{}
	for _, v := range slices.Sorted(keys(s.texts)) {
		lower[strings.ToLower(v)] = append(lower[strings.ToLower(v)], v)
		if isMissing(v) || isMarker(v) {
			note(`label %s has the class %s, which looks like a missing value; to leave its rows out: --set 'missing=["%s"]'`, printable(label.Name), quote(v), v)
		}
	}
	for _, v := range slices.Sorted(keys(s.numbers)) {
		x, _ := rows.ParseNumber(v) // it is one
		numbers[x] = append(numbers[x], v)
	}
	for _, v := range slices.Sorted(keys(s.texts)) {
		if same := lower[strings.ToLower(v)]; len(same) > 1 && same[0] == v {
			note("label %s has the classes %s, which differ in case alone", printable(label.Name), list(same))
		}
	}
	if t.Task != Classification {
		return
	}
	for _, v := range slices.Sorted(keys(s.numbers)) {
		x, _ := rows.ParseNumber(v)
		if same := numbers[x]; len(same) > 1 && same[0] == v {
			note("label %s has the classes %s, which are the same number", printable(label.Name), list(same))
		}
	}
}

// check refuses what cannot be learned from.
func (t *Table) check(opts Options) error {
	var faults []error
	fail := func(column, problem, remedy string) {
		faults = append(faults, &Error{File: t.path, Column: column, Problem: problem, Remedy: remedy})
	}
	for _, name := range opts.Drop {
		switch i := slices.Index(t.Names, name); {
		case i < 0:
			fail("", fmt.Sprintf("there is no column %s to drop", quote(name)), `take it out of "drop", or choose from `+list(t.Names))
		case i == t.label:
			fail(name, "is both the label and to be dropped", `take it out of "drop"`)
		}
	}
	for name := range opts.Columns {
		if !slices.Contains(t.Names, name) {
			fail("", fmt.Sprintf("there is no column %s", quote(name)), `take it out of "columns", or choose from `+list(t.Names))
		}
	}
	for _, c := range t.Columns {
		switch {
		case c.Kind == Boolean && c.Use == Feature && len(c.Categories) != 2:
			fail(c.Name, fmt.Sprintf("has %d different values, a boolean has two", len(c.Categories)), "make it a category")
		case c.Kind == Category && c.Use == Feature && len(c.Categories) > maxCategories:
			fail(c.Name, fmt.Sprintf("has more than %d categories", maxCategories), "leave it out")
		}
	}
	label := t.Label()
	switch {
	case t.Rows == 0:
		fail(label.Name, "no row has a label", "fill it in; is this the label column?")
	case t.Task == Classification && label.Distinct == 1:
		fail(label.Name, fmt.Sprintf("all %d rows have the label %s", t.Rows, quote(label.Example)), "a classifier needs rows of two classes at least; is this the label column?")
	case len(faults) == 0 && len(t.Features()) == 0:
		fail("", "there is no feature column beside the label: "+t.leftOut(), `give a column a kind, such as --set columns.NAME=category`)
	}
	return errors.Join(faults...)
}

// leftOut says why each column is left out.
func (t *Table) leftOut() string {
	var why []string
	for _, c := range t.Columns {
		if c.Use != Label {
			why = append(why, fmt.Sprintf("%s is %s", printable(c.Name), c.Kind))
		}
	}
	if len(why) == 0 {
		return fmt.Sprintf("one column was read, with %q between fields", t.Delimiter)
	}
	return strings.Join(why[:min(len(why), 5)], ", ")
}

// Describe says in one line how the file is written.
func (t *Table) Describe() string {
	names := map[string]string{",": "comma", ";": "semicolon", "\t": "tab", " ": "blanks", "|": "|"}
	words := []string{cmp.Or(names[t.Delimiter], t.Delimiter) + " between fields"}
	if t.Header {
		words = append(words, "names in the first line (otherwise: --no-header)")
	} else {
		words = append(words, "no header (otherwise: --set header=true)")
	}
	if t.Encoding != "utf-8" {
		words = append(words, "read as "+t.Encoding)
	}
	if t.Archive != "" {
		words = append(words, t.Archive)
	}
	return strings.Join(words, ", ")
}

// Becomes says what becomes of a column in a model.
func (c Column) Becomes() string {
	why := ""
	if c.Why != "" {
		why = " (" + c.Why + ")"
	}
	switch {
	case c.Use == Dropped:
		return "left out, as you say"
	case c.Use == LeftOut:
		return "left out" + why
	case c.Kind == Boolean:
		return fmt.Sprintf("%s = 1", c.Categories[1]) + missingToo(c)
	case c.Kind == Category:
		return fmt.Sprintf("%d categories", len(c.Categories)) + missingToo(c) + why
	case c.Missing > 0:
		return "as it is; missing kept, or the median" + why
	}
	return "as it is" + why
}

func missingToo(c Column) string {
	if c.Missing > 0 {
		return ", missing is one more"
	}
	return ""
}

// ToChange is a flag that makes something else of a column that was guessed.
func (c Column) ToChange() string {
	switch {
	case c.Use == Dropped, c.Given, c.Kind == Empty, c.Kind == Constant:
		return ""
	case c.Use == LeftOut && c.Kind == ID && len(c.Categories) == 0 && isNumber(c.Example):
		return setColumn(c.Name, Number)
	case c.Use == LeftOut:
		return setColumn(c.Name, Category)
	case c.Kind == Boolean || c.Kind == Category:
		return setColumn(c.Name, "drop")
	case c.Why != "":
		return setColumn(c.Name, Category)
	}
	return ""
}
