package native

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/petal-ml/petal/internal/httpapi/problem"
	"github.com/petal-ml/petal/internal/httpapi/web"
	"github.com/petal-ml/petal/internal/predict"
	"github.com/petal-ml/petal/internal/rows"
)

// predict is POST /predict.
func (a *api) predict(w http.ResponseWriter, r *http.Request) error {
	model, err := a.cfg.Predict.Current()
	if err != nil {
		return err
	}
	wanted, err := readOptions(r)
	if err != nil {
		return err
	}
	if err := web.CheckType(r, "application/json"); err != nil {
		return err
	}
	batch := a.cfg.Predict.NewBatch(model)
	defer batch.Release()
	body, err := web.ReadBody(w, r, a.cfg.MaxBytes, &batch.Share)
	if err != nil {
		return err
	}
	many, err := decodePredict(body, batch)
	if err != nil {
		return err
	}
	if err := batch.Predict(r.Context(), wanted.explain); err != nil {
		return predictError(err, many)
	}
	encoder := a.encoders.Of(model, newEncoder)
	size := encoder.size(batch.Len(), wanted)
	if err := batch.Take(size); err != nil {
		return err
	}
	web.WriteBody(w, "application/json", encoder.appendAnswer(make([]byte, 0, size), batch, many, wanted))
	return nil
}

// predictError gives an error of an evaluation its place.
func predictError(err error, many bool) error {
	var in *predict.InputError
	if errors.As(err, &in) && in.Reason == predict.Unexplained {
		return problem.Invalid(in.Reason, "query."+paramExplain, in.Message)
	}
	return problem.Located(err, rowLocation(many))
}

// Names of the query parameters of POST /predict.
const (
	paramTopK    = "top_k"
	paramExplain = "explain"
)

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
		return o, problem.Invalid(rows.Malformed, "query", "the query of the URL is malformed")
	}
	if values, given := query[paramTopK]; given {
		n, err := strconv.ParseInt(values[0], 10, 32)
		if err != nil || n < 1 || len(values) > 1 {
			return o, problem.Invalid(rows.Malformed, "query."+paramTopK, "a whole number from 1 on is expected, once")
		}
		o.topK = int(n)
	}
	if values, given := query[paramExplain]; given {
		if len(values) > 1 || values[0] != "true" && values[0] != "false" {
			return o, problem.Invalid(rows.Malformed, "query."+paramExplain, "true or false is expected, once")
		}
		o.explain = values[0] == "true"
	}
	return o, nil
}
