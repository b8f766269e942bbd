package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/petal-ml/petal/internal/rows"
)

// Names returns the names of the features.
func (i *Info) Names() []string {
	names := make([]string, len(i.Features))
	for k, f := range i.Features {
		names[k] = f.Name
	}
	return names
}

// Columns returns names and kinds of the features.
func (i *Info) Columns() []rows.Column {
	columns := make([]rows.Column, len(i.Features))
	for k, f := range i.Features {
		columns[k] = rows.Column{Name: f.Name, Kind: f.Kind}
	}
	return columns
}

// ReadExample reads MLflow's input_example.json: pandas' "split" form, or rows as
// arrays or objects. Of nil it makes no rows.
func (m *Model) ReadExample(data []byte) ([][]Cell, error) {
	var table struct {
		Columns      []any
		Data, Inputs json.RawMessage
	}
	var names []string
	if json.Unmarshal(data, &table) == nil {
		switch {
		case table.Data != nil && m.named:
			for _, name := range table.Columns {
				names = append(names, fmt.Sprint(name))
			}
			fallthrough
		case table.Data != nil:
			data = table.Data
		case table.Inputs != nil:
			data = table.Inputs
		}
	}
	stream := rows.NewJSONStream(bytes.NewReader(data), m.info.Names())
	stream.Names = names
	var all [][]Cell
	for {
		row := make([]Cell, len(m.info.Features))
		switch err := stream.Next(row); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("row %d: %w", len(all)+1, err)
		}
		all = append(all, row)
	}
}
