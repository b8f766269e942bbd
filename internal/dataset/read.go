package dataset

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // G501: DVC and MLflow identify data by MD5; nothing is trusted because of it
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"gonum.org/v1/gonum/mat"
)

// Limits that keep a hostile or mistaken file from filling the memory.
const (
	// DefaultMaxBytes is the largest file that is read when Options say nothing.
	DefaultMaxBytes = 4 << 30
	maxLineBytes    = 16 << 20
	maxColumns      = 100_000
	maxClasses      = 1000
)

// Options say how a file is to be read.
type Options struct {
	// Label names the column that holds the label.
	Label string
	// Drop names columns to leave out.
	Drop []string
	// AllowMissing lets empty fields, NA and NaN through as NaN; otherwise they
	// are errors.
	AllowMissing bool
	// MaxBytes is the largest file that is read; 0 means DefaultMaxBytes.
	MaxBytes int64
	// AllFaults lets the reading go on after a row that cannot be used, so that
	// the error joins the faults of all rows, the first hundred of them.
	AllFaults bool
}

// maxFaults is how many faults anybody reads.
const maxFaults = 100

// Read reads the CSV file at path. Fields are separated by the comma, semicolon
// or tab that the header has most of; quotes follow RFC 4180; lines end in LF or
// CRLF; a byte order mark is skipped. Numbers may have blanks around them,
// labels are taken as they stand. Bad data are an [*Error].
func Read(ctx context.Context, path string, opts Options) (*Dataset, error) {
	// Opening a named pipe would wait for its writer, beyond the end of ctx.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, OpenError(path, err)
	}
	defer f.Close() //nolint:errcheck // only read from

	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", path, err)
	}
	limit := opts.MaxBytes
	if limit <= 0 {
		limit = DefaultMaxBytes
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, &Error{File: path, Problem: "is not a regular file", Remedy: "name a CSV file"}
	case info.Size() > limit:
		return nil, tooLarge(path, limit)
	}
	return newReader(path, f, limit, info.Size(), opts).read(ctx)
}

// OpenError explains why a data file cannot be opened, as an [*Error].
func OpenError(path string, err error) error {
	var cause *os.PathError
	problem := err.Error()
	if errors.As(err, &cause) {
		problem = "cannot be opened: " + cause.Err.Error()
	}
	remedy := "check that this user may read it"
	if errors.Is(err, os.ErrNotExist) {
		problem = "does not exist"
		remedy = `name an existing CSV file by --data or by "data" in params.yaml`
	}
	return &Error{File: path, Problem: problem, Remedy: remedy, Err: err}
}

func tooLarge(path string, limit int64) error {
	return &Error{
		File: path, Problem: fmt.Sprintf("is larger than %d bytes", limit),
		Remedy: "train on a sample of its rows",
	}
}

// reader is one reading of a file.
type reader struct {
	path string
	opts Options
	size int64 // of the file as its directory entry has it

	source *source
	buf    *bufio.Reader
	csv    *csv.Reader

	names    []string // of all columns
	features []int    // columns that are features
	label    int      // column that is the label

	values  []float64 // rows × features
	missing []int
	classes []int // for each row an index into labels
	labels  []string
	index   map[string]int // label to index into labels
}

func newReader(path string, r io.Reader, limit, size int64, opts Options) *reader {
	s := &source{r: r, path: path, limit: limit, hash: md5.New()} //nolint:gosec // G401: see the import
	return &reader{
		path: path, opts: opts, size: size, source: s,
		buf:   bufio.NewReaderSize(s, 1<<16),
		index: map[string]int{},
	}
}

func (r *reader) read(ctx context.Context) (*Dataset, error) {
	if err := r.readHeader(); err != nil {
		return nil, err
	}
	if err := r.readRows(ctx); err != nil {
		return nil, err
	}
	if err := r.checkRows(); err != nil {
		return nil, err
	}

	labels, position := sortLabels(r.labels)
	for i, class := range r.classes {
		r.classes[i] = position[class]
	}
	base := filepath.Base(r.path)
	d := &Dataset{
		Name:     strings.TrimSuffix(base, filepath.Ext(base)),
		Path:     r.path,
		MD5:      hex.EncodeToString(r.source.hash.Sum(nil)),
		Size:     r.source.n,
		Features: make([]string, len(r.features)),
		X:        mat.NewDense(len(r.classes), len(r.features), r.values),
		Missing:  r.missing,
		Label:    r.names[r.label],
		Classes:  labels,
		Y:        r.classes,
	}
	for j, column := range r.features {
		d.Features[j] = r.names[column]
	}
	return d, nil
}

// readHeader finds the separator and sorts the columns into features and label.
func (r *reader) readHeader() error {
	// What of the header does not fit into the buffer has no say in the
	// separator.
	start, err := r.buf.Peek(r.buf.Size())
	if err != nil && !errors.Is(err, io.EOF) {
		return r.readError(err)
	}
	if err := r.checkText(start); err != nil {
		return err
	}
	if bom := []byte("\xef\xbb\xbf"); bytes.HasPrefix(start, bom) {
		start = start[len(bom):]
		_, _ = r.buf.Discard(len(bom)) // it stands in the buffer
	}

	r.csv = csv.NewReader(r.buf)
	r.csv.Comma = separator(start)
	r.csv.FieldsPerRecord = -1 // counted here, for a better message
	r.csv.ReuseRecord = true
	header, err := r.csv.Read()
	if errors.Is(err, io.EOF) {
		return &Error{File: r.path, Problem: "is empty", Remedy: "give it a header line and rows"}
	}
	if err != nil {
		return r.readError(err)
	}
	r.names = slices.Clone(header)
	if err := r.checkHeader(); err != nil {
		return err
	}
	return r.chooseColumns()
}

// checkText refuses what is no text before a misleading message about columns
// arises.
func (r *reader) checkText(start []byte) error {
	fail := func(problem, remedy string) error {
		return &Error{File: r.path, Problem: problem, Remedy: remedy}
	}
	switch {
	case bytes.HasPrefix(start, []byte("\xff\xfe")), bytes.HasPrefix(start, []byte("\xfe\xff")):
		return fail("is UTF-16 text", "save it as UTF-8")
	case bytes.HasPrefix(start, []byte("\x1f\x8b")), bytes.HasPrefix(start, []byte("PK\x03\x04")):
		return fail("is compressed or a spreadsheet", "unpack it, or export it as CSV")
	}
	if i := bytes.IndexByte(start, 0); i >= 0 {
		return fail(fmt.Sprintf("is not text: there is a zero byte at offset %d", i), "name a CSV file")
	}
	return nil
}

// separator is the one of comma, semicolon and tab that the first line has most
// of outside quotes; the comma where there is none.
func separator(start []byte) rune {
	candidates := []byte{',', ';', '\t'}
	counts := make([]int, len(candidates))
	quoted := false
	for _, c := range start {
		if c == '\n' && !quoted {
			break
		}
		if c == '"' {
			quoted = !quoted
		}
		if i := bytes.IndexByte(candidates, c); i >= 0 && !quoted {
			counts[i]++
		}
	}
	best := 0
	for i, n := range counts {
		if n > counts[best] {
			best = i
		}
	}
	return rune(candidates[best])
}

func (r *reader) checkHeader() error {
	fail := func(problem, remedy string) error {
		return &Error{File: r.path, Line: 1, Problem: problem, Remedy: remedy}
	}
	if len(r.names) > maxColumns {
		return fail(fmt.Sprintf("there are %d columns, more than %d", len(r.names), maxColumns), "leave columns out")
	}
	seen := map[string]int{}
	numbers := true
	for i, name := range r.names {
		switch first, repeated := seen[name]; {
		case strings.TrimSpace(name) == "":
			return fail(fmt.Sprintf("column %d has no name", i+1), "give every column a name in the header")
		case !utf8.ValidString(name):
			return fail(fmt.Sprintf("the name of column %d is not UTF-8", i+1), "save the file as UTF-8")
		case repeated:
			return fail(fmt.Sprintf("columns %d and %d are both named %s", first+1, i+1, quote(name)), "give every column a name of its own")
		}
		seen[name] = i
		if _, err := strconv.ParseFloat(name, 64); err != nil {
			numbers = false
		}
	}
	if numbers {
		return fail("the header is missing: the first line holds only numbers", "name the columns in the first line")
	}
	return nil
}

func (r *reader) chooseColumns() error {
	r.label = slices.Index(r.names, r.opts.Label)
	if r.label < 0 {
		return &Error{
			File: r.path, Line: 1,
			Problem: fmt.Sprintf("there is no label column %s", quote(r.opts.Label)),
			Remedy:  `choose it by --label or by "label" in params.yaml from ` + list(r.names),
		}
	}
	dropped := map[int]bool{r.label: true}
	for _, name := range r.opts.Drop {
		i := slices.Index(r.names, name)
		switch {
		case i < 0:
			return &Error{
				File: r.path, Line: 1,
				Problem: fmt.Sprintf("there is no column %s to drop", quote(name)),
				Remedy:  `take it out of "drop" in params.yaml, or choose from ` + list(r.names),
			}
		case i == r.label:
			return &Error{
				File: r.path, Line: 1, Column: name, Problem: "is both the label and to be dropped",
				Remedy: `take it out of "drop" in params.yaml`,
			}
		}
		dropped[i] = true
	}
	for i := range r.names {
		if !dropped[i] {
			r.features = append(r.features, i)
		}
	}
	if len(r.features) == 0 {
		return &Error{
			File: r.path, Line: 1, Problem: "there is no feature column beside the label",
			Remedy: "add a column of numbers, separated by comma, semicolon or tab",
		}
	}
	r.missing = make([]int, len(r.features))
	return nil
}

// list names columns for a message.
func list(names []string) string {
	const most = 10
	shown := make([]string, 0, most)
	for _, name := range names[:min(len(names), most)] {
		shown = append(shown, printable(name))
	}
	if len(names) > most {
		shown = append(shown, "…")
	}
	return strings.Join(shown, ", ")
}

// contextRows is how many rows are read between two looks at the context.
const contextRows = 4096

func (r *reader) readRows(ctx context.Context) error {
	var faults []error
	for len(faults) < maxFaults {
		if len(r.classes)%contextRows == 0 {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("read %s: %w", r.path, err)
			}
		}
		record, err := r.csv.Read()
		if errors.Is(err, io.EOF) {
			return errors.Join(faults...)
		}
		if err != nil {
			return errors.Join(append(faults, r.readError(err))...)
		}
		whole := len(r.values)
		if err := r.addRow(record); err != nil {
			if !r.opts.AllFaults {
				return err
			}
			faults = append(faults, err)
			r.values = r.values[:whole]
		}
	}
	return errors.Join(append(faults, &Error{File: r.path, Problem: fmt.Sprintf("has more than %d faults", maxFaults), Remedy: "mend these first"})...)
}

func (r *reader) addRow(record []string) error {
	if len(record) != len(r.names) {
		line, _ := r.csv.FieldPos(0)
		return &Error{
			File: r.path, Line: line,
			Problem: fmt.Sprintf("there are %d fields, the header has %d", len(record), len(r.names)),
			Remedy:  "give every row one field for each column",
		}
	}
	r.reserve()
	for j, column := range r.features {
		v, problem, remedy := parseNumber(record[column])
		switch {
		case problem != "":
			return r.fieldError(column, problem, remedy)
		case math.IsNaN(v) && !r.opts.AllowMissing:
			return r.fieldError(column, "the value is missing", "fill it in, remove the row, or choose candidates that know missing values")
		case math.IsNaN(v):
			r.missing[j]++
		}
		r.values = append(r.values, v)
	}
	return r.addLabel(record[r.label])
}

// reserve makes room for a row. The number of rows still to come is estimated
// from the bytes of those read, so that the matrix is nearly never copied and
// the peak of memory is its own size.
func (r *reader) reserve() {
	width := len(r.features)
	if len(r.values)+width <= cap(r.values) {
		return
	}
	rows := len(r.classes)
	if rows == 0 {
		r.values = make([]float64, 0, 256*width)
		return
	}
	expected := int(float64(rows)*float64(r.size)/float64(r.csv.InputOffset())*1.01) + 16
	r.values = slices.Grow(r.values, max(expected-rows, rows/4)*width)
	r.classes = slices.Grow(r.classes, max(expected-rows, rows/4))
}

func (r *reader) addLabel(label string) error {
	class, known := r.index[label]
	if known {
		r.classes = append(r.classes, class)
		return nil
	}
	switch {
	case label == "":
		return r.fieldError(r.label, "the label is missing", "fill it in or remove the row")
	case !utf8.ValidString(label):
		return r.fieldError(r.label, "the label is not UTF-8", "save the file as UTF-8")
	case len(r.labels) == maxClasses:
		return r.fieldError(r.label, fmt.Sprintf("there are more than %d different labels", maxClasses),
			"name a label column that has fewer; is this one a number or an identifier?")
	}
	label = strings.Clone(label) // the field shares the memory of its whole row
	class = len(r.labels)
	r.index[label] = class
	r.labels = append(r.labels, label)
	r.classes = append(r.classes, class)
	return nil
}

func (r *reader) checkRows() error {
	if len(r.classes) == 0 {
		return &Error{File: r.path, Problem: "has a header and no rows", Remedy: "add rows below the header"}
	}
	if len(r.labels) == 1 {
		return &Error{
			File: r.path, Column: r.names[r.label],
			Problem: fmt.Sprintf("all %d rows have the label %s", len(r.classes), quote(r.labels[0])),
			Remedy:  "a classifier needs rows of two classes at least; is this the label column?",
		}
	}
	return nil
}

func (r *reader) fieldError(column int, problem, remedy string) error {
	line, _ := r.csv.FieldPos(column)
	return &Error{File: r.path, Line: line, Column: r.names[column], Problem: problem, Remedy: remedy}
}

// readError explains what reading or parsing failed with.
func (r *reader) readError(err error) error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	var parse *csv.ParseError
	if !errors.As(err, &parse) {
		return fmt.Errorf("read %s: %w", r.path, err)
	}
	e := &Error{
		File: r.path, Line: parse.Line, Err: err,
		Problem: parse.Err.Error(), Remedy: `double a quote inside a quoted field: "so ""said"" she"`,
	}
	switch {
	case errors.Is(err, csv.ErrQuote):
		e.Line, e.Problem = parse.StartLine, "a quoted field does not end properly"
	case errors.Is(err, csv.ErrBareQuote):
		e.Problem = "there is a quote inside a field that does not begin with one"
	}
	return e
}

// parseNumber reads a field of a feature: NaN where the value is missing, and
// the problem and its remedy where it is no usable number.
func parseNumber(field string) (v float64, problem, remedy string) {
	text := strings.Trim(field, " \t")
	switch text {
	case "", "NA", "NaN", "nan", "NAN":
		return math.NaN(), "", ""
	}
	const drop = `write a number such as 5.1, or name the column under "drop" in params.yaml`
	// ParseFloat would take hexadecimal numbers and underscores too.
	if strings.ContainsAny(text, "xX_pP") {
		return 0, quote(field) + " is not a number", drop
	}
	v, err := strconv.ParseFloat(text, 64)
	switch {
	case errors.Is(err, strconv.ErrRange) || err == nil && math.IsInf(v, 0):
		return 0, quote(field) + " is infinite", "write a finite number or leave the field empty"
	case err != nil || math.IsNaN(v):
		return 0, quote(field) + " is not a number", drop
	case math.IsInf(float64(float32(v)), 0):
		return 0, quote(field) + " is beyond the range of 32-bit numbers, which models are served with",
			"choose another unit for the column"
	}
	return v, "", ""
}

// source counts, bounds and hashes the bytes on their way to the parser.
type source struct {
	r     io.Reader
	path  string
	limit int64
	n     int64
	line  int64 // bytes since the last line feed
	hash  interface {
		io.Writer
		Sum([]byte) []byte
	}
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.n += int64(n)
	_, _ = s.hash.Write(p[:n]) // a hash never fails
	if i := bytes.LastIndexByte(p[:n], '\n'); i >= 0 {
		s.line = int64(n - i - 1)
	} else {
		s.line += int64(n)
	}
	switch {
	case s.n > s.limit:
		return n, tooLarge(s.path, s.limit)
	case s.line > maxLineBytes:
		return n, &Error{File: s.path, Problem: fmt.Sprintf("has a line longer than %d bytes", maxLineBytes), Remedy: "name a CSV file with a row a line"}
	}
	return n, err
}
