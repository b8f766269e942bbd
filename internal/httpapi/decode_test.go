package httpapi

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/model"
)

func TestDecodePredictAccepts(t *testing.T) {
	nan := math.NaN()
	for _, row := range []struct {
		name, body string
		want       request
	}{
		{"one row", `{"features":[5.1,3.5,1.4,0.2]}`, request{rows: []instance{{values: []float64{5.1, 3.5, 1.4, .2}}}}},
		{"white space", " \t\r\n{ \"features\" : [ 1 , 2 ] } \n", request{rows: []instance{{values: []float64{1, 2}}}}},
		{"numbers", `{"features":[0,-0.5,1e3,1E-2,12.5e+1,1e-400]}`, request{rows: []instance{{values: []float64{0, -.5, 1000, .01, 125, 0}}}}},
		{"null is missing", `{"features":[null,1]}`, request{rows: []instance{{values: []float64{nan, 1}}}}},
		{"no values", `{"features":[]}`, request{rows: []instance{{values: []float64{}}}}},
		{"by name", `{"features":{"b":2,"a":1}}`, request{rows: []instance{{names: []string{"b", "a"}, values: []float64{2, 1}}}}},
		{"escaped name", `{"features":{"\u00e9\ud83c\udf38\n\/":1}}`, request{rows: []instance{{names: []string{"é🌸\n/"}, values: []float64{1}}}}},
		{"escaped key", `{"f\u0065atures":[1]}`, request{rows: []instance{{values: []float64{1}}}}},
		{"many", `{"instances":[[1],{"a":2}]}`, request{many: true, rows: []instance{{values: []float64{1}}, {names: []string{"a"}, values: []float64{2}}}}},
		{"none of many", `{"instances":[]}`, request{many: true, rows: []instance{}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, fault := decodePredict([]byte(row.body))
			require.Nil(t, fault)
			require.Len(t, got.rows, len(row.want.rows))
			for i, want := range row.want.rows {
				assert.Equal(t, want.names, got.rows[i].names)
				require.Len(t, got.rows[i].values, len(want.values))
				for j, v := range want.values {
					if math.IsNaN(v) {
						assert.True(t, math.IsNaN(got.rows[i].values[j]))
					} else {
						assert.Equal(t, v, got.rows[i].values[j])
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
		reason     rejectReason
		location   string
	}{
		{"nothing", ``, rejectMalformed, "body"},
		{"only space", `  `, rejectMalformed, "body"},
		{"byte order mark", "\xef\xbb\xbf{}", rejectMalformed, "body"},
		{"invalid UTF-8", "{\"features\":[1],\"\xff\":2}", rejectMalformed, "body"},
		{"an array", `[1,2,3,4]`, rejectWrongType, "body"},
		{"null", `null`, rejectMissingValue, "body"},
		{"neither key", `{}`, rejectMissingKey, "body"},
		{"wrong case", `{"FEATURES":[1]}`, rejectUnknownKey, "body"},
		{"unknown key after", `{"features":[1],"model":"x"}`, rejectUnknownKey, "body"},
		{"the same key twice", `{"features":[1],"features":[2]}`, rejectMalformed, "body"},
		{"the same key twice, once escaped", `{"features":[1],"\u0066eatures":[2]}`, rejectMalformed, "body"},
		{"both keys", `{"features":[1],"instances":[[2]]}`, rejectMalformed, "body"},
		{"a name twice", `{"features":{"a":1,"a":2}}`, rejectMalformed, "body.features"},
		{"something after", `{"features":[1]} 1`, rejectMalformed, "body"},
		{"a second object", `{"features":[1]}{"features":[1]}`, rejectMalformed, "body"},
		{"features null", `{"features":null}`, rejectMissingValue, "body.features"},
		{"features a number", `{"features":1}`, rejectWrongType, "body.features"},
		{"features a string", `{"features":"1,2"}`, rejectWrongType, "body.features"},
		{"a broken string in a row", `{"features":[1,"\x"]}`, rejectMalformed, "body"},
		{"an array in a row", `{"features":[[1,2]]}`, rejectWrongType, "body.features[0]"},
		{"an object in a row", `{"features":[{}]}`, rejectWrongType, "body.features[0]"},
		{"NaN", `{"features":[NaN]}`, rejectMalformed, "body.features[0]"},
		{"Infinity", `{"features":[1,Infinity]}`, rejectMalformed, "body.features[1]"},
		{"-Infinity", `{"features":[-Infinity]}`, rejectMalformed, "body"},
		{"beyond float64", `{"features":[1,2,1e309]}`, rejectOutOfRange, "body.features[2]"},
		{"a leading zero", `{"features":[01]}`, rejectMalformed, "body"},
		{"a leading plus", `{"features":[+1]}`, rejectMalformed, "body"},
		{"no digits after the point", `{"features":[1.]}`, rejectMalformed, "body"},
		{"no digits before the point", `{"features":[.5]}`, rejectMalformed, "body"},
		{"hexadecimal", `{"features":[0x10]}`, rejectMalformed, "body"},
		{"an underscore", `{"features":[1_000]}`, rejectMalformed, "body"},
		{"no digits of the exponent", `{"features":[1e]}`, rejectMalformed, "body"},
		{"a comma at the end", `{"features":[1,]}`, rejectMalformed, "body"},
		{"no comma", `{"features":[1 2]}`, rejectMalformed, "body"},
		{"a comma after the last member", `{"features":[1],}`, rejectMalformed, "body"},
		{"cut off", `{"features":[1,2`, rejectMalformed, "body"},
		{"single quotes", `{'features':[1]}`, rejectMalformed, "body"},
		{"a comment", `{"features":[1]}//`, rejectMalformed, "body"},
		{"half a surrogate pair", `{"features":{"\ud83c":1}}`, rejectMalformed, "body"},
		{"a control character in a name", "{\"features\":{\"a\nb\":1}}", rejectMalformed, "body"},
		{"an unknown escape", `{"features":{"\x41":1}}`, rejectMalformed, "body"},
		{"deep nesting", `{"features":` + strings.Repeat("[", 20000), rejectWrongType, "body.features[0]"},
		{"deep nesting of objects", `{"features":` + strings.Repeat(`{"a":`, 20000), rejectWrongType, "body.features"},
		{"instances null", `{"instances":null}`, rejectMissingValue, "body.instances"},
		{"instances an object", `{"instances":{"a":1}}`, rejectWrongType, "body.instances"},
		{"a row null", `{"instances":[[1],null]}`, rejectMissingValue, "body.instances[1]"},
		{"a row a number", `{"instances":[1,2]}`, rejectWrongType, "body.instances[0]"},
		{"an array in a row of many", `{"instances":[[1],[2,[]]]}`, rejectWrongType, "body.instances[1][1]"},
		{"an array by name in a row of many", `{"instances":[[1],{"a":[]}]}`, rejectWrongType, "body.instances[1]"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, fault := decodePredict([]byte(row.body))
			require.NotNil(t, fault)
			assert.Equal(t, row.reason, fault.reason, fault.message)
			assert.Equal(t, row.location, fault.location, fault.message)
			assert.Less(t, len(fault.message), 200)
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
		got, fault := decodePredict(body)
		if fault != nil {
			require.NotEmpty(t, fault.message)
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
				for _, name := range got.rows[i].names {
					v, ok := row[name]
					require.True(t, ok)
					want = append(want, v)
				}
			}
			require.Len(t, got.rows[i].values, len(want))
			cells := got.rows[i].cells
			if cells == nil {
				cells = widen(nil, got.rows[i].values)
			}
			for j, v := range want {
				switch v := v.(type) {
				case nil:
					require.True(t, cells[j].IsMissing())
				case string:
					require.Equal(t, model.Cell{Kind: model.Text, Text: v}, cells[j])
				case bool:
					require.Equal(t, model.Boolean, cells[j].Kind)
					require.Equal(t, v, cells[j].Number != 0)
				default:
					require.Equal(t, v, cells[j].Number)
				}
			}
		}
	})
}
