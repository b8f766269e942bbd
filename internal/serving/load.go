package serving

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/petal-ml/petal/internal/explanation"
	"github.com/petal-ml/petal/internal/mlflow"
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/registry"
)

// A Bundle is what a model is made of: the version it is registered as, and the
// files of its directory that serving needs.
type Bundle struct {
	Version registry.Version
	Alias   string // the alias that led here
	MLmodel []byte
	ONNX    []byte
	Example []byte // input_example.json; nil where there is none
}

// warmRuns is how many rows a model answers before it serves: enough to page in
// its tables and to fill the pools.
const warmRuns = 8

// Load checks a bundle against the digest in its version's tags, compiles the
// model and runs it a few times. The error names what is wrong with the model.
func Load(b Bundle) (_ *Model, err error) {
	// A model may come from anywhere. One that finds a fault in the evaluator
	// must not end the process that serves another, nor be what ends it at
	// every start.
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("the model makes the evaluator fail: %v", fault)
		}
	}()
	digest := sha256.Sum256(b.ONNX)
	sum := hex.EncodeToString(digest[:])
	if err := checkTags(b.Version.Tags, sum, len(b.ONNX)); err != nil {
		return nil, err
	}
	file, err := mlflow.ParseModel(b.MLmodel)
	if err != nil {
		return nil, err
	}
	graph, err := onnx.Load(bytes.NewReader(b.ONNX), onnx.Limits{})
	if err != nil {
		return nil, err
	}
	session, err := onnx.NewSession(graph)
	if err != nil {
		return nil, err
	}
	predictor, err := onnx.NewPredictor(session)
	if err != nil {
		return nil, err
	}
	if predictor.IsRegressor() && predictor.NumScores() != 1 {
		return nil, fmt.Errorf("the model predicts %d values a row; regressors of one are served", predictor.NumScores())
	}
	m := &Model{version: b.Version, predictor: predictor}
	m.explainer = sync.OnceValues(func() (*explanation.Explainer, error) { return explanation.New(graph) })
	m.info = info(b, file)
	m.info.SHA256 = sum
	if m.info.Features, err = features(file, graph, predictor.NumFeatures()); err != nil {
		return nil, err
	}
	m.info.Example = parseExample(b.Example, m.info.Features)
	if err := m.warm(); err != nil {
		return nil, err
	}
	m.info.LoadedAt = time.Now().UTC()
	return m, nil
}

// checkTags compares the file with the digest and the size that training noted.
// Versions from elsewhere have neither tag.
func checkTags(tags map[string]string, sum string, size int) error {
	if want := tags[registry.TagSize]; want != "" && want != strconv.Itoa(size) {
		return fmt.Errorf("the model file has %d bytes, tag %s says %s", size, registry.TagSize, want)
	}
	if want := tags[registry.TagSHA256]; want != "" && want != sum {
		return fmt.Errorf("the model file has SHA-256 %s, tag %s says %s", sum, registry.TagSHA256, want)
	}
	return nil
}

func info(b Bundle, file *mlflow.Model) Info {
	i := Info{
		Name:      b.Version.Name,
		Version:   b.Version.Number,
		Alias:     b.Alias,
		RunID:     cmp.Or(b.Version.RunID, file.RunID),
		TrainedAt: file.UTCTimeCreated,
	}
	if i.TrainedAt.IsZero() {
		i.TrainedAt = b.Version.Created
	}
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

// features finds names and order of the model's inputs: in the signature; where
// that names none, in the graph, if it has one input a column; or else they are
// f0, f1, ….
func features(file *mlflow.Model, graph *onnx.Model, n int) ([]Feature, error) {
	fs := make([]Feature, n)
	switch columns, inputs := namedColumns(file.Signature), graph.Inputs(); {
	case len(columns) > 0:
		if len(columns) != n {
			return nil, fmt.Errorf("the signature names %d inputs, the graph takes %d", len(columns), n)
		}
		for i, c := range columns {
			fs[i] = Feature{Name: c.Name, Type: c.Type}
		}
	case len(inputs) == n && n > 1:
		for i, in := range inputs {
			fs[i] = Feature{Name: in.Name, Type: mlflow.Float}
		}
	default:
		for i := range fs {
			fs[i] = Feature{Name: "f" + strconv.Itoa(i), Type: mlflow.Float}
		}
	}
	imputes := slices.ContainsFunc(graph.Graph.Nodes, func(n onnx.Node) bool {
		return n.Domain == onnx.DomainML && n.Operator == "Imputer"
	})
	seen := make(map[string]bool, n)
	for i, f := range fs {
		if f.Name == "" || seen[f.Name] {
			return nil, fmt.Errorf("the signature's input %d has no name of its own", i)
		}
		seen[f.Name] = true
		fs[i].MayBeMissing = imputes || file.Petal != nil && slices.Contains(file.Petal.MissingColumns, f.Name)
	}
	return fs, nil
}

// namedColumns returns the inputs of a signature made of columns. One made of
// tensors names the graph's inputs, not the features.
func namedColumns(s mlflow.Signature) []mlflow.Column {
	for _, c := range s.Inputs {
		if c.Name == "" || c.Type == mlflow.Tensor {
			return nil
		}
	}
	return s.Inputs
}

// warm answers the examples, or rows of zeros and ones. It shows that the graph
// runs at all; whether the scores of such made-up rows are finite is no matter.
func (m *Model) warm() error {
	rows := m.info.Example
	if len(rows) == 0 {
		zeros, ones := make([]float64, len(m.info.Features)), make([]float64, len(m.info.Features))
		for i := range ones {
			ones[i] = 1
		}
		rows = [][]float64{zeros, ones}
	}
	scores := make([]float32, m.NumScores())
	for i := range warmRuns {
		row := rows[i%len(rows)]
		if slices.ContainsFunc(row, math.IsNaN) {
			continue
		}
		start := time.Now()
		if _, err := m.run(row, scores); err != nil && !errors.Is(err, ErrNotFinite) {
			return fmt.Errorf("warm up: %w", err)
		}
		if took := time.Since(start); i == 0 || took < m.rowCost {
			m.rowCost = took
		}
	}
	return nil
}
