// Package inference is the dialect of the Open Inference Protocol V2 over HTTP:
// https://github.com/kserve/open-inference-protocol.
package inference

import (
	"net/http"
	"slices"
	"strconv"

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

// Prefix is the folder of the protocol's paths.
const Prefix = "/v2"

// Config is what the dialect needs.
type Config struct {
	Predict  *predict.Service
	MaxBytes int64 // bounds the body of an inference request
}

type api struct {
	cfg    Config
	labels answer.PerModel[answer.Labels]
}

// New returns the dialect with its routes.
func New(cfg Config) route.Dialect {
	a := &api{cfg: cfg}
	errorTypes := route.JSONOf[inferenceError](nil)
	all := []route.Route{
		{
			Method: http.MethodGet, Path: Prefix, Handle: a.server,
			ID: "inferenceServer", Tag: route.TagInference, Summary: "What this server is",
			Replies: route.OK("Its name and extensions.", route.JSONOf[serverMetadata](nil)...),
		},
		{
			Method: http.MethodGet, Path: Prefix + "/health/live", Handle: a.live,
			ID: "inferenceLive", Tag: route.TagInference, Summary: "Whether the process is alive",
			Replies: route.OK("It is.", route.JSONOf[liveAnswer](nil)...),
		},
		{
			Method: http.MethodGet, Path: Prefix + "/health/ready", Handle: a.ready, NeedsModel: true, MayFail: true,
			ID: "inferenceReady", Tag: route.TagInference, Summary: "Whether a model is loaded",
			Replies: route.OK("One is.", route.JSONOf[serverReadyAnswer](nil)...),
		},
	}
	names := []*huma.Param{pathParam("model"), pathParam("version")}
	for i, path := range []string{Prefix + "/models/{model}", Prefix + "/models/{model}/versions/{version}"} {
		suffix := []string{"", "Version"}[i]
		for _, r := range a.modelRoutes() {
			r.Path, r.ID, r.Params = path+r.Path, r.ID+suffix, append(slices.Clone(names[:i+1]), r.Params...)
			r.MayFail, r.NeedsModel = true, true
			r.Replies = append(r.Replies, route.Reply{Status: 404, Description: "Another model or version serves.", Types: errorTypes})
			all = append(all, r)
		}
	}
	return route.Dialect{
		Prefix: Prefix, Invalid: http.StatusBadRequest, ErrorTypes: errorTypes, Routes: all,
		WriteProblem: func(w http.ResponseWriter, p *problem.Problem, _ string) {
			web.WriteJSON(w, p.Status, inferenceError{p.Detail})
		},
	}
}

// inferenceError is the error answer of the protocol.
type inferenceError struct {
	Error string `json:"error"`
}

// modelRoutes are those below a model, or a version of it.
func (a *api) modelRoutes() []route.Route {
	return []route.Route{
		{
			Method: http.MethodGet, Handle: a.model, Scope: account.ScopeModelRead,
			ID: "inferenceModel", Tag: route.TagInference, Summary: "The inputs and outputs of the model",
			Replies: []route.Reply{{Status: 200, Description: "Names, types and shapes; -1 is the number of rows.", Types: route.JSONOf[modelMetadata](nil)}},
		},
		{
			Method: http.MethodGet, Path: "/ready", Handle: a.modelReady, Scope: account.ScopePredict,
			ID: "inferenceModelReady", Tag: route.TagInference, Summary: "Whether the model serves",
			Replies: []route.Reply{{Status: 200, Description: "It does.", Types: route.JSONOf[modelReadyAnswer](nil)}},
		},
		{
			Method: http.MethodPost, Path: "/infer", Handle: a.infer, Scope: account.ScopePredict,
			ID: "infer", Tag: route.TagInference, Summary: "Predict rows as tensors",
			Description: "One tensor of n rows, or one tensor per feature; floats and integers are converted, text is BYTES. Tensors may come and go " +
				"in binary (the binary tensor data extension), behind the JSON whose length the header Inference-Header-Content-Length gives. " +
				"Content-Type may be absent, as common clients leave it out.",
			Params: []*huma.Param{{
				Name: lengthHeader, In: "header", Schema: &huma.Schema{Type: huma.TypeInteger, Minimum: new(float64)},
				Description: "Where binary tensors follow the JSON: its length in bytes.",
			}},
			Body: &route.Body{Types: []route.MediaType{
				{Name: "application/json", Schema: route.SchemaOf[inferRequest], Example: sampleRequest},
				{Name: "application/octet-stream", Schema: route.Text},
			}},
			Replies: []route.Reply{{Status: 200, Description: "The tensors asked for, or all.", Headers: []string{lengthHeader}, Types: []route.MediaType{
				{Name: "application/json", Schema: route.SchemaOf[inferAnswer]},
				{Name: "application/octet-stream", Schema: route.Text},
			}}},
		},
	}
}

func pathParam(name string) *huma.Param {
	return &huma.Param{Name: name, In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}}
}

func (a *api) server(w http.ResponseWriter, _ *http.Request) error {
	web.WriteJSON(w, http.StatusOK, serverMetadata{"petal", version.Current().Version, []string{"binary_tensor_data"}})
	return nil
}

func (a *api) live(w http.ResponseWriter, _ *http.Request) error {
	web.WriteJSON(w, http.StatusOK, liveAnswer{true})
	return nil
}

func (a *api) ready(w http.ResponseWriter, _ *http.Request) error {
	if _, err := a.cfg.Predict.Ready(); err != nil {
		return err
	}
	web.WriteJSON(w, http.StatusOK, serverReadyAnswer{true})
	return nil
}

// named returns the model that serves, if it is the one that the path names.
func (a *api) named(r *http.Request) (*serving.Live, error) {
	return a.cfg.Predict.Named(web.PathParam(r, "model"), web.PathParam(r, "version"))
}

func (a *api) modelReady(w http.ResponseWriter, r *http.Request) error {
	model, err := a.named(r)
	if err != nil {
		return err
	}
	if _, err := a.cfg.Predict.Ready(); err != nil {
		return err
	}
	web.WriteJSON(w, http.StatusOK, modelReadyAnswer{model.Info().Name, true})
	return nil
}

func (a *api) model(w http.ResponseWriter, r *http.Request) error {
	model, err := a.named(r)
	if err != nil {
		return err
	}
	info := model.Info()
	metadata := modelMetadata{Name: info.Name, Versions: []string{info.Version}, Platform: "onnx"}
	for _, in := range model.Inputs() {
		metadata.Inputs = append(metadata.Inputs, tensorMetadata{in.Name, datatypes[in.Element], shapeOf(in, -1)})
	}
	for _, o := range outputsOf(model) {
		metadata.Outputs = append(metadata.Outputs, tensorMetadata{o.name, o.datatype, o.shape(-1)})
	}
	web.WriteJSON(w, http.StatusOK, metadata)
	return nil
}

// infer is POST /v2/models/{model}/infer.
func (a *api) infer(w http.ResponseWriter, r *http.Request) error {
	model, err := a.named(r)
	if err != nil {
		return err
	}
	if err := a.cfg.Predict.CheckLoad(); err != nil {
		return err
	}
	if err := checkType(r); err != nil {
		return err
	}
	batch := a.cfg.Predict.NewBatch(model)
	defer batch.Release()
	body, err := web.ReadBody(w, r, a.cfg.MaxBytes, &batch.Share)
	if err != nil {
		return err
	}
	head, tail, err := split(r, body)
	if err != nil {
		return err
	}
	req, err := decode(head, &batch.Share)
	if err != nil {
		return err
	}
	bound, err := req.bind(batch, tail)
	if err != nil {
		return err
	}
	wanted, err := choose(req, model)
	if err != nil {
		return err
	}
	if err := batch.Predict(r.Context(), false); err != nil {
		return bound.located(err)
	}
	labels := a.labels.Of(model, answer.NewLabels)
	if err := batch.Take(answerBytes(labels, wanted, batch)); err != nil {
		return err
	}
	body, jsonLength := appendAnswer(labels, req.id, wanted, batch)
	if jsonLength == len(body) {
		web.WriteBody(w, "application/json", body)
		return nil
	}
	w.Header().Set(lengthHeader, strconv.Itoa(jsonLength))
	web.WriteBody(w, "application/octet-stream", body)
	return nil
}

// lengthHeader says where the JSON ends and binary tensors begin.
const lengthHeader = "Inference-Header-Content-Length"

// checkType checks the Content-Type. tritonclient sends none at all.
func checkType(r *http.Request) error {
	if web.IsEncoded(r) {
		return problem.Encoded
	}
	if web.HasType(r) && !web.IsMediaType(r, "application/json") && !web.IsMediaType(r, "application/octet-stream") {
		return problem.Unsupported("application/json or application/octet-stream, or absent")
	}
	return nil
}

// split tells the JSON of a body from the tensors behind it.
func split(r *http.Request, body []byte) (head, tail []byte, err error) {
	declared := r.Header.Values(lengthHeader)
	if len(declared) == 0 {
		return body, nil, nil
	}
	n, err := strconv.Atoi(declared[0])
	if err != nil || len(declared) > 1 || n < 0 || n > len(body) {
		return nil, nil, problem.Invalid(rows.Malformed, "header "+lengthHeader, "a number of bytes within the body is expected")
	}
	return body[:n], body[n:], nil
}
