package dataset

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv/golden"
)

// readAll looks at a file and reads it as what was found.
func readAll(t *testing.T, content string, opts Options) (*Table, *Dataset) {
	t.Helper()
	path := write(t, content)
	table, err := Look(t.Context(), path, opts)
	require.NoError(t, err)
	d, err := ReadTable(t.Context(), path, opts, table)
	require.NoError(t, err)
	return table, d
}

// plainRows is a table of two columns of numbers and a label, with a comma.
func plainRows(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d.5,%d.25,%s\n", i%7, i%5, []string{"no", "yes"}[i%2])
	}
	return b.String()
}

// However a table is written, the numbers are the same.
func TestFormsOfFiles(t *testing.T) {
	const n = 40
	body := plainRows(n)
	lines := strings.Split(strings.TrimSuffix(body, "\n"), "\n")
	with := func(old, by string) string { return strings.ReplaceAll("a,b,y\n"+body, old, by) }
	each := func(f func(line string) string) string {
		var b strings.Builder
		for _, line := range lines {
			b.WriteString(f(line) + "\n")
		}
		return b.String()
	}
	utf16Text := func(text string, big bool) string {
		var b []byte
		for _, u := range utf16.Encode([]rune("\ufeff" + text)) {
			if big {
				b = append(b, byte(u>>8), byte(u))
			} else {
				b = append(b, byte(u), byte(u>>8))
			}
		}
		return string(b)
	}
	var zipped, archive bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte("a,b,y\n" + body))
	require.NoError(t, z.Close())
	a := zip.NewWriter(&archive)
	w, err := a.Create("folder/table.csv")
	require.NoError(t, err)
	_, _ = w.Write([]byte("a,b,y\n" + body))
	_, err = a.Create("__MACOSX/._table.csv")
	require.NoError(t, err)
	require.NoError(t, a.Close())

	for name, content := range map[string]string{
		"plain":                    with("", ""),
		"semicolons":               with(",", ";"),
		"tabs":                     with(",", "\t"),
		"pipes":                    with(",", "|"),
		"blanks":                   with(",", " "),
		"runs of blanks":           "  a   b y\n" + each(func(l string) string { return "  " + strings.ReplaceAll(l, ",", "   ") + " " }),
		"blanks after commas":      with(",", ", "),
		"decimal comma":            "a;b;y\n" + each(func(l string) string { return strings.ReplaceAll(strings.ReplaceAll(l, ",", ";"), ".", ",") }),
		"sep":                      "sep=;\r\n" + with(",", ";"),
		"a comment":                "# made by a tool\n# twice\n" + with("", ""),
		"CR alone":                 with("\n", "\r"),
		"CRLF":                     with("\n", "\r\n"),
		"UTF-8 with mark":          "\ufeff" + with("", ""),
		"UTF-16":                   utf16Text(with("", ""), false),
		"UTF-16 big-endian":        utf16Text(with("", ""), true),
		"UTF-16 without mark":      utf16Text(with("", ""), false)[2:],
		"gzip":                     zipped.String(),
		"zip":                      archive.String(),
		"commas at the ends":       with("\n", ",\n"),
		"commas at ends of rows":   "a,b,y\n" + each(func(l string) string { return l + "," }),
		"a comma after the header": "a,b,y,\n" + body,
		"an index as pandas does":  ",a,b,y\n" + each(func(l string) string { return fmt.Sprint(slices.Index(lines, l)) + "," + l }),
		"names of rows as R does":  "a,b,y\n" + each(func(l string) string { return `"r` + l[:3] + `",` + l }),
		"a total":                  with("", "") + "Total,,\n",
		"euros":                    "a,b,y\n" + each(func(l string) string { return "€" + l }),
		"percent":                  "a,b,y\n" + each(func(l string) string { return strings.Replace(l, ",", "%,", 1) }),
		"quotes everywhere":        `"a","b","y"` + "\n" + each(func(l string) string { return `"` + strings.ReplaceAll(l, ",", `","`) + `"` }),
		"two of a name":            strings.Replace(with("", ""), "a,b", "a,a", 1),
		"names with blanks":        strings.Replace(with("", ""), "a,b,y", " a ,b,y ", 1),
	} {
		t.Run(name, func(t *testing.T) {
			_, d := readAll(t, content, Options{Label: "y"})
			requireHalves(t, d, n)
		})
	}
	for name, content := range map[string]string{"no header": body, "no header, semicolons": strings.ReplaceAll(body, ",", ";")} {
		t.Run(name, func(t *testing.T) {
			table, d := readAll(t, content, Options{Label: "-1"})
			require.False(t, table.Header)
			require.Equal(t, []string{"c1", "c2"}, d.Features)
			requireHalves(t, d, n)
		})
	}
}

// requireHalves holds a data set against plainRows.
func requireHalves(t *testing.T, d *Dataset, n int) {
	t.Helper()
	require.Equal(t, n, d.Rows())
	first := len(d.Features) - 2 // behind the names of rows, where there are any
	for i := range n {
		require.Equal(t, []float64{float64(i%7) + .5, float64(i%5) + .25}, d.X.RawRowView(i)[first:], "row %d", i)
		require.Equal(t, i%2, d.Y[i])
	}
	require.Equal(t, []string{"no", "yes"}, d.Classes.Strings)
}

// Text that is not UTF-8 is read as Latin-1, wherever the first such byte stands.
func TestLatin1(t *testing.T) {
	table, d := readAll(t, "a,y\n"+strings.Repeat("1,x\n", 30_000)+"2,\xe9t\xe9\n", Options{Label: "y"})
	assert.Equal(t, latin1, table.Encoding)
	assert.Equal(t, []string{"x", "été"}, d.Classes.Strings)
	_, err := Look(t.Context(), write(t, "a,y\n1,\xe9\n2,b\n"), Options{Label: "y", Form: Form{Encoding: "utf-8"}})
	require.ErrorIs(t, err, errEncoding)
}

// columnOf is one column, with a label beside it.
func columnOf(name string, values []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s;y\n", name)
	for i, v := range values {
		fmt.Fprintf(&b, "%s;%s\n", v, []string{"no", "yes"}[i%2])
	}
	return b.String()
}

func repeat(n int, values ...string) []string {
	var all []string
	for i := range n {
		all = append(all, values[i%len(values)])
	}
	return all
}

func numbered(n int, format string) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(format, i*7919%n))
	}
	return all
}

func TestKindsOfColumns(t *testing.T) {
	const n = 100
	for name, c := range map[string]struct {
		column  string
		values  []string
		want    Kind
		use     Use
		missing int
	}{
		"fractions":                    {"a", repeat(n, "1.5", "2", "3"), Number, Feature, 0},
		"whole numbers":                {"a", repeat(n, "1", "2", "3"), Integer, Feature, 0},
		"0 and 1":                      {"a", repeat(n, "0", "1"), Integer, Feature, 0},
		"missing":                      {"a", repeat(n, "1", "", "NA", "null", "2"), Integer, Feature, 60},
		"question marks":               {"a", repeat(n, "1", "2", "?", "3"), Integer, Feature, 25},
		"question marks among texts":   {"a", repeat(n, "x", "z", "?", "u"), Category, Feature, 0},
		"none is a category":           {"a", repeat(n, "none", "airbag"), Category, Feature, 0},
		"faults of Excel":              {"a", repeat(n, "1.5", "2", "#DIV/0!", "3"), Number, Feature, 25},
		"true and false":               {"a", repeat(n, "True", "False"), Boolean, Feature, 0},
		"yes, no and missing":          {"a", repeat(n, "yes", "no", ""), Boolean, Feature, 33},
		"texts":                        {"a", repeat(n, "red", "green", "blue"), Category, Feature, 0},
		"codes with zeros":             {"a", repeat(n, "00501", "10023", "90210"), Category, Feature, 0},
		"numbers and a text":           {"a", repeat(n, "0", "1", "2", "3+"), Category, Feature, 0},
		"thousands":                    {"a", repeat(n, `"1,234"`, `"12,345.5"`, "7"), Number, Feature, 0},
		"dollars":                      {"a", repeat(n, `"$1,234"`, "$7"), Integer, Feature, 0},
		"decimal commas":               {"a", repeat(n, "1,5", "1.234,5"), Number, Feature, 0},
		"minus signs of typographers":  {"a", repeat(n, "−1.5", "2"), Number, Feature, 0},
		"ISO dates":                    {"a", repeat(n, "2024-01-10", "2024-02-11"), Date, LeftOut, 0},
		"times":                        {"a", repeat(n, "00:10", "12:59"), Date, LeftOut, 0},
		"free text":                    {"a", numbered(n, "it was called %d times today"), Text, LeftOut, 0},
		"names of rows":                {"a", numbered(n, "C-%04d"), ID, LeftOut, 0},
		"numbers beyond 2^53":          {"a", numbered(n, "90071992547409%02d"), ID, LeftOut, 0},
		"one text":                     {"a", repeat(n, "x"), Constant, LeftOut, 0},
		"nothing":                      {"a", repeat(n, "", "NA"), Empty, LeftOut, n},
		"a number that is none, once":  {"a", append(repeat(n-1, "1", "2"), "tall"), Number, Feature, 0},
		"one number in many is a text": {"a", repeat(n, "1", "b", "c"), Category, Feature, 0},
	} {
		t.Run(name, func(t *testing.T) {
			table, err := Look(t.Context(), write(t, columnOf(c.column, c.values)), Options{Label: "y", Form: Form{Delimiter: ";"}})
			if c.use == LeftOut { // and nothing else is there
				require.Error(t, err)
				require.Contains(t, err.Error(), "no feature column")
			} else {
				require.NoError(t, err)
			}
			got := table.Columns[0]
			assert.Equal(t, []any{c.want, c.use, c.missing}, []any{got.Kind, got.Use, got.Missing}, "%+v", got)
		})
	}
}

// Columns of numbers that tell the rows apart are left out, however the table is
// read.
func TestIDNumbers(t *testing.T) {
	const n = 50
	var b strings.Builder
	b.WriteString("Id,customer_no,a,day,y\n")
	for i := range n {
		fmt.Fprintf(&b, "%d,%d,%d,%d,%s\n", 1+i*13%n, 1000+17*i, i%9, 20*i*i, []string{"no", "yes"}[i%2])
	}
	opts := Options{Label: "y", AllowMissing: true}
	path := write(t, b.String())
	d, err := Read(t.Context(), path, opts)
	require.NoError(t, err)
	_, looked := readAll(t, b.String(), opts)
	for _, d := range []*Dataset{d, looked} {
		require.Equal(t, []string{"a", "day"}, d.Features)
		require.Len(t, d.LeftOut, 2)
		assert.Equal(t, []string{"consecutive", "every row differs"}, []string{d.LeftOut[0].Why, d.LeftOut[1].Why})
		assert.Equal(t, []float64{1, 20}, d.X.RawRowView(1))
	}
	opts.Columns = map[string]Spec{"Id": {Kind: Integer}}
	_, kept := readAll(t, b.String(), opts)
	assert.Equal(t, []string{"Id", "a", "day"}, kept.Features)
}

// The same rows in another order are the same table, and so are moved columns.
func TestOrderDoesNotMatter(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const n = 300
	rows := make([][]string, n)
	for i := range rows {
		rows[i] = []string{
			fmt.Sprint(random.IntN(50)), []string{"?", fmt.Sprintf("%.2f", random.Float64())}[min(1, random.IntN(9))],
			[]string{"yes", "No", "no", ""}[random.IntN(4)], fmt.Sprintf("%03d", random.IntN(40)), fmt.Sprintf("k%d", random.IntN(30)),
			[]string{"", "01/02/2024", "13/02/2024"}[random.IntN(3)], []string{"Lyon", "Nîmes", "NA"}[random.IntN(3)], []string{"a", "b"}[random.IntN(2)],
		}
	}
	look := func(order []int) *Table {
		text := []string{"int", "float", "flag", "code", "cat", "when", "city", "y"}
		all := [][]string{text}
		all = append(all, rows...)
		var b strings.Builder
		for _, row := range all {
			moved := make([]string, len(row))
			for i, j := range order {
				moved[i] = row[j]
			}
			b.WriteString(strings.Join(moved, ",") + "\n")
		}
		table, err := Look(t.Context(), write(t, b.String()), Options{Label: "y"})
		require.NoError(t, err)
		slices.SortFunc(table.Columns, func(a, b Column) int { return strings.Compare(a.Name, b.Name) })
		return table
	}
	order := []int{0, 1, 2, 3, 4, 5, 6, 7}
	want := look(order)
	var kinds []Kind // by name
	for _, c := range want.Columns {
		kinds = append(kinds, c.Kind)
	}
	assert.Equal(t, []Kind{Category, Category, Category, Boolean, Number, Integer, Date, Category}, kinds)
	for range 5 {
		random.Shuffle(n, func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		require.Equal(t, want.Columns, look(order).Columns)
	}
	random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	require.Equal(t, want.Columns, look(order).Columns)
}

// What categories, booleans and missing values are in the matrix.
func TestTypedMatrix(t *testing.T) {
	table, d := readAll(t, "city,member,age,y\nLyon,yes,41,a\n Nice ,no,?,b\n,NO,3,a\nLyon,Yes,5,\n\"Aix, \"\"les\"\" Bains\",,6,b\n", Options{
		Label: "y", Columns: map[string]Spec{"city": {Kind: Category}},
	})
	assert.Equal(t, 1, table.Unlabelled)
	require.Len(t, d.Columns, 3)
	assert.Equal(t, []string{`Aix, "les" Bains`, "Lyon", "Nice"}, d.Columns[0].Categories)
	assert.Equal(t, []string{"NO", "yes"}, d.Columns[1].Categories)
	nan := math.NaN()
	want := [][]float64{{1, 1, 41}, {2, 0, nan}, {nan, 0, 3}, {0, nan, 6}}
	require.Equal(t, len(want), d.Rows())
	for i, row := range want {
		assert.Equal(t, fmt.Sprint(row), fmt.Sprint(d.X.RawRowView(i)))
	}
	assert.Equal(t, []int{1, 1, 1}, d.Missing)
}

// Files that are no tables are named, with what to do.
func TestOtherFiles(t *testing.T) {
	messages := golden.New(t)
	big := strings.Repeat("1,2,x\n", 100_000)
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write([]byte("a,b,y\n" + big))
	require.NoError(t, z.Close())
	many := plainRows(30)
	for name, content := range map[string]string{
		"Git LFS":           "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
		"a web page":        "\n<!DOCTYPE html>\n<html>",
		"ARFF":              "% iris\n@RELATION iris\n@ATTRIBUTE a NUMERIC\n@DATA\n1\n",
		"JSON lines":        `{"a":1,"y":"no"}` + "\n",
		"JSON":              "[\n  {\"a\": 1}\n]",
		"LIBSVM":            "0 1:0.5 2:1\n1 1:0.25\n",
		"Parquet":           "PAR1\x15\x00",
		"a packed bomb":     bomb.String(),
		"half a gzip":       bomb.String()[:bomb.Len()/2],
		"no label is named": "a,b,y\n" + many,
		"another case":      "a,b,Y\n" + many,
		"fields":            "a,b,y\n" + many + "x,1\n1,2,no,3\n",
		"nearly numbers":    "a,b,y\n" + many + "zz,3,no\n",
		"no feature":        "a,y\nx,no\nx,yes\n",
		"no such column":    "a,b,y\n" + many,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "table.csv")
			require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
			opts := Options{Label: "y", MaxBytes: 100_000}
			switch name {
			case "no label is named":
				opts.Label = ""
			case "no such column":
				opts.Columns = map[string]Spec{"q": {Kind: Category}}
			}
			table, err := Look(t.Context(), path, opts)
			if err == nil {
				_, err = ReadTable(t.Context(), path, opts, table)
			}
			require.Error(t, err)
			fault := new(Error)
			require.ErrorAs(t, err, &fault)
			require.NotEmpty(t, fault.Remedy)
			messages.Add(name, named(err, path))
		})
	}
}

// TestTask is the rule that tells classes from numbers.
func TestTask(t *testing.T) {
	for name, c := range map[string]struct {
		values []string
		want   string
	}{
		"texts":              {repeat(60, "a", "b", "c"), Classification},
		"0 and 1":            {repeat(60, "0", "1"), Classification},
		"0.5 and 1.5":        {repeat(60, "0.5", "1.5"), Classification},
		"few whole numbers":  {repeat(60, "3", "4", "5", "6"), Classification},
		"0.0, 1.0 and 2.0":   {repeat(60, "0.0", "1.0", "2.0"), Classification},
		"fractions":          {repeat(60, "1.5", "2", "3"), Regression},
		"many whole numbers": {numbered(60, "%d"), Regression},
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			b.WriteString("a,y\n")
			for i, v := range c.values {
				fmt.Fprintf(&b, "%d.5,%s\n", i%7, v)
			}
			table, err := Look(t.Context(), write(t, b.String()), Options{Label: "y"})
			require.NoError(t, err)
			assert.Equal(t, c.want, table.Task)
			d, err := Read(t.Context(), write(t, b.String()), Options{Label: "y"})
			require.NoError(t, err)
			assert.Equal(t, c.want, d.Task())
		})
	}
}

// Nothing that a file may hold makes the look at it fail otherwise than with a
// fault of the file, and what it finds can be read.
func FuzzLook(f *testing.F) {
	for _, seed := range []string{
		"a,b,y\n1,x,no\n2,z,yes\n", "sep=;\na;b;y\n1,5;x;no\n", "\xff\xfea\x00,\x00y\x00\n\x00", "# c\n\"a\n\",y\r1,2\r", "  a   y\n 1  2\n", "a,y,\n1,2\n", "\x1f\x8b\x08", "PK\x03\x04",
		"0001,x\n0002,y\n", "y\n1\n2\n", ",\n,\n", "a,a,y\n$1,1%,1\n€2,2%,2\n",
	} {
		f.Add([]byte(seed), "y")
	}
	f.Fuzz(func(t *testing.T, content []byte, label string) {
		path := filepath.Join(t.TempDir(), "f")
		require.NoError(t, os.WriteFile(path, content, 0o600))
		opts := Options{Label: label, MaxBytes: 1 << 20, Workers: 1}
		table, err := Look(t.Context(), path, opts)
		if err == nil {
			_, err = ReadTable(t.Context(), path, opts, table)
		}
		fault := new(Error)
		if err != nil {
			require.ErrorAs(t, err, &fault)
		}
	})
}
