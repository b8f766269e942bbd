package scoring

import (
	"bytes"
	"fmt"
	"math"
	"time"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval"
)

// A Report says what is in a model file and how it would be served.
type Report struct {
	Bytes     int
	Nodes     int
	IRVersion int64
	Opsets    []onnx.Opset
	Producer  string
	Operators []eval.OperatorCount
	// Missing names the operators that stand in the way; then all below is zero.
	Missing []string

	Inputs, Outputs []onnx.ValueInfo
	Features        []eval.Feature
	// Refusal says why the outputs cannot be served, where they cannot.
	Refusal error
	Classes onnx.Labels // none for a regressor
	Fast    bool
	Why     string // what the fast path is, or what stands in its way
	// PerRow and PerBatch are the times of one row and of BatchRows rows on this
	// machine; zero where the model takes text, which cannot be made up.
	PerRow, PerBatch time.Duration
	Example          Example
}

// BatchRows is the size of the batch that [Check] measures.
const BatchRows = 1000

// An Example is how a model gets on with its stored input example.
type Example struct {
	Rows int   // zero where no example is stored
	Err  error // why the example does not fit, or where the ways of evaluation differ
}

// measureFor bounds each of the measurements of [Check].
const measureFor = 100 * time.Millisecond

// Check looks at a model without serving it. The error means that the file is no
// model; what is in the way of serving it stands in the report.
func Check(f Files) (Report, error) {
	graph, err := onnx.Load(bytes.NewReader(f.ONNX), onnx.Limits{})
	if err != nil {
		return Report{}, err
	}
	r := Report{
		Bytes: len(f.ONNX), IRVersion: graph.IRVersion, Opsets: graph.Opsets, Producer: graph.ProducerName,
		Operators: eval.Operators(graph), Missing: eval.MissingOperators(graph), Inputs: graph.Inputs(), Outputs: graph.Outputs(),
	}
	for _, o := range r.Operators {
		r.Nodes += o.Count
	}
	if len(r.Missing) > 0 {
		return r, nil
	}
	m, err := compile(graph, f)
	if err != nil {
		r.Refusal = err
		return r, nil //nolint:nilerr // it is what the report is about
	}
	r.Inputs, r.Outputs, r.Features, r.Refusal = m.session.Inputs(), m.session.Outputs(), m.features, m.refusal
	if r.Refusal != nil {
		return r, nil //nolint:nilerr // it is what the report is about
	}
	r.Classes = m.predictor.Labels()
	r.Fast, r.Why = m.predictor.FastPath()
	rows := m.madeUpRows()
	if f.Example != nil {
		var example []float32
		if example, r.Example = m.checkExample(f.Example); r.Example.Err == nil && example != nil {
			rows = example
		}
	}
	if rows != nil {
		r.PerRow, r.PerBatch, err = m.measure(rows)
	}
	return r, err
}

// madeUpRows are BatchRows rows of numbers that vary; nil where text is wanted.
func (m *Model) madeUpRows() []float32 {
	for _, f := range m.features {
		if f.Type == onnx.String {
			return nil
		}
	}
	rows := make([]float32, BatchRows*len(m.features))
	for i := range rows {
		rows[i] = float32(math.Round(3 * math.Sin(float64(i)*12.9898)))
		if m.features[i%len(m.features)].Type == onnx.Bool {
			rows[i] = float32(i % 2)
		}
	}
	return rows
}

// checkExample scores the example twice: as the API does, and node by node.
// The rows are returned where all their cells are numbers.
func (m *Model) checkExample(data []byte) ([]float32, Example) {
	rows, err := m.exampleRows(data)
	if err != nil {
		return nil, Example{Err: fmt.Errorf("input example: %w", err)}
	}
	b, err := m.newBatch(len(rows))
	if err != nil {
		return nil, Example{Err: err}
	}
	for i, row := range rows {
		if err := b.add(row); err != nil {
			return nil, Example{Rows: len(rows), Err: fmt.Errorf("input example, row %d: %w", i+1, err)}
		}
	}
	e := Example{Rows: len(rows)}
	if e.Rows == 0 {
		return nil, e
	}
	plain, err := m.predictor.Predict(b.values())
	if err != nil {
		return nil, Example{Rows: e.Rows, Err: fmt.Errorf("input example: %w", err)}
	}
	if !m.fast {
		return nil, e
	}
	floats := b.floats()
	e.Err = m.agree(floats, plain)
	return floats, e
}

// agree holds the fast path against the plain evaluation of the same rows.
func (m *Model) agree(rows []float32, plain eval.Predictions) error {
	width, n := m.predictor.NumScores(), len(rows)/len(m.features)
	scores := make([]float32, width)
	for i := range n {
		class, err := m.predictor.PredictRow(rows[i*len(m.features):(i+1)*len(m.features)], scores)
		if err != nil {
			return fmt.Errorf("input example, row %d: %w", i+1, err)
		}
		if plain.Classes != nil && class != plain.Classes[i] {
			return fmt.Errorf("input example, row %d: the fast path says class %d, the plain evaluation %d", i+1, class, plain.Classes[i])
		}
		for j, s := range scores {
			want := plain.Scores[i*width+j]
			if math.Abs(float64(s)-want) > 1e-5*max(1, math.Abs(want)) {
				return fmt.Errorf("input example, row %d: the fast path gives %v, the plain evaluation %v", i+1, s, want)
			}
		}
	}
	return nil
}

// measure times single rows and a batch. The rows are gone through in turn.
func (m *Model) measure(rows []float32) (perRow, perBatch time.Duration, err error) {
	width := len(m.features)
	n := len(rows) / width
	batch := make([]float32, 0, BatchRows*width)
	for i := range BatchRows {
		batch = append(batch, rows[i%n*width:][:width]...)
	}
	classes, scores := make([]int, BatchRows), make([]float32, BatchRows*m.predictor.NumScores())
	single := scores[:m.predictor.NumScores()]
	perRow, err = timeOf(func(i int) error {
		at := i % BatchRows * width
		_, err := m.predictor.PredictRow(batch[at:at+width], single)
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("measure: %w", err)
	}
	perBatch, err = timeOf(func(int) error { return m.predictor.PredictRows(batch, classes, scores) })
	if err != nil {
		return 0, 0, fmt.Errorf("measure: %w", err)
	}
	return perRow, perBatch, nil
}

// timeOf returns the mean time of a call, after one to warm up.
func timeOf(call func(i int) error) (time.Duration, error) {
	if err := call(0); err != nil {
		return 0, err
	}
	start, calls := time.Now(), 0
	for chunk := 1; ; chunk *= 2 {
		for range chunk {
			if err := call(calls); err != nil {
				return 0, err
			}
			calls++
		}
		if took := time.Since(start); took > measureFor {
			return took / time.Duration(calls), nil
		}
	}
}
