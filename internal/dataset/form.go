package dataset

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"github.com/petal-ml/petal/internal/rows"
)

// A Form is how a file is written: what stands around its values.
type Form struct {
	// Archive is "gzip" or "zip" where the file is packed.
	Archive string `json:"archive,omitempty"`
	// Encoding is a name of the WHATWG's, such as "utf-8", "utf-16le" or
	// "windows-1252", which is Latin-1 and a little more.
	Encoding string `json:"encoding"`
	// Delimiter is the character between fields; a blank stands for any number of
	// blanks and tabs.
	Delimiter string `json:"delimiter"`
	Header    bool   `json:"header"`
	// Names are those of all columns, made up where there is no header.
	Names []string `json:"-"`

	skip  int // lines before the header or the first row
	width int // fields of a row; the header may name fewer
	first []string
}

// Limits of the unpacking.
const (
	// maxRatio is how many times larger than itself a packed file may become;
	// tables reach thirty.
	maxRatio = 200
	// minUnpacked is what any packed file may become.
	minUnpacked = 256 << 20
	// headBytes is how much of a file's beginning tells its form.
	headBytes = 256 << 10
	headRows  = 1000
)

// text is a file as UTF-8, without what stands before the table.
type text struct {
	*bufio.Reader
	closers []io.Closer
	limit   int64 // of what is unpacked
}

// Close closes the file.
func (t *text) Close() error {
	var errs []error
	for _, c := range slices.Backward(t.closers) {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// openText opens a file as UTF-8 text. What the form leaves open it fills in,
// as far as the first bytes tell.
func openText(path string, form *Form, limit int64) (_ *text, err error) {
	f, size, err := openFile(path, limit)
	if err != nil {
		return nil, err
	}
	t := &text{closers: []io.Closer{f}, limit: limit}
	defer func() {
		if err != nil {
			_ = t.Close()
		}
	}()
	if err := t.unpack(path, f, size, form); err != nil {
		return nil, err
	}
	start, err := t.Peek(checkedBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, badArchive(path, err)
	}
	if err := recognise(path, start); err != nil {
		return nil, err
	}
	if err := t.decode(path, start, form); err != nil {
		return nil, err
	}
	start, err = t.Peek(checkedBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, badArchive(path, err)
	}
	if i := bytes.IndexByte(start, 0); i >= 0 {
		return nil, &Error{File: path, Problem: fmt.Sprintf("is not text: there is a zero byte at offset %d", i), Remedy: "name a CSV file"}
	}
	if rows.EndsInCR(start) {
		t.Reader = bufio.NewReaderSize(crReader{t.Reader}, headBytes)
	}
	return t, nil
}

// unpack reads through gzip, or the one file of a zip.
func (t *text) unpack(path string, f *os.File, size int64, form *Form) error {
	t.Reader = bufio.NewReaderSize(f, headBytes)
	start, _ := t.Peek(4)
	packed := min(t.limit, max(minUnpacked, maxRatio*size))
	switch {
	case bytes.HasPrefix(start, []byte("\x1f\x8b")):
		z, err := gzip.NewReader(t.Reader)
		if err != nil {
			return badArchive(path, err)
		}
		t.closers, t.limit = append(t.closers, z), packed
		t.Reader, form.Archive = bufio.NewReaderSize(z, headBytes), "gzip"
	case bytes.HasPrefix(start, []byte("PK\x03\x04")):
		z, err := zip.NewReader(f, size)
		if err != nil {
			return badArchive(path, err)
		}
		file, err := onlyFile(path, z)
		if err != nil {
			return err
		}
		r, err := file.Open()
		if err != nil {
			return badArchive(path, err)
		}
		t.closers, t.limit = append(t.closers, r), packed
		t.Reader, form.Archive = bufio.NewReaderSize(r, headBytes), "zip"
	}
	return nil
}

// onlyFile returns the one table of an archive. What macOS adds does not count.
func onlyFile(path string, z *zip.Reader) (*zip.File, error) {
	var found []*zip.File
	for _, f := range z.File {
		switch {
		case f.Name == "[Content_Types].xml":
			return nil, &Error{File: path, Problem: "is a spreadsheet", Remedy: "save its sheet as CSV"}
		case f.FileInfo().IsDir(), strings.HasPrefix(f.Name, "__MACOSX/"), strings.HasSuffix(f.Name, ".DS_Store"):
		default:
			found = append(found, f)
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	names := make([]string, len(found))
	for i, f := range found {
		names[i] = f.Name
	}
	return nil, &Error{File: path, Problem: fmt.Sprintf("is an archive of %d files (%s)", len(found), list(names)), Remedy: "unpack it and name one of them"}
}

func badArchive(path string, err error) error {
	return &Error{File: path, Problem: "cannot be read: " + err.Error(), Remedy: "is it whole? fetch it again", Err: err}
}

// decode makes UTF-8 of the text.
func (t *text) decode(path string, start []byte, form *Form) error {
	if form.Encoding == "" {
		form.Encoding = guessEncoding(start)
	}
	var how encoding.Encoding
	var err error
	switch name := strings.ToLower(form.Encoding); name {
	case "utf-8", "utf8":
		form.Encoding = "utf-8"
		if bytes.HasPrefix(start, []byte("\xef\xbb\xbf")) {
			_, _ = t.Discard(3) // it is there
		}
		return nil
	case "utf-16", "utf-16le":
		how = unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	case "utf-16be":
		how = unicode.UTF16(unicode.BigEndian, unicode.UseBOM)
	case "latin-1", "iso-8859-1": // htmlindex spells it latin1
		form.Encoding = latin1
		how, err = htmlindex.Get(latin1)
	default:
		how, err = htmlindex.Get(name)
	}
	if err != nil {
		return &Error{File: path, Problem: fmt.Sprintf("the encoding %s is not known", quote(form.Encoding)), Remedy: `write one such as utf-8, utf-16 or latin-1 under "encoding"`}
	}
	t.Reader = bufio.NewReaderSize(transform.NewReader(t.Reader, how.NewDecoder()), headBytes)
	return nil
}

// latin1 is what the web calls ISO 8859-1: text that is not UTF-8 is mostly that.
const latin1 = "windows-1252"

// guessEncoding tells UTF-16 by its mark, or by the zeros that it has in plain
// text. What is not UTF-8 shows later.
func guessEncoding(start []byte) string {
	switch {
	case bytes.HasPrefix(start, []byte("\xff\xfe")):
		return "utf-16le"
	case bytes.HasPrefix(start, []byte("\xfe\xff")):
		return "utf-16be"
	case len(start) >= 4 && start[0] != 0 && start[1] == 0 && start[2] != 0 && start[3] == 0:
		return "utf-16le"
	case len(start) >= 4 && start[0] == 0 && start[1] != 0 && start[2] == 0 && start[3] != 0:
		return "utf-16be"
	}
	return "utf-8"
}

// crReader makes LF of CR.
type crReader struct{ r io.Reader }

// Read implements [io.Reader].
func (c crReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	rows.ReplaceCR(p[:n])
	return n, err
}

// A known form of file that is no table of rows and fields, and what to do.
type known struct {
	start   string // in lower case
	problem string
	remedy  string
}

var knownForms = []known{
	{"version https://git-lfs.github.com/", "is a pointer of Git LFS, not the data", "fetch the data: git lfs pull"},
	{"<!doctype html", "is a web page", "download the file itself: on GitHub the link Raw"},
	{"<html", "is a web page", "download the file itself: on GitHub the link Raw"},
	{"<?xml", "is XML", "export it as CSV"},
	{"par1", "is a Parquet file", "write it as CSV: pandas.read_parquet(FILE).to_csv(\"data.csv\", index=False)"},
	{"\xd0\xcf\x11\xe0", "is a spreadsheet", "save its sheet as CSV"},
	{"sqlite format 3\x00", "is a SQLite database", "export the table: sqlite3 -header -csv FILE 'select * from TABLE' > data.csv"},
	{"\x89hdf", "is an HDF5 file", "export the table as CSV"},
	{"\x93numpy", "is a NumPy array", "write it as CSV: numpy.savetxt(\"data.csv\", numpy.load(FILE), delimiter=\",\")"},
	{"%pdf", "is a PDF", "name a CSV file"},
	{"bzh", "is packed with bzip2", "unpack it: bunzip2 FILE"},
	{"\xfd7zxz", "is packed with xz", "unpack it: unxz FILE"},
	{"\x28\xb5\x2f\xfd", "is packed with zstd", "unpack it: unzstd FILE"},
	{"{", "holds JSON, not CSV", "write it as CSV: pandas.read_json(FILE, lines=True).to_csv(\"data.csv\", index=False)"},
}

// recognise refuses files of other forms by name.
func recognise(path string, start []byte) error {
	head := bytes.ToLower(bytes.TrimLeft(bytes.TrimPrefix(start, []byte("\xef\xbb\xbf")), " \t\r\n"))
	for _, k := range knownForms {
		if bytes.HasPrefix(head, []byte(k.start)) {
			return &Error{File: path, Problem: k.problem, Remedy: k.remedy}
		}
	}
	if len(head) > 0 && head[0] == '[' {
		if next := bytes.TrimLeft(head[1:], " \t\r\n"); len(next) > 0 && (next[0] == '{' || next[0] == '[') {
			return &Error{File: path, Problem: "holds JSON, not CSV", Remedy: "write it as CSV: pandas.read_json(FILE).to_csv(\"data.csv\", index=False)"}
		}
	}
	for line := range bytes.Lines(head) {
		switch line = bytes.TrimSpace(line); {
		case len(line) == 0, line[0] == '%':
			continue
		case bytes.HasPrefix(line, []byte("@relation")):
			return &Error{File: path, Problem: "is an ARFF file of Weka", Remedy: "write it as CSV: pandas.DataFrame(scipy.io.arff.loadarff(FILE)[0]).to_csv(\"data.csv\", index=False)"}
		case isLibsvm(line):
			return &Error{File: path, Problem: "is a LIBSVM file", Remedy: "write it as CSV: x, y = sklearn.datasets.load_svmlight_file(FILE), then columns of x.toarray() and y"}
		}
		break
	}
	return nil
}

// isLibsvm says whether a line is a label and index:value pairs.
func isLibsvm(line []byte) bool {
	fields := strings.Fields(string(line))
	if len(fields) < 2 || !isNumber(fields[0]) {
		return false
	}
	for _, f := range fields[1:] {
		index, value, found := strings.Cut(f, ":")
		if !found || !isDigits(index) || !isNumber(value) {
			return false
		}
	}
	return true
}

// delimiters are what may stand between fields; runs of blanks come last.
var delimiters = []byte{',', ';', '\t', '|'}

// sniff finds out what the form leaves open: separator, header, names.
// headerKnown says that form.Header was given.
func (f *Form) sniff(path string, t *text, headerKnown bool) error {
	head, err := t.Peek(headBytes)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return badArchive(path, err)
	}
	if errors.Is(err, io.EOF) || bytes.LastIndexByte(head, '\n') < 0 {
		head = append(slices.Clone(head), '\n')
	} else {
		head = head[:bytes.LastIndexByte(head, '\n')+1]
	}
	head = f.skipPreamble(head)
	if f.Delimiter == "" {
		f.Delimiter = string(guessDelimiter(head))
	}
	records := sample(head, f.Delimiter[0])
	if len(records) == 0 {
		return &Error{File: path, Problem: "is empty", Remedy: "give it a header line and rows"}
	}
	f.width, f.first = modalWidth(records), records[0]
	if !headerKnown {
		f.Header = hasHeader(records)
	}
	for f.Header && len(f.first) > f.width && trim(f.first[len(f.first)-1]) == "" {
		f.first = f.first[:len(f.first)-1] // a comma at the end of the header
	}
	if f.Header && len(f.first) > f.width {
		f.width = len(f.first)
	}
	f.name(records)
	if f.width > maxColumns {
		return &Error{File: path, Line: 1, Problem: fmt.Sprintf("there are %d columns, more than %d", f.width, maxColumns), Remedy: "leave columns out"}
	}
	return nil
}

// skipPreamble takes Excel's line "sep=;" off, and comments: a line that begins
// with # and is no header, for it has other fields than those that follow.
func (f *Form) skipPreamble(head []byte) []byte {
	first, rest, _ := bytes.Cut(head, []byte("\n"))
	first = bytes.TrimRight(first, "\r")
	if len(first) == 5 && bytes.EqualFold(first[:4], []byte("sep=")) {
		if f.Delimiter == "" {
			f.Delimiter = string(first[4:])
		}
		f.skip++
		return rest
	}
	comments, last := 0, head
	for rest = head; len(rest) > 0 && rest[0] == '#'; comments++ {
		last = rest
		_, rest, _ = bytes.Cut(rest, []byte("\n"))
	}
	if comments == 0 {
		return head
	}
	delimiter := guessDelimiter(rest)
	if width := modalWidth(sample(rest, delimiter)); width > 1 && len(sample(last, delimiter)) > 0 && len(sample(last, delimiter)[0]) == width {
		f.skip += comments - 1
		return last
	}
	f.skip += comments
	return rest
}

// guessDelimiter takes the separator that cuts the lines into equally many
// fields, and of several the one that gives more.
func guessDelimiter(head []byte) byte {
	best, most := byte(','), 0.0
	for _, d := range delimiters {
		records := sample(head, d)
		width := modalWidth(records)
		if width < 2 {
			continue
		}
		same, torn := 0, 0
		for _, r := range records {
			if len(r) == width {
				same++
			}
			if slices.ContainsFunc(r, func(field string) bool { return isTorn(field, d) }) {
				torn++
			}
		}
		score := float64(width * same)
		if float64(same) < .9*float64(len(records)) {
			score /= 1000
		}
		if 2*torn > len(records) {
			score /= 2
		}
		if score > most {
			best, most = d, score
		}
	}
	if most < 10 { // no separator does it: blanks, perhaps
		records := sample(head, ' ')
		width, same := modalWidth(records), 0
		for _, r := range records {
			if len(r) == width {
				same++
			}
		}
		if width > 1 && float64(same) >= .9*float64(len(records)) && float64(width*same) > most {
			return ' '
		}
	}
	return best
}

// isTorn says whether a field holds another separator and is no number with a
// decimal comma.
func isTorn(field string, delimiter byte) bool {
	for _, d := range delimiters {
		if d != delimiter && strings.IndexByte(field, d) >= 0 && (d != ',' || !isNumber(strings.Replace(field, ",", ".", 1))) {
			return true
		}
	}
	return false
}

// sample cuts the first lines into fields; after a fault of quotes it ends.
func sample(head []byte, delimiter byte) [][]string {
	var all [][]string
	in := newRecords(bytes.NewReader(head), delimiter)
	for len(all) < headRows {
		record, err := in.Read()
		if err != nil {
			break
		}
		all = append(all, slices.Clone(record))
	}
	return all
}

// newRecords reads records; a blank as delimiter stands for any number of them.
func newRecords(r io.Reader, delimiter byte) *rows.Records {
	if delimiter == ' ' {
		return rows.NewRecords(&blankReader{r: bufio.NewReaderSize(r, headBytes)}, '\t')
	}
	return rows.NewRecords(r, delimiter)
}

// modalWidth is the number of fields that most records have, of two the larger.
func modalWidth(records [][]string) int {
	counts := map[int]int{}
	best := 0
	for _, r := range records {
		counts[len(r)]++
	}
	for width, n := range counts {
		if n > counts[best] || n == counts[best] && width > best {
			best = width
		}
	}
	return best
}

// hasHeader says whether the first record names the columns: a number among the
// names says no, unless two texts at least stand over columns of numbers; a text
// over a column of numbers says yes; a table of texts has a header unless a name
// comes twice or stands among the values of its own column.
func hasHeader(records [][]string) bool {
	first, width := records[0], modalWidth(records)
	if len(records) == 1 || len(first) == width-1 {
		return true // R writes no name over the names of its rows
	}
	numbers, over := 0, 0
	names := map[string]bool{}
	repeated := false
	for j, cell := range first {
		cell = trim(cell)
		if cell == "" || isMissing(cell) {
			continue
		}
		if isNumber(cell) {
			numbers++
			continue
		}
		repeated = repeated || names[strings.ToLower(cell)] || slices.ContainsFunc(records[1:], func(r []string) bool { return j < len(r) && trim(r[j]) == cell })
		names[strings.ToLower(cell)] = true
		if isNumeric(records[1:], j) {
			over++
		}
	}
	switch {
	case numbers > 0:
		return over >= 2 && over > numbers
	case over > 0:
		return true
	}
	return len(names) > 0 && !repeated
}

// isNumeric says whether nine in ten values of a column are numbers.
func isNumeric(records [][]string, column int) bool {
	values, numbers := 0, 0
	for _, r := range records {
		if column >= len(r) {
			continue
		}
		switch v := trim(r[column]); {
		case isMissing(v) || isMarker(v):
		case isNumber(v):
			values, numbers = values+1, numbers+1
		default:
			values++
		}
	}
	return values > 0 && 10*numbers >= 9*values
}

// name gives each column a name of its own: c1, c2, … without a header; as pandas
// has it, "Unnamed: 0" for the first without one, and a.1 for the second a.
func (f *Form) name(records [][]string) {
	f.Names = make([]string, f.width)
	used := map[string]bool{}
	shift := 0
	if f.Header && len(f.first) == f.width-1 && !lastIsEmpty(records[1:], f.width) {
		shift = 1 // R's names of rows stand first
	}
	for i := range f.Names {
		name := ""
		if k := i - shift; f.Header && k >= 0 && k < len(f.first) {
			name = trim(f.first[k])
		}
		switch {
		case !f.Header:
			name = fmt.Sprintf("c%d", i+1)
		case name == "":
			name = fmt.Sprintf("Unnamed: %d", i)
		}
		base := name
		for n := 1; used[name]; n++ {
			name = fmt.Sprintf("%s.%d", base, n)
		}
		used[name], f.Names[i] = true, name
	}
}

// lastIsEmpty says whether the last field is empty in all records.
func lastIsEmpty(records [][]string, width int) bool {
	return !slices.ContainsFunc(records, func(r []string) bool { return len(r) == width && trim(r[width-1]) != "" })
}

// begin passes over what stands before the first row, and returns how many lines
// that were.
func (f *Form) begin(t *text) (lines int, err error) {
	for range f.skip {
		if _, err := t.ReadSlice('\n'); err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return lines, err
		}
		lines++
	}
	return lines, nil
}

// blankReader makes tabs of runs of blanks, outside quotes, and takes them off the
// ends of lines.
type blankReader struct {
	r       *bufio.Reader
	quoted  bool
	started bool // the line has a field
	pending bool // blanks that a field follows become a tab
}

// Read implements [io.Reader].
func (b *blankReader) Read(p []byte) (int, error) {
	n := 0
	for n+1 < len(p) {
		c, err := b.r.ReadByte()
		if err != nil {
			if n > 0 {
				return n, nil
			}
			return 0, err
		}
		switch {
		case !b.quoted && (c == ' ' || c == '\t'):
			b.pending = b.started
			continue
		case c == '\n' || c == '\r':
			b.started, b.pending = b.quoted, false
		default:
			if b.pending {
				p[n] = '\t'
				n++
			}
			b.started, b.pending = true, false
			if c == '"' {
				b.quoted = !b.quoted
			}
		}
		p[n] = c
		n++
	}
	return n, nil
}
