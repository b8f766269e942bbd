package httpapi

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/danielgtaylor/huma/v2"

	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/serving"
	"github.com/petal-ml/petal/internal/version"
)

// A document is the specification in both spellings, with examples for one
// model.
type document struct {
	of         *serving.Live
	json, yaml []byte
}

// documentCache keeps the document of the model that serves.
type documentCache struct{ last atomic.Pointer[document] }

func (a *api) openapiJSON(w http.ResponseWriter, r *http.Request) {
	a.writeDocument(w, r, "application/json", func(d *document) []byte { return d.json })
}

func (a *api) openapiYAML(w http.ResponseWriter, r *http.Request) {
	a.writeDocument(w, r, "application/yaml", func(d *document) []byte { return d.yaml })
}

func (a *api) writeDocument(w http.ResponseWriter, r *http.Request, mediaType string, of func(*document) []byte) {
	d, err := a.document()
	if err != nil {
		a.internal(w, r, "writing the specification", err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Length", strconv.Itoa(len(of(d))))
	_, _ = w.Write(of(d)) // the client may be gone
}

func (a *api) document() (*document, error) {
	model := a.cfg.Models.Current()
	if d := a.documents.last.Load(); d != nil && d.of == model {
		return d, nil
	}
	s := &samples{model: model}
	if model != nil {
		s.enc = a.encoders.of(model)
	}
	spec := specification(a.table, s)
	d := &document{of: model}
	var err error
	if d.json, err = json.Marshal(spec); err != nil {
		return nil, err
	}
	if d.yaml, err = spec.YAML(); err != nil {
		return nil, err
	}
	a.documents.last.Store(d)
	return d, nil
}

// specification describes the routes as OpenAPI 3.1.
func specification(all []route, s *samples) *huma.OpenAPI {
	types := newSchemas(s.model)
	spec := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "Petal", Version: version.Current().Version,
			Description: "Serves the model that an alias of a model registry points at. Errors are RFC 9457 problem documents, " +
				"but for /token (RFC 6749), /invocations (MLflow) and /v2 (Open Inference Protocol), which speak as their protocols do.",
		},
		Components: &huma.Components{Schemas: types.Registry, SecuritySchemes: securitySchemes()},
	}
	for _, name := range []string{tagModel, tagAccess, tagMLflow, tagInference, tagService} {
		spec.Tags = append(spec.Tags, &huma.Tag{Name: name})
	}
	for _, r := range all {
		spec.AddOperation(r.operation(types, s))
	}
	return spec
}

func securitySchemes() map[string]*huma.SecurityScheme {
	return map[string]*huma.SecurityScheme{
		"oauth2": {
			Type: "oauth2", Description: "Log in with a user's name and password.",
			Flows: &huma.OAuthFlows{Password: &huma.OAuthFlow{TokenURL: tokenPath, Scopes: map[string]string{
				account.ScopePredict:   "ask for predictions",
				account.ScopeModelRead: "see what the model is",
				account.ScopeAdmin:     "look after the service",
			}}},
		},
		"bearer": {Type: "http", Scheme: "bearer", Description: "A token that POST /token gave, or an API key."},
	}
}

// operation describes one route.
func (r *route) operation(types *schemas, s *samples) *huma.Operation {
	op := &huma.Operation{
		Method: r.method, Path: r.path, OperationID: r.id, Tags: []string{r.tag},
		Summary: r.summary, Description: r.description, Parameters: r.params, Responses: map[string]*huma.Response{},
		Security: []map[string][]string{},
	}
	if r.scope != "" {
		op.Security = []map[string][]string{{"oauth2": {r.scope}}, {"bearer": {}}}
	}
	if r.body != nil {
		op.RequestBody = &huma.RequestBody{Description: r.body.description, Required: true, Content: content(r.body.types, types, s)}
	}
	for _, reply := range append(r.replies, r.failures()...) {
		code := strconv.Itoa(reply.status)
		if before, twice := op.Responses[code]; twice {
			before.Description += " " + reply.description
			continue
		}
		op.Responses[code] = &huma.Response{
			Description: reply.description, Content: content(reply.types, types, s), Headers: headers(reply.headers),
		}
	}
	return op
}

// failures are the answers that follow from what a route needs.
func (r *route) failures() []reply {
	types := faceOf(r.path).errorTypes()
	var all []reply
	add := func(status int, description string, headers ...string) {
		all = append(all, reply{status, description, types, headers})
	}
	if r.scope != "" {
		add(http.StatusBadRequest, "A token in the URL, or two Authorization headers.")
		add(http.StatusUnauthorized, "No token, or one that is not valid.", "WWW-Authenticate")
		add(http.StatusForbidden, "The token does not have the scope `"+r.scope+"`.", "WWW-Authenticate")
		add(http.StatusServiceUnavailable, "No token can be checked just now.", "Retry-After")
	}
	if r.body != nil {
		add(http.StatusBadRequest, "The body broke off.")
		add(r.body.invalid, "The body says something that cannot be answered; the place is named.")
		add(http.StatusRequestTimeout, "The body did not arrive in time.")
		add(http.StatusRequestEntityTooLarge, "The body is larger than allowed.")
		add(http.StatusUnsupportedMediaType, "Another Content-Type, or a Content-Encoding.")
	}
	if r.needsModel {
		add(http.StatusServiceUnavailable, "No model is loaded yet, or there is more work than can be done.", "Retry-After")
	}
	if r.mayFail {
		add(http.StatusInternalServerError, "Something went wrong here; the log says more under the request id.")
	}
	return all
}

func content(list []mediaType, types *schemas, s *samples) map[string]*huma.MediaType {
	all := map[string]*huma.MediaType{}
	for _, m := range list {
		c := &huma.MediaType{Schema: m.schema(types)}
		if m.example != nil {
			c.Example = m.example(s)
		}
		all[m.name] = c
	}
	return all
}

func headers(names []string) map[string]*huma.Header {
	all := map[string]*huma.Header{
		"X-Request-Id": {Description: "The name of this exchange in the log.", Schema: &huma.Schema{Type: huma.TypeString}},
	}
	for _, name := range names {
		all[name] = &huma.Header{Schema: &huma.Schema{Type: huma.TypeString}}
	}
	return all
}
