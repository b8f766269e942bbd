package httpapi

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/petal-ml/petal/internal/account"
)

// A route is one endpoint: what answers it, and what the specification says of
// it. The router and the OpenAPI document are both made from the list of
// routes, so that neither knows an endpoint that the other does not.
type route struct {
	method, path string
	handle       http.HandlerFunc
	// scope is what a token must have; empty lets everybody in.
	scope string
	// needsModel says that the answer is 503 until a model is loaded.
	needsModel bool
	// mayFail says that the handler depends on something that can break: 500.
	mayFail bool

	id, tag, summary, description string
	params                        []*huma.Param
	body                          *requestBody // nil: none is read
	replies                       []reply      // those of the handler's own
}

// A requestBody is what a route reads.
type requestBody struct {
	description string
	// types are the media types, each with a schema and examples.
	types []mediaType
	// invalid is the status of a body that is well formed as HTTP and wrong in
	// what it says.
	invalid int
}

// A reply is one answer that a route may give.
type reply struct {
	status      int
	description string
	types       []mediaType
	headers     []string
}

// A mediaType is one form of a body. The example is given for the model that
// serves; it is nil where the form needs none.
type mediaType struct {
	name    string
	schema  func(*schemas) *huma.Schema
	example func(*samples) any
}

// Tags group the routes in the documentation.
const (
	tagModel     = "Predictions"
	tagAccess    = "Access"
	tagMLflow    = "MLflow scoring"
	tagInference = "Open Inference Protocol"
	tagService   = "Service"
)

// routes lists all that the API answers, in the order of the documentation.
func (a *api) routes() []route {
	all := []route{
		a.predictRoute(),
		{
			method: http.MethodGet, path: modelInfoPath, handle: a.modelInfo, scope: account.ScopeModelRead, needsModel: true, mayFail: true,
			id: "modelInfo", tag: tagModel, summary: "What the model is and takes",
			replies: []reply{{status: 200, description: "The model that serves.", types: jsonOf[modelInfoAnswer](nil)}},
		},
		a.tokenRoute(),
		{
			method: http.MethodGet, path: "/.well-known/jwks.json", handle: a.keySet,
			id: "keySet", tag: tagAccess, summary: "The public keys of tokens (RFC 7517)",
			replies: []reply{{status: 200, description: "A JSON Web Key Set; empty where tokens are signed with a secret.", types: []mediaType{
				{name: "application/jwk-set+json", schema: anyObject},
			}}},
		},
	}
	all = append(all, a.mlflowRoutes()...)
	all = append(all, a.inferenceRoutes()...)
	return append(all, a.serviceRoutes()...)
}

func (a *api) predictRoute() route {
	return route{
		method: http.MethodPost, path: predictPath, handle: a.predict, scope: account.ScopePredict, needsModel: true, mayFail: true,
		id: "predict", tag: tagModel, summary: "Predict one row or many",
		description: "Give `features` for one row or `instances` for many, each as an array in the model's order or as an object by feature name. " +
			"The order of the rows is kept. Keys are exact, none may come twice, and numbers must fit a 32-bit float. Columns of text take strings.",
		params: optionParams(),
		body: &requestBody{
			types:   []mediaType{{name: "application/json", schema: predictRequestSchema, example: (*samples).predictRequest}},
			invalid: http.StatusUnprocessableEntity,
		},
		replies: []reply{{status: 200, description: "The prediction, or the predictions in the order of the rows.", types: []mediaType{
			{name: "application/json", schema: schemaOf[predictAnswer], example: (*samples).predictAnswer},
		}}},
	}
}

func (a *api) tokenRoute() route {
	oauth := jsonOf[oauthError](nil)
	return route{
		method: http.MethodPost, path: tokenPath, handle: a.token, mayFail: true,
		id: "token", tag: tagAccess, summary: "Log in (RFC 6749 §4.3)",
		description: "The password grant, for first-party use: give a user's password to no program but your own. " +
			"Machines are better served by an API key, which is accepted wherever a token is.",
		body: &requestBody{
			types:   []mediaType{{name: "application/x-www-form-urlencoded", schema: schemaOf[tokenForm]}},
			invalid: http.StatusBadRequest,
		},
		replies: []reply{
			{status: 200, description: "A bearer token.", types: jsonOf[tokenAnswer](nil), headers: []string{"Cache-Control"}},
			{status: 429, description: "Too many failed logins of this account or from this address.", types: oauth, headers: []string{"Retry-After"}},
			{status: 503, description: "Too many logins at once, or the accounts cannot be reached.", types: oauth, headers: []string{"Retry-After"}},
		},
	}
}

// serviceRoutes are open to everybody.
func (a *api) serviceRoutes() []route {
	open := func(path, id, summary string, handle http.HandlerFunc, types ...mediaType) route {
		return route{
			method: http.MethodGet, path: path, handle: handle, id: id, tag: tagService, summary: summary,
			replies: []reply{{status: 200, description: summary + ".", types: types}},
		}
	}
	ready := open("/ready", "ready", "Whether a model is loaded", a.ready, jsonOf[readyAnswer](nil)...)
	ready.needsModel, ready.mayFail = true, true
	return []route{
		open("/", "index", "What there is", a.index, jsonOf[indexAnswer](nil)...),
		open("/health", "health", "Whether the process is alive", a.health, jsonOf[healthAnswer](nil)...),
		ready,
		open("/metrics", "metrics", "Metrics for Prometheus", a.metricsPage, mediaType{name: "text/plain", schema: text}),
		open("/openapi.json", "openapiJSON", "This specification as JSON", a.openapiJSON, mediaType{name: "application/json", schema: anyObject}),
		open("/openapi.yaml", "openapiYAML", "This specification as YAML", a.openapiYAML, mediaType{name: "application/yaml", schema: anyObject}),
		open(docsPath, "docs", "Interactive documentation", a.docs, mediaType{name: "text/html", schema: text}),
	}
}

// mount puts the routes on the router.
func (a *api) mount(all []route) {
	for _, r := range all {
		h := r.handle
		if r.scope != "" {
			h = a.require(r.scope, h)
		}
		a.router.Method(r.method, r.path, h)
		if r.method == http.MethodGet {
			a.router.Head(r.path, h)
		}
		a.metrics.known(r.method, r.path)
	}
}
