package native

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/httpapi/problem"
	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/predict"
	"github.com/petal-ml/petal/internal/rows"
)

// request is a body as it was read.
type request struct {
	many bool
	rows []rows.Row
}

// Add keeps a copy of a row.
func (r *request) Add(row *rows.Row) error {
	c := rows.Row{Values: append([]float64{}, row.Values...), Cells: slices.Clone(row.Cells)}
	if row.Names != nil {
		c.Names = append([]string{}, row.Names...)
	}
	r.rows = append(r.rows, c)
	return nil
}

// Column knows none.
func (r *request) Column(string) (int, bool) { return 0, false }

func read(body []byte) (request, *problem.Problem) {
	r := request{rows: []rows.Row{}}
	many, err := decodePredict(body, &r)
	r.many = many
	if err != nil {
		return r, problem.Of(err)
	}
	return r, nil
}

func TestDecodePredictAccepts(t *testing.T) {
	nan := math.NaN()
	for _, row := range []struct {
		name, body string
		want       request
	}{
		{"one row", `{"features":[5.1,3.5,1.4,0.2]}`, request{rows: []rows.Row{{Values: []float64{5.1, 3.5, 1.4, .2}}}}},
		{"white space", " \t\r\n{ \"features\" : [ 1 , 2 ] } \n", request{rows: []rows.Row{{Values: []float64{1, 2}}}}},
		{"numbers", `{"features":[0,-0.5,1e3,1E-2,12.5e+1,1e-400]}`, request{rows: []rows.Row{{Values: []float64{0, -.5, 1000, .01, 125, 0}}}}},
		{"null is missing", `{"features":[null,1]}`, request{rows: []rows.Row{{Values: []float64{nan, 1}}}}},
		{"no values", `{"features":[]}`, request{rows: []rows.Row{{Values: []float64{}}}}},
		{"by name", `{"features":{"b":2,"a":1}}`, request{rows: []rows.Row{{Names: []string{"b", "a"}, Values: []float64{2, 1}}}}},
		{"escaped name", `{"features":{"\u00e9\ud83c\udf38\n\/":1}}`, request{rows: []rows.Row{{Names: []string{"é🌸\n/"}, Values: []float64{1}}}}},
		{"escaped key", `{"f\u0065atures":[1]}`, request{rows: []rows.Row{{Values: []float64{1}}}}},
		{"many", `{"instances":[[1],{"a":2}]}`, request{many: true, rows: []rows.Row{{Values: []float64{1}}, {Names: []string{"a"}, Values: []float64{2}}}}},
		{"none of many", `{"instances":[]}`, request{many: true, rows: []rows.Row{}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, fault := read([]byte(row.body))
			require.Nil(t, fault)
			require.Len(t, got.rows, len(row.want.rows))
			for i, want := range row.want.rows {
				assert.Equal(t, want.Names, got.rows[i].Names)
				require.Len(t, got.rows[i].Values, len(want.Values))
				for j, v := range want.Values {
					if math.IsNaN(v) {
						assert.True(t, math.IsNaN(got.rows[i].Values[j]))
					} else {
						assert.Equal(t, v, got.rows[i].Values[j])
					}
				}
			}
			assert.Equal(t, row.want.many, got.many)
		})
	}
}

func TestDecodePredictRefuses(t *testing.T) {
	for _, row := range []struct {
		name, body string
		reason     predict.Reason
		location   string
	}{
		{"nothing", ``, rows.Malformed, "body"},
		{"only space", `  `, rows.Malformed, "body"},
		{"byte order mark", "\xef\xbb\xbf{}", rows.Malformed, "body"},
		{"invalid UTF-8", "{\"features\":[1],\"\xff\":2}", rows.Malformed, "body"},
		{"an array", `[1,2,3,4]`, rows.WrongType, "body"},
		{"null", `null`, rows.MissingValue, "body"},
		{"neither key", `{}`, rows.MissingKey, "body"},
		{"wrong case", `{"FEATURES":[1]}`, predict.UnknownKey, "body"},
		{"unknown key after", `{"features":[1],"model":"x"}`, predict.UnknownKey, "body"},
		{"the same key twice", `{"features":[1],"features":[2]}`, rows.Malformed, "body"},
		{"the same key twice, once escaped", `{"features":[1],"\u0066eatures":[2]}`, rows.Malformed, "body"},
		{"both keys", `{"features":[1],"instances":[[2]]}`, rows.Malformed, "body"},
		{"a name twice", `{"features":{"a":1,"a":2}}`, rows.Malformed, "body.features"},
		{"something after", `{"features":[1]} 1`, rows.Malformed, "body"},
		{"a second object", `{"features":[1]}{"features":[1]}`, rows.Malformed, "body"},
		{"features null", `{"features":null}`, rows.MissingValue, "body.features"},
		{"features a number", `{"features":1}`, rows.WrongType, "body.features"},
		{"features a string", `{"features":"1,2"}`, rows.WrongType, "body.features"},
		{"a broken string in a row", `{"features":[1,"\x"]}`, rows.Malformed, "body"},
		{"an array in a row", `{"features":[[1,2]]}`, rows.WrongType, "body.features[0]"},
		{"an object in a row", `{"features":[{}]}`, rows.WrongType, "body.features[0]"},
		{"NaN", `{"features":[NaN]}`, rows.Malformed, "body.features[0]"},
		{"Infinity", `{"features":[1,Infinity]}`, rows.Malformed, "body.features[1]"},
		{"-Infinity", `{"features":[-Infinity]}`, rows.Malformed, "body.features[0]"},
		{"beyond float64", `{"features":[1,2,1e309]}`, rows.OutOfRange, "body.features[2]"},
		{"a leading zero", `{"features":[01]}`, rows.Malformed, "body"},
		{"a leading plus", `{"features":[+1]}`, rows.Malformed, "body"},
		{"no digits after the point", `{"features":[1.]}`, rows.Malformed, "body"},
		{"no digits before the point", `{"features":[.5]}`, rows.Malformed, "body"},
		{"hexadecimal", `{"features":[0x10]}`, rows.Malformed, "body"},
		{"an underscore", `{"features":[1_000]}`, rows.Malformed, "body"},
		{"no digits of the exponent", `{"features":[1e]}`, rows.Malformed, "body"},
		{"a comma at the end", `{"features":[1,]}`, rows.Malformed, "body"},
		{"no comma", `{"features":[1 2]}`, rows.Malformed, "body"},
		{"a comma after the last member", `{"features":[1],}`, rows.Malformed, "body"},
		{"cut off", `{"features":[1,2`, rows.Malformed, "body"},
		{"single quotes", `{'features':[1]}`, rows.Malformed, "body"},
		{"a comment", `{"features":[1]}//`, rows.Malformed, "body"},
		{"half a surrogate pair", `{"features":{"\ud83c":1}}`, rows.Malformed, "body"},
		{"a control character in a name", "{\"features\":{\"a\nb\":1}}", rows.Malformed, "body"},
		{"an unknown escape", `{"features":{"\x41":1}}`, rows.Malformed, "body"},
		{"deep nesting", `{"features":` + strings.Repeat("[", 20000), rows.WrongType, "body.features[0]"},
		{"deep nesting of objects", `{"features":` + strings.Repeat(`{"a":`, 20000), rows.WrongType, "body.features"},
		{"instances null", `{"instances":null}`, rows.MissingValue, "body.instances"},
		{"instances an object", `{"instances":{"a":1}}`, rows.WrongType, "body.instances"},
		{"a row null", `{"instances":[[1],null]}`, rows.MissingValue, "body.instances[1]"},
		{"a row a number", `{"instances":[1,2]}`, rows.WrongType, "body.instances[0]"},
		{"an array in a row of many", `{"instances":[[1],[2,[]]]}`, rows.WrongType, "body.instances[1][1]"},
		{"an array by name in a row of many", `{"instances":[[1],{"a":[]}]}`, rows.WrongType, "body.instances[1]"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, fault := read([]byte(row.body))
			require.NotNil(t, fault)
			assert.Equal(t, row.reason, fault.Rejected, fault.Detail)
			assert.Equal(t, row.location, fault.Fields[0].Location, fault.Detail)
			assert.Less(t, len(fault.Fields[0].Message), 200)
		})
	}
}

// Whatever is accepted is JSON that the standard library reads alike; nothing
// panics.
func FuzzDecodePredict(f *testing.F) {
	for _, seed := range []string{
		`{"features":[5.1,3.5,1.4,0.2]}`, `{"features":{"a":1,"\u00e9":null}}`, `{"instances":[[1,2],{"a":-1e-5}]}`,
		`{"features":[1e309]}`, `{"features":`, "{\"features\":[1],\"\xff\":2}", `{"features":[[[[`, `{"\ud83c\udf38":1}`,
		`{"features":[1,"Lyon",true,null]}`, `{"instances":[{"a":"","b":false}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, fault := read(body)
		if fault != nil {
			require.NotEmpty(t, fault.Detail)
			return
		}
		require.True(t, json.Valid(body), "accepted what is no JSON")
		var wire struct {
			Features  any `json:"features"`
			Instances any `json:"instances"`
		}
		require.NoError(t, json.Unmarshal(body, &wire))
		rows := []any{wire.Features}
		if got.many {
			rows, _ = wire.Instances.([]any)
		}
		require.Len(t, got.rows, len(rows))
		for i, row := range rows {
			var want []any
			switch row := row.(type) {
			case []any:
				want = row
			case map[string]any:
				for _, name := range got.rows[i].Names {
					v, ok := row[name]
					require.True(t, ok)
					want = append(want, v)
				}
			}
			require.Len(t, got.rows[i].Values, len(want))
			for j, v := range want {
				switch v := v.(type) {
				case nil:
					require.True(t, got.rows[i].Cell(j).IsMissing())
				case string:
					require.Equal(t, model.Cell{Kind: model.Text, Text: v}, got.rows[i].Cell(j))
				case bool:
					require.Equal(t, model.Boolean, got.rows[i].Cell(j).Kind)
					require.Equal(t, v, got.rows[i].Cell(j).Number != 0)
				default:
					require.Equal(t, v, got.rows[i].Cell(j).Number)
				}
			}
		}
	})
}
