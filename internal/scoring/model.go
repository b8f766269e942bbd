package scoring

import (
	"bytes"
	"fmt"

	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval"
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
	session  *eval.Session
	features []eval.Feature
	// named says that the features' names mean something; else rows are read by
	// position.
	named bool

	// predictor is nil where the outputs are not those of a classifier or a
	// regressor; refusal says why.
	predictor *eval.Predictor
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
	columns, err := signedColumns(f.MLmodel)
	if err != nil {
		return nil, err
	}
	graph.OrderInputs(columns) // rows have the signature's order
	session, err := eval.NewSession(graph)
	if err != nil {
		return nil, err
	}
	m := &Model{session: session}
	if m.features, err = session.Features(); err != nil {
		return nil, err
	}
	m.named = len(columns) > 0 || len(session.Inputs()) == len(m.features) && len(m.features) > 1
	if len(columns) > 0 && len(columns) != len(m.features) {
		return nil, fmt.Errorf("the signature names %d inputs, the graph takes %d", len(columns), len(m.features))
	}
	for i, name := range columns {
		m.features[i].Name = name
	}
	if m.predictor, m.refusal = eval.NewPredictor(session); m.refusal == nil {
		m.fast, _ = m.predictor.FastPath()
	}
	return m, nil
}

// Features describes the cells of a row, in order.
func (m *Model) Features() []eval.Feature { return m.features }

// signedColumns are the columns that the signature of an MLmodel file names; none
// where it names the graph's tensors instead.
func signedColumns(data []byte) ([]string, error) {
	if data == nil {
		return nil, nil
	}
	file, err := mlmodel.Parse(data)
	if err != nil {
		return nil, err
	}
	return file.Signature.ColumnNames(), nil
}
