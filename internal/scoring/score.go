// Package scoring runs a model file on rows of a file or a stream, and tells
// beforehand whether and how well it can be run.
//
// Rows come as JSON or CSV, with cells of several types; [Score] reads
// them a batch at a time, so that neither input nor output need fit into memory.
package scoring

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval"
	"github.com/petal-ml/petal/internal/rows"
)

// batchRows bounds how many rows are scored at once.
const batchRows = 1024

// Options say how [Score] reads and writes.
type Options struct {
	Format Format
	// Raw writes the graph's own outputs in place of label and probabilities.
	Raw bool
}

// Score reads rows from r and writes a JSON object a row to w, in order. Rows
// are scored as soon as no further one is at hand, so that it may serve a pipe.
// It returns how many rows were written; all rows before one that is at fault
// are.
func Score(ctx context.Context, m *model.Model, r io.Reader, w io.Writer, o Options) (int, error) {
	predictor, refusal := m.Predictor()
	if refusal != nil && !o.Raw {
		return 0, fmt.Errorf("%w; --raw writes its outputs as they are", refusal)
	}
	reader, err := newRowReader(r, o.Format, m)
	if err != nil {
		return 0, err
	}
	table, err := m.NewTable(batchRows)
	if err != nil {
		return 0, err
	}
	s := &scorer{model: m, predictor: predictor, raw: o.Raw, table: table, out: w}
	return s.run(ctx, reader)
}

// A scorer is one call of [Score].
type scorer struct {
	model     *model.Model
	predictor *eval.Predictor
	raw       bool
	table     *model.Table
	rows      int // in the table
	out       io.Writer
	done      int // rows written
	buffer    []byte
	// Of the fast path.
	classes []int
	scores  []float32
}

func (s *scorer) run(ctx context.Context, reader rowReader) (int, error) {
	row := make([]rows.Cell, len(s.model.Info().Features))
	for {
		if err := ctx.Err(); err != nil {
			return s.done, fmt.Errorf("stopped after %d rows: %w", s.done, err)
		}
		err := reader.Next(row)
		if err == nil {
			err = s.add(row)
		}
		if err == nil && s.rows < batchRows && reader.More() {
			continue
		}
		at := s.done + s.rows + 1
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

// add appends a row to the table; with an error, nothing.
func (s *scorer) add(row []rows.Cell) error {
	for i, c := range row {
		if err := s.table.Set(s.rows, i, c); err != nil {
			return err
		}
	}
	s.rows++
	return nil
}

// flush scores the rows of the table and writes them.
func (s *scorer) flush() error {
	n := s.rows
	if n == 0 {
		return nil
	}
	s.buffer = s.buffer[:0]
	if err := s.score(n); err != nil {
		return fmt.Errorf("rows %d to %d: %w", s.done+1, s.done+n, err)
	}
	s.rows = 0
	if _, err := s.out.Write(s.buffer); err != nil {
		return fmt.Errorf("write predictions: %w", err)
	}
	s.done += n
	return nil
}

func (s *scorer) score(n int) error {
	p, inputs := s.predictor, s.table.Inputs(n)
	if s.raw {
		session := s.model.Session()
		outputs, err := session.Run(inputs)
		if err != nil {
			return err
		}
		s.buffer, err = appendRaw(s.buffer, session.Outputs(), outputs, n)
		return err
	}
	if fast, _ := p.FastPath(); fast {
		s.classes = resize(s.classes, n)
		s.scores = resize(s.scores, n*p.NumScores())
		if err := p.PredictRows(floats(inputs), s.classes, s.scores); err != nil {
			return err
		}
		classes := s.classes
		if p.IsRegressor() {
			classes = nil
		}
		s.buffer = appendPredictions(s.buffer, p, classes, s.scores)
		return nil
	}
	out, err := p.Predict(inputs)
	if err != nil {
		return err
	}
	if !single(s.model) {
		s.buffer = appendPredictions(s.buffer, p, out.Classes, out.Scores)
		return nil
	}
	s.scores = s.scores[:0]
	for _, v := range out.Scores {
		s.scores = append(s.scores, float32(v))
	}
	s.buffer = appendPredictions(s.buffer, p, out.Classes, s.scores)
	return nil
}

// floats are the rows of a graph whose only input is a matrix of floats.
func floats(inputs map[string]eval.Value) []float32 {
	for _, v := range inputs {
		if t, ok := v.(*onnx.Tensor); ok {
			data, _ := onnx.Elements[float32](t)
			return data
		}
	}
	return nil
}

// single says whether scores are 32-bit numbers: they are then written in as
// few digits as tell them apart.
func single(m *model.Model) bool {
	outputs := m.Outputs()
	t := outputs[min(1, len(outputs)-1)].Type
	return t.Kind != onnx.KindTensor || t.Element == onnx.Float
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// A Format is how rows are written.
type Format int

// The formats of rows.
const (
	// JSON is one array of rows, or a row after the other; a row is an array or
	// an object.
	JSON Format = iota
	// CSV has a header.
	CSV
)

// A rowReader reads rows as cells in the order of the features.
type rowReader interface {
	// Next fills row; io.EOF comes after the last one.
	Next(row []rows.Cell) error
	// More says whether something was read that no row was made of yet: the
	// next row may be had without waiting.
	More() bool
}

func newRowReader(r io.Reader, format Format, m *model.Model) (rowReader, error) {
	if format == CSV {
		return rows.NewCSV(r, m.Info().Columns(), rows.CSVOptions{ByPosition: !m.IsNamed()})
	}
	return rows.NewJSONStream(r, m.Info().Names()), nil
}
