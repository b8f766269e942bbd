package rows

import (
	"encoding/csv"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv/golden"
)

func readRecords(text string) (records [][]string, err error) {
	r := NewRecords(iotest.HalfReader(strings.NewReader(text)), ',')
	for {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			return records, nil
		} else if err != nil {
			return records, err
		}
		records = append(records, slices.Clone(fields))
	}
}

func TestRecords(t *testing.T) {
	long := strings.Repeat("long ", 5000)
	for name, c := range map[string]struct {
		text string
		want [][]string
	}{
		"nothing":        {"", nil},
		"blank lines":    {"\n\r\n\n", nil},
		"plain":          {"a,b\n1,2\n", [][]string{{"a", "b"}, {"1", "2"}}},
		"CRLF, no end":   {"a,b\r\n\r\n1,2", [][]string{{"a", "b"}, {"1", "2"}}},
		"quotes":         {"\"a\",\"b,\"\"c\"\"\"\r\n\"l\r\nl\",\"\"\n", [][]string{{"a", `b,"c"`}, {"l\nl", ""}}},
		"empty":          {",\n\"\"\n", [][]string{{"", ""}, {""}}},
		"bare quotes":    {"a\"b,5'3\"\n \"x\",y\"\"\n", [][]string{{`a"b`, `5'3"`}, {` "x"`, `y""`}}},
		"CR in a field":  {"a\rb,c\n", [][]string{{"a\rb", "c"}}},
		"CR at the end":  {"a,b\r", [][]string{{"a", "b"}}},
		"longer lines":   {long + ",b\n" + long + ",\"" + long + "\"\n", [][]string{{long, "b"}, {long, long}}},
		"ragged is told": {"a\nb,c\n", [][]string{{"a"}, {"b", "c"}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readRecords(c.text)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestRecordsFaults(t *testing.T) {
	messages := golden.New(t)
	for name, c := range map[string]struct {
		text         string
		line, column int
	}{
		"a quote alone":       {"\"", 1, 1},
		"never closed":        {"a,b\n1,2\n1,\"x\n3,4\n", 3, 2},
		"text after a quote":  {"a,b\n\"x\"y,2\n", 2, 1},
		"closed two lines on": {"a,b\n\"x\n\ny\"z,2\n", 2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readRecords(c.text)
			var fault *Error
			require.ErrorAs(t, err, &fault)
			require.ErrorIs(t, err, ErrSyntax)
			assert.Equal(t, [2]int{c.line, c.column}, [2]int{fault.Line, fault.Column})
			messages.Add(name, err)
		})
	}
	_, err := readRecords("a\n\"" + strings.Repeat("1,x\n", 5<<20))
	require.ErrorIs(t, err, ErrSyntax, "the rest of a large file is not taken into memory")
}

// What encoding/csv reads, Records reads alike.
func FuzzRecords(f *testing.F) {
	for _, text := range []string{"a,b\n1,2\n", "\"a\"\"\",\r\n\r\n\"x\r\ny\"", "a\"b\n", "\"\n", "\"a\" \n", "\r\r\n\r", ",,\n\"\","} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		reference := csv.NewReader(strings.NewReader(text))
		reference.FieldsPerRecord = -1
		want, err := reference.ReadAll()
		if errors.Is(err, csv.ErrBareQuote) {
			return
		}
		got, gotErr := readRecords(text)
		require.Equal(t, err == nil, gotErr == nil, "%v, but %v", err, gotErr)
		if err == nil {
			require.Equal(t, want, got)
		}
	})
}

func TestNumbers(t *testing.T) {
	for text, want := range map[string]float64{
		".2": .2, "5.": 5, "+5.1": 5.1, "05.1": 5.1, " 5.1\t": 5.1, "-3e2": -300, "1e39": 1e39,
		"": math.NaN(), " ": math.NaN(), "NA": math.NaN(), "NaN": math.NaN(), "nan": math.NaN(), "NAN": math.NaN(),
	} {
		v, err := ParseNumber(text)
		require.NoError(t, err, text)
		require.Equal(t, math.Float64bits(want), math.Float64bits(v), text)
	}
	for _, text := range []string{"x", "0x1", "1_0", "1,5", "5.1.2", "--1", "Na", "1 2"} {
		_, err := ParseNumber(text)
		require.ErrorIs(t, err, ErrNotNumber, text)
	}
	for _, text := range []string{"inf", "-Infinity", "1e400"} {
		v, err := ParseNumber(text)
		require.ErrorIs(t, err, ErrRange, text)
		require.True(t, math.IsInf(v, 0))
	}
}

func readCSV(text string, columns []Column, o CSVOptions) ([][]Cell, error) {
	c, err := NewCSV(iotest.OneByteReader(strings.NewReader(text)), columns, o)
	if err != nil {
		return nil, err
	}
	var all [][]Cell
	for {
		row := make([]Cell, len(columns))
		if err := c.Next(row); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return all, err
		}
		all = append(all, row)
	}
}

func TestCSV(t *testing.T) {
	columns := []Column{{"a", Number}, {"b", Text}, {"n", Whole}, {"ok", Boolean}}
	want := []Cell{{Number: 0.5}, {Kind: Text, Text: "né"}, {Number: 7}, {Kind: Boolean, Number: 1}}
	for name, text := range map[string]string{
		"plain":             "a,b,n,ok\n.5,né,7,true\n",
		"another order":     "ok,n,b,a\nTrue,+7,né,0.5\n",
		"more, twice":       "x,a,x,b,n,ok\n\"1,\",.5,5'3\",né,7,TRUE\n",
		"byte order mark":   "\ufeffa,b,n,ok\n.5,né,7,true\n",
		"mark and quotes":   "\ufeff\"a\",b,n,ok\n.5,né,7,true\n",
		"CR alone":          "a,b,n,ok\r.5,né,7,true\r",
		"CR, no end":        "\"a\",b,n,ok\r\r.5,né,7.0,true",
		"CRLF":              "a,b,n,ok\r\n.5,né,07,true\r\n",
		"whole as a number": "a,b,n,ok\n5e-1,né,7.,1\n",
	} {
		if name == "whole as a number" {
			want[3] = Cell{Number: 1}
		} else {
			want[3] = Cell{Kind: Boolean, Number: 1}
		}
		got, err := readCSV(text, columns, CSVOptions{})
		require.NoError(t, err, name)
		require.Equal(t, [][]Cell{want}, got, name)
	}
	got, err := readCSV("n\n9007199254740993\n", columns[2:3], CSVOptions{})
	require.NoError(t, err)
	n, ok := got[0][0].Whole()
	require.True(t, ok)
	require.EqualValues(t, 9007199254740993, n)
	got, err = readCSV("a\n-1e400\n", columns[:1], CSVOptions{})
	require.NoError(t, err)
	require.True(t, math.IsInf(got[0][0].Number, -1))
	got, err = readCSV("x,y\n1,NA\n", []Column{{"a", Number}, {"b", Number}}, CSVOptions{ByPosition: true})
	require.NoError(t, err)
	require.InDelta(t, 1, got[0][0].Number, 0)
	require.True(t, got[0][1].IsMissing())
}

func TestCSVFaults(t *testing.T) {
	messages := golden.New(t)
	columns := []Column{{"a", Number}, {"b", Text}}
	for name, c := range map[string]struct {
		text         string
		o            CSVOptions
		err          error
		line, column int
	}{
		"nothing":        {"", CSVOptions{}, ErrHeader, 1, 0},
		"no header":      {"1,2\n", CSVOptions{ByPosition: true}, ErrHeader, 1, 0},
		"a name twice":   {"a,b,a\n", CSVOptions{}, ErrRepeated, 1, 0},
		"a name missing": {"a,x\n", CSVOptions{}, ErrMissingColumn, 1, 0},
		"another width":  {"x,y,z\n", CSVOptions{ByPosition: true}, ErrMissingColumn, 1, 0},
		"ragged":         {"a,b\n1,2\n1\n", CSVOptions{}, ErrWidth, 3, 0},
		"text":           {"b,a\n\nx,1\nx,tall\n", CSVOptions{}, ErrNotNumber, 4, 2},
		"not UTF-8":      {"a,b\n1,\xff\n", CSVOptions{}, ErrEncoding, 2, 2},
		"a quote":        {"a,b\n\"", CSVOptions{}, ErrSyntax, 2, 1},
		"too many":       {"a,b\n1,2,3,4\n", CSVOptions{MaxColumns: 3}, ErrTooManyFields, 2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readCSV(c.text, columns, c.o)
			var fault *Error
			require.ErrorAs(t, err, &fault)
			require.ErrorIs(t, err, c.err)
			assert.Equal(t, [2]int{c.line, c.column}, [2]int{fault.Line, fault.Column})
			messages.Add(name, err)
		})
	}
}
