package promotion

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval"
	"github.com/petal-ml/petal/internal/registry"
)

// Tags of a version that say how it was made and how it did, beside those of
// package registry. Only versions that Petal trained have them.
const (
	TagEstimator    = "estimator_name"
	TagTestAccuracy = "petal.test_accuracy" // of the hold-out
	TagTestLogLoss  = "petal.test_log_loss"
	// TagSplit says which rows of its data were held out: see [Holdout].
	TagSplit = "petal.split"
)

// A Model is one side of a comparison: a classifier, the names of its features
// and, where that is known, what it was trained on.
type Model struct {
	predictor *eval.Predictor
	features  []string
	dataMD5   string   // of the file that it was trained on; "" where unknown
	split     string   // which rows of it were held out; "" where unknown
	rows      []uint64 // hashes of its training rows, sorted; nil where unknown
}

// Load compiles a model file as the API does. features names the columns of its
// rows, in order.
func Load(raw []byte, features []string) (*Model, error) {
	predictor, err := compile(raw)
	if err != nil {
		return nil, fmt.Errorf("load the ONNX file: %w", err)
	}
	return &Model{predictor: predictor, features: features}, nil
}

func compile(raw []byte) (*eval.Predictor, error) {
	graph, err := onnx.Load(bytes.NewReader(raw), onnx.Limits{})
	if err != nil {
		return nil, err
	}
	session, err := eval.NewSession(graph)
	if err != nil {
		return nil, err
	}
	return eval.NewPredictor(session)
}

// Open loads a registered version as the API would, its digest verified. A
// version that cannot be compared is [ErrIncomparable].
func Open(ctx context.Context, reg registry.Reader, v registry.Version) (*Model, error) {
	raw, err := modelFile(ctx, reg, v)
	if errors.Is(err, registry.ErrUnavailable) || ctx.Err() != nil {
		return nil, err
	}
	if errors.Is(err, registry.ErrNotFound) {
		return nil, incomparable("its %s is missing", registry.ModelFile)
	}
	if err != nil {
		return nil, incomparable("it is broken: %w", err)
	}
	m, err := Load(raw, nil)
	if err != nil {
		return nil, incomparable("it is broken: %w", err)
	}
	if m.predictor.IsRegressor() {
		return nil, incomparable("it is no classifier")
	}
	if err := m.describe(ctx, reg, v); err != nil {
		return nil, err
	}
	return m, nil
}

// describe reads what stands beside the model file: the names of its features
// and what it was trained on.
func (m *Model) describe(ctx context.Context, reg registry.Reader, v registry.Version) error {
	text, err := readFile(ctx, reg, v, mlmodel.ModelFile)
	if errors.Is(err, registry.ErrNotFound) {
		return incomparable("its %s is missing", mlmodel.ModelFile)
	}
	if err != nil {
		return err
	}
	file, err := mlmodel.Parse(text)
	if err != nil {
		return incomparable("its %s: %w", mlmodel.ModelFile, err)
	}
	m.features = file.Signature.ColumnNames()
	if len(m.features) != m.predictor.NumFeatures() {
		return incomparable("its signature names %d columns, it takes %d", len(m.features), m.predictor.NumFeatures())
	}
	if file.Petal != nil {
		m.dataMD5, m.split = file.Petal.Data.MD5, v.Tags[TagSplit]
	}
	hashes, err := readFile(ctx, reg, v, RowsFile)
	if err == nil {
		m.rows = decodeHashes(hashes)
	} else if !errors.Is(err, registry.ErrNotFound) {
		return err
	}
	return nil
}

// maxFileBytes bounds what is read of one file of a version.
const maxFileBytes = 1 << 30

// modelFile downloads the model file of a version and compares it with the
// digest that it was registered with.
func modelFile(ctx context.Context, reg registry.Reader, v registry.Version) ([]byte, error) {
	raw, err := readFile(ctx, reg, v, registry.ModelFile)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(raw)
	if found, want := hex.EncodeToString(sum[:]), v.Tags[registry.TagSHA256]; want != "" && found != want {
		return nil, fmt.Errorf("%s has the SHA-256 %s, not %s", registry.ModelFile, found, want)
	}
	return raw, nil
}

func readFile(ctx context.Context, reg registry.Reader, v registry.Version, name string) ([]byte, error) {
	f, err := reg.Open(ctx, v, name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read from
	raw, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(raw) > maxFileBytes {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, maxFileBytes)
	}
	return raw, nil
}

// seen returns a function that tells whether the model was trained on a row.
// Where all rows were held out from it, by position in the same file, it has
// seen none: content does not count then, since two flowers may measure the
// same.
func (m *Model) seen(h *Holdout) (func(row int) bool, error) {
	columns, err := h.columns(m.features)
	if err != nil {
		return nil, err
	}
	if m.dataMD5 != "" && m.dataMD5 == h.DataMD5 && m.split == h.Split {
		return func(int) bool { return false }, nil
	}
	if m.rows == nil {
		return nil, incomparable("it does not say which rows it was trained on")
	}
	return func(row int) bool {
		_, found := slices.BinarySearch(m.rows, HashRow(h.row(row), columns))
		return found
	}, nil
}

// Probabilities asks the model about every row: rows × classes, with 0 for a
// class that the model does not know. Scores that are no probabilities are
// [ErrIncomparable].
func (m *Model) Probabilities(h *Holdout) ([]float64, error) {
	columns, err := h.columns(m.features)
	if err != nil {
		return nil, err
	}
	n, width := len(h.Y), m.predictor.NumScores()
	values := make([]float32, 0, n*len(columns))
	for i := range n {
		row := h.row(i)
		for _, column := range columns {
			values = append(values, float32(row[column]))
		}
	}
	classes, scores := make([]int, n), make([]float32, n*width)
	if err := m.predictor.PredictRows(values, classes, scores); err != nil {
		return nil, incomparable("it does not answer: %w", err)
	}
	to := make([]int, width) // where a class of the model stands among those of the rows
	for k := range to {
		to[k] = slices.Index(h.Classes, m.predictor.Labels().Text(k))
	}
	probabilities := make([]float64, n*len(h.Classes))
	for i := range n {
		var sum float64
		for k, p := range scores[i*width : (i+1)*width] {
			if !(p >= 0 && p <= 1+1e-5) {
				return nil, incomparable("it gives %v for a class where a probability should be", p)
			}
			sum += float64(p)
			if to[k] >= 0 {
				probabilities[i*len(h.Classes)+to[k]] = float64(p)
			}
		}
		if math.Abs(sum-1) > 1e-3 {
			return nil, incomparable("its probabilities sum to %v", sum)
		}
	}
	return probabilities, nil
}
