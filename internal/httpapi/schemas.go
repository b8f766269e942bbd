package httpapi

import (
	"encoding/json"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/serving"
)

// schemas makes schemas of Go types, each once, for one document.
type schemas struct {
	huma.Registry
	// model is the one that serves; nil while there is none.
	model *serving.Live
}

func newSchemas(model *serving.Live) *schemas {
	return &schemas{huma.NewMapRegistry("#/components/schemas/", schemaName), model}
}

// schemaName is the name of a type's schema: its own, with a capital.
func schemaName(t reflect.Type, hint string) string {
	return huma.DefaultSchemaNamer(t, hint)
}

func schemaOf[T any](s *schemas) *huma.Schema {
	return s.Schema(reflect.TypeFor[T](), true, "")
}

func jsonOf[T any](example func(*samples) any) []mediaType {
	return []mediaType{{name: "application/json", schema: schemaOf[T], example: example}}
}

func anyObject(*schemas) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
}
func text(*schemas) *huma.Schema { return &huma.Schema{Type: huma.TypeString} }

// The types below describe bodies that are read and written by hand; a test
// holds what is really sent against them.

// predictRequestSchema is that of the body of POST /predict for the model.
func predictRequestSchema(s *schemas) *huma.Schema {
	if s.model != nil && s.model.IsTyped() {
		return oneOrMany(typedRow(s.model.Info().Features))
	}
	return schemaOf[predictRequest](s)
}

// typedRow is the schema of a row whose columns have different types.
func typedRow(features []model.Feature) *huma.Schema {
	object := &huma.Schema{Type: huma.TypeObject, AdditionalProperties: false, Properties: map[string]*huma.Schema{}, Description: "Values by feature name; every feature is there."}
	array := &huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{}, Description: "Values in the order of GET /model-info."}
	types := map[model.Kind]string{model.Number: huma.TypeNumber, model.Whole: huma.TypeInteger, model.Boolean: huma.TypeBoolean, model.Text: huma.TypeString}
	for _, f := range features {
		object.Properties[f.Name] = &huma.Schema{Type: types[f.Kind], Nullable: f.MayBeMissing}
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

// label is a class as the model names it.
type label struct{ value any }

// MarshalJSON writes the bare value.
func (l label) MarshalJSON() ([]byte, error) { return json.Marshal(l.value) }

// Schema is that of text or a whole number.
func (label) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{{Type: huma.TypeString}, {Type: huma.TypeInteger}}}
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
	Label         *label             `json:"label,omitempty" doc:"The predicted class; keeps its JSON type."`
	ClassIndex    *int               `json:"class_index,omitempty" doc:"Its place among the classes."`
	Probabilities map[string]float64 `json:"probabilities,omitempty" doc:"By class."`
	Value         *float64           `json:"value,omitempty" doc:"What a regressor predicts."`
	Explanation   *explanation       `json:"explanation,omitempty"`
}

// An explanation says what each feature adds to the score of the class.
type explanation struct {
	Method        string             `json:"method" enum:"linear,tree-path"`
	Baseline      float64            `json:"baseline"`
	Contributions map[string]float64 `json:"contributions"`
}

type onePrediction struct {
	Label         label              `json:"label"`
	ClassIndex    int                `json:"class_index"`
	Probabilities map[string]float64 `json:"probabilities"`
	Explanation   *explanation       `json:"explanation,omitempty"`
	Model         modelRef           `json:"model"`
}

type oneValue struct {
	Value       float64      `json:"value"`
	Explanation *explanation `json:"explanation,omitempty"`
	Model       modelRef     `json:"model"`
}

type manyPredictions struct {
	Predictions []prediction `json:"predictions" nullable:"false"`
	Model       modelRef     `json:"model"`
}

// tokenForm is the form of POST /token.
type tokenForm struct {
	Username  string `json:"username" example:"student"`
	Password  string `json:"password" format:"password"`
	GrantType string `json:"grant_type,omitempty" enum:"password" doc:"May be absent."`
	Scope     string `json:"scope,omitempty" doc:"Separated by spaces; absent means all that the user has." example:"predict"`
}
