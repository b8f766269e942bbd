package httpapi_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv/golden"
	"github.com/petal-ml/petal/tests/testenv/servingtest"
)

func TestOptions(t *testing.T) {
	f := newFixture(t)
	ask := func(query, body string) answer {
		return f.do(t, http.MethodPost, "/predict"+query, body, "Authorization", "Bearer "+f.token, "Content-Type", "application/json")
	}
	const row = `{"features":[6.3,3.3,6.0,2.5]}`
	t.Run("top_k", func(t *testing.T) {
		a := ask("?top_k=2", row)
		require.Equal(t, 200, a.status, a.body)
		assert.Less(t, strings.Index(a.body, `"virginica":0.9`), strings.Index(a.body, `"versicolor":0.0`))
		assert.NotContains(t, a.body, `"setosa":`)
		assert.Contains(t, ask("?top_k=9", row).body, `"setosa":`)
	})
	t.Run("explain", func(t *testing.T) {
		a := ask("?explain=true&top_k=1", `{"instances":[[6.3,3.3,6.0,2.5],[5.1,3.5,1.4,0.2]]}`)
		require.Equal(t, 200, a.status, a.body)
		var got struct {
			Predictions []struct {
				Label       string
				Explanation struct {
					Method        string
					Baseline      float64
					Contributions map[string]float64
				}
			}
		}
		require.NoError(t, json.Unmarshal([]byte(a.body), &got))
		require.Len(t, got.Predictions, 2)
		virginica := got.Predictions[0].Explanation
		assert.Equal(t, "linear", virginica.Method)
		assert.InDelta(t, -12.0869, virginica.Baseline, 1e-6)
		assert.InDelta(t, 2.7235*6.0, virginica.Contributions["petal_length"], 1e-5)
		assert.InDelta(t, -0.1111*6.3, virginica.Contributions["sepal_length"], 1e-5)
		assert.InDelta(t, 9.8497, got.Predictions[1].Explanation.Baseline, 1e-6, "of the class that was predicted")
		assert.Equal(t, f.predict(t, row).body, ask("?explain=false", row).body)
	})
	messages := golden.New(t)
	for query, location := range map[string]string{
		"?top_k=0": "query.top_k", "?top_k=zzz": "query.top_k", "?top_k=1&top_k=2": "query.top_k", "?top_k=99999999999": "query.top_k",
		"?explain=zzz": "query.explain", "?explain=true&explain=true": "query.explain", "?explain=%zz": "query",
	} {
		p := requireProblem(t, ask(query, row), 422)
		requireFault(t, p, location)
		messages.Add(query, detail(p))
		assert.NotContains(t, p["detail"], "zzz")
	}
	f.models.Store(load(t, servingtest.Constant(t, 1), "2"))
	assert.Contains(t, ask("?explain=true", row).body, `"baseline":200.0`)
}
