// Package route says what an endpoint of the API is: what answers it, and what
// the specification says of it. Each dialect lists its routes; the router and the
// OpenAPI document are both made from the one list of all, so that neither knows
// an endpoint that the other does not.
package route

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/petal-ml/petal/internal/httpapi/problem"
)

// A Dialect is how a protocol words its errors, and which routes it has.
type Dialect struct {
	// Prefix is the folder whose paths speak the dialect even where there is no
	// route; empty for none.
	Prefix string
	// Invalid is the status of a body that makes no sense.
	Invalid int
	// ErrorTypes describes the bodies of its errors.
	ErrorTypes []MediaType
	// WriteProblem answers with a problem, whose headers are set, for a request
	// id.
	WriteProblem func(w http.ResponseWriter, p *problem.Problem, requestID string)
	Routes       []Route
}

// A Handler answers a request, or returns an error that [problem.Of] knows: the
// route's dialect words it.
type Handler func(w http.ResponseWriter, r *http.Request) error

// A Route is one endpoint.
type Route struct {
	Method, Path string
	Handle       Handler
	// Fast answers plain requests before the router is asked, where it is not
	// nil. It returns false, with the request as it was, where anything is out of
	// the ordinary: Handle then answers.
	Fast func(w http.ResponseWriter, r *http.Request) bool
	// Scope is what a token must have; empty lets everybody in.
	Scope string
	// NeedsModel says that the answer is 503 until a model is loaded.
	NeedsModel bool
	// MayFail says that the handler depends on something that can break: 500.
	MayFail bool
	// Hidden keeps the route out of the specification and the list of GET /.
	Hidden bool

	ID, Tag, Summary, Description string
	Params                        []*huma.Param
	Body                          *Body   // nil: none is read
	Replies                       []Reply // those of the handler's own
}

// A Body is what a route reads.
type Body struct {
	Description string
	// Types are the media types, each with a schema and examples.
	Types []MediaType
}

// A Reply is one answer that a route may give.
type Reply struct {
	Status      int
	Description string
	Types       []MediaType
	Headers     []string
}

// A MediaType is one form of a body. The example is given for the model that
// serves; it is nil where the form needs none.
type MediaType struct {
	Name    string
	Schema  func(*Schemas) *huma.Schema
	Example func(*Samples) any
}

// Tags group the routes in the documentation.
const (
	TagModel     = "Predictions"
	TagAccess    = "Access"
	TagMLflow    = "MLflow scoring"
	TagInference = "Open Inference Protocol"
	TagService   = "Service"
)

// Tags lists them in the order of the documentation.
func Tags() []string { return []string{TagModel, TagAccess, TagMLflow, TagInference, TagService} }

// OK lists the one reply of a route that has no other.
func OK(description string, types ...MediaType) []Reply {
	return []Reply{{Status: http.StatusOK, Description: description, Types: types}}
}
