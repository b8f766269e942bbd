// Package native is Petal's own dialect: POST /predict and GET /model-info.
// Errors are RFC 9457 problem documents. Nothing that a client sent is repeated to
// it, and no text of Go's own errors leaves the process.
package native

import (
	"log/slog"
	"net/http"
	"sync"

	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/httpapi/answer"
	"github.com/petal-ml/petal/internal/httpapi/problem"
	"github.com/petal-ml/petal/internal/httpapi/route"
	"github.com/petal-ml/petal/internal/httpapi/web"
	"github.com/petal-ml/petal/internal/predict"
)

// Config is what the dialect needs.
type Config struct {
	Predict    *predict.Service
	MaxBytes   int64 // bounds the body of /predict
	IsDraining func() bool
	Log        *slog.Logger
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

// Problems is the dialect without routes, for all that has none of its own.
func Problems() route.Dialect {
	return route.Dialect{
		Invalid:    http.StatusUnprocessableEntity,
		ErrorTypes: []route.MediaType{{Name: "application/problem+json", Schema: route.SchemaOf[Problem]}},
		WriteProblem: func(w http.ResponseWriter, p *problem.Problem, requestID string) {
			w.Header().Set("Content-Type", "application/problem+json")
			web.WriteJSON(w, p.Status, Problem{
				Type: typePrefix + p.Kind, Title: http.StatusText(p.Status), Status: p.Status,
				Detail: p.Detail, Errors: p.Fields, RequestID: requestID,
			})
		},
	}
}
