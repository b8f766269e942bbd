// Package openapi describes the routes as OpenAPI 3.1 and shows them in a browser.
package openapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/httpapi/answer"
	"github.com/petal-ml/petal/internal/httpapi/oauth"
	"github.com/petal-ml/petal/internal/httpapi/problem"
	"github.com/petal-ml/petal/internal/httpapi/route"
	"github.com/petal-ml/petal/internal/httpapi/web"
	"github.com/petal-ml/petal/internal/predict"
	"github.com/petal-ml/petal/internal/serving"
	"github.com/petal-ml/petal/internal/version"
)

// Docs serves the specification of a list of dialects, and the page that shows it.
type Docs struct {
	service   *predict.Service
	dialects  []route.Dialect
	documents answer.PerModel[*documents]
}

// New returns docs of the models that the service serves.
func New(service *predict.Service) *Docs { return &Docs{service: service} }

// Describe sets what is described, before anything is served.
func (d *Docs) Describe(dialects []route.Dialect) { d.dialects = dialects }

// Routes are those of the specification and of the page.
func (d *Docs) Routes() []route.Route {
	get := func(path, id, summary string, handle route.Handler, mediaType string, schema func(*route.Schemas) *huma.Schema) route.Route {
		return route.Route{
			Method: http.MethodGet, Path: path, Handle: handle, ID: id, Tag: route.TagService, Summary: summary,
			Replies: append(route.OK(summary+".", route.MediaType{Name: mediaType, Schema: schema}),
				route.Reply{Status: http.StatusNotModified, Description: "The client has it already, as `If-None-Match` says."}),
		}
	}
	return []route.Route{
		get("/openapi.json", "openapiJSON", "This specification as JSON", d.writeJSON, "application/json", route.AnyObject),
		get("/openapi.yaml", "openapiYAML", "This specification as YAML", d.writeYAML, "application/yaml", route.AnyObject),
		get(pagePath, "docs", "Interactive documentation", docs, "text/html", route.Text),
		{Method: http.MethodGet, Path: pagePath + "/", Handle: slash, Hidden: true},
		// What the files are changes with Swagger UI.
		{Method: http.MethodGet, Path: pagePath + "/*", Handle: docs, Hidden: true},
	}
}

// A document is the specification in both spellings, with examples for one
// model.
type document struct {
	json, yaml []byte
	err        error
}

// documents are those for one model, by the prefix that clients see it behind.
type documents struct {
	sync.Mutex
	byPrefix map[string]document
}

// maxPrefixes bounds them: what comes in a header may be anything.
const maxPrefixes = 8

func (d *Docs) writeJSON(w http.ResponseWriter, r *http.Request) error {
	return d.write(w, r, "application/json", func(doc *document) []byte { return doc.json })
}

func (d *Docs) writeYAML(w http.ResponseWriter, r *http.Request) error {
	return d.write(w, r, "application/yaml", func(doc *document) []byte { return doc.yaml })
}

func (d *Docs) write(w http.ResponseWriter, r *http.Request, mediaType string, of func(*document) []byte) error {
	model, _ := d.service.Current() // nil while there is none
	doc := d.document(model, web.InfoOf(r).Prefix)
	if doc.err != nil {
		return problem.Internal("write the specification", doc.err)
	}
	w.Header().Set("Cache-Control", "no-cache")
	serve(w, r, mediaType, of(&doc))
	return nil
}

func (d *Docs) document(model *serving.Live, prefix string) document {
	made := *d.documents.Of(model, func(*serving.Live) *documents { return &documents{byPrefix: map[string]document{}} })
	made.Lock()
	defer made.Unlock()
	doc, known := made.byPrefix[prefix]
	if known {
		return doc
	}
	spec := Specification(d.dialects, &route.Samples{Model: model}, prefix)
	if doc.json, doc.err = json.Marshal(spec); doc.err == nil {
		doc.yaml, doc.err = spec.YAML()
	}
	if len(made.byPrefix) == maxPrefixes {
		clear(made.byPrefix)
	}
	made.byPrefix[prefix] = doc
	return doc
}

// Specification describes the routes of all dialects, for clients that see them
// behind the prefix: "/petal", or empty.
func Specification(dialects []route.Dialect, s *route.Samples, prefix string) *huma.OpenAPI {
	types := route.NewSchemas(s.Model)
	spec := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "Petal", Version: version.Current().Version,
			Description: "Serves the model that an alias of a model registry points at. Errors are RFC 9457 problem documents, " +
				"but for /token (RFC 6749), /invocations (MLflow) and /v2 (Open Inference Protocol), which speak as their protocols do.",
		},
		Components: &huma.Components{Schemas: types.Registry, SecuritySchemes: securitySchemes(prefix)},
	}
	if prefix != "" {
		spec.Servers = []*huma.Server{{URL: prefix}}
	}
	for _, name := range route.Tags() {
		spec.Tags = append(spec.Tags, &huma.Tag{Name: name})
	}
	for _, d := range dialects {
		for _, r := range d.Routes {
			if !r.Hidden {
				spec.AddOperation(operation(&d, &r, types, s))
			}
		}
	}
	return spec
}

func securitySchemes(prefix string) map[string]*huma.SecurityScheme {
	return map[string]*huma.SecurityScheme{
		"oauth2": {
			Type: "oauth2", Description: "Log in with a user's name and password.",
			Flows: &huma.OAuthFlows{Password: &huma.OAuthFlow{TokenURL: prefix + oauth.TokenPath, Scopes: map[string]string{
				account.ScopePredict:   "ask for predictions",
				account.ScopeModelRead: "see what the model is",
				account.ScopeAdmin:     "look after the service",
			}}},
		},
		"bearer": {Type: "http", Scheme: "bearer", Description: "A token that POST /token gave, or an API key."},
	}
}

// operation describes one route.
func operation(d *route.Dialect, r *route.Route, types *route.Schemas, s *route.Samples) *huma.Operation {
	op := &huma.Operation{
		Method: r.Method, Path: r.Path, OperationID: r.ID, Tags: []string{r.Tag},
		Summary: r.Summary, Description: r.Description, Parameters: r.Params, Responses: map[string]*huma.Response{},
		Security: []map[string][]string{},
	}
	if r.Scope != "" {
		op.Security = []map[string][]string{{"oauth2": {r.Scope}}, {"bearer": {}}}
	}
	if r.Body != nil {
		op.RequestBody = &huma.RequestBody{Description: r.Body.Description, Required: true, Content: content(r.Body.Types, types, s)}
	}
	for _, reply := range slices.Concat(r.Replies, problems(d, r)) {
		code := strconv.Itoa(reply.Status)
		if before, twice := op.Responses[code]; twice {
			before.Description += " " + reply.Description
			continue
		}
		op.Responses[code] = &huma.Response{
			Description: reply.Description, Content: content(reply.Types, types, s), Headers: headers(reply.Headers),
		}
	}
	return op
}

// problems are the answers that follow from what a route needs.
func problems(d *route.Dialect, r *route.Route) []route.Reply {
	var all []route.Reply
	add := func(status int, description string, headers ...string) {
		all = append(all, route.Reply{Status: status, Description: description, Types: d.ErrorTypes, Headers: headers})
	}
	if r.Scope != "" {
		add(http.StatusBadRequest, "A token in the URL, or two Authorization headers.")
		add(http.StatusUnauthorized, "No token, or one that is not valid.", "WWW-Authenticate")
		add(http.StatusForbidden, "The token does not have the scope `"+r.Scope+"`.", "WWW-Authenticate")
		add(http.StatusServiceUnavailable, "No token can be checked just now.", "Retry-After")
	}
	if r.Body != nil {
		add(http.StatusBadRequest, "The body broke off.")
		add(d.Invalid, "The body says something that cannot be answered; the place is named.")
		add(http.StatusRequestTimeout, "The body did not arrive in time.")
		add(http.StatusRequestEntityTooLarge, "The body is larger than allowed.")
		add(http.StatusUnsupportedMediaType, "Another Content-Type, or a Content-Encoding.")
	}
	if r.NeedsModel {
		add(http.StatusServiceUnavailable, "No model is loaded yet, or there is more work than can be done.", "Retry-After")
	}
	if r.MayFail {
		add(http.StatusInternalServerError, "Something went wrong here; the log says more under the request id.")
	}
	return all
}

func content(list []route.MediaType, types *route.Schemas, s *route.Samples) map[string]*huma.MediaType {
	all := map[string]*huma.MediaType{}
	for _, m := range list {
		c := &huma.MediaType{Schema: m.Schema(types)}
		if m.Example != nil {
			c.Example = m.Example(s)
		}
		all[m.Name] = c
	}
	return all
}

func headers(names []string) map[string]*huma.Header {
	all := map[string]*huma.Header{
		"X-Request-Id": {Description: "The name of this request in the log.", Schema: &huma.Schema{Type: huma.TypeString}},
	}
	for _, name := range names {
		all[name] = &huma.Header{Schema: &huma.Schema{Type: huma.TypeString}}
	}
	return all
}
