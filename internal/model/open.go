package model

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval"
)

// Files are the files of a model's directory.
type Files struct {
	MLmodel []byte
	ONNX    []byte
	Example []byte // input_example.json; nil where there is none
}

// Expect is what a registry noted of the ONNX file. What is empty is not compared.
type Expect struct {
	SHA256 string // lower-case hex
	Size   string // in bytes, as a decimal number
}

// Bounds on what a model may be to be served.
const (
	// warmRuns is how many rows a model answers before it serves, within warmTime:
	// enough to page in its tables and to fill the pools.
	warmRuns = 8
	warmTime = time.Second
	// maxRowTime is the longest that one row may take.
	maxRowTime = 5 * time.Second
	// Labels stand in every answer, feature names in the model's description, and
	// some of both in metrics: their number and their length in bytes are bounded.
	maxLabels     = 10_000
	maxLabelBytes = 256 << 10 // of all together
	maxNameBytes  = 1 << 10   // of one label or feature
)

// Open compares the ONNX file with what is expected of it, compiles it within the
// limits and runs it a few times, until ctx ends. The error names what is wrong with
// the model, or why it cannot be served.
func Open(ctx context.Context, f Files, expect Expect, limits onnx.Limits) (_ *Model, err error) {
	defer recovered(&err)
	m, err := open(ctx, f, expect, limits, false)
	switch {
	case err != nil:
		return nil, err
	case m.refusal != nil:
		return nil, m.refusal
	case m.Labels().Len() == 0 && m.NumScores() != 1:
		return nil, fmt.Errorf("the model predicts %d values a row; regressors of one are served", m.NumScores())
	}
	if err := checkNames(m.info.Features, m.Labels()); err != nil {
		return nil, err
	}
	// The example is a courtesy: where it does not fit there is none.
	if m.info.Example, err = m.ReadExample(f.Example); err != nil || !m.takes(m.info.Example) {
		m.info.Example = nil
	}
	return m, m.warm(ctx, maxRowTime)
}

// OpenOffline is [Open] for whoever reads the graph's own outputs: it lets models
// pass that cannot be served, and runs none. Files.MLmodel may be nil. With raw the
// session keeps all outputs of the graph.
func OpenOffline(ctx context.Context, f Files, limits onnx.Limits, raw bool) (_ *Model, err error) {
	defer recovered(&err)
	return open(ctx, f, Expect{}, limits, raw)
}

// recovered makes an error of a panic. A model may come from anywhere. One that
// finds a fault in the evaluator must not end the process that serves another, nor
// be what ends it at every start.
func recovered(err *error) {
	if fault := recover(); fault != nil {
		*err = fmt.Errorf("the model makes the evaluator fail: %v", fault)
	}
}

func open(ctx context.Context, f Files, expect Expect, limits onnx.Limits, raw bool) (*Model, error) {
	digest := sha256.Sum256(f.ONNX)
	sum := hex.EncodeToString(digest[:])
	if err := expect.check(sum, len(f.ONNX)); err != nil {
		return nil, err
	}
	file := &mlmodel.Model{}
	if f.MLmodel != nil {
		var err error
		if file, err = mlmodel.Parse(f.MLmodel); err != nil {
			return nil, err
		}
	}
	graph, err := onnx.Load(bytes.NewReader(f.ONNX), limits)
	if err != nil {
		return nil, err
	}
	signed := file.Signature.ColumnNames()
	graph.OrderInputs(signed) // rows have the signature's order
	m := &Model{info: info(file)}
	m.info.SHA256 = sum
	if err := m.compile(graph, len(signed), raw, eval.WithContext(ctx), eval.WithLimits(limits)); err != nil {
		return nil, err
	}
	m.parts = sync.OnceValues(m.session.Parts)
	m.info.Features, err = features(file, graph, m.columns)
	m.named = len(signed) > 0 || len(m.session.Inputs()) == len(m.columns) && len(m.columns) > 1
	m.typed = slices.ContainsFunc(m.columns, func(f eval.Feature) bool { return f.Type != onnx.Float })
	return m, err
}

// compile makes session and predictor. Of a graph with more outputs than predictions
// are made of the others are dropped, unless they are wanted raw, and with them the
// inputs that only they need, such as the label that ML.NET passes on; not those that
// a signature counts.
func (m *Model) compile(graph *onnx.Model, signed int, raw bool, options ...eval.SessionOption) (err error) {
	if m.session, err = eval.NewSession(graph, options...); err != nil {
		return err
	}
	m.predictor, m.refusal = eval.NewPredictor(m.session)
	all := len(m.session.Outputs())
	if m.refusal == nil && !raw && len(m.predictor.UsedOutputs()) < all {
		options = append(options, eval.WithOutputs(m.predictor.UsedOutputs()...))
		if columns, err := m.session.Features(); err != nil || len(columns) != signed {
			options = append(options, eval.WithoutUnusedInputs())
		}
		if m.session, err = eval.NewSession(graph, options...); err != nil {
			return err
		}
		m.predictor, m.refusal = eval.NewPredictor(m.session)
	}
	m.columns, err = m.session.Features()
	return err
}

// checkNames looks at names and labels as whoever shows, counts and looks them up has
// to take them.
func checkNames(features []Feature, labels onnx.Labels) error {
	seen := make(map[string]bool, len(features))
	for i, f := range features {
		switch {
		case f.Name == "" || seen[f.Name]:
			return fmt.Errorf("the signature's input %d has no name of its own", i)
		case len(f.Name) > maxNameBytes:
			return fmt.Errorf("the name of input %d has %d bytes, %d are allowed", i, len(f.Name), maxNameBytes)
		}
		seen[f.Name] = true
	}
	if labels.Len() > maxLabels {
		return fmt.Errorf("the model has %d classes, %d are allowed", labels.Len(), maxLabels)
	}
	total := 0
	for i, label := range labels.Strings {
		if total += len(label); len(label) > maxNameBytes {
			return fmt.Errorf("the label of class %d has %d bytes, %d are allowed", i, len(label), maxNameBytes)
		}
	}
	if total > maxLabelBytes {
		return fmt.Errorf("the labels of the %d classes have %d bytes together, %d are allowed", labels.Len(), total, maxLabelBytes)
	}
	return nil
}

// takes says whether the model takes the rows, missing values aside.
func (m *Model) takes(rows [][]Cell) bool {
	return !slices.ContainsFunc(rows, func(row []Cell) bool {
		var in *InputError
		return errors.As(m.CheckCells(row), &in) && in.Fault != MissingValue
	})
}

// check compares the file with what is expected of it.
func (e Expect) check(sum string, size int) error {
	if e.Size != "" && e.Size != strconv.Itoa(size) {
		return fmt.Errorf("the model file has %d bytes, the registry says %s", size, e.Size)
	}
	if e.SHA256 != "" && e.SHA256 != sum {
		return fmt.Errorf("the model file has SHA-256 %s, the registry says %s", sum, e.SHA256)
	}
	return nil
}

func info(file *mlmodel.Model) Info {
	i := Info{RunID: file.RunID, TrainedAt: file.UTCTimeCreated}
	if p := file.Petal; p != nil {
		i.Estimator = p.Estimator
		i.Metrics = p.Metrics
		i.DataPath, i.DataMD5 = p.Data.Path, p.Data.MD5
		if !p.TrainedAt.IsZero() {
			i.TrainedAt = p.TrainedAt
		}
	}
	i.TrainedAt = i.TrainedAt.UTC()
	return i
}

// features finds names, order and types of the model's columns: in the signature;
// where that names none, the graph's own. A type of the signature that is none of
// what the graph takes gives way to the graph's.
func features(file *mlmodel.Model, graph *onnx.Model, columns []eval.Feature) ([]Feature, error) {
	signed := file.Signature.ColumnNames()
	if len(signed) > 0 && len(signed) != len(columns) {
		return nil, fmt.Errorf("the signature names %d inputs, the graph takes %d", len(signed), len(columns))
	}
	imputes := slices.ContainsFunc(graph.Graph.Nodes, func(n onnx.Node) bool {
		return n.Domain == onnx.DomainML && n.Operator == "Imputer"
	})
	fs := make([]Feature, len(columns))
	for i, c := range columns {
		f := Feature{Name: c.Name, Type: typeNames[c.Type], Kind: columnKind(c.Type)}
		if len(signed) > 0 {
			f.Name = signed[i]
			if t := file.Signature.Inputs[i].Type; (t == mlmodel.String) == (f.Kind == Text) {
				f.Type = t
			}
		}
		// Only floats can say that they are missing.
		f.MayBeMissing = f.Kind == Number && (imputes || file.Petal != nil && slices.Contains(file.Petal.MissingColumns, f.Name))
		f.learned(file.Petal)
		fs[i] = f
	}
	return fs, nil
}

// typeNames are MLflow's names of the graph's types.
var typeNames = map[onnx.ElementType]string{
	onnx.Float: mlmodel.Float, onnx.Double: mlmodel.Double, onnx.Bool: mlmodel.Boolean, onnx.String: mlmodel.String,
	onnx.Int8: mlmodel.Integer, onnx.Int16: mlmodel.Integer, onnx.Int32: mlmodel.Integer, onnx.Int64: mlmodel.Long,
	onnx.Uint8: mlmodel.Integer, onnx.Uint16: mlmodel.Integer, onnx.Uint32: mlmodel.Long, onnx.Uint64: mlmodel.Long,
}

// warm answers the examples, or rows of zeros and ones, one by one and two at once.
// It shows that the graph runs at all, and that it answers row by row; whether the
// scores of such made-up rows are finite is no matter, nor whether the graph knows
// their made-up categories.
func (m *Model) warm(ctx context.Context, maxRow time.Duration) error {
	rows := slices.Clip(m.info.Example)
	examples := len(rows)
	if examples < 2 {
		rows = append(rows, m.info.MadeUp(0), m.info.MadeUp(1))
	}
	scores := make([]float32, m.NumScores())
	var pair [][]Cell   // the first two rows that were answered,
	var alone []float32 // and their scores
	begun := time.Now()
	for i := range warmRuns {
		at := i % len(rows)
		row := rows[at]
		if m.CheckCells(row) != nil {
			continue // a value is missing
		}
		run := m.runCells
		if !m.typed {
			run = m.runNumbers
		}
		start := time.Now()
		_, err := run(row, scores)
		took := time.Since(start)
		refused := new(InputError)
		switch {
		case errors.As(err, &refused) && at >= examples, errors.Is(err, ErrNotFinite):
		case err != nil:
			return fmt.Errorf("warm up: %w", err)
		case len(pair) < 2:
			pair, alone = append(pair, row), append(alone, scores...)
		}
		if took > maxRow {
			return fmt.Errorf("one row takes %v, models that take at most %v are served", took.Round(time.Millisecond), maxRow)
		}
		if m.rowCost == 0 || took < m.rowCost {
			m.rowCost = took
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Since(begun) > warmTime && len(pair) == 2 {
			break
		}
	}
	if len(pair) < 2 {
		return nil
	}
	return m.tryTwo(pair, alone)
}

// alike is how far the scores of a row may be apart, by the number of rows beside it:
// sums of products may be put together in another order.
const alike = 1e-3

// tryTwo answers two rows at once and compares the scores with those that each had
// alone. A model that answers in another way, such as one sum for all rows, cannot be
// served: clients send as many rows at once as they like.
func (m *Model) tryTwo(rows [][]Cell, alone []float32) error {
	t, err := m.NewTable(len(rows))
	if err != nil {
		return err
	}
	for i, row := range rows {
		for k, c := range row {
			if err := t.Set(i, k, c); err != nil {
				return fmt.Errorf("warm up: %w", err)
			}
		}
	}
	scores := make([]float32, len(alone))
	if _, err := m.PredictTable(t, make([]int, len(rows)), scores); err != nil && !errors.Is(err, ErrNotFinite) {
		return fmt.Errorf("warm up with two rows: %w", err)
	}
	for i, s := range scores {
		want := float64(alone[i])
		if d := math.Abs(float64(s) - want); d > alike*max(1, math.Abs(want)) {
			return fmt.Errorf("warm up with two rows: %w: the answer for a row changes from %v to %v with the row beside it", eval.ErrNotByRow, alone[i], s)
		}
	}
	return nil
}
