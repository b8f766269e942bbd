// Package native is Petal's own dialect: POST /predict and GET /model-info.
// Errors are RFC 9457 problem documents. Nothing that a client sent is repeated to
// it, and no text of Go's own errors leaves the process.
package native

import (
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/httpapi/answer"
	"github.com/petal-ml/petal/internal/httpapi/problem"
	"github.com/petal-ml/petal/internal/httpapi/route"
	"github.com/petal-ml/petal/internal/httpapi/web"
	"github.com/petal-ml/petal/internal/predict"
)

// Config is what the dialect needs.
type Config struct {
	Predict  *predict.Service
	MaxBytes int64 // bounds the body of /predict
	Log      *slog.Logger
}

type api struct {
	cfg       Config
	encoders  answer.PerModel[encoder]
	scratches sync.Pool // *scratch
}

// PredictPath is where predictions are.
const PredictPath = "/predict"

// New returns the dialect with its routes.
func New(cfg Config) route.Dialect {
	a := &api{cfg: cfg}
	d := Problems()
	d.Routes = []route.Route{
		{
			Method: http.MethodPost, Path: PredictPath, Handle: a.predict, Fast: a.fast, Scope: account.ScopePredict, NeedsModel: true, MayFail: true,
			ID: "predict", Tag: route.TagModel, Summary: "Predict one row or many",
			Description: "Give `features` for one row or `instances` for many, each as an array in the model's order or as an object by feature name. " +
				"The order of the rows is kept. Keys are exact, none may come twice, and numbers must fit a 32-bit float. Columns of text take strings.",
			Params: optionParams(),
			Body: &route.Body{
				Types: []route.MediaType{{Name: "application/json", Schema: predictRequestSchema, Example: sampleRequest}},
			},
			Replies: route.OK("The prediction, or the predictions in the order of the rows.",
				route.JSONOf[predictAnswer](sampleAnswer)...),
		},
		{
			Method: http.MethodGet, Path: "/model-info", Handle: a.modelInfo, Scope: account.ScopeModelRead, NeedsModel: true, MayFail: true,
			ID: "modelInfo", Tag: route.TagModel, Summary: "What the model is and takes",
			Replies: route.OK("The model that serves.", route.JSONOf[modelInfoAnswer](nil)...),
		},
	}
	return d
}

// Problem is an RFC 9457 document. Its key order is that of the fields.
type Problem struct {
	Type      string          `json:"type"`
	Title     string          `json:"title"`
	Status    int             `json:"status"`
	Detail    string          `json:"detail,omitempty"`
	Errors    []problem.Field `json:"errors,omitempty" nullable:"false"`
	RequestID string          `json:"request_id"`
}

// typePrefix makes a problem's kind the URI that RFC 9457 wants as its type.
const typePrefix = "urn:petal:problem:"

// NewProblem returns a document without faults of a body.
func NewProblem(status int, kind, detail, requestID string) Problem {
	return Problem{Type: typePrefix + kind, Title: http.StatusText(status), Status: status, Detail: detail, RequestID: requestID}
}

// Problems is the dialect without routes, for all that has none of its own.
func Problems() route.Dialect {
	return route.Dialect{
		Invalid:    http.StatusUnprocessableEntity,
		ErrorTypes: []route.MediaType{{Name: "application/problem+json", Schema: route.SchemaOf[Problem]}},
		WriteProblem: func(w http.ResponseWriter, p *problem.Problem, requestID string) {
			w.Header().Set("Content-Type", "application/problem+json")
			doc := NewProblem(p.Status, p.Kind, p.Detail, requestID)
			doc.Errors = p.Fields
			web.WriteJSON(w, p.Status, doc)
		},
	}
}

// modelInfoAnswer is the answer of GET /model-info. What a model from elsewhere
// does not tell is null, or empty.
type modelInfoAnswer struct {
	Name      string             `json:"name"`
	Version   string             `json:"version"`
	Alias     string             `json:"alias"`
	RunID     *string            `json:"run_id" nullable:"true"`
	TrainedAt *time.Time         `json:"trained_at"`
	LoadedAt  time.Time          `json:"loaded_at"`
	Estimator *string            `json:"estimator"`
	Features  []featureAnswer    `json:"features" nullable:"false"`
	Classes   []route.Label      `json:"classes" nullable:"false"`
	Metrics   map[string]float64 `json:"metrics"`
	Data      *dataAnswer        `json:"data"`
	SHA256    string             `json:"sha256"`
}

type featureAnswer struct {
	Name string `json:"name"`
	Type string `json:"type"`
	// Of a column of texts that Petal trained on.
	Kind          string   `json:"kind,omitempty" enum:"category,boolean" doc:"What a column of texts is."`
	Categories    []string `json:"categories,omitempty" doc:"The texts that training knew, the first 50; of a boolean that for false and that for true."`
	NumCategories int      `json:"num_categories,omitempty" doc:"How many there are."`
	Nullable      bool     `json:"nullable,omitempty" doc:"null is accepted: a missing value."`
}

// maxListed is how many categories are shown.
const maxListed = 50

type dataAnswer struct {
	Path string `json:"path"`
	MD5  string `json:"md5"`
}

// Schema is that of an object that may be null.
func (dataAnswer) Schema(huma.Registry) *huma.Schema {
	text := &huma.Schema{Type: huma.TypeString}
	return &huma.Schema{
		Type: huma.TypeObject, Nullable: true, Required: []string{"path", "md5"},
		Properties: map[string]*huma.Schema{"path": text, "md5": text}, AdditionalProperties: false,
	}
}

// modelInfo is GET /model-info.
func (a *api) modelInfo(w http.ResponseWriter, _ *http.Request) error {
	model, err := a.cfg.Predict.Current()
	if err != nil {
		return err
	}
	i := model.Info()
	answer := modelInfoAnswer{
		Name: i.Name, Version: i.Version, Alias: i.Alias, RunID: orNull(i.RunID), LoadedAt: i.LoadedAt,
		Estimator: orNull(i.Estimator), Features: []featureAnswer{}, Classes: []route.Label{}, Metrics: map[string]float64{}, SHA256: i.SHA256,
	}
	if !i.TrainedAt.IsZero() {
		answer.TrainedAt = &i.TrainedAt
	}
	for _, f := range i.Features {
		shown := featureAnswer{Name: f.Name, Type: f.Type, Kind: f.Learned(), Nullable: f.MayBeMissing}
		if shown.Kind != "" {
			shown.Categories, shown.NumCategories = f.Categories[:min(len(f.Categories), maxListed)], len(f.Categories)
		}
		answer.Features = append(answer.Features, shown)
	}
	for c := range model.Labels().Len() {
		answer.Classes = append(answer.Classes, route.Label{Value: model.Labels().Value(c)})
	}
	for name, v := range i.Metrics {
		if !isFinite(v) {
			continue // JSON cannot write it
		}
		answer.Metrics[name] = v
	}
	if i.DataPath != "" || i.DataMD5 != "" {
		answer.Data = &dataAnswer{i.DataPath, i.DataMD5}
	}
	web.WriteJSON(w, http.StatusOK, answer)
	return nil
}

func isFinite(v float64) bool { return v-v == 0 }

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
