package httpapi_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/tests/testenv/golden"
	"github.com/petal-ml/petal/tests/testenv/servingtest"
)

func (f *fixture) post(t *testing.T, path, contentType, body string) answer {
	t.Helper()
	return f.do(t, http.MethodPost, path, body, "Authorization", "Bearer "+f.token, "Content-Type", contentType)
}

const wantRecords = `{"predictions":[{"label":2,"probabilities":{"0":0.0,"1":0.0,"2":1.0}},{"label":0,"probabilities":{"0":1.0,"1":0.0,"2":0.0}}]}`

// All forms of the same two rows give the same answer.
func TestInvocations(t *testing.T) {
	f := newFixture(t)
	f.models.Store(load(t, servingtest.IrisLabelled(t, onnx.Labels{Ints: []int64{0, 1, 2}}), "7"))
	const a = `{"sepal_length":1,"sepal_width":1,"petal_length":1000,"petal_width":1000}`
	const b = `{"petal_width":-1000,"sepal_length":"1","sepal_width":1.0,"petal_length":-1000,"extra":{"x":[true,null,"y"]}}`
	for _, row := range []struct{ name, contentType, body string }{
		{"split", "application/json", `{"dataframe_split":{"columns":["sepal_length","sepal_width","petal_length","petal_width"],"index":[7,"x"],"data":[[1,1,1000,1000],[1,1,-1000,-1000]]}}`},
		{"split, data first, columns in another order and one more", "application/json", `{"dataframe_split":{"data":[[1000,"zzz",1000,1,1],[-1000,null,-1000,1,1]],"columns":["petal_length","id","petal_width","sepal_width","sepal_length"]}}`},
		{"split without columns", "application/json", `{"dataframe_split":{"data":[[1,1,1000,1000],[1,1,-1000,-1000]]}}`},
		{"records", "application/json", `{"dataframe_records":[` + a + `,` + b + `]}`},
		{"instances, objects", "application/json; charset=utf-8", `{"instances":[` + a + `,` + b + `],"params":{"x":[1]}}`},
		{"instances, arrays", "application/json", `{"instances":[[1,1,1000,1000],[1,1,-1000,-1000]]}`},
		{"inputs, arrays", "application/json", ` {"inputs":[[1,1,1000,1000],[1,1,-1000,-1000]]} `},
		{"inputs, objects", "application/json", `{"inputs":[` + a + `,` + b + `]}`},
		{"inputs, columns", "application/json", `{"inputs":{"sepal_length":[1,1],"sepal_width":[1,"1"],"zzz":"x","petal_length":[1000,-1000],"petal_width":[1e3,-1e3]}}`},
		{"CSV", "text/csv", "sepal_length,sepal_width,petal_length,petal_width\n1,1,1000,1000\n1,1,-1000,-1e3\n"},
		{"CSV, CRLF, quotes, more columns", "text/csv; charset=UTF-8", "id,\"petal_width\",sepal_length,sepal_width,petal_length\r\na,1000,1,1,1000\r\n,-1000, 1 ,1,-1000\r\n"},
		{"CSV, CR alone", "text/csv", "sepal_length,sepal_width,petal_length,petal_width\r1,1,1000,1000\r1,1,-1000,-1e3\r"},
		{"CSV, numbers as others write them", "text/csv", "sepal_length,sepal_width,petal_length,petal_width\n1.,+1,01000,1000\n1,.1e1,-1000,-1e3\n"},
		{"CSV, names twice and quotes among other columns", "text/csv", "x,sepal_length,x,sepal_width,petal_length,petal_width\n5'3\",1,a\"b,1,1000,1000\n,1,,1,-1000,-1e3\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := f.post(t, "/invocations", row.contentType, row.body)
			require.Equal(t, 200, got.status, got.body)
			assert.Equal(t, wantRecords+"\n", got.body) //nolint:testifylint // the bytes are what is promised
		})
	}
	one := f.post(t, "/invocations", "application/json", `{"inputs":{"sepal_length":1,"sepal_width":1,"petal_length":1000,"petal_width":1000}}`)
	assert.Equal(t, `{"predictions":[{"label":2,"probabilities":{"0":0.0,"1":0.0,"2":1.0}}]}`+"\n", one.body) //nolint:testifylint // the bytes are what is promised
	none := f.post(t, "/invocations", "application/json", `{"dataframe_split":{"columns":["sepal_length"],"data":[]}}`)
	assert.Equal(t, `{"predictions":[]}`+"\n", none.body) //nolint:testifylint // the bytes are what is promised

	assert.Equal(t, "\n", f.do(t, http.MethodGet, "/ping", "").body)
	assert.NotEmpty(t, f.do(t, http.MethodGet, "/version", "").body)
	f.models.Store(nil)
	assert.Equal(t, 503, f.do(t, http.MethodGet, "/ping", "").status)
}

// An invocationError is an answer of /invocations that refuses.
type invocationError struct {
	Code    string `json:"error_code"`
	Message string
}

func (e invocationError) Error() string { return e.Message }

func invocationsError(t *testing.T, a answer) invocationError {
	t.Helper()
	require.Equal(t, "application/json", a.header.Get("Content-Type"))
	var e invocationError
	require.NoError(t, json.Unmarshal([]byte(a.body), &e))
	return e
}

func TestInvocationsRefused(t *testing.T) {
	f := newFixture(t)
	messages := golden.New(t)
	for _, row := range []struct {
		name, contentType, body string
		status                  int
		code                    string
	}{
		{"two fields", "application/json", `{"instances":[],"inputs":[]}`, 400, "BAD_REQUEST"},
		{"none", "application/json", `{"zzz":1}`, 400, "BAD_REQUEST"},
		{"a list", "application/json", `[1]`, 400, "INVALID_PARAMETER_VALUE"},
		{"broken", "application/json", `{"instances":[[1,`, 400, "BAD_REQUEST"},
		{"something after", "application/json", `{"instances":[]}zzz`, 400, "BAD_REQUEST"},
		{"nothing", "application/json", ` `, 400, "BAD_REQUEST"},
		{"deep", "application/json", `{"zzz":` + strings.Repeat("[", 2000), 400, "BAD_REQUEST"},
		{"a missing column", "application/json", `{"dataframe_records":[{"sepal_length":1}]}`, 400, "INVALID_PARAMETER_VALUE"},
		{"null", "application/json", `{"instances":[[1,1,null,1]]}`, 400, "INVALID_PARAMETER_VALUE"},
		{"text", "application/json", `{"instances":[[1,1,"zzz",1]]}`, 400, "INVALID_PARAMETER_VALUE"},
		{"true", "application/json", `{"instances":[[1,1,true,1]]}`, 400, "INVALID_PARAMETER_VALUE"},
		{"too large a number", "application/json", `{"instances":[[1,1,1e39,1]]}`, 400, "INVALID_PARAMETER_VALUE"},
		{"NaN as text", "application/json", `{"instances":[[1,1,"NaN",1]]}`, 400, "INVALID_PARAMETER_VALUE"},
		{"hexadecimal", "application/json", `{"instances":[[1,1,"0x10",1]]}`, 400, "INVALID_PARAMETER_VALUE"},
		{"three values", "application/json", `{"instances":[[1,1,1]]}`, 400, "INVALID_PARAMETER_VALUE"},
		{"a row too short for the columns", "application/json", `{"dataframe_split":{"columns":["sepal_length","sepal_width","petal_length","petal_width"],"data":[[1]]}}`, 400, "INVALID_PARAMETER_VALUE"},
		{"columns of two lengths", "application/json", `{"inputs":{"sepal_length":[1],"sepal_width":[1,2],"petal_length":[1],"petal_width":[1]}}`, 400, "INVALID_PARAMETER_VALUE"},
		{"no known column", "application/json", `{"inputs":{"zzz":[1]}}`, 400, "INVALID_PARAMETER_VALUE"},
		{"a column twice", "application/json", `{"dataframe_split":{"columns":["sepal_length","sepal_length"],"data":[]}}`, 400, "BAD_REQUEST"},
		{"CSV without a header", "text/csv", "5.1,3.5,1.4,0.2\n", 400, "INVALID_PARAMETER_VALUE"},
		{"CSV, a column is missing", "text/csv", "sepal_length,sepal_width,petal_length,zzz\n1,2,3,4\n", 400, "INVALID_PARAMETER_VALUE"},
		{"CSV, ragged", "text/csv", "sepal_length,sepal_width,petal_length,petal_width\n1,2,3\n", 400, "BAD_REQUEST"},
		{"CSV, an empty cell", "text/csv", "sepal_length,sepal_width,petal_length,petal_width\n1,,3,4\n", 400, "INVALID_PARAMETER_VALUE"},
		{"CSV, a bare quote", "text/csv", "sepal_length,sepal_width,petal_length,petal_width\n\"", 400, "BAD_REQUEST"},
		{"CSV, text", "text/csv", "sepal_length,sepal_width,petal_length,petal_width\n1,zzz,3,4\n", 400, "INVALID_PARAMETER_VALUE"},
		{"CSV, empty", "text/csv", "", 400, "BAD_REQUEST"},
		{"CSV, NA", "text/csv", "sepal_length,sepal_width,petal_length,petal_width\n1,NA,3,4\n", 400, "INVALID_PARAMETER_VALUE"},
		{"CSV, infinite", "text/csv", "sepal_length,sepal_width,petal_length,petal_width\n1,-inf,3,4\n", 400, "INVALID_PARAMETER_VALUE"},
		{"CSV, a column twice", "text/csv", "sepal_length,sepal_width,petal_length,petal_width,sepal_length\n1,2,3,4,5\n", 400, "BAD_REQUEST"},
		{"another type", "text/plain", "x", 415, "BAD_REQUEST"},
		{"another charset", "application/json; charset=latin1", `{}`, 415, "BAD_REQUEST"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := f.post(t, "/invocations", row.contentType, row.body)
			require.Equal(t, row.status, got.status, got.body)
			e := invocationsError(t, got)
			assert.Equal(t, row.code, e.Code, got.body)
			assert.NotEmpty(t, e.Message)
			messages.Add(row.name, e)
			assert.NotContains(t, got.body, "zzz", "the answer repeats what was sent")
		})
	}
	for body, place := range map[string]string{"\"": "line 2, column 1", "1,2,\"zzz,4": "line 2, column 3", "1,2\n": "line 2", "1,2,3,zzz": "line 2, column 4"} {
		got := f.post(t, "/invocations", "text/csv", "sepal_length,sepal_width,petal_length,petal_width\n"+body)
		require.Equal(t, 400, got.status, got.body)
		assert.Contains(t, got.body, place, body)
	}
	no := f.do(t, http.MethodPost, "/invocations", "{", "Content-Type", "application/json")
	require.Equal(t, 401, no.status)
	assert.Contains(t, no.body, `"error_code":"UNAUTHENTICATED"`)
	assert.Equal(t, `Bearer realm="petal"`, no.header.Get("WWW-Authenticate"))
	assert.Equal(t, 405, f.do(t, http.MethodGet, "/invocations", "").status)
}

func TestInference(t *testing.T) {
	f := newFixture(t)
	f.models.Store(load(t, servingtest.Constant(t, 1), "7"))
	const tail = `"outputs":[{"name":"label","datatype":"BYTES","shape":[2],"data":["versicolor","versicolor"]},` +
		`{"name":"probabilities","datatype":"FP32","shape":[2,3],"data":[0.0,1.0,0.0,0.0,1.0,0.0]}]}`
	for _, row := range []struct{ name, path, body, want string }{
		{
			"flat", "/v2/models/iris/infer", `{"id":"42","inputs":[{"name":"features","shape":[2,4],"datatype":"FP64","data":[1,2,3,4,5,6,7,8]}]}`,
			`{"model_name":"iris","model_version":"7","id":"42",` + tail,
		},
		{
			"nested, by version", "/v2/models/iris/versions/7/infer", `{"inputs":[{"name":"features","shape":[2,4],"datatype":"INT32","data":[[1,2,3,4],[5,6,7,8]]}],"parameters":{"priority":[1]}}`,
			`{"model_name":"iris","model_version":"7",` + tail,
		},
		{
			"a tensor a feature", "/v2/models/iris/infer", `{"inputs":[{"name":"petal_width","shape":[1],"datatype":"FP32","data":[1]},{"name":"sepal_width","shape":[1,1],"datatype":"FP32","data":[1]},
			{"name":"petal_length","shape":[1],"datatype":"UINT8","data":[1]},{"name":"sepal_length","shape":[1],"datatype":"FP32","data":[1]}],"outputs":[{"name":"label"}]}`,
			`{"model_name":"iris","model_version":"7","outputs":[{"name":"label","datatype":"BYTES","shape":[1],"data":["versicolor"]}]}`,
		},
		{
			"null for what is absent", "/v2/models/iris/infer", `{"id":null,"parameters":null,"inputs":[{"name":"features","shape":[2,4],"datatype":"FP32","parameters":null,"data":[1,2,3,4,5,6,7,8]}],"outputs":null,"x":null}`,
			`{"model_name":"iris","model_version":"7",` + tail,
		},
		{
			"null for parameters", "/v2/models/iris/infer", `{"parameters":{"binary_data_output":null},"inputs":[{"name":"features","shape":[1,4],"datatype":"FP32","parameters":{"binary_data_size":null},"data":[1,2,3,4]}],"outputs":[{"name":"label","parameters":null}]}`,
			`{"model_name":"iris","model_version":"7","outputs":[{"name":"label","datatype":"BYTES","shape":[1],"data":["versicolor"]}]}`,
		},
		{
			"null for the parameters of an output", "/v2/models/iris/infer", `{"inputs":[{"name":"features","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}],"outputs":[{"name":"label","parameters":{"binary_data":null}}]}`,
			`{"model_name":"iris","model_version":"7","outputs":[{"name":"label","datatype":"BYTES","shape":[1],"data":["versicolor"]}]}`,
		},
		{
			"no rows", "/v2/models/iris/infer", `{"inputs":[{"name":"features","shape":[0,4],"datatype":"FP32","data":[]}],"outputs":[{"name":"probabilities","parameters":{"binary_data":false}}]}`,
			`{"model_name":"iris","model_version":"7","outputs":[{"name":"probabilities","datatype":"FP32","shape":[0,3],"data":[]}]}`,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := f.post(t, row.path, "application/json", row.body)
			require.Equal(t, 200, got.status, got.body)
			assert.Equal(t, row.want, got.body)
			assert.Empty(t, got.header.Get("Inference-Header-Content-Length"))
		})
	}
	for path, want := range map[string]string{
		"/v2/health/live":       `{"live":true}`,
		"/v2/health/ready":      `{"ready":true}`,
		"/v2/models/iris/ready": `{"name":"iris","ready":true}`,
		"/v2/models/iris":       `{"name":"iris","versions":["7"],"platform":"onnx","inputs":[{"name":"features","datatype":"FP32","shape":[-1,4]}],"outputs":[{"name":"label","datatype":"BYTES","shape":[-1]},{"name":"probabilities","datatype":"FP32","shape":[-1,3]}]}`,
	} {
		assert.JSONEq(t, want, f.do(t, http.MethodGet, path, "", "Authorization", "Bearer "+f.token).body, path)
	}
	messages := golden.New(t)
	for path, status := range map[string]int{
		"/v2/models/tulips": 404, "/v2/models/iris/zzz": 404, "/v2/models/iris/infer": 405, "/v2/models/iris/version": 404,
	} {
		got := f.do(t, http.MethodGet, path, "", "Authorization", "Bearer "+f.token)
		assert.Equal(t, status, got.status, path)
		messages.Add(path, inferenceError(t, got))
	}
	no := f.do(t, http.MethodGet, "/v2/models/iris", "")
	assert.Equal(t, 401, no.status)
	assert.Contains(t, no.body, `{"error":`)
}

// Tensors in binary, in and out, of every type.
func TestInferenceBinary(t *testing.T) {
	f := newFixture(t)
	f.models.Store(load(t, servingtest.IrisLabelled(t, onnx.Labels{Ints: []int64{-5, 0, 12}}), "7"))
	le := binary.LittleEndian
	row := []float64{1, 1, 100, 100}
	for name, encode := range map[string]func([]byte, float64) []byte{
		"FP32":   func(b []byte, v float64) []byte { return le.AppendUint32(b, math.Float32bits(float32(v))) },
		"FP64":   func(b []byte, v float64) []byte { return le.AppendUint64(b, math.Float64bits(v)) },
		"INT8":   func(b []byte, v float64) []byte { return append(b, byte(int8(v))) },
		"INT16":  func(b []byte, v float64) []byte { return le.AppendUint16(b, uint16(int16(v))) },
		"INT32":  func(b []byte, v float64) []byte { return le.AppendUint32(b, uint32(int32(v))) },
		"INT64":  func(b []byte, v float64) []byte { return le.AppendUint64(b, uint64(int64(v))) },
		"UINT8":  func(b []byte, v float64) []byte { return append(b, byte(v)) },
		"UINT16": func(b []byte, v float64) []byte { return le.AppendUint16(b, uint16(v)) },
		"UINT32": func(b []byte, v float64) []byte { return le.AppendUint32(b, uint32(v)) },
		"UINT64": func(b []byte, v float64) []byte { return le.AppendUint64(b, uint64(v)) },
	} {
		t.Run(name, func(t *testing.T) {
			var data []byte
			for range 2 {
				for _, v := range row {
					data = encode(data, v)
				}
			}
			head := fmt.Sprintf(`{"inputs":[{"name":"features","shape":[2,4],"datatype":%q,"parameters":{"binary_data_size":%d}}],"parameters":{"binary_data_output":true}}`, name, len(data))
			got := f.do(t, http.MethodPost, "/v2/models/iris/infer", head+string(data),
				"Authorization", "Bearer "+f.token, "Inference-Header-Content-Length", strconv.Itoa(len(head)))
			require.Equal(t, 200, got.status, got.body)
			require.Equal(t, "application/octet-stream", got.header.Get("Content-Type"))
			n, err := strconv.Atoi(got.header.Get("Inference-Header-Content-Length"))
			require.NoError(t, err)
			assert.JSONEq(t, `{"model_name":"iris","model_version":"7","outputs":[{"name":"label","datatype":"INT64","shape":[2],"parameters":{"binary_data_size":16}},
				{"name":"probabilities","datatype":"FP32","shape":[2,3],"parameters":{"binary_data_size":24}}]}`, got.body[:n])
			tail := []byte(got.body[n:])
			require.Len(t, tail, 40)
			assert.EqualValues(t, 12, le.Uint64(tail[8:]))
			assert.InDelta(t, 1, math.Float32frombits(le.Uint32(tail[36:])), 1e-6)
		})
	}
}

// inferenceError is what an answer of the Open Inference Protocol says that refuses.
func inferenceError(t *testing.T, a answer) error {
	t.Helper()
	var e map[string]string
	require.NoError(t, json.Unmarshal([]byte(a.body), &e))
	require.Len(t, e, 1)
	require.NotEmpty(t, e["error"])
	return errors.New(e["error"])
}

func TestInferenceRefused(t *testing.T) {
	f := newFixture(t)
	messages := golden.New(t)
	tensor := func(s string) string {
		return `{"inputs":[{"name":"features","shape":[1,4],"datatype":"FP32",` + s + `}]}`
	}
	for _, row := range []struct{ name, body, tail, length string }{
		{"broken", `{`, "", ""},
		{"empty", ``, "", ""},
		{"no inputs", `{}`, "", ""},
		{"no data", tensor(`"x":1`), "", ""},
		{"too few values", tensor(`"data":[1,2,3]`), "", ""},
		{"null", tensor(`"data":[1,2,3,null]`), "", ""},
		{"text", tensor(`"data":[1,2,3,"zzz"]`), "", ""},
		{"out of range", tensor(`"data":[1,2,3,1e39]`), "", ""},
		{"another width", `{"inputs":[{"name":"features","shape":[1,5],"datatype":"FP32","data":[1,2,3,4,5]}]}`, "", ""},
		{"a huge shape", `{"inputs":[{"name":"features","shape":[2147483647,4],"datatype":"FP32","data":[1]}]}`, "", ""},
		{"a negative shape", `{"inputs":[{"name":"features","shape":[-1,4],"datatype":"FP32","data":[1]}]}`, "", ""},
		{"another name", `{"inputs":[{"name":"zzz","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}]}`, "", ""},
		{"another type", `{"inputs":[{"name":"features","shape":[1,4],"datatype":"BYTES","data":[1,2,3,4]}]}`, "", ""},
		{"a feature is missing", `{"inputs":[{"name":"sepal_width","shape":[1],"datatype":"FP32","data":[1]}]}`, "", ""},
		{"a column twice", `{"inputs":[{"name":"features","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]},{"name":"sepal_width","shape":[1],"datatype":"FP32","data":[1]}]}`, "", ""},
		{"an unknown output", `{"inputs":[{"name":"features","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}],"outputs":[{"name":"zzz"}]}`, "", ""},
		{"an output twice", `{"inputs":[{"name":"features","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}],"outputs":[{"name":"label"},{"name":"label"}]}`, "", ""},
		{"binary data that end early", tensor(`"parameters":{"binary_data_size":16}`), "abcd", ""},
		{"binary data of another size", tensor(`"parameters":{"binary_data_size":15}`), strings.Repeat("a", 15), ""},
		{"binary data that nobody claims", tensor(`"data":[1,2,3,4]`), "aaaa", ""},
		{"a length beyond the body", tensor(`"data":[1,2,3,4]`), "", "9999"},
		{"a length that is none", tensor(`"data":[1,2,3,4]`), "", "zzz"},
		{"not a number", tensor(`"parameters":{"binary_data_size":16}`), strings.Repeat("\xff", 16), ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			headers := []string{"Authorization", "Bearer " + f.token, "Content-Type", "application/json"}
			length := row.length
			if row.tail != "" {
				length = strconv.Itoa(len(row.body))
			}
			if length != "" {
				headers = append(headers, "Inference-Header-Content-Length", length)
			}
			got := f.do(t, http.MethodPost, "/v2/models/iris/infer", row.body+row.tail, headers...)
			require.Equal(t, 400, got.status, got.body)
			messages.Add(row.name, inferenceError(t, got))
			assert.NotContains(t, got.body, "zzz")
		})
	}
	assert.Equal(t, 415, f.post(t, "/v2/models/iris/infer", "text/plain", "x").status)
}

// A number that stands in several forms is read as the same.
func TestInvocationsAgreeWithPredict(t *testing.T) {
	f := newFixture(t)
	var one struct {
		Probabilities map[string]float64
	}
	require.NoError(t, json.Unmarshal([]byte(f.predict(t, `{"features":[5.9,3.0,4.2,1.5]}`).body), &one))
	var records struct {
		Predictions []struct{ Probabilities map[string]float64 }
	}
	require.NoError(t, json.Unmarshal([]byte(f.post(t, "/invocations", "application/json", `{"instances":[[5.9,3.0,4.2,1.5]]}`).body), &records))
	assert.Equal(t, one.Probabilities, records.Predictions[0].Probabilities)
	metrics := f.do(t, http.MethodGet, "/metrics", "").body
	assert.Contains(t, metrics, `route="/invocations"`)
	assert.NotContains(t, metrics, "5.9")
}
