package native

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/petal-ml/petal/internal/httpapi/problem"
	"github.com/petal-ml/petal/internal/predict"
)

// Names of the query parameters of POST /predict.
const (
	paramTopK    = "top_k"
	paramExplain = "explain"
)

// options say what of a prediction is wanted.
type options struct {
	topK    int // 0: all classes
	explain bool
}

// optionParams describes the options.
func optionParams() []*huma.Param {
	one := 1.0
	return []*huma.Param{
		{
			Name: paramTopK, In: "query", Schema: &huma.Schema{Type: huma.TypeInteger, Minimum: &one},
			Description: "Give the probabilities of so many classes only, the most likely first.",
		},
		{
			Name: paramExplain, In: "query", Schema: &huma.Schema{Type: huma.TypeBoolean},
			Description: "Say what each feature adds to the score of the predicted class, before the softmax or the like. " +
				"The method is `linear` (coefficient times value: exact) or `tree-path` (the change of the expected value along the row's path, " +
				"both branches of a node weighing the same). Baseline and contributions add up to the score.",
		},
	}
}

// readOptions reads the query. Parameters that mean nothing here are no fault.
func readOptions(r *http.Request) (options, error) {
	var o options
	if r.URL.RawQuery == "" {
		return o, nil
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return o, problem.Invalid(predict.Malformed, "query", "the query of the URL is malformed")
	}
	if values, given := query[paramTopK]; given {
		n, err := strconv.ParseInt(values[0], 10, 32)
		if err != nil || n < 1 || len(values) > 1 {
			return o, problem.Invalid(predict.Malformed, "query."+paramTopK, "a whole number from 1 on is expected, once")
		}
		o.topK = int(n)
	}
	if values, given := query[paramExplain]; given {
		if len(values) > 1 || values[0] != "true" && values[0] != "false" {
			return o, problem.Invalid(predict.Malformed, "query."+paramExplain, "true or false is expected, once")
		}
		o.explain = values[0] == "true"
	}
	return o, nil
}
