package httpapi_test

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/tests/testenv/golden"
)

// large is the first whole number that float64 does not hold.
const large = 1<<53 + 1

// exact is a model of one whole number: it says "exact" for large, and "changed" for
// the numbers beside it.
func exact() mlmodel.Dir {
	graph := &onnx.Graph{
		Name:   "exact",
		Inputs: []onnx.ValueInfo{{Name: "id", Type: onnx.TensorType(onnx.Int64, onnx.Symbolic("N"), onnx.Fixed(1))}},
		Outputs: []onnx.ValueInfo{
			{Name: "label", Type: onnx.TensorType(onnx.String, onnx.Symbolic("N"))},
			{Name: "probabilities", Type: onnx.TensorType(onnx.Float, onnx.Symbolic("N"), onnx.Fixed(2))},
		},
		Initializers: []*onnx.Tensor{onnx.NamedTensor("before", []int{1}, []int64{large - 1})},
		Nodes: []onnx.Node{
			{Operator: "Sub", Inputs: []string{"id", "before"}, Outputs: []string{"difference"}},
			{Operator: "Cast", Inputs: []string{"difference"}, Outputs: []string{"x"}, Attributes: []onnx.Attribute{onnx.IntAttribute("to", int64(onnx.Float))}},
			{Domain: onnx.DomainML, Operator: "LinearClassifier", Inputs: []string{"x"}, Outputs: []string{"label", "probabilities"}, Attributes: []onnx.Attribute{
				onnx.FloatsAttribute("coefficients", -100, 100), onnx.FloatsAttribute("intercepts", 50, -50),
				onnx.StringsAttribute("classlabels_strings", "changed", "exact"),
				onnx.StringAttribute("post_transform", "SOFTMAX"), onnx.IntAttribute("multi_class", 1),
			}},
		},
	}
	m := &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 15}, {Domain: onnx.DomainML, Version: 3}}, Graph: graph}
	return mlmodel.Dir{
		ONNX:      m.Marshal(),
		Signature: mlmodel.Signature{Inputs: []mlmodel.Column{{Name: "id", Type: mlmodel.Long}}},
	}
}

// A whole number is taken to its last digit on every face, or refused.
func TestWholeNumbersAreExact(t *testing.T) {
	f := newFixture(t)
	f.models.Store(load(t, exact(), "3"))
	n := strconv.Itoa(large)
	tensor := func(datatype, data string) string {
		return `{"inputs":[{"name":"id","shape":[1,1],"datatype":"` + datatype + `","data":[` + data + `]}],"outputs":[{"name":"label"}]}`
	}
	for _, row := range []struct{ path, contentType, body string }{
		{"/predict", "application/json", `{"features":[` + n + `]}`},
		{"/predict", "application/json", `{"instances":[{"id":` + n + `}]}`},
		{"/invocations", "application/json", `{"instances":[[` + n + `]]}`},
		{"/invocations", "application/json", `{"inputs":{"id":[` + n + `]}}`},
		{"/invocations", "application/json", `{"dataframe_records":[{"id":` + n + `}]}`},
		{"/invocations", "application/json", `{"dataframe_split":{"columns":["id"],"data":[["` + n + `"]]}}`},
		{"/invocations", "text/csv", "id\n" + n + "\n"},
		{"/v2/models/iris/infer", "application/json", tensor("INT64", n)},
		{"/v2/models/iris/infer", "application/json", tensor("UINT64", n)},
	} {
		a := f.post(t, row.path, row.contentType, row.body)
		require.Equal(t, 200, a.status, "%s: %s", row.body, a.body)
		assert.Contains(t, a.body, `"exact"`, row.body)
	}
	head := `{"inputs":[{"name":"id","shape":[1],"datatype":"INT64","parameters":{"binary_data_size":8}}]}`
	a := f.do(t, http.MethodPost, "/v2/models/iris/infer", head+string(binary.LittleEndian.AppendUint64(nil, large)),
		"Authorization", "Bearer "+f.token, "Inference-Header-Content-Length", strconv.Itoa(len(head)))
	require.Equal(t, 200, a.status, a.body)
	assert.Contains(t, a.body, `"exact"`)

	for _, row := range []struct{ path, body string }{
		{"/predict", `{"features":[` + n + `.0]}`},
		{"/predict", `{"features":[9007199254740993e0]}`},
		{"/invocations", `{"instances":[[9223372036854775808]]}`},
		{"/v2/models/iris/infer", tensor("FP64", n)},
		{"/v2/models/iris/infer", tensor("UINT64", "18446744073709551615")},
	} {
		a := f.post(t, row.path, "application/json", row.body)
		switch {
		case a.status == 200:
			assert.Contains(t, a.body, `"exact"`, "%s is neither refused nor exact", row.body)
		case row.path == "/predict":
			assert.Equal(t, 422, a.status, row.body)
		default:
			assert.Equal(t, 400, a.status, row.body)
		}
	}
}

// A datatype has the numbers that it has.
func TestDatatypesHoldTheirNumbers(t *testing.T) {
	f := newFixture(t)
	messages := golden.New(t)
	ask := func(datatype, value string) answer {
		return f.post(t, "/v2/models/iris/infer", "application/json",
			fmt.Sprintf(`{"inputs":[{"name":"features","shape":[1,4],"datatype":%q,"data":[1,1,%s,1]}]}`, datatype, value))
	}
	for datatype, values := range map[string]string{
		"INT8": "-128 127 5.0 1e2", "INT16": "-32768 32767", "INT32": "-2147483648 2147483647", "INT64": "-9223372036854775808 9223372036854775807",
		"UINT8": "0 255", "UINT16": "65535", "UINT32": "4294967295", "UINT64": "18446744073709551615", "FP32": "5.1", "FP64": "1e-300",
	} {
		for value := range strings.FieldsSeq(values) {
			a := ask(datatype, value)
			assert.Equal(t, 200, a.status, "%s %s: %s", datatype, value, a.body)
		}
	}
	for datatype, values := range map[string]string{
		"INT8": "500 128 -129 0.5", "INT16": "32768 -32769 1.5", "INT32": "2147483648 -2147483649 1e10", "INT64": "5.1 9223372036854775808 -9223372036854775809 1e30",
		"UINT8": "-5 256 0.1", "UINT16": "65536 -1", "UINT32": "4294967296 -1", "UINT64": "-1 18446744073709551616 0.5", "FP32": "1e39", "FP64": "1e309 1e39",
	} {
		for value := range strings.FieldsSeq(values) {
			a := ask(datatype, value)
			require.Equal(t, 400, a.status, "%s %s: %s", datatype, value, a.body)
			err := inferenceError(t, a)
			require.ErrorContains(t, err, "inputs[0].data[2]", "%s %s", datatype, value)
			messages.Add(datatype+" "+value, err)
		}
	}
}

// What Python's json writes for numbers that JSON does not have is told with its
// place, as everything else.
func TestBareNaN(t *testing.T) {
	f := newFixture(t)
	messages := golden.New(t)
	for _, word := range []string{"NaN", "Infinity", "-Infinity"} {
		for name, row := range map[string]struct{ path, body, place string }{
			"a row":         {"/predict", `{"features":[1,2,%s,4]}`, "body.features[2]"},
			"by name":       {"/predict", `{"features":{"petal_width":%s}}`, "body.features.petal_width"},
			"a split":       {"/invocations", `{"dataframe_split":{"columns":["sepal_length","sepal_width","petal_length","petal_width"],"data":[[1,2,3,4],[1,%s,3,4]]}}`, "body.dataframe_split.data[1][1]"},
			"a record":      {"/invocations", `{"dataframe_records":[{"sepal_length":%s}]}`, "body.dataframe_records[0].sepal_length"},
			"instances":     {"/invocations", `{"instances":[[1,2,3,%s]]}`, "body.instances[0][3]"},
			"a column":      {"/invocations", `{"inputs":{"sepal_width":[1,%s]}}`, "body.inputs.sepal_width[1]"},
			"one value":     {"/invocations", `{"inputs":{"sepal_width":%s}}`, "body.inputs.sepal_width"},
			"the whole":     {"/invocations", `{"instances":%s}`, "body.instances"},
			"a tensor":      {"/v2/models/iris/infer", `{"inputs":[{"name":"features","shape":[1,4],"datatype":"FP32","data":[1,2,%s,4]}]}`, "inputs[0].data[2]"},
			"nested values": {"/v2/models/iris/infer", `{"inputs":[{"name":"features","shape":[1,4],"datatype":"FP32","data":[[1,2,%s,4]]}]}`, "inputs[0].data[2]"},
		} {
			a := f.post(t, row.path, "application/json", fmt.Sprintf(row.body, word))
			assert.Contains(t, []int{400, 422}, a.status, name)
			assert.Contains(t, a.body, row.place+": ", "%s: %s", name, word)
			if row.path == "/invocations" {
				messages.Add(name+" "+word, invocationsError(t, a))
			}
		}
	}
	const other = `{"dataframe_split":{"columns":["id","sepal_length","sepal_width","petal_length","petal_width"],"data":[[NaN,1,2,3,4]]},"params":{"x":-Infinity}}`
	assert.Equal(t, 200, f.post(t, "/invocations", "application/json", other).status, "what nobody reads may be anything")
}
