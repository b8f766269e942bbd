package route

import (
	"encoding/json"
	"reflect"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/petal-ml/petal/internal/httpapi/problem"
	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/serving"
)

// Schemas makes schemas of Go types, each once, for one document.
type Schemas struct {
	huma.Registry
	// Model is the one that serves; nil while there is none.
	Model *serving.Live
}

// NewSchemas returns none yet.
func NewSchemas(model *serving.Live) *Schemas {
	return &Schemas{huma.NewMapRegistry("#/components/schemas/", schemaName), model}
}

// schemaName is the name of a type's schema: its own, with a capital.
func schemaName(t reflect.Type, hint string) string {
	if t == reflect.TypeFor[problem.Field]() {
		return "ProblemField"
	}
	return huma.DefaultSchemaNamer(t, hint)
}

// SchemaOf is the schema of a type.
func SchemaOf[T any](s *Schemas) *huma.Schema {
	return s.Schema(reflect.TypeFor[T](), true, "")
}

// JSONOf lists a type as JSON, with an example or nil.
func JSONOf[T any](example func(*Samples) any) []MediaType {
	return []MediaType{{Name: "application/json", Schema: SchemaOf[T], Example: example}}
}

// AnyObject is the schema of an object of any members.
func AnyObject(*Schemas) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
}

// Text is the schema of text.
func Text(*Schemas) *huma.Schema { return &huma.Schema{Type: huma.TypeString} }

// Label is a class as the model names it.
type Label struct{ Value any }

// MarshalJSON writes the bare value.
func (l Label) MarshalJSON() ([]byte, error) { return json.Marshal(l.Value) }

// Schema is that of text or a whole number.
func (Label) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{{Type: huma.TypeString}, {Type: huma.TypeInteger}}}
}

// ModelRef names the model in an answer.
type ModelRef struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Samples are the examples of the documentation. They fit the model that
// serves, so that "Try it out" is answered.
type Samples struct {
	Model *serving.Live // nil while there is none
}

// Names are those of the columns of [Samples.Row].
func (s *Samples) Names() []string {
	if s.Model == nil {
		return []string{"sepal_length", "sepal_width", "petal_length", "petal_width"}
	}
	var names []string
	for _, f := range s.Model.Info().Features {
		names = append(names, f.Name)
	}
	return names
}

// Row is a row to try: the first whole one of the model's own examples, else
// zeros and empty texts.
func (s *Samples) Row() []any {
	if s.Model == nil {
		return []any{5.1, 3.5, 1.4, 0.2}
	}
	info := s.Model.Info()
	for _, row := range info.Example {
		if !slices.ContainsFunc(row, model.Cell.IsMissing) {
			return anySlice(row)
		}
	}
	return anySlice(info.MadeUp(0))
}

func anySlice(row []model.Cell) []any {
	all := make([]any, len(row))
	for i, c := range row {
		all[i] = c
	}
	return all
}
