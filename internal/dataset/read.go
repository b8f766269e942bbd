package dataset

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // G501: DVC and MLflow identify data by MD5; nothing is trusted because of it
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/rows"
)

// Limits that keep a hostile or mistaken file from filling the memory.
const (
	// DefaultMaxBytes is the largest file that is read when Options say nothing.
	DefaultMaxBytes = 4 << 30
	maxLineBytes    = 16 << 20
	maxColumns      = 100_000
	maxClasses      = 1000
	checkedBytes    = 64 << 10 // that a file begins with, in search of what is no text
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
	// AllFaults lets the reading go on after what cannot be used, so that the
	// error joins all faults of the header, or else of all rows, the first hundred.
	AllFaults bool
	// MD5 is the digest of the file where the caller has just verified it; empty:
	// it is computed on the way, which takes a third of the reading.
	MD5 string
	// Copies is how many matrices of the data's size the caller is going to need,
	// this one included. A file for which memory does not suffice is refused
	// before it is read. 0 means 1.
	Copies int
	// Workers is how many goroutines parse; 0 means GOMAXPROCS. The result does
	// not depend on it.
	Workers int

	// What the user says of a table; see [Look] and [ReadTable]. Form is what is
	// given of it, HeaderGiven says that Form.Header is.
	Form        Form
	HeaderGiven bool
	// Columns are what is said of columns, by name.
	Columns map[string]Spec
	Decimal string // "," where numbers have a decimal comma; empty: to be found out
	// Missing are texts that stand for a missing value in each column, MissingIn
	// those of a column by name.
	Missing   []string
	MissingIn map[string][]string
	// Task is Classification, Regression or empty: to be found out.
	Task string
}

func (o *Options) limit() int64 {
	if o.MaxBytes > 0 {
		return o.MaxBytes
	}
	return DefaultMaxBytes
}

// isMissing says whether the user has named a text as missing.
func (o *Options) isMissing(column, text string) bool {
	return slices.Contains(o.Missing, text) || slices.Contains(o.MissingIn[column], text)
}

// maxFaults is how many faults anybody reads.
const maxFaults = 100

// Read reads the CSV file at path. Fields are separated by the comma, semicolon
// or tab that the header has most of; quotes follow RFC 4180, and inside a field
// that does not begin with one they stand for themselves; lines end in LF, CRLF,
// or all in CR; a byte order mark is skipped. Numbers may have blanks around
// them, labels are taken as they stand. Bad data are an [*Error].
func Read(ctx context.Context, path string, opts Options) (*Dataset, error) {
	f, size, err := openFile(path, opts.limit())
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read from
	return newReader(path, f, opts.limit(), size, opts).read(ctx)
}

// openFile opens a file of at most limit bytes and returns its size.
func openFile(path string, limit int64) (_ *os.File, size int64, err error) {
	// Opening a named pipe would wait for its writer, beyond the end of a context.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, OpenError(path, err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
		err = fmt.Errorf("look at %s: %w", path, err)
	case !info.Mode().IsRegular():
		err = &Error{File: path, Problem: "is not a regular file", Remedy: "name a CSV file"}
	case info.Size() > limit:
		err = TooLarge(path, limit)
	default:
		return f, info.Size(), nil
	}
	_ = f.Close()
	return nil, 0, err
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

// TooLarge refuses a file of more than limit bytes, as an [*Error].
func TooLarge(path string, limit int64) error {
	return &Error{
		File: path, Problem: fmt.Sprintf("is larger than %d bytes", limit),
		Remedy: "train on a sample of its rows",
	}
}

// reader is one reading of a file.
type reader struct {
	path   string
	opts   Options
	size   int64 // of the file as its directory entry has it
	source source
	digest hash.Hash
	layout layout

	names    []string // of all columns
	features []int    // columns that are features
	label    int      // column that is the label

	table        *Table // nil for a table of numbers
	columnFaults []columnFault
	padded       bool // some number has a zero in front

	line   int   // lines before the rows that are read now
	offset int64 // bytes before them
	faults []error

	values  []float64 // rows × features
	missing []int
	classes []int // for each row an index into labels
	labels  []string
	index   map[string]int // label to index into labels
}

func newReader(path string, r io.Reader, limit, size int64, opts Options) *reader {
	reading := &reader{
		path: path, opts: opts, size: size,
		source: source{r: bufio.NewReaderSize(r, checkedBytes), path: path, limit: limit, size: blockBytes, lineEnd: '\n'},
		index:  map[string]int{},
	}
	if opts.MD5 == "" {
		reading.digest = md5.New() //nolint:gosec // G401: see the import
	}
	return reading
}

func (r *reader) read(ctx context.Context) (*Dataset, error) {
	start, err := r.source.head()
	if err != nil {
		return nil, r.readError(err)
	}
	if err := r.checkText(start); err != nil {
		return nil, err
	}
	first := &block{}
	if err := r.source.fill(ctx, first); err != nil && !errors.Is(err, io.EOF) {
		return nil, r.readError(err)
	}
	if r.table != nil {
		err = r.tableHeader(first)
	} else {
		err = r.readHeader(first)
	}
	if err != nil {
		return nil, err
	}
	if err := r.readRows(ctx, first); err != nil {
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
		MD5:      r.opts.MD5,
		Size:     r.source.n,
		Features: make([]string, len(r.features)),
		X:        newDense(len(r.classes), len(r.features), r.values),
		Missing:  r.missing,
		Padded:   r.padded,
		Label:    r.names[r.label],
		Classes:  labels,
		Y:        r.classes,
	}
	if r.digest != nil {
		d.MD5 = hex.EncodeToString(r.digest.Sum(nil))
	}
	for j, column := range r.features {
		d.Features[j] = r.names[column]
		if r.table != nil {
			d.Columns = append(d.Columns, r.table.Columns[column])
			d.Missing[j] = r.table.Columns[column].Missing
		}
	}
	if r.table == nil {
		d.leaveOutIDs(r.opts)
	}
	return d, nil
}

func newDense(rows, columns int, values []float64) *mat.Dense {
	return mat.NewDense(rows, columns, values)
}

// readHeader finds the separator, sorts the columns into features and label, and
// takes the header off the block's text.
func (r *reader) readHeader(b *block) error {
	b.text = bytes.TrimPrefix(b.text, []byte("\xef\xbb\xbf"))
	r.layout.comma = separator(b.text)
	records := r.records(bytes.NewReader(b.text))
	header, err := records.Read()
	if errors.Is(err, io.EOF) {
		return &Error{File: r.path, Problem: "is empty", Remedy: "give it a header line and rows"}
	}
	if err != nil {
		return r.readError(err)
	}
	length := records.Offset()
	r.line, r.offset = bytes.Count(b.text[:length], []byte{'\n'}), length
	b.text = b.text[length:]
	r.names = slices.Clone(header)
	if err := r.checkHeader(); err != nil {
		return r.withFaults(err)
	}
	if err := r.chooseColumns(); err != nil {
		return r.withFaults(err)
	}
	return errors.Join(r.faults...) // no row can be told without a good header
}

func (r *reader) records(input io.Reader) *rows.Records {
	return rows.NewRecords(input, r.layout.comma)
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
func separator(start []byte) byte {
	candidates := []byte{',', ';', '\t'}
	counts := make([]int, len(candidates))
	if end := rows.LineEnd(start); end >= 0 {
		start = start[:end]
	}
	quoted := false
	for _, c := range start {
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
	return candidates[best]
}

func (r *reader) checkHeader() error {
	fail := func(problem, remedy string) error {
		return r.fault(&Error{File: r.path, Line: 1, Problem: problem, Remedy: remedy})
	}
	if len(r.names) > maxColumns {
		return fail(fmt.Sprintf("there are %d columns, more than %d", len(r.names), maxColumns), "leave columns out")
	}
	seen := map[string]int{}
	for i, name := range r.names {
		var err error
		switch first, repeated := seen[name]; {
		case slices.Contains(r.opts.Drop, name):
			seen[name] = i
		case strings.TrimSpace(name) == "":
			err = fail(fmt.Sprintf("column %d has no name", i+1), "give every column a name in the header")
		case !utf8.ValidString(name):
			err = fail(fmt.Sprintf("the name of column %d is not UTF-8", i+1), "save the file as UTF-8")
		case repeated:
			err = fail(fmt.Sprintf("columns %d and %d are both named %s", first+1, i+1, quote(name)), "give every column a name of its own")
		default:
			seen[name] = i
		}
		if err != nil {
			return err
		}
	}
	if rows.AreNumbers(r.names) {
		return fail("the header is missing: the first line holds only numbers", "name the columns in the first line")
	}
	return nil
}

func (r *reader) chooseColumns() error {
	r.label = slices.Index(r.names, r.opts.Label)
	if r.label < 0 {
		if err := r.fault(&Error{
			File: r.path, Line: 1,
			Problem: fmt.Sprintf("there is no label column %s", quote(r.opts.Label)),
			Remedy:  `choose it by --label or by "label" in params.yaml from ` + list(r.names),
		}); err != nil {
			return err
		}
	}
	for _, name := range r.opts.Drop {
		i := slices.Index(r.names, name)
		var err error
		switch {
		case i < 0:
			err = r.fault(&Error{
				File: r.path, Line: 1,
				Problem: fmt.Sprintf("there is no column %s to drop", quote(name)),
				Remedy:  `take it out of "drop" in params.yaml, or choose from ` + list(r.names),
			})
		case i == r.label:
			err = r.fault(&Error{
				File: r.path, Line: 1, Column: name, Problem: "is both the label and to be dropped",
				Remedy: `take it out of "drop" in params.yaml`,
			})
		}
		if err != nil {
			return err
		}
	}
	for i, name := range r.names {
		switch {
		case i == r.label:
			r.layout.columns = append(r.layout.columns, labelColumn)
		case slices.Contains(r.opts.Drop, name):
			r.layout.columns = append(r.layout.columns, droppedColumn)
		default:
			r.layout.columns = append(r.layout.columns, len(r.features))
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
	r.layout.features, r.layout.allowMissing = len(r.features), r.opts.AllowMissing
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

// readRows reads the rows that follow the header, from the rest of its block on.
func (r *reader) readRows(ctx context.Context, first *block) error {
	blocks := newStream(ctx, &r.source, first, r.digest, &r.layout, r.opts.Workers)
	defer blocks.stop()
	for {
		b := blocks.next()
		if errors.Is(b.err, io.EOF) {
			return errors.Join(append(r.faults, r.tableFaults())...)
		}
		if b.err != nil {
			return r.withFaults(r.readError(b.err))
		}
		added, err := r.addTable(b)
		if err != nil {
			return r.withFaults(err)
		}
		if added {
			blocks.recycle(b)
			continue
		}
		if err := r.readStrictly(ctx, &input{blocks: blocks, block: b, rest: b.text}); err != nil {
			return r.withFaults(err)
		}
	}
}

// withFaults is the error that ends the reading, after the faults before it.
func (r *reader) withFaults(err error) error {
	if len(r.faults) == 0 {
		return err
	}
	return errors.Join(append(r.faults, err)...)
}

// addTable adds the rows that were parsed the fast way, where that went well.
func (r *reader) addTable(b *block) (bool, error) {
	t := &b.table
	if !t.ok {
		return false, nil
	}
	// No label counts before a row has it: a table knows those of others too.
	for range len(t.labels) - len(t.global) {
		t.global = append(t.global, -1)
	}
	for _, class := range t.classes {
		if t.global[class] >= 0 {
			continue
		}
		label := t.labels[class]
		known, ok := r.index[label]
		if !ok {
			if len(r.labels) == maxClasses {
				return false, nil
			}
			known = len(r.labels)
			r.index[label] = known
			r.labels = append(r.labels, label)
		}
		t.global[class] = known
	}
	r.padded = r.padded || t.padded
	r.line += t.lines
	r.offset += int64(len(b.text))
	if err := r.reserve(len(t.classes), r.offset); err != nil {
		return false, err
	}
	r.values = append(r.values, t.values...)
	for _, class := range t.classes {
		r.classes = append(r.classes, t.global[class])
	}
	for j, n := range t.missing {
		r.missing[j] += n
	}
	return true, nil
}

// contextRows is how many rows are read between two looks at the context.
const contextRows = 4096

// readStrictly reads rows one by one, from a block that the fast way has
// given up on, until a row ends with a block or the file. Faults that others may
// follow are kept aside.
func (r *reader) readStrictly(ctx context.Context, in *input) error {
	in.records = r.records(in)
	for i := 0; ; i++ {
		if i%contextRows == 0 {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("read %s: %w", r.path, err)
			}
		}
		record, err := in.records.Read()
		ended := errors.Is(err, io.EOF)
		switch {
		case ended:
		case err != nil:
			return r.readError(err)
		default:
			if err := r.reserve(1, r.offset+in.records.Offset()); err != nil {
				return err
			}
			add := r.addRow
			if r.table != nil {
				add = r.addTableRow
			}
			if err := add(in.records, record); err != nil {
				return err
			}
		}
		if ended || len(in.rest) == 0 && in.records.Offset() == in.given {
			in.finish()
			r.line += in.lines
			r.offset += in.given
			return nil
		}
	}
}

// fault keeps a fault aside, so that the reading goes on, where that is wanted;
// elsewhere it returns it.
func (r *reader) fault(fault *Error) error {
	if !r.opts.AllFaults {
		return fault
	}
	r.faults = append(r.faults, fault)
	if len(r.faults) == maxFaults {
		return &Error{File: r.path, Problem: fmt.Sprintf("has more than %d faults", maxFaults), Remedy: "mend these first"}
	}
	return nil
}

// input gives [rows.Records] a block and, where a row goes on, those after it.
type input struct {
	blocks  *stream
	records *rows.Records
	block   *block // the one that rest is of
	rest    []byte
	given   int64 // bytes
	lines   int   // line ends among them
}

// Read implements [io.Reader].
func (in *input) Read(p []byte) (int, error) {
	for len(in.rest) == 0 {
		in.finish()
		in.block = in.blocks.next()
		if in.block.err != nil {
			err := in.block.err
			in.blocks.ordered <- in.block // it ends the file for the next one who asks, too
			in.block = nil
			return 0, err
		}
		in.rest = in.block.text
	}
	n := copy(p, in.rest)
	in.given += int64(n)
	in.lines += bytes.Count(in.rest[:n], []byte{'\n'})
	in.rest = in.rest[n:]
	return n, nil
}

// finish gives the block back.
func (in *input) finish() {
	if in.block != nil {
		in.blocks.recycle(in.block)
		in.block = nil
	}
}

func (r *reader) addRow(records *rows.Records, record []string) error {
	if len(record) != len(r.names) {
		line := records.Line(0)
		return r.fault(&Error{
			File: r.path, Line: r.line + line,
			Problem: fmt.Sprintf("there are %d fields, the header has %d", len(record), len(r.names)),
			Remedy:  "give every row one field for each column",
		})
	}
	fault := func(column int, problem, remedy string) error {
		if problem == "" {
			return nil
		}
		line := records.Line(column)
		return r.fault(&Error{File: r.path, Line: r.line + line, Column: r.names[column], Problem: problem, Remedy: remedy})
	}
	have, faults := len(r.classes), len(r.faults)
	for _, column := range r.features {
		v, problem, remedy := parseNumber(record[column])
		if math.IsNaN(v) && !r.opts.AllowMissing {
			problem, remedy = "the value is missing", "fill it in, remove the row, or choose candidates that take missing values"
		}
		if err := fault(column, problem, remedy); err != nil {
			return err
		}
		if text := record[column]; len(text) > 1 && text[0] == '0' && text[1] >= '0' && text[1] <= '9' {
			r.padded = true
		}
		r.values = append(r.values, v)
	}
	problem, remedy := r.addLabel(record[r.label])
	if err := fault(r.label, problem, remedy); err != nil {
		return err
	}
	if len(r.faults) > faults { // the row does not count
		r.values, r.classes = r.values[:have*len(r.features)], r.classes[:have]
		return nil
	}
	for j, v := range r.values[have*len(r.features):] {
		if math.IsNaN(v) {
			r.missing[j]++
		}
	}
	return nil
}

// reserve makes room for rows that end at an offset of the file. The number of
// rows still to come is estimated from those read, so that the matrix is nearly
// never copied, the peak of memory is its own size, and what cannot fit is refused
// at the beginning.
func (r *reader) reserve(added int, offset int64) error {
	width := len(r.features)
	if len(r.values)+added*width <= cap(r.values) {
		return nil
	}
	have := len(r.classes) + added
	expected := int(float64(have)*float64(r.size)/float64(offset)*1.01) + 16
	if r.table != nil {
		expected = r.table.Rows
	}
	more := max(expected-have, have/4) + added
	need := int64(len(r.classes)+more) * int64(width+1) * 8 * int64(max(r.opts.Copies, 1))
	if free := freeMemory(); need > free {
		return &Error{
			File:    r.path,
			Problem: fmt.Sprintf("holds about %d rows of %d features, which need %s of memory; %s are free", expected, width, gigabytes(need), gigabytes(free)),
			Remedy:  "train on a sample of its rows, leave columns out, or give the process more memory",
		}
	}
	r.values = slices.Grow(r.values, more*width)
	r.classes = slices.Grow(r.classes, more)
	return nil
}

func (r *reader) addLabel(label string) (problem, remedy string) {
	class, known := r.index[label]
	if !known {
		switch {
		case label == "":
			return "the label is missing", "fill it in or remove the row"
		case !utf8.ValidString(label):
			return "the label is not UTF-8", "save the file as UTF-8"
		case len(r.labels) == maxClasses:
			return fmt.Sprintf("there are more than %d different labels", maxClasses),
				"name a label column that has fewer; is this one a number or an identifier?"
		}
		label = strings.Clone(label) // the field shares the memory of its whole row
		class = len(r.labels)
		r.index[label] = class
		r.labels = append(r.labels, label)
	}
	r.classes = append(r.classes, class)
	return "", ""
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

// readError explains what reading or parsing failed with.
func (r *reader) readError(err error) error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	var fault *rows.Error
	if !errors.As(err, &fault) {
		return fmt.Errorf("read %s: %w", r.path, err)
	}
	return &Error{
		File: r.path, Line: r.line + fault.Line, Err: err,
		Problem: fault.Err.Error(), Remedy: `double a quote inside a quoted field: "so ""said"" she"`,
	}
}

// parseNumber reads a field of a feature: NaN where the value is missing, and
// the problem and its remedy where it is no usable number.
func parseNumber(field string) (v float64, problem, remedy string) {
	v, err := rows.ParseNumber(field)
	switch {
	case errors.Is(err, rows.ErrRange):
		return 0, quote(field) + " is infinite", "write a finite number or leave the field empty"
	case err != nil:
		return 0, quote(field) + " is not a number", `write a number such as 5.1, or name the column under "drop" in params.yaml`
	case math.IsInf(float64(float32(v)), 0):
		return 0, quote(field) + " is beyond the range of 32-bit numbers, which models are served with",
			"choose another unit for the column"
	}
	return v, "", ""
}
