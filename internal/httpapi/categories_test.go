package httpapi_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/emit"
	"github.com/petal-ml/petal/internal/learn/naivebayes"
	"github.com/petal-ml/petal/internal/learn/preprocessing"
	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/tests/testenv/golden"
)

// learned is a model as Petal trains it on texts: Lyon buys, Aix and those whose
// city is missing do not; members do.
func learned(t *testing.T) mlmodel.Dir {
	t.Helper()
	columns := []preprocessing.Column{{Name: "city", Categories: []string{"Aix", "Lyon"}}, {Name: "age"}, {Name: "member", Categories: []string{"no", "yes"}, Boolean: true}}
	var values []float64
	var y []int
	for i := range 40 {
		values = append(values, float64(i%2), float64(20+i%3), float64(i%2))
		y = append(y, i%2)
	}
	p := &learn.Pipeline{Steps: []learn.Transformer{&preprocessing.ColumnEncoder{Columns: columns, Impute: true}}, Classifier: naivebayes.NewGaussianNB()}
	require.NoError(t, p.Fit(t.Context(), mat.NewDense(len(y), 3, values), y, 2, learn.Options{}))
	graph, err := learn.ToTypedONNX(p, []emit.InputColumn{{Name: "city", Text: true}, {Name: "age"}, {Name: "member", Text: true}}, onnx.Labels{Strings: []string{"no", "yes"}})
	require.NoError(t, err)
	return mlmodel.Dir{
		ONNX: graph.Marshal(), Typed: true, TypedExample: [][]any{{"Lyon", 41, "yes"}},
		Signature: mlmodel.Signature{Inputs: []mlmodel.Column{{Name: "city", Type: mlmodel.String}, {Name: "age", Type: mlmodel.Double}, {Name: "member", Type: mlmodel.String}}},
		Petal: &mlmodel.PetalMetadata{Classes: []any{"no", "yes"}, Features: []mlmodel.PetalFeature{
			{Name: "city", Type: mlmodel.String, Kind: "category", Categories: []string{"Aix", "Lyon"}},
			{Name: "age", Type: mlmodel.Double},
			{Name: "member", Type: mlmodel.String, Kind: "boolean", Categories: []string{"no", "yes"}},
		}},
	}
}

// Every face takes the words of training, true and 1 for a boolean, and null for a
// missing category; an unseen one is taken as other, named and counted.
func TestLearnedCategories(t *testing.T) {
	f := newFixture(t)
	f.models.Store(load(t, learned(t), "3"))
	for _, row := range []struct{ name, body, label, warning string }{
		{"words", `{"features":["Lyon",21,"yes"]}`, "yes", ""},
		{"by name", `{"features":{"member":"no","city":"Aix","age":21}}`, "no", ""},
		{"true", `{"features":["Lyon",21,true]}`, "yes", ""},
		{"false", `{"features":["Aix",21,false]}`, "no", ""},
		{"1", `{"features":["Lyon",21,1]}`, "yes", ""},
		{"another spelling", `{"features":["Lyon",21,"YES"]}`, "yes", ""},
		{"missing", `{"features":[null,21,null]}`, "yes", ""},
		{"unseen", `{"features":["Pau",21,"yes"]}`, "yes", `"warnings":[{"feature":"city","value":"Pau","reason":"unseen"}]`},
		{"two unseen", `{"features":["\u0001",21,"perhaps"]}`, "yes", `"warnings":[{"feature":"city","value":"\u0001","reason":"unseen"},{"feature":"member","value":"perhaps","reason":"unseen"}]`},
		{"many", `{"instances":[["Aix",21,"no"],["Pau",21,"yes"]]}`, "no", `"warnings":[{"feature":"city","value":"Pau","reason":"unseen"}]}],"model"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := f.predict(t, row.body)
			require.Equal(t, 200, got.status, got.body)
			assert.Contains(t, got.body, `"label":"`+row.label+`"`)
			assert.Contains(t, got.body, row.warning)
			assert.Equal(t, row.warning != "", strings.Contains(got.body, "warnings"), got.body)
		})
	}
	require.NoError(t, testutil.GatherAndCompare(f.metrics, strings.NewReader(`
# HELP petal_unseen_category_total Values of categories that training did not know, by feature.
# TYPE petal_unseen_category_total counter
petal_unseen_category_total{feature="city"} 3
petal_unseen_category_total{feature="member"} 1
`), "petal_unseen_category_total"))

	messages := golden.New(t)
	for name, body := range map[string]string{
		"a number that is no category": `{"features":[5,21,"yes"]}`,
		"true for a category":          `{"features":[true,21,"yes"]}`,
		"text for a number":            `{"features":["Lyon","old","yes"]}`,
		"a number for a boolean":       `{"features":["Lyon",21,2]}`,
	} {
		messages.Add(name, detail(requireProblem(t, f.predict(t, body), http.StatusUnprocessableEntity)))
	}

	for name, in := range map[string][2]string{
		"split":   {"application/json", `{"dataframe_split":{"columns":["member","age","city"],"data":[["no",21,"Aix"],[true,21,"Lyon"],[null,21,null]]}}`},
		"records": {"application/json", `{"dataframe_records":[{"city":"Aix","age":21,"member":false},{"city":"Lyon","age":"21","member":"yes"},{"city":null,"age":21,"member":null}]}`},
		"inputs":  {"application/json", `{"inputs":{"city":["Aix","Lyon",null],"age":[21,21,21],"member":["no",true,null]}}`},
		"CSV":     {"text/csv", "city,age,member\nAix,21,no\nLyon,21,Yes\n,21,\n"},
	} {
		got := f.post(t, "/invocations", in[0], in[1])
		require.Equal(t, 200, got.status, "%s: %s", name, got.body)
		assert.Regexp(t, `"label":"no".*"label":"yes".*"label":"yes"`, got.body, name)
	}
	tensors := `{"inputs":[{"name":"city","shape":[2],"datatype":"BYTES","data":["Aix","Lyon"]},{"name":"age","shape":[2],"datatype":"FP32","data":[21,21]},` +
		`{"name":"member","shape":[2],"datatype":"BOOL","data":[false,true]}],"outputs":[{"name":"label"}]}`
	got := f.post(t, "/v2/models/iris/infer", "application/json", tensors)
	require.Equal(t, 200, got.status, got.body)
	assert.Contains(t, got.body, `"data":["no","yes"]`)

	info := f.do(t, http.MethodGet, "/model-info", "", "Authorization", "Bearer "+f.token)
	assert.Contains(t, info.body, `{"name":"city","type":"string","kind":"category","categories":["Aix","Lyon"],"num_categories":2,"nullable":true},{"name":"age","type":"double","nullable":true}`)
	spec := f.do(t, http.MethodGet, "/openapi.json", "")
	assert.Contains(t, spec.body, `A category; one that training did not know is taken as other.`)
	assert.Contains(t, spec.body, `true or \"yes\", false or \"no\".`)
}
