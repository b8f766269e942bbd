package promotion

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"time"

	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/model/trial"
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
	// TagVerdict is what the gate said.
	TagVerdict = "petal.gate"
)

// A Model is one side of a comparison: a classifier and, where that is known,
// what it was trained on.
type Model struct {
	*model.Model

	split string   // which rows of its data were held out; "" where unknown
	rows  []uint64 // hashes of its training rows, sorted; nil where unknown
}

// Load opens the files of a model as the API does. One that is no classifier is
// [ErrIncomparable].
func Load(ctx context.Context, opener *trial.Opener, files model.Files, expect model.Expect) (*Model, error) {
	m, err := opener.Open(ctx, files, expect)
	if err != nil {
		return nil, err
	}
	if m.Labels().Len() == 0 {
		return nil, incomparable("it is no classifier")
	}
	return &Model{Model: m}, nil
}

// Open loads a registered version as the API would, its digest verified. A
// version that cannot be compared is [ErrIncomparable].
func (p *Promoter) Open(ctx context.Context, v registry.Version) (*Model, error) {
	files, expect, err := p.fetch(ctx, v)
	if errors.Is(err, registry.ErrUnavailable) || ctx.Err() != nil {
		return nil, err
	}
	var m *Model
	if err == nil {
		m, err = Load(ctx, p.Opener, files, expect)
	}
	switch {
	case errors.Is(err, ErrIncomparable), errors.Is(err, trial.ErrUntried), err != nil && ctx.Err() != nil:
		return nil, err
	case err != nil:
		return nil, incomparable("it is broken: %w", err)
	}
	m.split = v.Tags[TagSplit]
	hashes, err := registry.ReadFile(ctx, p.Registry, v, RowsFile, p.Opener.MaxFile())
	if err == nil {
		m.rows = decodeHashes(hashes)
	} else if !errors.Is(err, registry.ErrNotFound) {
		return nil, err
	}
	return m, nil
}

// fetch downloads what a version is opened from, and says what the registry noted
// of it.
func (p *Promoter) fetch(ctx context.Context, v registry.Version) (model.Files, model.Expect, error) {
	files, err := registry.Fetch(ctx, p.Registry, v, p.Opener.MaxFile())
	return model.Files(files), model.Expect{SHA256: v.Tags[registry.TagSHA256], Size: v.Tags[registry.TagSize]}, err
}

// seen returns a function that tells whether the model was trained on a row.
// Where all rows were held out from it, by position in the same file, it has
// seen none: content does not count then, since two flowers may measure the
// same.
func (m *Model) seen(h *Holdout) (func(row int) bool, error) {
	columns, err := h.columns(m.Info().Features)
	if err != nil {
		return nil, err
	}
	if m.Info().DataMD5 != "" && m.Info().DataMD5 == h.DataMD5 && m.split == h.Split {
		return func(int) bool { return false }, nil
	}
	if m.rows == nil {
		return nil, incomparable("it does not say which rows it was trained on")
	}
	return func(row int) bool {
		_, found := slices.BinarySearch(m.rows, HashRow(h.row(row), columns, h.Texts))
		return found
	}, nil
}

// Probabilities asks the model about every row: rows × classes, with 0 for a
// class that the model does not know. Scores that are no probabilities, and a model
// that takes minutes for them, are [ErrIncomparable].
func (m *Model) Probabilities(ctx context.Context, h *Holdout) ([]float64, error) {
	columns, err := h.columns(m.Info().Features)
	if err != nil {
		return nil, err
	}
	n, width := len(h.Y), m.NumScores()
	scores := make([]float32, n*width)
	if err := m.answer(ctx, h, columns, scores); err != nil {
		return nil, err
	}
	to := make([]int, width) // where a class of the model stands among those of the rows
	for k := range to {
		to[k] = slices.Index(h.Classes, m.Labels().Text(k))
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

// Bounds on the answers of a model for a hold-out: all of them together, and rows that
// are asked about at once.
const (
	maxAnswerTime = 2 * time.Minute
	portionTime   = time.Second
	portionRows   = 4096
)

// answer fills the scores of all rows, a portion after the other, so that a model that
// is slow can be given up.
func (m *Model) answer(ctx context.Context, h *Holdout, columns []int, scores []float32) error {
	n, width := len(h.Y), m.NumScores()
	portion := min(portionRows, max(1, int(portionTime/max(m.RowCost(), 1))))
	start := time.Now()
	for from := 0; from < n; from += portion {
		to := min(from+portion, n)
		if err := m.score(h, from, to, columns, scores[from*width:to*width]); err != nil {
			return incomparable("it does not answer: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if time.Since(start) > maxAnswerTime {
			return incomparable("it takes longer than %v for the %d rows of the hold-out", maxAnswerTime, n)
		}
	}
	return nil
}

// score fills the scores of the rows from one to another.
func (m *Model) score(h *Holdout, from, to int, columns []int, scores []float32) error {
	n := to - from
	classes := make([]int, n)
	if m.IsTyped() {
		table, err := m.NewTable(n)
		if err != nil {
			return err
		}
		for i := range n {
			for j, column := range columns {
				if err := table.Set(i, j, h.cell(from+i, column)); err != nil {
					return err
				}
			}
		}
		_, err = m.PredictTable(table, classes, scores)
		return err
	}
	values := make([]float32, 0, n*len(columns))
	for i := from; i < to; i++ {
		for _, column := range columns {
			if c := h.cell(i, column); c.Kind == model.Text {
				return fmt.Errorf("column %q is text, not a number", h.Features[column])
			}
			values = append(values, float32(h.row(i)[column]))
		}
	}
	_, err := m.PredictRows(values, classes, scores)
	return err
}

// RowsFile stands beside a model and holds a hash of each distinct training row,
// so that a later comparison knows which rows the model has seen.
const RowsFile = "training_rows.bin"

// HashRow identifies a row by the values of some columns. Only equality counts,
// and a chance collision only leaves a row out: 64 bits of FNV-1a are enough. Of a
// column of texts, see [Holdout], the text counts.
func HashRow(row []float64, columns []int, texts [][]string) uint64 {
	hash := fnv.New64a()
	var b [8]byte
	for _, column := range columns {
		v := row[column]
		if v == 0 {
			v = 0 // −0 is 0
		}
		if math.IsNaN(v) {
			v = math.NaN() // one kind of them
		} else if texts != nil && texts[column] != nil {
			_, _ = hash.Write([]byte(texts[column][int(v)]))
			_, _ = hash.Write([]byte{0xff}) // in no text
			continue
		}
		binary.LittleEndian.PutUint64(b[:], math.Float64bits(v))
		_, _ = hash.Write(b[:])
	}
	return hash.Sum64()
}

// EncodeHashes is the content of [RowsFile]: the distinct hashes, sorted, as
// little-endian 64-bit numbers. It sorts its argument.
func EncodeHashes(hashes []uint64) []byte {
	slices.Sort(hashes)
	var out []byte
	for _, h := range slices.Compact(hashes) {
		out = binary.LittleEndian.AppendUint64(out, h)
	}
	return out
}

func decodeHashes(raw []byte) []uint64 {
	hashes := make([]uint64, 0, len(raw)/8)
	for ; len(raw) >= 8; raw = raw[8:] {
		hashes = append(hashes, binary.LittleEndian.Uint64(raw))
	}
	return hashes
}
