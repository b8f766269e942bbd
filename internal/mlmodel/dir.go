package mlmodel

import (
	"bytes"
	_ "embed" // the loader
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// What the model directory declares about the Python that will read it. Petal
// itself runs none of it; these are the versions that its tests read with.
const (
	pythonVersion      = "3.11.7"
	mlflowVersion      = "3.17.2"
	onnxVersion        = "1.23.2"
	onnxRuntimeVersion = "1.32.0"
	numpyVersion       = "2.4.6"
	pandasVersion      = "3.1.1"
)

// A Dir is what a model directory is written from.
type Dir struct {
	// Name of the logged model; "model" when empty.
	Name string
	// ONNX is the model file itself. Its graph has one float input [N,F], or an
	// input [N] for each column of the signature (see Typed), and the outputs label
	// and probabilities (ZipMap): the layouts that MLflow's pyfunc answers a
	// DataFrame of named columns with.
	ONNX []byte
	// Signature has one column for each feature, in the order of the graph's
	// columns. Without it MLflow would take shuffled columns as they come and
	// answer wrongly.
	Signature Signature
	// InputExample holds rows in the order of Signature.Inputs; nil for none.
	InputExample [][]float64
	// Typed says that the graph takes the columns one by one, as texts and numbers.
	// MLflow itself cannot give it the texts of pandas 3: a loader of our own is
	// written beside the model, which reads any frame.
	Typed bool
	// TypedExample takes the place of InputExample: values that JSON can hold.
	TypedExample [][]any
	// Petal and Metadata make up the metadata section.
	Petal    *PetalMetadata
	Metadata map[string]any
	// Extra holds further files by name, for whoever knows them.
	Extra map[string][]byte
	// Params and Tags are shown with the logged model.
	Params, Tags map[string]string
	// Created is the time of writing; now when zero.
	Created time.Time
}

// IDs tie a model directory to the place it is written to.
type IDs struct {
	ModelID      string // m- and 32 hex digits
	RunID        string
	ArtifactPath string // URI of the directory
}

// Files returns the content of the model directory by slash-separated path.
// The same input gives the same bytes.
func (d Dir) Files(ids IDs) (map[string][]byte, error) {
	files, err := d.files(ids)
	if err != nil {
		return nil, fmt.Errorf("write model directory: %w", err)
	}
	return files, nil
}

func (d Dir) files(ids IDs) (map[string][]byte, error) {
	if len(d.ONNX) == 0 {
		return nil, errors.New("there is no ONNX model")
	}
	files := maps.Clone(d.Extra)
	if files == nil {
		files = map[string][]byte{}
	}
	maps.Copy(files, map[string][]byte{
		ONNXFile:         d.ONNX,
		requirementsFile: []byte(strings.Join(requirements(), "\n") + "\n"),
	})
	var err error
	if files[ModelFile], err = d.modelFile(ids); err != nil {
		return nil, err
	}
	if files[condaFile], err = marshalYAML(condaEnv()); err != nil {
		return nil, err
	}
	if files[pythonEnvFile], err = marshalYAML(pythonEnv()); err != nil {
		return nil, err
	}
	if d.Typed {
		files[loaderFile] = loader
	}
	if !d.hasExample() {
		return files, nil
	}
	table, err := d.exampleTable()
	if err != nil {
		return nil, err
	}
	files[inputExampleFile] = table
	files[servingInputExampleFile] = fmt.Appendf(nil, `{"dataframe_split":%s}`, table)
	return files, nil
}

func (d Dir) hasExample() bool { return len(d.InputExample)+len(d.TypedExample) > 0 }

// The loader of a typed model and where it stands.
const (
	codeFolder   = "code"
	loaderModule = "petal_loader"
	loaderFile   = codeFolder + "/" + loaderModule + ".py"
)

//go:embed loader.py
var loader []byte

func requirements() []string {
	return []string{
		"mlflow==" + mlflowVersion,
		"onnx==" + onnxVersion,
		"onnxruntime==" + onnxRuntimeVersion,
		"numpy==" + numpyVersion,
		"pandas==" + pandasVersion,
	}
}

func condaEnv() any {
	return struct {
		Channels     []string `yaml:"channels"`
		Dependencies []any    `yaml:"dependencies"`
		Name         string   `yaml:"name"`
	}{
		Channels:     []string{"conda-forge"},
		Dependencies: []any{"python=" + pythonVersion, "pip", map[string][]string{"pip": requirements()}},
		Name:         "mlflow-env",
	}
}

func pythonEnv() any {
	return struct {
		Python            string   `yaml:"python"`
		BuildDependencies []string `yaml:"build_dependencies"`
		Dependencies      []string `yaml:"dependencies"`
	}{
		Python:            pythonVersion,
		BuildDependencies: []string{"pip"},
		Dependencies:      []string{"-r " + requirementsFile},
	}
}

// modelFile writes MLmodel. Both flavors are needed: pyfunc loads through the
// second and asks the first for its options.
func (d Dir) modelFile(ids IDs) ([]byte, error) {
	created := d.Created
	if created.IsZero() {
		created = time.Now()
	}
	pyfunc := map[string]any{
		"data":           ONNXFile,
		"env":            map[string]any{"conda": condaFile, "virtualenv": pythonEnvFile},
		"loader_module":  "mlflow.onnx",
		"python_version": pythonVersion,
	}
	if d.Typed {
		pyfunc["code"], pyfunc["loader_module"] = codeFolder, loaderModule
	}
	file := map[string]any{
		"artifact_path": ids.ArtifactPath,
		"flavors": map[string]any{
			"onnx": map[string]any{
				"code":                 nil,
				"data":                 ONNXFile,
				"onnx_session_options": nil,
				"onnx_version":         onnxVersion,
				// Without a provider MLflow warns at each load.
				"providers": []string{"CPUExecutionProvider"},
			},
			"python_function": pyfunc,
		},
		"is_signature_from_type_hint": false,
		"mlflow_version":              mlflowVersion,
		"model_id":                    ids.ModelID,
		"model_size_bytes":            len(d.ONNX),
		"model_uuid":                  ids.ModelID,
		"prompts":                     nil,
		"run_id":                      ids.RunID,
		"type_hint_from_example":      false,
		"utc_time_created":            created.UTC().Format(timeLayout),
	}
	if len(d.Signature.Inputs) > 0 {
		signature, err := d.Signature.wire()
		if err != nil {
			return nil, err
		}
		file["signature"] = signature
	}
	if metadata := d.metadata(); len(metadata) > 0 {
		file["metadata"] = metadata
	}
	if d.hasExample() {
		file["saved_input_example_info"] = map[string]any{
			"artifact_path":      inputExampleFile,
			"pandas_orient":      "split",
			"serving_input_path": servingInputExampleFile,
			"type":               "dataframe",
		}
	}
	return marshalYAML(file)
}

func (d Dir) metadata() map[string]any {
	metadata := maps.Clone(d.Metadata)
	if d.Petal == nil {
		return metadata
	}
	if metadata == nil {
		metadata = map[string]any{}
	}
	petal := *d.Petal
	petal.TrainedAt = petal.TrainedAt.UTC()
	metadata["petal"] = petal
	return metadata
}

// exampleTable is the input example in pandas' "split" form.
func (d Dir) exampleTable() ([]byte, error) {
	columns := make([]string, len(d.Signature.Inputs))
	for i, c := range d.Signature.Inputs {
		columns[i] = c.Name
	}
	rows := make([][]any, len(d.InputExample))
	for i, row := range d.InputExample {
		if len(row) != len(columns) {
			return nil, fmt.Errorf("input example: row %d has %d values for %d columns", i, len(row), len(columns))
		}
		rows[i] = make([]any, len(row))
		for j, v := range row {
			switch {
			case math.IsInf(v, 0):
				return nil, fmt.Errorf("input example: row %d, column %q: JSON has no infinity", i, columns[j])
			case !math.IsNaN(v): // null is how pandas writes NaN
				rows[i][j] = v
			}
		}
	}
	rows = append(rows, d.TypedExample...)
	return marshalJSON(struct {
		Columns []string `json:"columns"`
		Data    [][]any  `json:"data"`
	}{columns, rows})
}

// wire is the signature as MLmodel keeps it: JSON inside YAML.
func (s Signature) wire() (map[string]any, error) {
	inputs, err := EncodeColumns(s.Inputs)
	if err != nil {
		return nil, fmt.Errorf("signature inputs: %w", err)
	}
	wire := map[string]any{"inputs": inputs, "outputs": nil, "params": nil}
	if len(s.Outputs) > 0 {
		if wire["outputs"], err = EncodeColumns(s.Outputs); err != nil {
			return nil, fmt.Errorf("signature outputs: %w", err)
		}
	}
	return wire, nil
}

// EncodeColumns writes columns as a signature keeps them: a JSON list. An error
// names the column that has no type.
func EncodeColumns(columns []Column) (string, error) {
	wire := make([]columnJSON, len(columns))
	for i, c := range columns {
		required := !c.Optional
		w := columnJSON{Type: c.Type, Name: c.Name, Required: &required}
		switch c.Type {
		case "":
			return "", fmt.Errorf("column %q has no type", c.Name)
		case Tensor:
			w.Tensor, w.Required = &tensorSpecJSON{DType: c.Values, Shape: c.Shape}, nil
		case Map:
			w.Values = &elementJSON{Type: c.Values}
		case "array":
			w.Items = &elementJSON{Type: c.Values}
		}
		wire[i] = w
	}
	text, err := marshalJSON(wire)
	return string(text), err
}

// marshalJSON leaves <, > and & alone, which column names may contain.
func marshalJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// marshalYAML writes YAML that both YAML 1.2 and Python's YAML 1.1 reader
// understand alike.
func marshalYAML(v any) ([]byte, error) {
	var node yaml.Node
	if err := node.Encode(v); err != nil {
		return nil, fmt.Errorf("encode YAML: %w", err)
	}
	toYAML11(&node)
	data, err := yaml.Dump(&node, yaml.WithLineWidth(-1))
	if err != nil {
		return nil, fmt.Errorf("encode YAML: %w", err)
	}
	return data, nil
}

// plainText are the strings that need no quotes in any version of YAML.
var plainText = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_./=-]*[A-Za-z0-9_]$`)

// yaml11Words are plain text that YAML 1.1 takes for something else.
var yaml11Words = regexp.MustCompile(`(?i)^(yes|no|on|off|true|false|null)$`)

// toYAML11 rewrites scalars that a YAML 1.1 reader would take for something
// else: 1e-07 is text there, 12:30:00 a number, and a timestamp an object that
// MLflow cannot turn into JSON.
func toYAML11(n *yaml.Node) {
	switch n.Tag {
	case "!!float":
		mantissa, exponent, found := strings.Cut(n.Value, "e")
		if found && !strings.Contains(mantissa, ".") {
			n.Value = mantissa + ".0e" + exponent
		}
	case "!!timestamp":
		n.Tag, n.Style = "!!str", quotes(n.Value)
	case "!!str":
		if !plainText.MatchString(n.Value) || yaml11Words.MatchString(n.Value) {
			n.Style = quotes(n.Value)
		}
	}
	for _, child := range n.Content {
		toYAML11(child)
	}
}

// quotes picks single quotes, as Python does, unless something needs escaping.
func quotes(text string) yaml.Style {
	for _, r := range text {
		if r < ' ' || r > '~' {
			return yaml.DoubleQuotedStyle
		}
	}
	return yaml.SingleQuotedStyle
}
