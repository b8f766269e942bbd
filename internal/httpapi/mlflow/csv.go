package mlflow

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/petal-ml/petal/internal/httpapi/jsonbody"
	"github.com/petal-ml/petal/internal/httpapi/problem"
	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/predict"
)

// decodeCSV reads text with a header, as pandas writes it. An empty cell is a
// missing value.
func decodeCSV(data []byte, into *predict.Batch) error {
	if !utf8.Valid(data) {
		return problem.Invalid(predict.Malformed, "body", "the body is not valid UTF-8")
	}
	for line := range bytes.Lines(data) {
		if bytes.Count(line, []byte{','}) >= jsonbody.MaxMembers {
			return problem.Invalid(predict.Malformed, "body", "a line has too many columns")
		}
	}
	r := csv.NewReader(bytes.NewReader(data))
	r.ReuseRecord = true
	names, err := readHeader(r, into)
	if err != nil {
		return err
	}
	row := predict.Row{}
	for i := 0; ; i++ {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return problem.Invalid(predict.Malformed, numberedRow(i), "the line is not CSV, or has another number of columns than the header")
		}
		line, _ := r.FieldPos(0)
		row.Reset(names)
		for column, written := range cells {
			c, err := readCell(into, names[column], written, func() string { return fmt.Sprintf("line %d, column %d", line, column+1) })
			if err != nil {
				return err
			}
			row.Add(c)
		}
		if err := into.Add(&row); err != nil {
			return problem.Located(err, numberedRow)
		}
	}
}

// readHeader reads the names of the columns: none twice, and all that the model
// knows.
func readHeader(r *csv.Reader, into *predict.Batch) ([]string, error) {
	header, err := r.Read()
	if err != nil {
		return nil, problem.Invalid(predict.Malformed, "line 1", "a header with the names of the columns is expected")
	}
	names := slices.Clone(header)
	names[0] = strings.TrimPrefix(names[0], "\ufeff")
	seen := map[string]bool{}
	for _, name := range names {
		if seen[name] {
			return nil, problem.Invalid(predict.Malformed, "line 1", "a column comes twice")
		}
		seen[name] = true
	}
	for _, f := range into.Model.Info().Features {
		if !seen[f.Name] {
			return nil, problem.Invalid(predict.MissingKey, "line 1", fmt.Sprintf("the header does not name the column %q", f.Name))
		}
	}
	return names, nil
}

// readCell reads the text of a column's cell. Empty ones are missing, and so are
// those of columns that the model does not know.
func readCell(into *predict.Batch, name, written string, here func() string) (model.Cell, error) {
	column, known := into.Column(name)
	kind := kindAt(into, column)
	if known && (strings.TrimSpace(written) != "" || kind == model.Text && written != "") {
		return parseCell(written, kind, here)
	}
	return model.Cell{Number: math.NaN()}, nil
}
