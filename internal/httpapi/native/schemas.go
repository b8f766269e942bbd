package native

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/petal-ml/petal/internal/httpapi/route"
	"github.com/petal-ml/petal/internal/model"
)

// The types below describe bodies that are read and written by hand; a test
// holds what is really sent against them.

// predictRequestSchema is that of the body of POST /predict for the model.
func predictRequestSchema(s *route.Schemas) *huma.Schema {
	if s.Model != nil && s.Model.IsTyped() {
		return oneOrMany(typedRow(s.Model.Info().Features))
	}
	return route.SchemaOf[predictRequest](s)
}

// typedRow is the schema of a row whose columns have different types.
func typedRow(features []model.Feature) *huma.Schema {
	object := &huma.Schema{Type: huma.TypeObject, AdditionalProperties: false, Properties: map[string]*huma.Schema{}, Description: "Values by feature name; every feature is there."}
	array := &huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{}, Description: "Values in the order of GET /model-info."}
	scalar := func(f model.Feature) *huma.Schema {
		switch f.Learned() {
		case "boolean":
			return &huma.Schema{
				OneOf:       []*huma.Schema{{Type: huma.TypeBoolean}, {Type: huma.TypeString, Nullable: true}},
				Description: fmt.Sprintf("true or %q, false or %q.", f.Categories[1], f.Categories[0]),
			}
		case "category":
			s := &huma.Schema{Type: huma.TypeString, Nullable: true, Description: "A category; one that training did not know is taken as other."}
			for _, c := range f.Categories[:min(len(f.Categories), maxListed)] {
				s.Examples = append(s.Examples, c)
			}
			return s
		}
		return nil
	}
	types := map[model.Kind]string{model.Number: huma.TypeNumber, model.Whole: huma.TypeInteger, model.Boolean: huma.TypeBoolean, model.Text: huma.TypeString}
	for _, f := range features {
		if object.Properties[f.Name] = scalar(f); object.Properties[f.Name] == nil {
			object.Properties[f.Name] = &huma.Schema{Type: types[f.Kind], Nullable: f.MayBeMissing}
		}
		object.Required = append(object.Required, f.Name)
	}
	n := len(features)
	array.MinItems, array.MaxItems = &n, &n
	return &huma.Schema{OneOf: []*huma.Schema{array, object}}
}

// predictRequest is the body of POST /predict.
type predictRequest struct{}

// Schema is that of rows of numbers.
func (predictRequest) Schema(s huma.Registry) *huma.Schema {
	return oneOrMany(s.Schema(reflect.TypeFor[featureRow](), true, ""))
}

// oneOrMany is the schema of exactly one of two keys, with one row or several.
func oneOrMany(row *huma.Schema) *huma.Schema {
	one := &huma.Schema{
		Type: huma.TypeObject, AdditionalProperties: false, Required: []string{"features"},
		Properties: map[string]*huma.Schema{"features": row},
	}
	many := &huma.Schema{
		Type: huma.TypeObject, AdditionalProperties: false, Required: []string{"instances"},
		Properties: map[string]*huma.Schema{"instances": {Type: huma.TypeArray, Items: row}},
	}
	return &huma.Schema{OneOf: []*huma.Schema{one, many}}
}

// featureRow is one row, by position or by name.
type featureRow struct{}

// Schema is that of numbers in one of two forms. A null stands for a missing
// value where the model knows such.
func (featureRow) Schema(huma.Registry) *huma.Schema {
	number := func() *huma.Schema {
		return &huma.Schema{Type: huma.TypeNumber, Nullable: true}
	}
	return &huma.Schema{OneOf: []*huma.Schema{
		{Type: huma.TypeArray, Items: number(), Description: "Values in the order of GET /model-info."},
		{Type: huma.TypeObject, AdditionalProperties: number(), Description: "Values by feature name; every feature is there."},
	}}
}

// predictAnswer is the answer of POST /predict.
type predictAnswer struct{}

// Schema is that of one prediction or many.
func (predictAnswer) Schema(s huma.Registry) *huma.Schema {
	return &huma.Schema{AnyOf: []*huma.Schema{
		s.Schema(reflect.TypeFor[onePrediction](), true, ""),
		s.Schema(reflect.TypeFor[manyPredictions](), true, ""),
		s.Schema(reflect.TypeFor[oneValue](), true, ""),
	}}
}

// A prediction is that of a classifier, or the value of a regressor.
type prediction struct {
	Label         *route.Label       `json:"label,omitempty" doc:"The predicted class; keeps its JSON type."`
	ClassIndex    *int               `json:"class_index,omitempty" doc:"Its place among the classes."`
	Probabilities map[string]float64 `json:"probabilities,omitempty" doc:"By class."`
	Value         *float64           `json:"value,omitempty" doc:"What a regressor predicts."`
	Explanation   *explanation       `json:"explanation,omitempty"`
	Warnings      []warning          `json:"warnings,omitempty" doc:"What of the row training did not know."`
}

// A warning is about one value of a row.
type warning struct {
	Feature string `json:"feature"`
	Value   string `json:"value"`
	Reason  string `json:"reason" enum:"unseen"`
}

// An explanation says what each feature adds to the score of the class.
type explanation struct {
	Method        string             `json:"method" enum:"linear,tree-path"`
	Baseline      float64            `json:"baseline"`
	Contributions map[string]float64 `json:"contributions"`
}

type onePrediction struct {
	Label         route.Label        `json:"label"`
	ClassIndex    int                `json:"class_index"`
	Probabilities map[string]float64 `json:"probabilities"`
	Explanation   *explanation       `json:"explanation,omitempty"`
	Warnings      []warning          `json:"warnings,omitempty"`
	Model         route.ModelRef     `json:"model"`
}

type oneValue struct {
	Value       float64        `json:"value"`
	Explanation *explanation   `json:"explanation,omitempty"`
	Warnings    []warning      `json:"warnings,omitempty"`
	Model       route.ModelRef `json:"model"`
}

type manyPredictions struct {
	Predictions []prediction   `json:"predictions" nullable:"false"`
	Model       route.ModelRef `json:"model"`
}

// sampleRequest is an example of a request for the model that serves.
func sampleRequest(s *route.Samples) any {
	row := s.Row()
	if s.Model == nil || !s.Model.IsTyped() {
		return map[string]any{"features": row}
	}
	named := map[string]any{}
	for i, name := range s.Names() {
		named[name] = row[i]
	}
	return map[string]any{"features": named}
}

// sampleAnswer shows the form of an answer, with made-up probabilities.
func sampleAnswer(s *route.Samples) any {
	if s.Model == nil {
		return nil
	}
	scores := make([]float32, s.Model.NumScores())
	scores[0] = 1
	e := newEncoder(s.Model)
	return json.RawMessage(append(e.appendPrediction([]byte{'{'}, 0, scores), e.model...))
}
