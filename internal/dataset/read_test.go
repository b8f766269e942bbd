package dataset

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/tests/testenv/golden"
)

const irisRemote = "../../data/remote/files/md5/01/3d0da08d6506664ce640459139176b"

// write puts content into a file of its own and returns its path.
func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "flowers.csv")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// requirePlace takes one fault that lies in a line and a column of the file.
func requirePlace(t *testing.T, err error, path string, line int, column string) {
	t.Helper()
	var fault *Error
	require.ErrorAs(t, err, &fault)
	require.Equal(t, []any{path, line, column}, []any{fault.File, fault.Line, fault.Column}, "%v", err)
	require.NotEmpty(t, fault.Remedy)
}

// named is an error for the golden file, with FILE in place of a temporary path.
func named(err error, path string) error {
	return errors.New(strings.ReplaceAll(err.Error(), path, "FILE"))
}

func TestReadIris(t *testing.T) {
	d, err := Read(t.Context(), irisRemote, Options{Label: "species"})
	require.NoError(t, err)

	assert.Equal(t, "013d0da08d6506664ce640459139176b", d.MD5)
	assert.EqualValues(t, 3858, d.Size)
	assert.Equal(t, []string{"sepal_length", "sepal_width", "petal_length", "petal_width"}, d.Features)
	assert.Equal(t, onnx.Labels{Strings: []string{"setosa", "versicolor", "virginica"}}, d.Classes)
	assert.Equal(t, []int{50, 50, 50}, d.ClassCounts())
	assert.Equal(t, 150, d.Rows())
	assert.Empty(t, d.MissingColumns())

	// Fisher's rows, not those of the UCI file, which is wrong in both.
	assert.Equal(t, []float64{4.9, 3.1, 1.5, 0.2}, d.X.RawRowView(34))
	assert.Equal(t, []float64{4.9, 3.6, 1.4, 0.1}, d.X.RawRowView(37))

	x, y := d.Select([]int{149, 0})
	assert.Equal(t, []float64{5.9, 3, 5.1, 1.8}, x.RawRowView(0))
	assert.Equal(t, []int{2, 0}, y)
}

func TestReadSpellings(t *testing.T) {
	want := [][]float64{{1, 2.5}, {-3e2, 0}}
	cases := map[string]string{
		"commas":            "a,b,kind\n1,2.5,x\n-3e2,0,y\n",
		"no last line end":  "a,b,kind\n1,2.5,x\n-3e2,0,y",
		"semicolons":        "a;b;kind\n1;2.5;x\n-3e2;0;y\n",
		"tabs":              "a\tb\tkind\n1\t2.5\tx\n-3e2\t0\ty\n",
		"CRLF":              "a,b,kind\r\n1,2.5,x\r\n-3e2,0,y\r\n",
		"byte order mark":   "\ufeffa,b,kind\n1,2.5,x\n-3e2,0,y\n",
		"quotes":            "\"a\",\"b\",\"kind\"\n\"1\",\"2.5\",\"x\"\n-3e2,0,\"y\"\n",
		"blanks and blanks": "a,b,kind\n 1,\t2.5 ,x\n\n-3e2 ,0,y\n\n",
		"label first":       "kind,a,b\nx,1,2.5\ny,-3e2,0\n",
		"CR alone":          "a,b,kind\r1,2.5,x\r\r-3e2,0,y\r",
		"CR, quotes":        "\"a\",\"b\",kind\r\"1\",2.5,x\r-3e2,0,\"y\"",
		"other numbers":     "a,b,kind\n01,+2.5,x\n-300.,.0,y\n",
	}
	for name, content := range cases {
		t.Run(name, func(t *testing.T) {
			path := write(t, content)
			d, err := Read(t.Context(), path, Options{Label: "kind"})
			require.NoError(t, err)
			sum := md5.Sum([]byte(content))
			assert.Equal(t, hex.EncodeToString(sum[:]), d.MD5)
			assert.Equal(t, "flowers", d.Name)
			assert.Equal(t, []string{"a", "b"}, d.Features)
			for i, row := range want {
				assert.Equal(t, row, d.X.RawRowView(i))
			}
			assert.Equal(t, []int{0, 1}, d.Y)
		})
	}
}

func TestReadLabels(t *testing.T) {
	cases := map[string]struct {
		labels []string
		want   onnx.Labels
		y      []int
	}{
		"text by code point":         {[]string{"b", "a", "Ä", "B"}, onnx.Labels{Strings: []string{"B", "a", "b", "Ä"}}, []int{2, 1, 3, 0}},
		"integers by value":          {[]string{"10", "9", "-2"}, onnx.Labels{Ints: []int64{-2, 9, 10}}, []int{2, 1, 0}},
		"blanks are part of it":      {[]string{"a", " a", "a "}, onnx.Labels{Strings: []string{" a", "a", "a "}}, []int{1, 0, 2}},
		"not canonical stays text":   {[]string{"1", "01"}, onnx.Labels{Strings: []string{"01", "1"}}, []int{1, 0}},
		"too large for 64 bits":      {[]string{"1", "9223372036854775808"}, onnx.Labels{Strings: []string{"1", "9223372036854775808"}}, []int{0, 1}},
		"NA is a label like another": {[]string{"NA", "FR"}, onnx.Labels{Strings: []string{"FR", "NA"}}, []int{1, 0}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			content := "x,y\n"
			for _, label := range c.labels {
				content += fmt.Sprintf("1,%s\n", label)
			}
			d, err := Read(t.Context(), write(t, content), Options{Label: "y"})
			require.NoError(t, err)
			assert.Equal(t, c.want, d.Classes)
			assert.Equal(t, c.y, d.Y)
			for i, label := range c.labels {
				assert.Equal(t, label, d.Classes.Text(d.Y[i]))
				assert.Equal(t, label, fmt.Sprint(d.Classes.Value(d.Y[i])))
			}
		})
	}
}

// A quote inside a field that does not begin with one stands for itself, and the
// names of columns that are left out may come twice.
func TestReadWhatOthersWrite(t *testing.T) {
	d, err := Read(t.Context(), write(t, "note,a,note,y\n5\"3,1,\"q\",x\"x\n,2,,z\n"), Options{Label: "y", Drop: []string{"note"}})
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, d.Features)
	require.Equal(t, onnx.Labels{Strings: []string{"x\"x", "z"}}, d.Classes)
}

func TestReadMissingAndDrop(t *testing.T) {
	path := write(t, "id,a,b,y\nr1,,1,p\nr2,NA,2,q\nr3,3, nan ,q\n")
	opts := Options{Label: "y", Drop: []string{"id"}, AllowMissing: true}
	d, err := Read(t.Context(), path, opts)
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "b"}, d.Features)
	assert.Equal(t, []int{2, 1}, d.Missing)
	assert.Equal(t, []string{"a", "b"}, d.MissingColumns())
	assert.True(t, math.IsNaN(d.X.At(0, 0)) && math.IsNaN(d.X.At(1, 0)) && math.IsNaN(d.X.At(2, 1)))

	opts.AllowMissing = false
	_, err = Read(t.Context(), path, opts)
	requirePlace(t, err, path, 2, "a")
	golden.New(t).Add("missing value", named(err, path))
}

func TestReadFaults(t *testing.T) {
	many := "x,y\n"
	for i := range maxClasses + 1 {
		many += fmt.Sprintf("1,c%d\n", i)
	}
	messages := golden.New(t)
	cases := map[string]struct {
		content string
		line    int
		column  string
	}{
		"empty":               {"", 0, ""},
		"only a line end":     {"\n", 0, ""},
		"header only":         {"a,y\n", 0, ""},
		"one class":           {"a,y\n1,x\n2,x\n", 0, "y"},
		"ragged row, short":   {"a,b,y\n1,2,x\n1,y\n", 3, ""},
		"ragged row, long":    {"a,y\n1,x\n1,y,\n", 3, ""},
		"text in a number":    {"a,b,y\n1,2,x\n1,tall,y\n", 3, "b"},
		"line after quotes":   {"a,y\n1,\"two\nlines\"\nq,y\n", 4, "a"},
		"hexadecimal":         {"a,y\n0x10,x\n", 2, "a"},
		"control characters":  {"a,y\n\x1b[31m,x\n", 2, "a"},
		"infinite":            {"a,y\n-inf,x\n", 2, "a"},
		"1e400":               {"a,y\n1e400,x\n", 2, "a"},
		"beyond float32":      {"a,y\n1e39,x\n", 2, "a"},
		"missing value":       {"a,y\n,x\n", 2, "a"},
		"missing label":       {"a,y\n1,x\n2,\n", 3, "y"},
		"label not UTF-8":     {"a,y\n1,\xff\n", 2, "y"},
		"too many labels":     {many, 1002, "y"},
		"unknown label":       {"a,b\n1,x\n", 1, ""},
		"label almost":        {"a,y \n1,x\n", 1, ""},
		"no header":           {"1,2\n3,4\n", 1, ""},
		"duplicate header":    {"a,a,y\n1,2,x\n", 1, ""},
		"empty header":        {"a,,y\n1,2,x\n", 1, ""},
		"header not UTF-8":    {"\xe9,y\n1,x\n", 1, ""},
		"only the label":      {"y\nx\nz\n", 1, ""},
		"open quote":          {"a,y\n1,x\n2,\"x\n3,y\n", 3, ""},
		"binary":              {"PAR1\x15\x00\x02", 0, ""},
		"UTF-16":              {"\xff\xfea\x00", 0, ""},
		"compressed":          {"\x1f\x8b\x08", 0, ""},
		"a line without end":  {"a,y\n" + strings.Repeat("1", maxLineBytes+2), 0, ""},
		"long text is cut":    {"a,y\n" + strings.Repeat("z", 1000) + ",x\n", 2, "a"},
		"odd name is quoted":  {"\"a\nb\",y\nz,x\n", 3, "a\nb"},
		"too long as a whole": {"a,y\n" + strings.Repeat("1,x\n", 8<<20), 0, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			path := write(t, c.content)
			_, err := Read(t.Context(), path, Options{Label: "y", MaxBytes: 32 << 20})
			requirePlace(t, err, path, c.line, c.column)
			assert.NotContains(t, err.Error(), "\n")
			messages.Add(name, named(err, path))
		})
	}
}

func TestReadUnreadable(t *testing.T) {
	messages := golden.New(t)
	dir := t.TempDir()
	missing := filepath.Join(dir, "none.csv")
	_, err := Read(t.Context(), missing, Options{Label: "y"})
	requirePlace(t, err, missing, 0, "")
	require.ErrorIs(t, err, fs.ErrNotExist)
	messages.Add("missing file", named(err, missing))

	_, err = Read(t.Context(), dir, Options{Label: "y"})
	requirePlace(t, err, dir, 0, "")
	messages.Add("directory", named(err, dir))

	pipe := filepath.Join(t.TempDir(), "pipe.csv")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	_, err = Read(t.Context(), pipe, Options{Label: "y"}) // and does not wait for a writer
	requirePlace(t, err, pipe, 0, "")
	messages.Add("pipe", named(err, pipe))

	path := write(t, "a,b,y\n1,2,x\n2,3,z\n")
	_, err = Read(t.Context(), path, Options{Label: "y", Drop: []string{"c"}})
	requirePlace(t, err, path, 1, "")
	messages.Add("unknown column to drop", named(err, path))
	_, err = Read(t.Context(), path, Options{Label: "y", Drop: []string{"y"}})
	requirePlace(t, err, path, 1, "y")
	messages.Add("label to drop", named(err, path))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Read(ctx, path, Options{Label: "y"})
	require.ErrorIs(t, err, context.Canceled)
	var fault *Error
	require.NotErrorAs(t, err, &fault, "an interruption is no bad input")
}

// A file that grows while it is read must not slip past the limit.
func TestReadBoundsWhatItReads(t *testing.T) {
	body := "a,y\n" + strings.Repeat("1,x\n", 1000)
	r := newReader("flowers.csv", strings.NewReader(body), 100, 50, Options{Label: "y"})
	_, err := r.read(t.Context())
	requirePlace(t, err, "flowers.csv", 0, "")
	golden.New(t).Add("a file that grows", err)
}

func TestReadAllocatesTheMatrixOnce(t *testing.T) {
	const rows = 200_000
	var b strings.Builder
	b.WriteString("a,b,c,d,e,f,g,h,y\n")
	for i := range rows {
		fmt.Fprintf(&b, "%d.5,2,3,4,5,6,7,8,%d\n", i, i%3)
	}
	path := write(t, b.String())

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d, err := Read(t.Context(), path, Options{Label: "y"})
	runtime.ReadMemStats(&after)
	require.NoError(t, err)
	require.Equal(t, rows, d.Rows())

	// All that was ever allocated: the matrix, the class indices, what the estimate
	// is off, and a string or two a row in rows.Records. A slice that grows step by
	// step allocates more than five times the matrix.
	matrix := uint64(rows * 8 * 8)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, 4*matrix)
}

// requireSame reads a file by the fast way, with several workers and in blocks
// of a size, and by rows.Records alone: the same comes out, to the bit.
func requireSameRead(t *testing.T, content string, size int, opts Options) {
	t.Helper()
	read := func(strict bool, workers int) (*Dataset, error) {
		opts.Workers = workers
		r := newReader("flowers.csv", strings.NewReader(content), 1<<30, int64(len(content)), opts)
		r.layout.strict = strict
		r.source.size = size
		return r.read(t.Context())
	}
	want, wantErr := read(true, 1)
	for _, workers := range []int{1, 3} {
		got, err := read(false, workers)
		if wantErr != nil {
			require.EqualError(t, err, wantErr.Error(), "%q", content)
			continue
		}
		require.NoError(t, err, "%q", content)
		for i := range want.Rows() {
			for j := range want.Features {
				require.Equal(t, math.Float64bits(want.X.At(i, j)), math.Float64bits(got.X.At(i, j)), "row %d, column %d of %q", i, j, content)
			}
		}
		rest, gotRest := *want, *got
		rest.X, gotRest.X = nil, nil // NaN is never equal
		require.Equal(t, rest, gotRest, "%q", content)
	}
}

func TestFastAndStrictAgree(t *testing.T) {
	for name, content := range map[string]string{
		"plain":           "a,b,y\n1,2.5,x\n-3e2,0.12345678901234567,z\n4,5,x\n",
		"CRLF":            "y,a\r\nx,1\r\n\r\nz,2\r\n",
		"CR in a field":   "y,a\nx\r,1\nz,2\r\r\n",
		"CR at the end":   "a,y\n1,x\n2,z\r",
		"quotes":          "a,y\n\"1\",\"x\"\n2,\"z,\"\n3,\"q\"\"q\"\n4,\"l\nl\"\n5,x\n6,\"x\"\r\n7,x",
		"missing":         "a,y,b\n,x,NA\n nan ,z,\n1,z, \n",
		"odd numbers":     "a,y\n.5,x\n+1.,z\n1_0,x\n",
		"ragged":          "a,y\n1,x\n2,z\n3\n4,x,\n5,x\n",
		"faults":          "a,y\n1,x\ntall,z\n1e39,x\n2,\n3,\xff\n4,z\n",
		"open quote":      "a,y\n1,x\n2,z\n3,\"x\n4,x\n5,x\n",
		"bare quote":      "a,y\n1,x\n2,z\n3,x\"\n4,x\n",
		"ended by quote":  "a,y\n1,x\n2,z\n3,\"x\"",
		"text after":      "a,y\n1,x\n2,z\n3,\"x\" \n",
		"CR alone":        "a,y\r1,x\r2,z\r\r3,\"q\rq\"\r4,x",
		"many blank rows": "a,y\n1,x\n" + strings.Repeat("\n\r\n", 50) + "2,z\n",
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{8, 16, 33, 1 << 10} {
				for _, all := range []bool{false, true} {
					requireSameRead(t, content, size, Options{Label: "y", AllowMissing: true, AllFaults: all})
				}
				requireSameRead(t, content, size, Options{Label: "y", Drop: []string{}})
			}
		})
	}
}

// The fast way knows all that good files hold: rows.Records is for the others.
func TestGoodFilesTakeTheFastWay(t *testing.T) {
	l := layout{comma: ',', columns: []int{0, droppedColumn, labelColumn, 1}, features: 2, allowMissing: true}
	for _, text := range []string{
		"1,text,x,2\n3,,z,4\n", "1,\"t,ext\",\"x\",2\r\n\r\n\"3\",,z,\"4\"\r\n", ",,x,NA\n", " 1 ,,x,0.12345678901234567", "1e-80,,x,123456789012345678901234567890\n",
	} {
		b := &block{text: append(make([]byte, 0, 200), text...)}
		l.parse(b)
		assert.True(t, b.table.ok, "%q", text)
	}
}

// BenchmarkRead reads 20 columns of 17 digits and a label; tests/load/trainbench
// holds the same against pandas.
func BenchmarkRead(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	var text []byte
	for j := range 20 {
		text = fmt.Appendf(text, "x%d,", j)
	}
	text = append(text, "y\n"...)
	for range 20_000 {
		for range 20 {
			text = append(strconv.AppendFloat(text, random.NormFloat64(), 'g', 17, 64), ',')
		}
		text = append(strconv.AppendInt(text, int64(random.IntN(5)), 10), '\n')
	}
	path := filepath.Join(b.TempDir(), "data.csv")
	require.NoError(b, os.WriteFile(path, text, 0o600))
	for name, opts := range map[string]Options{"verified": {Label: "y", MD5: "known"}, "hashed": {Label: "y"}} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				_, err := Read(b.Context(), path, opts)
				require.NoError(b, err)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	f.Add("a,b,y\n1,2,x\n2,3,z\n")
	f.Add("\ufeff\"a\";y\r\n1;x\r\nNA;\"q\nq\"\r\n")
	f.Add("y\ta\n1\t0x1\n")
	f.Add("a,y\n1e400,x\n\"")
	f.Add("a,y\ntall,x\n1\n2,\n1,x\n2,z\n")
	f.Fuzz(func(t *testing.T, content string) {
		path := filepath.Join(t.TempDir(), "fuzz.csv")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		requireSameRead(t, content, 16, Options{Label: "y", AllowMissing: true, AllFaults: true})
		requireSameRead(t, content, 1<<10, Options{Label: "y"})
		d, err := Read(t.Context(), path, Options{Label: "y", AllowMissing: true})
		_, all := Read(t.Context(), path, Options{Label: "y", AllowMissing: true, AllFaults: true})
		require.Equal(t, err == nil, all == nil, "%v, but %v", err, all)
		if err != nil {
			require.True(t, strings.HasPrefix(all.Error(), err.Error()), "the first fault comes first: %v, but %v", err, all)
			var fault *Error
			require.ErrorAs(t, err, &fault)
			require.NotContains(t, err.Error(), "\n")
			return
		}
		rows, features := d.X.Dims()
		require.Equal(t, len(d.Y), rows)
		require.Equal(t, len(d.Features), features)
		require.GreaterOrEqual(t, d.Classes.Len(), 2)
		for _, n := range d.ClassCounts() {
			require.Positive(t, n)
		}
	})
}
