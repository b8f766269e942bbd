package inference

import (
	"github.com/petal-ml/petal/internal/httpapi/route"
)

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

// sampleRequest is an example of a request for the model that serves.
func sampleRequest(s *route.Samples) any {
	row := s.Row()
	if s.Model == nil {
		return inferRequest{Inputs: []inferInput{{Name: "features", Datatype: typeFP64, Shape: []int{1, len(row)}, Data: row}}}
	}
	var request inferRequest
	for _, in := range s.Model.Inputs() {
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
