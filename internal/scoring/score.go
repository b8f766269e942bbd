package scoring

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/rows"
)

// batchRows bounds how many rows are scored at once.
const batchRows = 1024

// Options say how [Model.Score] reads and writes.
type Options struct {
	Format Format
	// Raw writes the graph's own outputs in place of label and probabilities.
	Raw bool
}

// Score reads rows from r and writes a JSON object a row to w, in order. Rows
// are scored as soon as no further one is at hand, so that it may serve a pipe.
// It returns how many rows were written; all rows before one that is at fault
// are.
func (m *Model) Score(ctx context.Context, r io.Reader, w io.Writer, o Options) (int, error) {
	if m.refusal != nil && !o.Raw {
		return 0, fmt.Errorf("%w; --raw writes its outputs as they are", m.refusal)
	}
	reader, err := newRowReader(r, o.Format, m)
	if err != nil {
		return 0, err
	}
	b, err := m.newBatch(batchRows)
	if err != nil {
		return 0, err
	}
	s := &scorer{model: m, raw: o.Raw, batch: b, out: w}
	return s.run(ctx, reader)
}

// A scorer is one call of [Model.Score].
type scorer struct {
	model  *Model
	raw    bool
	batch  *batch
	out    io.Writer
	done   int // rows written
	buffer []byte
	// Of the fast path.
	classes []int
	scores  []float32
}

func (s *scorer) run(ctx context.Context, reader rowReader) (int, error) {
	row := make([]rows.Cell, len(s.model.features))
	for {
		if err := ctx.Err(); err != nil {
			return s.done, fmt.Errorf("stopped after %d rows: %w", s.done, err)
		}
		err := reader.Next(row)
		if err == nil {
			err = s.batch.add(row)
		}
		if err == nil && s.batch.rows < batchRows && reader.More() {
			continue
		}
		at := s.done + s.batch.rows + 1
		if failure := s.flush(); failure != nil {
			return s.done, failure
		}
		switch {
		case errors.Is(err, io.EOF):
			return s.done, nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return s.done, fmt.Errorf("row %d: the input ends in the middle of it", at)
		case err != nil:
			return s.done, fmt.Errorf("row %d: %w", at, err)
		}
	}
}

// flush scores the batch and writes it.
func (s *scorer) flush() error {
	n := s.batch.rows
	if n == 0 {
		return nil
	}
	s.buffer = s.buffer[:0]
	if err := s.score(n); err != nil {
		return fmt.Errorf("rows %d to %d: %w", s.done+1, s.done+n, err)
	}
	s.batch.rows = 0
	if _, err := s.out.Write(s.buffer); err != nil {
		return fmt.Errorf("write predictions: %w", err)
	}
	s.done += n
	return nil
}

func (s *scorer) score(n int) error {
	p := s.model.predictor
	switch {
	case s.raw:
		outputs, err := s.model.session.Run(s.batch.values())
		if err != nil {
			return err
		}
		s.buffer, err = appendRaw(s.buffer, s.model.session.Outputs(), outputs, n)
		return err
	case s.model.fast:
		s.classes = resize(s.classes, n)
		s.scores = resize(s.scores, n*p.NumScores())
		if err := p.PredictRows(s.batch.floats(), s.classes, s.scores); err != nil {
			return err
		}
		classes := s.classes
		if p.IsRegressor() {
			classes = nil
		}
		s.buffer = appendPredictions(s.buffer, p, classes, s.scores)
		return nil
	default:
		out, err := p.Predict(s.batch.values())
		if err != nil {
			return err
		}
		if s.model.single() {
			s.scores = s.scores[:0]
			for _, v := range out.Scores {
				s.scores = append(s.scores, float32(v))
			}
			s.buffer = appendPredictions(s.buffer, p, out.Classes, s.scores)
			return nil
		}
		s.buffer = appendPredictions(s.buffer, p, out.Classes, out.Scores)
		return nil
	}
}

// single says whether scores are 32-bit numbers: they are then written in as
// few digits as tell them apart.
func (m *Model) single() bool {
	outputs := m.session.Outputs()
	t := outputs[min(1, len(outputs)-1)].Type
	return t.Kind != onnx.KindTensor || t.Element == onnx.Float
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
