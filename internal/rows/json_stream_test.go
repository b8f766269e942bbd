package rows

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv/golden"
)

// readStream reads all rows, with a column a that is known.
func readStream(text string) (all []Row, err error) {
	s := NewJSONStream(iotest.HalfReader(strings.NewReader(text)), []string{"a"})
	for {
		err := s.Next(make([]Cell, 1))
		var fault *JSONError
		switch {
		case errors.Is(err, io.EOF):
			return all, nil
		case errors.As(err, &fault) && (fault.Reason == WrongWidth || fault.Reason == MissingKey):
			// The row itself was read.
		case err != nil:
			return all, err
		}
		row := Row{Values: append([]float64{}, s.Row.Values...), Cells: append([]Cell(nil), s.Row.Cells...)}
		if s.Row.Names != nil {
			row.Names = append([]string{}, s.Row.Names...)
		}
		all = append(all, row)
	}
}

func TestJSONStreamFaults(t *testing.T) {
	messages := golden.New(t)
	for name, c := range map[string]struct {
		text   string
		err    error
		reason Reason
		place  string
	}{
		"cut off":           {text: "[[1,2],[1", err: io.ErrUnexpectedEOF},
		"not closed":        {text: "[[1,2]", err: io.ErrUnexpectedEOF},
		"nothing in it":     {text: "[", err: io.ErrUnexpectedEOF},
		"after a comma":     {text: "[[1],", err: io.ErrUnexpectedEOF},
		"no row":            {text: "[[1],2]", err: ErrNoRow},
		"no row at all":     {text: "\"x\"", err: ErrNoRow},
		"something after":   {text: "[[1]] [2]", err: ErrAfter},
		"not UTF-8":         {text: "[\"\xff\"]", err: ErrEncoding},
		"the wrong bracket": {text: "[1]\n[2}", reason: Malformed},
		"no comma":          {text: "[[1] [2]]", reason: Malformed},
		"an array":          {text: "[[1,[2]]]", reason: WrongType, place: "[1]"},
		"an object by name": {text: `{"x":[{}],"a":{}}`, reason: WrongType, place: ".a"},
		"a name twice":      {text: `{"a":1,"a":2}`, reason: Malformed},
		"NaN":               {text: `[NaN]`, reason: Malformed, place: "[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readStream(c.text)
			if c.err != nil {
				require.ErrorIs(t, err, c.err)
			} else {
				var fault *JSONError
				require.ErrorAs(t, err, &fault)
				require.Equal(t, []any{c.reason, c.place}, []any{fault.Reason, fault.Place})
			}
			messages.Add(name, err)
		})
	}
	_, err := readStream("[\"" + strings.Repeat("x", maxRecordBytes))
	var fault *JSONError
	require.ErrorAs(t, err, &fault)
	require.Equal(t, []any{Malformed, ""}, []any{fault.Reason, fault.Place})
	messages.Add("a long row", err)
}

// What is accepted is what encoding/json reads, value for value.
func FuzzJSONStream(f *testing.F) {
	for _, text := range []string{
		"[[1,2],[3,null]]", "[1]\n[2e400]", `[{"a":1,"x":[{"]":"\\""}]}]`, `{"a":"\ud83c\udf38"}[true]`, "[", "[]x", "[[1]", "{}", `[1,"\"`, "[9007199254740993]",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := readStream(text)
		if err != nil {
			return
		}
		var want []any
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		for {
			var value any
			if err := decoder.Decode(&value); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				require.NoError(t, err, "accepted what is no JSON: %q", text)
			}
			want = append(want, value)
		}
		if all, ok := single(want).([]any); ok {
			_, ofArrays := first(all).([]any)
			_, ofObjects := first(all).(map[string]any)
			if ofArrays || ofObjects || len(all) == 0 {
				want = all
			}
		}
		require.Len(t, got, len(want), "%q", text)
		for i, row := range got {
			var values []any
			switch w := want[i].(type) {
			case []any:
				values = w
			case map[string]any:
				for _, name := range row.Names {
					values = append(values, w[name])
				}
			}
			require.Len(t, row.Values, len(values), "%q", text)
			for j, v := range values {
				requireCell(t, v, row.Cell(j))
			}
		}
	})
}

func single(all []any) any {
	if len(all) != 1 {
		return nil
	}
	return all[0]
}

func first(all []any) any {
	if len(all) == 0 {
		return nil
	}
	return all[0]
}

func requireCell(t *testing.T, want any, got Cell) {
	t.Helper()
	switch want := want.(type) {
	case nil:
		require.True(t, got.IsMissing())
	case json.Number:
		v, _ := want.Float64() // beyond the largest it is infinite
		require.Equal(t, v, got.Number)
		if n, err := want.Int64(); err == nil {
			whole, ok := got.Whole()
			require.True(t, ok)
			require.Equal(t, n, whole)
		}
	case string:
		require.Equal(t, Cell{Kind: Text, Text: want}, got)
	case bool:
		require.Equal(t, Boolean, got.Kind)
		require.Equal(t, want, got.Number != 0)
	}
}
