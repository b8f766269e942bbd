package scoring

import (
	"bytes"
	"fmt"

	"github.com/petal-ml/petal/internal/mlflow"
	"github.com/petal-ml/petal/internal/onnx"
)

// Files are the parts of a model directory. Only ONNX is needed.
type Files struct {
	ONNX    []byte
	MLmodel []byte // gives the features their names
	Example []byte // input_example.json
}

// A Model is a compiled model with names for its features. It is safe for
// concurrent use.
type Model struct {
	session  *onnx.Session
	features []onnx.Feature
	// named says that the features' names mean something; else rows are read by
	// position.
	named bool

	// predictor is nil where the outputs are not those of a classifier or a
	// regressor; refusal says why.
	predictor *onnx.Predictor
	refusal   error
	fast      bool // rows of float32 take the fast path
}

// Load compiles a model. One whose outputs are neither a label with scores nor
// values can be scored raw.
func Load(f Files) (*Model, error) {
	graph, err := onnx.Load(bytes.NewReader(f.ONNX), onnx.Limits{})
	if err != nil {
		return nil, err
	}
	return compile(graph, f)
}

func compile(graph *onnx.Model, f Files) (*Model, error) {
	session, err := onnx.NewSession(graph)
	if err != nil {
		return nil, err
	}
	m := &Model{session: session}
	if m.features, err = session.Features(); err != nil {
		return nil, err
	}
	if err := m.name(f.MLmodel); err != nil {
		return nil, err
	}
	if m.predictor, m.refusal = onnx.NewPredictor(session); m.refusal == nil {
		m.fast, _ = m.predictor.FastPath()
		for _, feature := range m.features {
			m.fast = m.fast && feature.Type == onnx.Float
		}
	}
	return m, nil
}

// Features describes the cells of a row, in order.
func (m *Model) Features() []onnx.Feature { return m.features }

// name takes the features' names from the signature; where there is none, those
// of the graph's inputs count if each has one column.
func (m *Model) name(mlmodel []byte) error {
	m.named = len(m.session.Inputs()) == len(m.features) && len(m.features) > 1
	if mlmodel == nil {
		return nil
	}
	file, err := mlflow.ParseModel(mlmodel)
	if err != nil {
		return err
	}
	columns := file.Signature.Inputs
	for _, c := range columns {
		if c.Name == "" || c.Type == mlflow.Tensor {
			return nil // it names the graph's inputs
		}
	}
	if len(columns) == 0 {
		return nil
	}
	if len(columns) != len(m.features) {
		return fmt.Errorf("the signature names %d inputs, the graph takes %d", len(columns), len(m.features))
	}
	if m.named && m.ownNames(columns) {
		return nil // the graph's order is that of its inputs
	}
	for i, c := range columns {
		m.features[i].Name = c.Name
	}
	m.named = true
	return nil
}

// ownNames says whether a signature names the graph's inputs, in any order.
func (m *Model) ownNames(columns []mlflow.Column) bool {
	inputs := make(map[string]bool, len(m.features))
	for _, f := range m.features {
		inputs[f.Name] = true
	}
	for _, c := range columns {
		if !inputs[c.Name] {
			return false
		}
	}
	return true
}
