package scoring_test

import (
	"bytes"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/rows"
	"github.com/petal-ml/petal/internal/scoring"
	"github.com/petal-ml/petal/tests/testenv/golden"
)

// compile makes a model of nodes, as another producer would.
func compile(t *testing.T, inputs, outputs []onnx.ValueInfo, nodes ...onnx.Node) *model.Model {
	t.Helper()
	m, err := model.OpenOffline(t.Context(), model.Files{ONNX: file(inputs, outputs, nodes...)}, onnx.Limits{}, true)
	require.NoError(t, err)
	return m
}

func file(inputs, outputs []onnx.ValueInfo, nodes ...onnx.Node) []byte {
	m := &onnx.Model{
		IRVersion: 8, Opsets: []onnx.Opset{{Version: 15}, {Domain: onnx.DomainML, Version: 3}},
		Graph: &onnx.Graph{Name: "g", Nodes: nodes, Inputs: inputs, Outputs: outputs},
	}
	return m.Marshal()
}

func value(name string, t onnx.Type) onnx.ValueInfo { return onnx.ValueInfo{Name: name, Type: t} }

// floats is a matrix of n columns.
func floats(name string, n int) onnx.ValueInfo {
	return value(name, onnx.TensorType(onnx.Float, onnx.Symbolic("N"), onnx.Fixed(n)))
}

// sum is a regressor: 1·a + 10·b.
func sum(t *testing.T) *model.Model {
	t.Helper()
	return compile(t, []onnx.ValueInfo{floats("x", 2)}, []onnx.ValueInfo{floats("y", 1)}, onnx.Node{
		Domain: onnx.DomainML, Operator: "LinearRegressor", Inputs: []string{"x"}, Outputs: []string{"y"},
		Attributes: []onnx.Attribute{onnx.FloatsAttribute("coefficients", 1, 10), onnx.IntAttribute("targets", 1)},
	})
}

// signs is a classifier with decision scores (−x, x) and the given classes.
func signs(t *testing.T, post string, attribute onnx.Attribute, label onnx.ElementType) *model.Model {
	t.Helper()
	return compile(t, []onnx.ValueInfo{floats("x", 1)},
		[]onnx.ValueInfo{value("label", onnx.TensorType(label, onnx.Symbolic("N"))), floats("scores", 2)},
		onnx.Node{
			Domain: onnx.DomainML, Operator: "LinearClassifier", Inputs: []string{"x"}, Outputs: []string{"label", "scores"},
			Attributes: []onnx.Attribute{
				onnx.FloatsAttribute("coefficients", -1, 1), onnx.FloatsAttribute("intercepts", 0, 0),
				onnx.StringAttribute("post_transform", post), attribute,
			},
		})
}

// mixed has a number, a text and a whole number; raw, it says what it was given.
func mixed(t *testing.T) *model.Model {
	t.Helper()
	column := func(name string, e onnx.ElementType) onnx.ValueInfo {
		return value(name, onnx.TensorType(e, onnx.Symbolic("N"), onnx.Fixed(1)))
	}
	same := func(from, to string) onnx.Node {
		return onnx.Node{Operator: "Identity", Inputs: []string{from}, Outputs: []string{to}}
	}
	return compile(t,
		[]onnx.ValueInfo{column("age", onnx.Float), column("city", onnx.String), column("n", onnx.Int64)},
		[]onnx.ValueInfo{column("age_out", onnx.Float), column("city_out", onnx.String), column("n_out", onnx.Int64)},
		same("age", "age_out"), same("city", "city_out"), same("n", "n_out"))
}

func score(t *testing.T, m *model.Model, in string, o scoring.Options) (string, error) {
	var out bytes.Buffer
	_, err := scoring.Score(t.Context(), m, strings.NewReader(in), &out, o)
	return out.String(), err
}

func TestScore(t *testing.T) {
	ints, texts := onnx.IntsAttribute("classlabels_ints", 3, 7), onnx.StringsAttribute("classlabels_strings", "né", "<oui>")
	raw, csv := scoring.Options{Raw: true}, scoring.Options{Format: scoring.CSV}
	for name, c := range map[string]struct {
		model   *model.Model
		in      string
		options scoring.Options
		out     string
	}{
		"array of arrays":    {sum(t), ` [[1, 2],[3,4]] `, scoring.Options{}, "{\"value\":21}\n{\"value\":43}\n"},
		"a row a line":       {sum(t), "[1,2]\n[3,4]\n", scoring.Options{}, "{\"value\":21}\n{\"value\":43}\n"},
		"array of objects":   {sum(t), `[{"f1":2,"f0":1,"more":5}]`, scoring.Options{}, "{\"value\":21}\n"},
		"an object a line":   {sum(t), "{\"f1\":2,\"f0\":1}\n{\"f0\":0,\"f1\":0}", scoring.Options{}, "{\"value\":21}\n{\"value\":0}\n"},
		"rows on one line":   {sum(t), `[1,2] [3,4]{"f0":1,"f1":2}`, scoring.Options{}, "{\"value\":21}\n{\"value\":43}\n{\"value\":21}\n"},
		"brackets in texts":  {sum(t), `[{"f1":2,"f0":1,"]\\\"}":["[{",{"x":"}]"}]}]`, scoring.Options{}, "{\"value\":21}\n"},
		"no rows":            {sum(t), "[]", scoring.Options{}, ""},
		"nothing":            {sum(t), "", scoring.Options{}, ""},
		"null first":         {sum(t), "[null,2]\n", scoring.Options{}, "{\"value\":null}\n"},
		"infinite":           {sum(t), "[1e400,2]\n[1,-1e400]\n", scoring.Options{}, "{\"value\":\"Infinity\"}\n{\"value\":\"-Infinity\"}\n"},
		"a float32 is short": {sum(t), "[0.1,0]", scoring.Options{}, "{\"value\":0.1}\n"},
		"CSV by name":        {sum(t), "\ufefff1,label,f0\r\n2,a,1\r\n,b,3\r\n", csv, "{\"value\":21}\n{\"value\":null}\n"},
		"CSV by place":       {sum(t), "a,b\n1,2\n", csv, "{\"value\":21}\n"},
		"whole labels":       {signs(t, "NONE", ints, onnx.Int64), "[2]", scoring.Options{}, `{"label":7,"probabilities":{"3":-2,"7":2}}` + "\n"},
		"text labels":        {signs(t, "SOFTMAX", texts, onnx.String), "[-1000]", scoring.Options{}, `{"label":"né","probabilities":{"né":1,"<oui>":0}}` + "\n"},
		"NaN":                {signs(t, "NONE", ints, onnx.Int64), "[null]", scoring.Options{}, `{"label":3,"probabilities":{"3":null,"7":null}}` + "\n"},
		"raw classifier":     {signs(t, "NONE", ints, onnx.Int64), "[2]", raw, `{"label":7,"scores":[-2,2]}` + "\n"},
		"raw mixed":          {mixed(t), `{"n":9007199254740993,"city":"Lyon\n","age":41.5}`, raw, `{"age_out":[41.5],"city_out":["Lyon\n"],"n_out":[9007199254740993]}` + "\n"},
		"mixed by position":  {mixed(t), `[41,"Lyon",1.0]`, raw, `{"age_out":[41],"city_out":["Lyon"],"n_out":[1]}` + "\n"},
		"CSV, CR alone":      {sum(t), "f0,f1\r1,2\r\r3.,.4e1", csv, "{\"value\":21}\n{\"value\":43}\n"},
		"CSV of others":      {sum(t), "x,f0,x,f1\n5'3\",+1,,02\n,NA,,1\n", csv, "{\"value\":21}\n{\"value\":null}\n"},
		"CSV, infinite":      {sum(t), "f0,f1\n1e400,2\n", csv, "{\"value\":\"Infinity\"}\n"},
		"mixed CSV":          {mixed(t), "n,city,age\n7,,\n", scoring.Options{Format: scoring.CSV, Raw: true}, `{"age_out":[null],"city_out":[""],"n_out":[7]}` + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := score(t, c.model, c.in, c.options)
			require.NoError(t, err)
			require.Equal(t, c.out, out)
		})
	}
}

// requireFault takes an error of the type, the kind and the place that want has;
// of a nil want only the message is known.
func requireFault(t *testing.T, want, err error) {
	t.Helper()
	switch want := want.(type) { //nolint:errorlint // it is written in the table, and never wrapped
	case nil:
		require.Error(t, err)
	case *rows.JSONError:
		var got *rows.JSONError
		require.ErrorAs(t, err, &got)
		require.Equal(t, []any{want.Reason, want.Place}, []any{got.Reason, got.Place}, "%v", err)
	case *rows.Error:
		var got *rows.Error
		require.ErrorAs(t, err, &got)
		require.ErrorIs(t, err, want.Err)
		require.Equal(t, []any{want.Line, want.Column, want.Name}, []any{got.Line, got.Column, got.Name}, "%v", err)
	case *model.InputError:
		var got *model.InputError
		require.ErrorAs(t, err, &got)
		require.Equal(t, []any{want.Fault, want.Column, want.Name}, []any{got.Fault, got.Column, got.Name}, "%v", err)
	default:
		require.ErrorIs(t, err, want)
	}
}

// Rows before the one at fault are written; the fault names its row.
func TestScoreFaults(t *testing.T) {
	messages := golden.New(t)
	csv, raw := scoring.Options{Format: scoring.CSV}, scoring.Options{Raw: true}
	for name, c := range map[string]struct {
		model   *model.Model
		in      string
		options scoring.Options
		want    error // see requireFault
		written int
	}{
		"too few":            {sum(t), "[1,2]\n[1]", scoring.Options{}, &rows.JSONError{Reason: rows.WrongWidth}, 1},
		"too many":           {sum(t), "[[1,2,3]]", scoring.Options{}, &rows.JSONError{Reason: rows.WrongWidth}, 0},
		"a name is missing":  {sum(t), `{"f0":1}`, scoring.Options{}, &rows.JSONError{Reason: rows.MissingKey}, 0},
		"a name twice":       {sum(t), `{"f0":1,"f0":1}`, scoring.Options{}, &rows.JSONError{Reason: rows.Malformed}, 0},
		"text":               {sum(t), `[1,"2"]`, scoring.Options{}, &model.InputError{Fault: model.WrongKind, Column: 1, Name: "f1"}, 0},
		"nested":             {sum(t), `[1,[2]]`, scoring.Options{}, &rows.JSONError{Reason: rows.WrongType, Place: "[1]"}, 0},
		"no row":             {sum(t), "[[1,2],3]", scoring.Options{}, rows.ErrNoRow, 1},
		"cut off in a row":   {sum(t), "[1,2]\n[1", scoring.Options{}, nil, 1},
		"cut off in a text":  {sum(t), "[1,2]\n\"ab", scoring.Options{}, rows.ErrNoRow, 1},
		"array not closed":   {sum(t), "[[1,2]", scoring.Options{}, nil, 1},
		"something after":    {sum(t), "[[1,2]] 3", scoring.Options{}, rows.ErrAfter, 1},
		"malformed, later":   {sum(t), "[[1,2],\n[1,02]]", scoring.Options{}, &rows.JSONError{Reason: rows.Malformed}, 1},
		"a comma is missing": {sum(t), "[[1,2][1,2]]", scoring.Options{}, &rows.JSONError{Reason: rows.Malformed}, 1},
		"malformed":          {sum(t), "[1,2}", scoring.Options{}, &rows.JSONError{Reason: rows.Malformed}, 0},
		"not UTF-8":          {mixed(t), "[1,\"a\xff\",2]", raw, rows.ErrEncoding, 0},
		"fraction":           {mixed(t), `[1,"a",2.5]`, raw, &model.InputError{Fault: model.WrongKind, Column: 2, Name: "n"}, 0},
		"missing whole":      {mixed(t), `[1,"a",null]`, raw, &model.InputError{Fault: model.MissingValue, Column: 2, Name: "n"}, 0},
		"number for text":    {mixed(t), `[1,2,3]`, raw, &model.InputError{Fault: model.WrongKind, Column: 1, Name: "city"}, 0},
		"not for serving":    {mixed(t), `[1,"a",3]`, scoring.Options{}, onnx.ErrUnsupported, 0},
		"CSV without header": {sum(t), "1,2\n3,4\n", csv, &rows.Error{Line: 1, Name: "f0", Err: rows.ErrHeader}, 0},
		"CSV lacks a column": {sum(t), "f0,x,y\n1,2,3\n", csv, &rows.Error{Line: 1, Name: "f1", Err: rows.ErrMissingColumn}, 0},
		"CSV column twice":   {sum(t), "f0,f1,f1\n1,2,3\n", csv, &rows.Error{Line: 1, Name: "f1", Err: rows.ErrRepeated}, 0},
		"CSV is empty":       {sum(t), "", csv, &rows.Error{Line: 1, Err: rows.ErrHeader}, 0},
		"CSV text":           {sum(t), "f0,f1\n1,2\n1,x\n", csv, &rows.Error{Line: 3, Column: 2, Name: "f1", Err: rows.ErrNotNumber}, 1},
		"CSV quotes":         {sum(t), "f0,f1\n1,2\n\"\n", csv, &rows.Error{Line: 3, Column: 1, Err: rows.ErrSyntax}, 1},
		"CSV ragged":         {sum(t), "f0,f1\n1,2\n1\n", csv, &rows.Error{Line: 3, Err: rows.ErrWidth}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := score(t, c.model, c.in, c.options)
			requireFault(t, c.want, err)
			require.NotContains(t, err.Error(), "\n")
			require.Equal(t, c.written, strings.Count(out, "\n"), out)
			messages.Add(name, err)
		})
	}
}

// More rows than a batch holds, in both formats, come out in order; fast and
// plain evaluation say the same.
func TestScoreManyRows(t *testing.T) {
	const rows = 5000
	var in, csv, want strings.Builder
	csv.WriteString("f0,f1\n")
	for i := range rows {
		line := strconv.Itoa(i)
		in.WriteString("[" + line + ",0]\n")
		csv.WriteString(line + ",0\n")
		want.WriteString(`{"value":` + line + "}\n")
	}
	out, err := score(t, sum(t), in.String(), scoring.Options{})
	require.NoError(t, err)
	require.Equal(t, want.String(), out)
	out, err = score(t, sum(t), csv.String(), scoring.Options{Format: scoring.CSV})
	require.NoError(t, err)
	require.Equal(t, want.String(), out)
}

// A row on a pipe is answered before the next one is written.
func TestScoreAnswersAtOnce(t *testing.T) {
	rowsIn, rowsOut := io.Pipe()
	answersIn, answersOut := io.Pipe()
	finished := make(chan error, 1)
	m := sum(t)
	go func() {
		_, err := scoring.Score(t.Context(), m, rowsIn, answersOut, scoring.Options{})
		finished <- err
	}()
	for _, row := range []string{"[1,2]\n", "[1,2]\n"} {
		_, err := rowsOut.Write([]byte(row))
		require.NoError(t, err)
		answer := make([]byte, len("{\"value\":21}\n"))
		_, err = io.ReadFull(answersIn, answer)
		require.NoError(t, err)
		require.Equal(t, "{\"value\":21}\n", string(answer))
	}
	require.NoError(t, rowsOut.Close())
	select {
	case err := <-finished:
		require.NoError(t, err)
	case <-time.After(10 * time.Second):
		require.Fail(t, "the end of the input was not noticed")
	}
}

func TestCheck(t *testing.T) {
	in, out := []onnx.ValueInfo{floats("x", 2)}, []onnx.ValueInfo{floats("y", 1)}
	regressor := onnx.Node{
		Domain: onnx.DomainML, Operator: "LinearRegressor", Inputs: []string{"x"}, Outputs: []string{"y"},
		Attributes: []onnx.Attribute{onnx.FloatsAttribute("coefficients", 1, 10), onnx.IntAttribute("targets", 1)},
	}
	r, err := scoring.Check(t.Context(), nil, model.Files{ONNX: file(in, out, regressor), Example: []byte(`{"columns":["a","b"],"data":[[1,2],[3,null]]}`)})
	require.NoError(t, err)
	require.Empty(t, r.Missing)
	require.NoError(t, r.Refusal)
	require.True(t, r.Fast, r.Why)
	require.Positive(t, r.PerRow)
	require.Positive(t, r.PerBatch)
	require.Equal(t, 2, r.Example.Rows)
	require.NoError(t, r.Example.Err)

	r, err = scoring.Check(t.Context(), nil, model.Files{ONNX: file(in, out, regressor), Example: []byte(`[[1,2,3]]`)})
	require.NoError(t, err)
	requireFault(t, &rows.JSONError{Reason: rows.WrongWidth}, r.Example.Err)
	golden.New(t).Add("input example", r.Example.Err)

	strange := onnx.Node{Operator: "LSTM", Inputs: []string{"x"}, Outputs: []string{"y"}}
	r, err = scoring.Check(t.Context(), nil, model.Files{ONNX: file(in, out, strange)})
	require.NoError(t, err)
	require.Len(t, r.Missing, 1)
	require.Contains(t, r.Missing[0], "LSTM")

	_, err = scoring.Check(t.Context(), nil, model.Files{ONNX: []byte("no model")})
	require.ErrorIs(t, err, onnx.ErrInvalid)
}
