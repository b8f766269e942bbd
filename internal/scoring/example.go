package scoring

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/petal-ml/petal/internal/rows"
)

// exampleRows reads MLflow's input_example.json: pandas' "split" form, or rows
// as arrays or objects.
func (m *Model) exampleRows(data []byte) ([][]rows.Cell, error) {
	var table struct {
		Columns []any             `json:"columns"`
		Data    []json.RawMessage `json:"data"`
		Inputs  json.RawMessage   `json:"inputs"`
	}
	source := data
	if json.Unmarshal(data, &table) == nil {
		switch {
		case table.Data != nil:
			return m.tableRows(table.Columns, table.Data)
		case table.Inputs != nil:
			source = table.Inputs
		}
	}
	return m.readAll(source)
}

// tableRows reads the rows of a table whose columns may stand in any order.
func (m *Model) tableRows(columns []any, data []json.RawMessage) ([][]rows.Cell, error) {
	var text bytes.Buffer
	for i, raw := range data {
		if !m.named || len(columns) == 0 {
			text.Write(raw)
			text.WriteByte('\n')
			continue
		}
		var cells []json.RawMessage
		if err := json.Unmarshal(raw, &cells); err != nil || len(cells) != len(columns) {
			return nil, fmt.Errorf("row %d does not have %d cells", i+1, len(columns))
		}
		object := make(map[string]json.RawMessage, len(cells))
		for k, name := range columns {
			object[fmt.Sprint(name)] = cells[k]
		}
		encoded, err := json.Marshal(object)
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", i+1, err)
		}
		text.Write(append(encoded, '\n'))
	}
	return m.readAll(text.Bytes())
}

func (m *Model) readAll(data []byte) ([][]rows.Cell, error) {
	reader, err := newRowReader(bytes.NewReader(data), JSON, m)
	if err != nil {
		return nil, err
	}
	var all [][]rows.Cell
	for {
		row := make([]rows.Cell, len(m.features))
		switch err := reader.Next(row); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("row %d: %w", len(all)+1, err)
		}
		all = append(all, row)
	}
}
