package httpapi_test

import (
	"encoding/binary"
	"encoding/json"
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

// visitors is a model with a column of each kind: it says "yes" for members, for
// people of Lyon, and for those with age + visits above 100. With strict, other
// cities than Lyon and Paris are none.
func visitors(strict bool) mlmodel.Dir {
	column := func(name string, e onnx.ElementType) onnx.ValueInfo {
		return onnx.ValueInfo{Name: name, Type: onnx.TensorType(e, onnx.Symbolic("N"), onnx.Fixed(1))}
	}
	node := func(domain, operator string, in, out []string, attributes ...onnx.Attribute) onnx.Node {
		return onnx.Node{Domain: domain, Operator: operator, Inputs: in, Outputs: out, Attributes: attributes}
	}
	zeros := int64(1)
	if strict {
		zeros = 0
	}
	graph := &onnx.Graph{
		Name: "visitors",
		Inputs: []onnx.ValueInfo{
			column("age", onnx.Float), column("city", onnx.String), column("visits", onnx.Int64), column("member", onnx.Bool),
		},
		Outputs: []onnx.ValueInfo{
			{Name: "label", Type: onnx.TensorType(onnx.String, onnx.Symbolic("N"))},
			{Name: "probabilities", Type: onnx.TensorType(onnx.Float, onnx.Symbolic("N"), onnx.Fixed(2))},
		},
		Nodes: []onnx.Node{
			node(onnx.DomainML, "OneHotEncoder", []string{"city"}, []string{"cities"},
				onnx.StringsAttribute("cats_strings", "Lyon", "Paris"), onnx.IntAttribute("zeros", zeros)),
			node("", "Flatten", []string{"cities"}, []string{"flat"}),
			node("", "Cast", []string{"visits"}, []string{"v"}, onnx.IntAttribute("to", int64(onnx.Float))),
			node("", "Cast", []string{"member"}, []string{"m"}, onnx.IntAttribute("to", int64(onnx.Float))),
			node("", "Concat", []string{"age", "flat", "v", "m"}, []string{"all"}, onnx.IntAttribute("axis", 1)),
			node(onnx.DomainML, "LinearClassifier", []string{"all"}, []string{"label", "probabilities"},
				onnx.FloatsAttribute("coefficients", -1, -1000, 0, -1, -1000, 1, 1000, 0, 1, 1000),
				onnx.FloatsAttribute("intercepts", 100, -100),
				onnx.StringsAttribute("classlabels_strings", "no", "yes"),
				onnx.StringAttribute("post_transform", "SOFTMAX"), onnx.IntAttribute("multi_class", 1)),
		},
	}
	m := &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 15}, {Domain: onnx.DomainML, Version: 3}}, Graph: graph}
	return mlmodel.Dir{
		ONNX: m.Marshal(),
		// In another order than the graph: that of the rows.
		Signature: mlmodel.Signature{Inputs: []mlmodel.Column{
			{Name: "city", Type: mlmodel.String},
			{Name: "age", Type: mlmodel.Double},
			{Name: "member", Type: mlmodel.Boolean},
			{Name: "visits", Type: mlmodel.Long},
		}},
	}
}

func TestTypedColumns(t *testing.T) {
	f := newFixture(t)
	f.models.Store(load(t, visitors(false), "3"))
	const yes, no = `"label":"yes","class_index":1,"probabilities":{"no":0.0,"yes":1.0}`, `"label":"no","class_index":0,"probabilities":{"no":1.0,"yes":0.0}`
	const model = `,"model":{"name":"iris","version":"3"}}` + "\n"
	for _, row := range []struct{ name, body, want string }{
		{"by name", `{"features":{"age":41,"city":"Lyon","visits":3,"member":false}}`, "{" + yes + model},
		{"by place", `{"features":["Paris",41.5,false,3]}`, "{" + no + model},
		{"true", `{"features":["Paris",41.5,true,3]}`, "{" + yes + model},
		{"true is one", `{"features":["Paris",41.5,1,3]}`, "{" + yes + model},
		{"a whole number", `{"features":["Paris",41,false,3e5]}`, "{" + yes + model},
		{"an unknown category is for the graph", `{"features":["né",0,false,0]}`, "{" + no + model},
		{"many", `{"instances":[["Paris",1,false,0],{"age":1,"city":"Lyon","visits":0,"member":false}]}`, `{"predictions":[{` + no + `},{` + yes + `}]` + model},
		{"none", `{"instances":[]}`, `{"predictions":[]` + model},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := f.predict(t, row.body)
			require.Equal(t, 200, got.status, got.body)
			assert.Equal(t, row.want, got.body)
		})
	}
	info := f.do(t, http.MethodGet, "/model-info", "", "Authorization", "Bearer "+f.token)
	assert.Contains(t, info.body, `"features":[{"name":"city","type":"string"},{"name":"age","type":"double"},{"name":"member","type":"boolean"},{"name":"visits","type":"long"}]`)
}

func TestTypedColumnsRefused(t *testing.T) {
	f := newFixture(t)
	messages := golden.New(t)
	for _, row := range []struct {
		name, body, location string
		strict               bool
	}{
		{name: "text for a number", body: `{"features":["Lyon","zzz",false,3]}`, location: "body.features[1]"},
		{name: "text for a number by name", body: `{"features":{"age":"zzz"}}`, location: "body.features.age"},
		{name: "a number for text", body: `{"features":[5,41,false,3]}`, location: "body.features[0]"},
		{name: "true for text", body: `{"features":[true,41,false,3]}`, location: "body.features[0]"},
		{name: "true for a number", body: `{"features":["Lyon",true,false,3]}`, location: "body.features[1]"},
		{name: "a number for true", body: `{"features":["Lyon",41,2,3]}`, location: "body.features[2]"},
		{name: "a fraction", body: `{"instances":[["Lyon",41,false,3.5]]}`, location: "body.instances[0][3]"},
		{name: "too large", body: `{"features":["Lyon",41,false,1e17]}`, location: "body.features[3]"},
		{name: "beyond float32", body: `{"features":["Lyon",1e39,false,1]}`, location: "body.features[1]"},
		{name: "null for text", body: `{"features":{"age":41,"city":null,"visits":3,"member":false}}`, location: "body.features.city"},
		{name: "null for a number", body: `{"features":["Lyon",null,false,3]}`, location: "body.features[1]"},
		{name: "null for a whole number", body: `{"features":["Lyon",41,false,null]}`, location: "body.features[3]"},
		{name: "a missing column", body: `{"features":{"age":41,"visits":3,"member":false}}`, location: "body.features.city"},
		{name: "one value less", body: `{"features":["Lyon",41,false]}`, location: "body.features"},
		{name: "a category that the graph refuses", strict: true, body: `{"features":["zzz",41,false,3]}`, location: "body.features"},
	} {
		t.Run(row.name, func(t *testing.T) {
			f.models.Store(load(t, visitors(row.strict), "3"))
			got := f.predict(t, row.body)
			p := requireProblem(t, got, http.StatusUnprocessableEntity)
			requireFault(t, p, row.location)
			messages.Add(row.name, detail(p))
			assert.NotContains(t, got.body, "zzz", "the answer repeats what was sent")
		})
	}
}

func TestTypedInvocations(t *testing.T) {
	f := newFixture(t)
	messages := golden.New(t)
	f.models.Store(load(t, visitors(false), "3"))
	const want = `{"predictions":[{"label":"no","probabilities":{"no":1.0,"yes":0.0}},{"label":"yes","probabilities":{"no":0.0,"yes":1.0}}]}` + "\n"
	for _, row := range []struct{ name, contentType, body string }{
		{"split", "application/json", `{"dataframe_split":{"columns":["age","city","visits","id","member"],"data":[[41,"Paris",3,"x",false],[41,"Lyon",3,null,false]]}}`},
		{"split without columns", "application/json", `{"dataframe_split":{"data":[["Paris",41,false,3],["Lyon",41,false,3]]}}`},
		{"records", "application/json", `{"dataframe_records":[{"age":"41","city":"Paris","visits":3,"member":"False"},{"age":41,"city":"Lyon","visits":3,"member":false}]}`},
		{"columns", "application/json", `{"inputs":{"age":[41,41],"city":["Paris","Lyon"],"visits":[3,3],"member":[false,false]}}`},
		{"instances", "application/json", `{"instances":[["Paris",41,false,3],["Lyon",41,false,3]]}`},
		{"CSV", "text/csv", "age,city,visits,member\n41,Paris,3,False\n41,\"Lyon\",3,False\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := f.post(t, "/invocations", row.contentType, row.body)
			require.Equal(t, 200, got.status, got.body)
			assert.Equal(t, want, got.body) //nolint:testifylint // the bytes are what is promised
		})
	}
	for _, row := range []struct{ name, contentType, body, place string }{
		{"a number for text", "application/json", `{"instances":[[5,41,false,3]]}`, "body.instances[0][0]: "},
		{"text for a number", "application/json", `{"dataframe_records":[{"age":"old","city":"Paris","visits":3,"member":false}]}`, "body.dataframe_records[0].age: "},
		{"null for text", "application/json", `{"instances":[[null,41,false,3]]}`, "row 0[0]: "},
		{"an empty cell of text", "text/csv", "age,city,visits,member\n41,,3,False\n", "row 0.city: "},
		{"CSV that is not UTF-8", "text/csv", "age,city,visits,member\n41,Ly\xffn,3,False\n", "body: "},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := f.post(t, "/invocations", row.contentType, row.body)
			require.Equal(t, 400, got.status, got.body)
			e := invocationsError(t, got)
			assert.True(t, strings.HasPrefix(e.Message, row.place), got.body)
			messages.Add(row.name, e)
		})
	}
}

// One tensor an input, of the graph's types; text in JSON and in binary.
func TestTypedInference(t *testing.T) {
	f := newFixture(t)
	f.models.Store(load(t, visitors(false), "3"))
	metadata := f.do(t, http.MethodGet, "/v2/models/iris", "", "Authorization", "Bearer "+f.token)
	assert.Contains(t, metadata.body, `"inputs":[{"name":"city","datatype":"BYTES","shape":[-1,1]},{"name":"age","datatype":"FP32","shape":[-1,1]},`+
		`{"name":"member","datatype":"BOOL","shape":[-1,1]},{"name":"visits","datatype":"INT64","shape":[-1,1]}]`)

	const others = `{"name":"age","shape":[2],"datatype":"FP64","data":[1,2]},{"name":"member","shape":[2,1],"datatype":"BOOL","data":[false,true]},` +
		`{"name":"visits","shape":[2],"datatype":"INT32","data":[0,0]}`
	const tail = `"outputs":[{"name":"label"}]}`
	ask := func(city string) string { return `{"inputs":[` + city + `,` + others + `],` + tail }
	want := `{"model_name":"iris","model_version":"3","outputs":[{"name":"label","datatype":"BYTES","shape":[2],"data":["yes","yes"]}]}`
	got := f.post(t, "/v2/models/iris/infer", "application/json", ask(`{"name":"city","shape":[2],"datatype":"BYTES","data":["Lyon","Paris"]}`))
	require.Equal(t, 200, got.status, got.body)
	assert.JSONEq(t, want, got.body)

	binaryTexts := func(texts ...string) string {
		var b []byte
		for _, s := range texts {
			b = append(binary.LittleEndian.AppendUint32(b, uint32(len(s))), s...)
		}
		return string(b)
	}
	send := func(data string) answer {
		head := ask(fmt.Sprintf(`{"name":"city","shape":[2,1],"datatype":"BYTES","parameters":{"binary_data_size":%d}}`, len(data)))
		return f.do(t, http.MethodPost, "/v2/models/iris/infer", head+data, "Authorization", "Bearer "+f.token, "Inference-Header-Content-Length", strconv.Itoa(len(head)))
	}
	got = send(binaryTexts("Lyon", "né"))
	require.Equal(t, 200, got.status, got.body)
	assert.JSONEq(t, want, got.body)
	for name, data := range map[string]string{
		"one text": binaryTexts("Lyon"), "three": binaryTexts("a", "b", "c"), "not UTF-8": binaryTexts("\xff", "b"),
		"a length beyond the data": binaryTexts("ab", "cd")[:10] + "\xff\xff", "too short": "\x00\x00\x00\x00\x00",
	} {
		assert.Equal(t, 400, send(data).status, name)
	}
	for name, city := range map[string]string{
		"numbers as BYTES": `{"name":"city","shape":[2],"datatype":"BYTES","data":[1,2]}`,
		"null":             `{"name":"city","shape":[2],"datatype":"BYTES","data":["Lyon",null]}`,
		"floats":           `{"name":"city","shape":[2],"datatype":"FP32","data":[1,2]}`,
		"text as FP32":     `{"name":"city","shape":[2],"datatype":"FP32","data":["a","b"]}`,
		"true as BYTES":    `{"name":"city","shape":[2],"datatype":"BYTES","data":["Lyon",true]}`,
	} {
		assert.Equal(t, 400, f.post(t, "/v2/models/iris/infer", "application/json", ask(city)).status, name)
	}
	wrong := strings.Replace(ask(`{"name":"city","shape":[2],"datatype":"BYTES","data":["a","b"]}`), `"data":[1,2]`, `"data":["1",2]`, 1)
	assert.Equal(t, 400, f.post(t, "/v2/models/iris/infer", "application/json", wrong).status)
}

// The specification says what each column takes, and its examples are answered.
func TestTypedSpecification(t *testing.T) {
	f := newFixture(t)
	f.models.Store(load(t, visitors(false), "3"))
	var spec struct {
		Paths map[string]map[string]struct {
			RequestBody struct {
				Content map[string]struct {
					Schema  json.RawMessage
					Example json.RawMessage
				}
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(f.do(t, http.MethodGet, "/openapi.json", "").body), &spec))
	body := spec.Paths["/predict"]["post"].RequestBody.Content["application/json"]
	for name, kind := range map[string]string{"age": "number", "city": "string", "visits": "integer", "member": "boolean"} {
		assert.Contains(t, string(body.Schema), fmt.Sprintf(`%q:{"type":%q}`, name, kind))
	}
	for _, path := range []string{"/predict", "/invocations", "/v2/models/{model}/infer"} {
		example := spec.Paths[path]["post"].RequestBody.Content["application/json"].Example
		got := f.post(t, strings.Replace(path, "{model}", "iris", 1), "application/json", string(example))
		assert.Equal(t, 200, got.status, "%s: %s: %s", path, example, got.body)
	}
}
