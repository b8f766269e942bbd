// Package mlflow is the dialect of MLflow's scoring server:
// https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally.
package mlflow

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/httpapi/answer"
	"github.com/petal-ml/petal/internal/httpapi/problem"
	"github.com/petal-ml/petal/internal/httpapi/route"
	"github.com/petal-ml/petal/internal/httpapi/web"
	"github.com/petal-ml/petal/internal/predict"
	"github.com/petal-ml/petal/internal/rows"
	"github.com/petal-ml/petal/internal/serving"
	"github.com/petal-ml/petal/internal/version"
)

// Config is what the dialect needs.
type Config struct {
	Predict  *predict.Service
	MaxBytes int64 // bounds the body of /invocations
}

type api struct {
	cfg      Config
	encoders answer.PerModel[encoder]
}

// Dialects returns the dialect of /invocations, and /ping and /version, whose
// errors are those of others.
func Dialects(cfg Config, others route.Dialect) []route.Dialect {
	a := &api{cfg: cfg}
	text := []route.MediaType{{Name: "text/plain", Schema: route.Text}}
	others.Routes = []route.Route{
		{
			Method: http.MethodGet, Path: "/ping", Handle: a.ping, NeedsModel: true, MayFail: true,
			ID: "mlflowPing", Tag: route.TagMLflow, Summary: "Whether a model is loaded",
			Replies: route.OK("One is; the body is a line break.", text...),
		},
		{
			Method: http.MethodGet, Path: "/version", Handle: a.version,
			ID: "mlflowVersion", Tag: route.TagMLflow, Summary: "The version of this server",
			Replies: route.OK("As text.", text...),
		},
	}
	return []route.Dialect{others, {
		Invalid: http.StatusBadRequest, ErrorTypes: route.JSONOf[mlflowError](nil), WriteProblem: writeProblem,
		Routes: []route.Route{{
			Method: http.MethodPost, Path: "/invocations", Handle: a.invocations, Scope: account.ScopePredict, NeedsModel: true, MayFail: true,
			ID: "mlflowInvocations", Tag: route.TagMLflow, Summary: "Predict rows as MLflow's scoring server does",
			Description: "Exactly one of `dataframe_split`, `dataframe_records`, `instances` and `inputs`, or CSV with a header. " +
				"Columns that the model does not know, `index` and `params` are ignored.",
			Body: &route.Body{Types: []route.MediaType{
				{Name: "application/json", Schema: route.SchemaOf[scoringRequest], Example: sampleSplit},
				{Name: "text/csv", Schema: route.Text},
			}},
			Replies: route.OK("A record a row, under the names of the model's outputs.", route.JSONOf[invocationsAnswer](nil)...),
		}},
	}}
}

// mlflowError is the error answer of MLflow's scoring server.
type mlflowError struct {
	Code    string `json:"error_code"`
	Message string `json:"message"`
}

func writeProblem(w http.ResponseWriter, p *problem.Problem, _ string) {
	web.WriteJSON(w, p.Status, mlflowError{code(p), p.Detail})
}

// code is the error code of a problem, in MLflow's vocabulary.
func code(p *problem.Problem) string {
	switch p.Rejected {
	case rows.MissingKey, rows.WrongWidth, rows.MissingValue, rows.OutOfRange, rows.WrongType, predict.NotFinite, predict.Refused:
		return "INVALID_PARAMETER_VALUE"
	}
	switch {
	case p.Status == http.StatusUnauthorized:
		return "UNAUTHENTICATED"
	case p.Status == http.StatusForbidden:
		return "PERMISSION_DENIED"
	case p.Status == http.StatusNotFound, p.Status == http.StatusMethodNotAllowed:
		return "ENDPOINT_NOT_FOUND"
	case p.Status == http.StatusServiceUnavailable:
		return "TEMPORARILY_UNAVAILABLE"
	case p.Status >= http.StatusInternalServerError:
		return "INTERNAL_ERROR"
	default:
		return "BAD_REQUEST"
	}
}

// scoringRequest is the JSON of POST /invocations.
type scoringRequest struct{}

// Schema is that of exactly one of four keys; what else stands there is ignored.
func (scoringRequest) Schema(huma.Registry) *huma.Schema {
	array := func(items *huma.Schema) *huma.Schema { return &huma.Schema{Type: huma.TypeArray, Items: items} }
	form := func(key string, value *huma.Schema) *huma.Schema {
		return &huma.Schema{
			Type: huma.TypeObject, Required: []string{key}, AdditionalProperties: true, Properties: map[string]*huma.Schema{key: value},
		}
	}
	row := &huma.Schema{OneOf: []*huma.Schema{array(&huma.Schema{}), route.AnyObject(nil)}}
	split := form("data", array(array(&huma.Schema{})))
	split.Properties["columns"] = array(route.Text(nil))
	return &huma.Schema{OneOf: []*huma.Schema{
		form("dataframe_split", split), form("dataframe_records", array(row)), form("instances", array(row)),
		form("inputs", &huma.Schema{OneOf: []*huma.Schema{array(row), route.AnyObject(nil)}}),
	}}
}

// invocationsAnswer is the answer of POST /invocations.
type invocationsAnswer struct{}

// Schema is that of one record a row.
func (invocationsAnswer) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, Required: []string{"predictions"}, Properties: map[string]*huma.Schema{
		"predictions": {Type: huma.TypeArray, Items: route.AnyObject(nil)},
	}}
}

func sampleSplit(s *route.Samples) any {
	return map[string]any{"dataframe_split": map[string]any{"columns": s.Names(), "data": [][]any{s.Row()}}}
}

// ping is GET /ping.
func (a *api) ping(w http.ResponseWriter, _ *http.Request) error {
	if _, err := a.cfg.Predict.Ready(); err != nil {
		return err
	}
	web.WriteBody(w, "text/plain; charset=utf-8", []byte("\n"))
	return nil
}

// version is GET /version.
func (a *api) version(w http.ResponseWriter, _ *http.Request) error {
	web.WriteBody(w, "text/plain; charset=utf-8", []byte(version.Current().Version+"\n"))
	return nil
}

// invocations is POST /invocations.
func (a *api) invocations(w http.ResponseWriter, r *http.Request) error {
	model, err := a.cfg.Predict.Current()
	if err != nil {
		return err
	}
	if err := a.cfg.Predict.CheckLoad(); err != nil {
		return err
	}
	if err := web.CheckType(r, "application/json", "text/csv"); err != nil {
		return err
	}
	batch := a.cfg.Predict.NewBatch(model)
	defer batch.Release()
	batch.IgnoreUnknown = true
	body, err := web.ReadBody(w, r, a.cfg.MaxBytes, &batch.Share)
	if err != nil {
		return err
	}
	decode := decodeJSON
	if web.IsMediaType(r, "text/csv") {
		decode = decodeCSV
	}
	if err := decode(body, batch); err != nil {
		return err
	}
	if err := batch.Predict(r.Context(), false); err != nil {
		return problem.Located(err, numberedRow)
	}
	encoder := a.encoders.Of(model, newEncoder)
	size := encoder.size(batch.Len())
	if err := batch.Take(size); err != nil {
		return err
	}
	web.WriteBody(w, "application/json", encoder.appendRecords(make([]byte, 0, size), batch))
	return nil
}

// An encoder writes the predictions of one model under the names of its outputs,
// as MLflow writes a data frame.
type encoder struct {
	labels answer.Labels
	// first and second stand before the label, or a regressor's value, and before
	// the probabilities: {"label": and ,"probabilities":
	first, second []byte
}

func newEncoder(m *serving.Live) encoder {
	outputs := m.Outputs()
	e := encoder{labels: answer.NewLabels(m), first: append(append([]byte{'{'}, answer.JSON(outputs[0].Name)...), ':')}
	if len(outputs) > 1 {
		e.second = append(append([]byte{','}, answer.JSON(answer.ScoresName(m))...), ':')
	}
	return e
}

// size estimates the bytes of an answer of n rows.
func (e *encoder) size(n int) int {
	return n*(len(e.first)+len(e.second)+e.labels.RowBytes()+4) + 32
}

// appendRecords writes a record a row.
func (e *encoder) appendRecords(dst []byte, b *predict.Batch) []byte {
	dst = append(dst, `{"predictions":[`...)
	for i, class := range b.Classes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, e.first...)
		if len(e.labels.Values) == 0 {
			dst = answer.AppendScore(dst, b.RowScores(i)[0])
		} else {
			dst = append(append(dst, e.labels.Values[class]...), e.second...)
			dst = e.labels.AppendScores(dst, b.RowScores(i))
		}
		dst = append(dst, '}')
	}
	return append(dst, "]}\n"...)
}
