// Package mlmodel reads and writes the MLmodel file and the model directory
// around it, and knows which names MLflow takes. It works on bytes: it opens no
// file and calls no server.
//
// It was written against MLflow 3.17 and uses none of its code.
package mlmodel

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Names of the files of a model directory.
const (
	// ModelFile describes the model: flavors, signature, metadata.
	ModelFile = "MLmodel"
	// ONNXFile is the name under which Petal writes the model itself. Other
	// writers may choose another one: see [Model.ONNXFile].
	ONNXFile = "model.onnx"

	requirementsFile        = "requirements.txt"
	condaFile               = "conda.yaml"
	pythonEnvFile           = "python_env.yaml"
	inputExampleFile        = "input_example.json"
	servingInputExampleFile = "serving_input_example.json"
)

// Column types of a signature, in MLflow's spelling.
const (
	Double  = "double"
	Float   = "float"
	Long    = "long"
	Integer = "integer"
	Boolean = "boolean"
	String  = "string"
	// Map is a map from text to values of type [Column.Values].
	Map = "map"
	// Tensor is an array of [Column.Shape] with elements of the NumPy type
	// [Column.Values].
	Tensor = "tensor"
)

// maxModelFile bounds the MLmodel file that Parse accepts, in bytes.
const maxModelFile = 4 << 20

// timeLayout is how MLflow writes utc_time_created.
const timeLayout = "2006-01-02 15:04:05.000000"

// A Column is one named input or output of a model, or of a data set.
type Column struct {
	Name string
	// Type is one of the constants above, or another type that MLflow knows.
	Type string
	// Values is the element type of a [Map], a [Tensor] or an array.
	Values string
	// Shape is the shape of a [Tensor]; -1 stands for any length.
	Shape []int64
	// Optional columns may be left out by the caller.
	Optional bool
}

// A Signature says what a model takes and gives. One without inputs stands for
// a model that has none.
type Signature struct {
	Inputs, Outputs []Column
}

// ColumnNames are the names of the inputs of a signature made of columns; nil for
// one made of tensors, which names the graph's inputs, not the columns in them.
func (s Signature) ColumnNames() []string {
	var names []string
	for _, c := range s.Inputs {
		if c.Name == "" || c.Type == Tensor {
			return nil
		}
		names = append(names, c.Name)
	}
	return names
}

// PetalMetadata is what Petal notes about a model it trained, under
// metadata.petal of the MLmodel file. Models from elsewhere do not have it.
type PetalMetadata struct {
	// Estimator names the algorithm, such as "logistic_regression".
	Estimator string `json:"estimator" yaml:"estimator"`
	// Classes are the labels in the order of the probabilities: all int64 or
	// all string.
	Classes []any `json:"classes" yaml:"classes"`
	// Metrics are those of the hold-out, by name.
	Metrics map[string]float64 `json:"metrics" yaml:"metrics"`
	Data    PetalData          `json:"data" yaml:"data"`
	// TrainedAt is in UTC.
	TrainedAt time.Time `json:"trained_at" yaml:"trained_at"`
	// MissingColumns are the features that had missing values in training.
	MissingColumns []string       `json:"missing_columns" yaml:"missing_columns"`
	Features       []PetalFeature `json:"features" yaml:"features"`
}

// PetalData names the data that a model was trained on.
type PetalData struct {
	Path string `json:"path" yaml:"path"`
	MD5  string `json:"md5" yaml:"md5"`
}

// A PetalFeature is one input of the model, in the order of the graph's
// columns.
type PetalFeature struct {
	Name string `json:"name" yaml:"name"`
	Type string `json:"type" yaml:"type"`
	// Kind is "category" or "boolean" for a column of texts, and empty for one of
	// numbers. Categories are the texts that training knew, sorted; of a boolean
	// that for false and that for true.
	Kind       string   `json:"kind,omitempty" yaml:"kind,omitempty"`
	Categories []string `json:"categories,omitempty" yaml:"categories,omitempty"`
}

// A Model is what an MLmodel file says, whether Petal or Python wrote it.
// Fields that the file lacks are zero.
type Model struct {
	ModelID        string
	RunID          string
	UTCTimeCreated time.Time
	Signature      Signature
	// Metadata is the file's own metadata section, Petal's part included.
	Metadata map[string]any
	// Petal is nil for models that Petal did not train.
	Petal *PetalMetadata
	// Flavors are the names of the flavors, sorted: "onnx", "python_function".
	Flavors []string
	// ONNXFile is the path of the ONNX file inside the model directory, as the
	// onnx flavor gives it; empty where there is no such flavor.
	ONNXFile string
}

// modelYAML is an MLmodel file as far as Petal reads it. Other keys are left
// alone: each release of MLflow adds some.
type modelYAML struct {
	ModelID        string               `yaml:"model_id"`
	ModelUUID      string               `yaml:"model_uuid"`
	RunID          string               `yaml:"run_id"`
	UTCTimeCreated string               `yaml:"utc_time_created"`
	Flavors        map[string]yaml.Node `yaml:"flavors"`
	Metadata       map[string]any       `yaml:"metadata"`
	Signature      *struct {
		Inputs  string `yaml:"inputs"`
		Outputs string `yaml:"outputs"`
	} `yaml:"signature"`
}

// Parse reads an MLmodel file. It accepts signatures of columns, of
// tensors, and none at all.
func Parse(data []byte) (*Model, error) {
	m, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ModelFile, err)
	}
	return m, nil
}

func parse(data []byte) (*Model, error) {
	if len(data) > maxModelFile {
		return nil, fmt.Errorf("is larger than %d bytes", maxModelFile)
	}
	var y modelYAML
	if err := yaml.Load(data, &y); err != nil {
		return nil, oneLine(err)
	}
	if len(y.Flavors) == 0 {
		return nil, errors.New("has no flavors: this is no MLflow model")
	}
	m := &Model{
		ModelID:  y.ModelID,
		RunID:    y.RunID,
		Metadata: y.Metadata,
		Flavors:  slices.Sorted(maps.Keys(y.Flavors)),
	}
	if m.ModelID == "" && strings.HasPrefix(y.ModelUUID, "m-") {
		m.ModelID = y.ModelUUID
	}
	var err error
	if m.ONNXFile, err = onnxFile(y.Flavors); err != nil {
		return nil, err
	}
	if y.UTCTimeCreated != "" {
		if m.UTCTimeCreated, err = parseTime(y.UTCTimeCreated); err != nil {
			return nil, fmt.Errorf("utc_time_created: %w", err)
		}
	}
	if y.Signature != nil {
		if m.Signature.Inputs, err = DecodeColumns(y.Signature.Inputs); err != nil {
			return nil, fmt.Errorf("signature inputs: %w", err)
		}
		if m.Signature.Outputs, err = DecodeColumns(y.Signature.Outputs); err != nil {
			return nil, fmt.Errorf("signature outputs: %w", err)
		}
	}
	if m.Petal, err = parsePetal(data, y.Metadata); err != nil {
		return nil, fmt.Errorf("metadata.petal: %w", err)
	}
	return m, nil
}

func onnxFile(flavors map[string]yaml.Node) (string, error) {
	node, ok := flavors["onnx"]
	if !ok {
		return "", nil
	}
	var flavor struct {
		Data string `yaml:"data"`
	}
	if err := node.Decode(&flavor); err != nil {
		return "", fmt.Errorf("flavor onnx: %w", oneLine(err))
	}
	if flavor.Data == "" {
		return "", errors.New("flavor onnx: data is missing: it names the ONNX file")
	}
	if err := CheckPath(flavor.Data); err != nil {
		return "", fmt.Errorf("flavor onnx: data: %w", err)
	}
	return path.Clean(flavor.Data), nil
}

// parseTime reads the time in either of Python's two forms: without a
// fraction when the microseconds happen to be zero.
func parseTime(s string) (time.Time, error) {
	// A fraction in the value is accepted where the layout has none.
	t, err := time.Parse(time.DateTime, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not a time such as %s", s, timeLayout)
	}
	return t, nil
}

// columnJSON is a column on the wire: MLflow's ColSpec, and its TensorSpec,
// which keeps the type one level down.
type columnJSON struct {
	Type     string          `json:"type"`
	Name     string          `json:"name,omitempty"`
	Required *bool           `json:"required,omitempty"`
	Values   *elementJSON    `json:"values,omitempty"`
	Items    *elementJSON    `json:"items,omitempty"`
	Tensor   *tensorSpecJSON `json:"tensor-spec,omitempty"`
}

type elementJSON struct {
	Type string `json:"type"`
}

type tensorSpecJSON struct {
	DType string  `json:"dtype"`
	Shape []int64 `json:"shape"`
}

// DecodeColumns reads what [EncodeColumns] and MLflow write; an empty text has no
// columns.
func DecodeColumns(text string) ([]Column, error) {
	if text == "" {
		return nil, nil
	}
	var wire []columnJSON
	if err := json.Unmarshal([]byte(text), &wire); err != nil {
		return nil, fmt.Errorf("not a list of columns: %w", err)
	}
	columns := make([]Column, len(wire))
	for i, w := range wire {
		c := Column{Name: w.Name, Type: w.Type, Optional: w.Required != nil && !*w.Required}
		switch {
		case w.Tensor != nil:
			c.Values, c.Shape = w.Tensor.DType, w.Tensor.Shape
		case w.Values != nil:
			c.Values = w.Values.Type
		case w.Items != nil:
			c.Values = w.Items.Type
		}
		columns[i] = c
	}
	return columns, nil
}

// parsePetal reads Petal's own section once more, into its own type.
func parsePetal(data []byte, metadata map[string]any) (*PetalMetadata, error) {
	if _, ok := metadata["petal"]; !ok {
		return nil, nil
	}
	var file struct {
		Metadata struct {
			Petal *PetalMetadata `yaml:"petal"`
		} `yaml:"metadata"`
	}
	if err := yaml.Load(data, &file); err != nil {
		return nil, oneLine(err)
	}
	p := file.Metadata.Petal
	if p == nil {
		return nil, nil
	}
	for i, class := range p.Classes {
		switch c := class.(type) {
		case string, int64:
		case int:
			p.Classes[i] = int64(c)
		default:
			return nil, fmt.Errorf("class %v: neither text nor an integer", class)
		}
	}
	return p, nil
}

// oneLine folds a parser's message, which may span lines, into one line.
func oneLine(err error) error {
	return errors.New(strings.Join(strings.Fields(err.Error()), " "))
}

// A JSONFloat is a metric's value in JSON. NaN and the infinities are text there:
// for the bare words the server stores 0.
type JSONFloat float64

// MarshalJSON spells NaN and the infinities as the server reads them.
func (f JSONFloat) MarshalJSON() ([]byte, error) {
	switch v := float64(f); {
	case math.IsNaN(v):
		return []byte(`"NaN"`), nil
	case math.IsInf(v, 1):
		return []byte(`"Infinity"`), nil
	case math.IsInf(v, -1):
		return []byte(`"-Infinity"`), nil
	default:
		return json.Marshal(v)
	}
}

// UnmarshalJSON accepts numbers, numbers as text, and the bare words that
// Python writes. The server gives ±MaxFloat64 for the infinities it was sent.
func (f *JSONFloat) UnmarshalJSON(data []byte) error {
	text := strings.Trim(string(data), `"`)
	if text == "null" || text == "" {
		return nil
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return fmt.Errorf("%q is not a number", text)
	}
	*f = JSONFloat(v)
	return nil
}
