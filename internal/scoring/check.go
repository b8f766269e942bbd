package scoring

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/model/trial"
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
	Features        []model.Feature
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
func Check(ctx context.Context, opener *trial.Opener, f model.Files) (_ Report, err error) {
	defer func() {
		if fault := recover(); fault != nil { // the file may come from anywhere
			err = fmt.Errorf("the model makes this program fail: %v", fault)
		}
	}()
	graph, err := onnx.Load(bytes.NewReader(f.ONNX), opener.Limits())
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
	m, refusal := opener.Open(ctx, f, model.Expect{})
	if refusal != nil {
		r.Refusal = refusal
		return r, nil
	}
	c := checker{model: m}
	if c.predictor, err = m.Predictor(); err != nil {
		return r, err
	}
	r.Inputs, r.Outputs, r.Features = m.Session().Inputs(), m.Outputs(), m.Info().Features
	r.Classes = m.Labels()
	r.Fast, r.Why = c.predictor.FastPath()
	rows := c.madeUpRows()
	if f.Example != nil {
		var example []float32
		if example, r.Example = c.checkExample(f.Example); r.Example.Err == nil && example != nil {
			rows = example
		}
	}
	if rows != nil {
		r.PerRow, r.PerBatch, err = c.measure(rows)
	}
	return r, err
}

// A checker tries a model.
type checker struct {
	model     *model.Model
	predictor *eval.Predictor
}

// madeUpRows are BatchRows rows of numbers that vary; nil where text is wanted.
func (c *checker) madeUpRows() []float32 {
	features := c.model.Info().Features
	if slices.ContainsFunc(features, func(f model.Feature) bool { return f.Kind == model.Text }) {
		return nil
	}
	rows := make([]float32, BatchRows*len(features))
	for i := range rows {
		rows[i] = float32(math.Round(3 * math.Sin(float64(i)*12.9898)))
		if features[i%len(features)].Kind == model.Boolean {
			rows[i] = float32(i % 2)
		}
	}
	return rows
}

// checkExample scores the example twice: as the API does, and node by node.
// The rows are returned where all their cells are numbers.
func (c *checker) checkExample(data []byte) ([]float32, Example) {
	rows, err := c.model.ReadExample(data)
	if err != nil {
		return nil, Example{Err: fmt.Errorf("input example: %w", err)}
	}
	table, err := c.model.NewTable(len(rows))
	if err != nil {
		return nil, Example{Err: err}
	}
	e := Example{Rows: len(rows)}
	for i, row := range rows {
		for k, cell := range row {
			if err := table.Set(i, k, cell); err != nil {
				e.Err = fmt.Errorf("input example, row %d: %w", i+1, err)
				return nil, e
			}
		}
	}
	if e.Rows == 0 {
		return nil, e
	}
	inputs := table.Inputs(e.Rows)
	plain, err := c.predictor.Predict(inputs)
	if err != nil {
		e.Err = fmt.Errorf("input example: %w", err)
		return nil, e
	}
	if fast, _ := c.predictor.FastPath(); !fast {
		return nil, e
	}
	e.Err = c.agree(floats(inputs), plain)
	return floats(inputs), e
}

// agree holds the fast path against the plain evaluation of the same rows.
func (c *checker) agree(rows []float32, plain eval.Predictions) error {
	width, n := c.predictor.NumScores(), len(rows)/len(c.model.Info().Features)
	scores := make([]float32, width)
	for i := range n {
		class, err := c.predictor.PredictRow(rows[i*len(c.model.Info().Features):(i+1)*len(c.model.Info().Features)], scores)
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
func (c *checker) measure(rows []float32) (perRow, perBatch time.Duration, err error) {
	width := len(c.model.Info().Features)
	n := len(rows) / width
	batch := make([]float32, 0, BatchRows*width)
	for i := range BatchRows {
		batch = append(batch, rows[i%n*width:][:width]...)
	}
	classes, scores := make([]int, BatchRows), make([]float32, BatchRows*c.predictor.NumScores())
	single := scores[:c.predictor.NumScores()]
	perRow, err = timeOf(func(i int) error {
		at := i % BatchRows * width
		_, err := c.predictor.PredictRow(batch[at:at+width], single)
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("measure: %w", err)
	}
	perBatch, err = timeOf(func(int) error { return c.predictor.PredictRows(batch, classes, scores) })
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
