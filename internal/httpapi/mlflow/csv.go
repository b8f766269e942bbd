package mlflow

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/petal-ml/petal/internal/httpapi/problem"
	"github.com/petal-ml/petal/internal/predict"
	"github.com/petal-ml/petal/internal/rows"
)

// decodeCSV reads text with a header, as pandas writes it. An empty cell is a
// missing value.
func decodeCSV(data []byte, into *predict.Batch) error {
	if !utf8.Valid(data) {
		return problem.Invalid(rows.Malformed, "body", "the body is not valid UTF-8")
	}
	names, columns := into.Model.Info().Names(), into.Model.Info().Columns()
	table, err := rows.NewCSV(bytes.NewReader(data), columns, rows.CSVOptions{MaxColumns: rows.MaxMembers})
	if err != nil {
		return csvFault(err)
	}
	row, cells := rows.Row{}, make([]rows.Cell, len(columns))
	for {
		if err := table.Next(cells); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return csvFault(err)
		}
		row.Reset(names)
		for _, c := range cells {
			if c.Kind == rows.Text && c.Text == "" {
				c = rows.Missing()
			}
			row.Add(c)
		}
		if err := into.Add(&row); err != nil {
			return problem.Located(err, numberedRow)
		}
	}
}

// csvFault says what is wrong with a CSV, and in which line and column.
func csvFault(err error) error {
	fault := new(rows.Error)
	if !errors.As(err, &fault) {
		return problem.Invalid(rows.Malformed, "body", "the body is no CSV")
	}
	reason, place, message := rows.Malformed, fmt.Sprintf("line %d", fault.Line), fault.Err.Error()
	if fault.Column > 0 {
		place += fmt.Sprintf(", column %d", fault.Column)
	}
	switch {
	case errors.Is(err, rows.ErrNotNumber):
		reason = rows.WrongType
	case errors.Is(err, rows.ErrMissingColumn):
		reason, message = rows.MissingKey, fmt.Sprintf("%s %q", message, fault.Name)
	case errors.Is(err, rows.ErrHeader) && fault.Name != "":
		reason, message = rows.MissingKey, fmt.Sprintf("%s, such as %q", message, fault.Name)
	}
	return problem.Invalid(reason, place, message)
}
