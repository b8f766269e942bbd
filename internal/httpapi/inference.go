package httpapi

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/serving"
	"github.com/petal-ml/petal/internal/version"
)

// Data types of the Open Inference Protocol.
const (
	typeBytes = "BYTES"
	typeBool  = "BOOL"
	typeInt64 = "INT64"
	typeFP32  = "FP32"
	typeFP64  = "FP64"
)

// datatypes are those of the graph's inputs.
var datatypes = map[onnx.ElementType]string{
	onnx.Float: typeFP32, onnx.Double: typeFP64, onnx.Bool: typeBool, onnx.String: typeBytes,
	onnx.Int8: "INT8", onnx.Int16: "INT16", onnx.Int32: "INT32", onnx.Int64: typeInt64,
	onnx.Uint8: "UINT8", onnx.Uint16: "UINT16", onnx.Uint32: "UINT32", onnx.Uint64: "UINT64",
}

// scoresOutput names the scores of a graph that gives them one output a class.
const scoresOutput = "probabilities"

// inferenceRoutes are those of the Open Inference Protocol V2 over HTTP:
// https://github.com/kserve/open-inference-protocol.
func (a *api) inferenceRoutes() []route {
	names := []*huma.Param{pathParam("model"), pathParam("version")}
	all := []route{
		{
			method: http.MethodGet, path: inferencePath, handle: a.inferenceServer,
			id: "inferenceServer", tag: tagInference, summary: "What this server is",
			replies: []reply{{status: 200, description: "Its name and extensions.", types: jsonOf[serverMetadata](nil)}},
		},
		{
			method: http.MethodGet, path: inferencePath + "/health/live", handle: a.inferenceLive,
			id: "inferenceLive", tag: tagInference, summary: "Whether the process is alive",
			replies: []reply{{status: 200, description: "It is.", types: jsonOf[liveAnswer](nil)}},
		},
		{
			method: http.MethodGet, path: inferencePath + "/health/ready", handle: a.inferenceReady, needsModel: true, mayFail: true,
			id: "inferenceReady", tag: tagInference, summary: "Whether a model is loaded",
			replies: []reply{{status: 200, description: "One is.", types: jsonOf[serverReadyAnswer](nil)}},
		},
	}
	for i, path := range []string{inferencePath + "/models/{model}", inferencePath + "/models/{model}/versions/{version}"} {
		of := []string{"", "Version"}[i]
		for _, r := range a.modelRoutes() {
			r.path, r.id, r.params = path+r.path, r.id+of, append(slices.Clone(names[:i+1]), r.params...)
			r.mayFail, r.needsModel = true, true
			r.replies = append(r.replies, reply{status: 404, description: "Another model or version serves.", types: jsonOf[inferenceError](nil)})
			all = append(all, r)
		}
	}
	return all
}

// modelRoutes are those below a model, or a version of it.
func (a *api) modelRoutes() []route {
	return []route{
		{
			method: http.MethodGet, handle: a.inferenceModel, scope: account.ScopeModelRead,
			id: "inferenceModel", tag: tagInference, summary: "The inputs and outputs of the model",
			replies: []reply{{status: 200, description: "Names, types and shapes; -1 is the number of rows.", types: jsonOf[modelMetadata](nil)}},
		},
		{
			method: http.MethodGet, path: "/ready", handle: a.inferenceModelReady, scope: account.ScopePredict,
			id: "inferenceModelReady", tag: tagInference, summary: "Whether the model serves",
			replies: []reply{{status: 200, description: "It does.", types: jsonOf[modelReadyAnswer](nil)}},
		},
		{
			method: http.MethodPost, path: "/infer", handle: a.infer, scope: account.ScopePredict,
			id: "infer", tag: tagInference, summary: "Predict rows as tensors",
			description: "One tensor of n rows, or one tensor per feature; floats and integers are converted, text is BYTES. Tensors may come and go " +
				"in binary (the binary tensor data extension), behind the JSON whose length the header Inference-Header-Content-Length gives. " +
				"Content-Type may be absent, as common clients leave it out.",
			params: []*huma.Param{{
				Name: inferenceLength, In: "header", Schema: &huma.Schema{Type: huma.TypeInteger, Minimum: new(float64)},
				Description: "Where binary tensors follow the JSON: its length in bytes.",
			}},
			body: &requestBody{invalid: http.StatusBadRequest, types: []mediaType{
				{name: "application/json", schema: schemaOf[inferRequest], example: (*samples).inferRequest},
				{name: "application/octet-stream", schema: text},
			}},
			replies: []reply{{status: 200, description: "The tensors asked for, or all.", headers: []string{inferenceLength}, types: []mediaType{
				{name: "application/json", schema: schemaOf[inferAnswer]},
				{name: "application/octet-stream", schema: text},
			}}},
		},
	}
}

func pathParam(name string) *huma.Param {
	return &huma.Param{Name: name, In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}}
}

// serverMetadata is the answer of GET /v2.
type serverMetadata struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	Extensions []string `json:"extensions" nullable:"false"`
}

type liveAnswer struct {
	Live bool `json:"live"`
}

type serverReadyAnswer struct {
	Ready bool `json:"ready"`
}

type modelReadyAnswer struct {
	Name  string `json:"name"`
	Ready bool   `json:"ready"`
}

// modelMetadata is the answer of GET /v2/models/{model}.
type modelMetadata struct {
	Name     string           `json:"name"`
	Versions []string         `json:"versions" nullable:"false"`
	Platform string           `json:"platform"`
	Inputs   []tensorMetadata `json:"inputs" nullable:"false"`
	Outputs  []tensorMetadata `json:"outputs" nullable:"false"`
}

type tensorMetadata struct {
	Name     string `json:"name"`
	Datatype string `json:"datatype"`
	Shape    []int  `json:"shape" nullable:"false"`
}

// inferRequest is the JSON of POST /v2/…/infer.
type inferRequest struct {
	_       struct{}      `additionalProperties:"true"`
	ID      string        `json:"id,omitempty"`
	Inputs  []inferInput  `json:"inputs" nullable:"false"`
	Outputs []inferOutput `json:"outputs,omitempty" nullable:"false"`
}

type inferInput struct {
	_        struct{} `additionalProperties:"true"`
	Name     string   `json:"name"`
	Datatype string   `json:"datatype" enum:"FP32,FP64,INT8,INT16,INT32,INT64,UINT8,UINT16,UINT32,UINT64,BOOL,BYTES"`
	Shape    []int    `json:"shape" nullable:"false"`
	Data     []any    `json:"data,omitempty" nullable:"false" doc:"Row by row, flat or nested."`
}

type inferOutput struct {
	_    struct{} `additionalProperties:"true"`
	Name string   `json:"name"`
}

// inferAnswer is the JSON of its answer.
type inferAnswer struct {
	ModelName    string           `json:"model_name"`
	ModelVersion string           `json:"model_version"`
	ID           string           `json:"id,omitempty"`
	Outputs      []map[string]any `json:"outputs" nullable:"false"`
}

func (s *samples) inferRequest() any {
	row := s.row()
	if s.model == nil {
		return inferRequest{Inputs: []inferInput{{Name: "features", Datatype: typeFP64, Shape: []int{1, len(row)}, Data: row}}}
	}
	var request inferRequest
	for _, in := range s.model.Inputs() {
		datatype := datatypes[in.Element]
		if datatype == typeFP32 {
			datatype = typeFP64 // how JSON is read
		}
		request.Inputs = append(request.Inputs, inferInput{
			Name: in.Name, Datatype: datatype, Shape: shapeOf(in, 1), Data: row[in.First : in.First+in.Width],
		})
	}
	return request
}

func shapeOf(in model.Input, rows int) []int {
	if in.Flat {
		return []int{rows}
	}
	return []int{rows, in.Width}
}

func (a *api) inferenceServer(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, serverMetadata{"petal", version.Current().Version, []string{"binary_tensor_data"}})
}

func (a *api) inferenceLive(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, liveAnswer{true})
}

func (a *api) inferenceReady(w http.ResponseWriter, r *http.Request) {
	if a.cfg.Models.Current() == nil {
		fail(w, r, errNotReady)
		return
	}
	writeJSON(w, http.StatusOK, serverReadyAnswer{true})
}

// named returns the model that serves, if it is the one that the path names;
// else it has answered.
func (a *api) named(w http.ResponseWriter, r *http.Request) *serving.Live {
	model := a.cfg.Models.Current()
	if model == nil {
		fail(w, r, errNotReady)
		return nil
	}
	info, number := model.Info(), chi.URLParam(r, "version")
	if chi.URLParam(r, "model") != info.Name || number != "" && number != info.Version {
		fail(w, r, failure{status: http.StatusNotFound, kind: "not-found", detail: "this server has no such model or version; it serves " +
			info.Name + ", version " + info.Version})
		return nil
	}
	return model
}

func (a *api) inferenceModelReady(w http.ResponseWriter, r *http.Request) {
	if model := a.named(w, r); model != nil {
		writeJSON(w, http.StatusOK, modelReadyAnswer{model.Info().Name, true})
	}
}

func (a *api) inferenceModel(w http.ResponseWriter, r *http.Request) {
	model := a.named(w, r)
	if model == nil {
		return
	}
	info := model.Info()
	answer := modelMetadata{Name: info.Name, Versions: []string{info.Version}, Platform: "onnx"}
	for _, in := range model.Inputs() {
		answer.Inputs = append(answer.Inputs, tensorMetadata{in.Name, datatypes[in.Element], shapeOf(in, -1)})
	}
	for _, o := range outputsOf(model) {
		answer.Outputs = append(answer.Outputs, tensorMetadata{o.name, o.datatype, o.shape(-1)})
	}
	writeJSON(w, http.StatusOK, answer)
}

// An output is a tensor that a model gives.
type output struct {
	name     string
	datatype string
	width    int // scores a row; 0 for one value a row
}

func (o output) shape(rows int) []int {
	if o.width == 0 {
		return []int{rows}
	}
	return []int{rows, o.width}
}

// outputsOf lists what a model gives: label and scores, or a value.
func outputsOf(m *serving.Live) []output {
	first := m.Outputs()[0].Name
	if m.Labels().Len() == 0 {
		return []output{{first, typeFP32, 0}}
	}
	labels := output{first, typeBytes, 0}
	if len(m.Labels().Ints) > 0 {
		labels.datatype = typeInt64
	}
	return []output{labels, {scoresName(m), typeFP32, m.NumScores()}}
}

// scoresName is the name of a classifier's scores.
func scoresName(m *serving.Live) string {
	outputs := m.Outputs()
	if len(outputs) > 2 && outputs[1].Type.Kind == onnx.KindTensor {
		return scoresOutput
	}
	return outputs[1].Name
}

// infer is POST /v2/models/{model}/infer.
func (a *api) infer(w http.ResponseWriter, r *http.Request) {
	model := a.named(w, r)
	if model == nil {
		return
	}
	if a.admission.full() {
		fail(w, r, errOverload)
		return
	}
	defer a.meter(r)()
	body, no := readInference(w, r, a.cfg.BatchMaxBytes)
	if no != nil {
		fail(w, r, *no)
		return
	}
	head, tail, fault := splitInference(r, body)
	if fault != nil {
		a.rejectInput(w, r, model, fault)
		return
	}
	req, fault := decodeInference(head)
	if fault == nil {
		fault = req.checkSizes(len(tail))
	}
	if fault != nil {
		a.rejectInput(w, r, model, fault)
		return
	}
	b, wanted, fault := req.bind(model, tail)
	if fault != nil {
		a.rejectInput(w, r, model, fault)
		return
	}
	i, admitted, err := a.evaluate(r.Context(), model, b)
	if !admitted {
		fail(w, r, errOverload)
		return
	}
	if fault := evaluationFault(err, i, numberedRow); fault != nil {
		a.rejectInput(w, r, model, fault)
		return
	} else if err != nil {
		a.internal(w, r, "prediction", err)
		return
	}
	answer, jsonLength := a.encodeInference(model, req, wanted, b)
	if jsonLength == len(answer) {
		writeBody(w, "application/json", answer)
		return
	}
	w.Header().Set(inferenceLength, strconv.Itoa(jsonLength))
	writeBody(w, "application/octet-stream", answer)
}

// inferenceLength is the header that says where the JSON ends and binary tensors
// begin.
const inferenceLength = "Inference-Header-Content-Length"

// readInference reads the body. tritonclient sends no Content-Type at all.
func readInference(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, *failure) {
	if isEncoded(r) {
		return nil, &errEncoding
	}
	if len(r.Header.Values("Content-Type")) > 0 && !isMediaType(r, "application/json") && !isMediaType(r, "application/octet-stream") {
		return nil, &failure{
			status: http.StatusUnsupportedMediaType, kind: "unsupported-media-type",
			detail: "the Content-Type must be application/json or application/octet-stream, or absent",
		}
	}
	return readLimited(w, r, limit)
}

// splitInference tells the JSON of a body from the tensors behind it.
func splitInference(r *http.Request, body []byte) (head, tail []byte, fault *fieldError) {
	declared := r.Header.Values(inferenceLength)
	if len(declared) == 0 {
		return body, nil, nil
	}
	n, err := strconv.Atoi(declared[0])
	if err != nil || len(declared) > 1 || n < 0 || n > len(body) {
		return nil, nil, reject(rejectMalformed, "header "+inferenceLength, "a number of bytes within the body is expected")
	}
	return body[:n], body[n:], nil
}
