package scoring

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// csvRows reads CSV with a header, the comma between fields.
type csvRows struct {
	reader *csv.Reader
	source *bufio.Reader
	places []int // from a feature to its field
}

// newCSVRows reads the header. Features are found by name; where the model has
// no names for them, the fields are taken in order.
func newCSVRows(source *bufio.Reader, m *Model) (*csvRows, error) {
	c := &csvRows{reader: csv.NewReader(source), source: source}
	c.reader.ReuseRecord = true
	header, err := c.reader.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the CSV file is empty; a header with the features' names is wanted")
	} else if err != nil {
		return nil, fmt.Errorf("read the header: %w", err)
	}
	header = slices.Clone(header)
	header[0] = strings.TrimPrefix(header[0], "\ufeff")
	if !slices.ContainsFunc(header, func(s string) bool { _, err := strconv.ParseFloat(s, 64); return err != nil }) {
		return nil, errors.New("the first line holds numbers; a header with the features' names is wanted")
	}
	for i, f := range m.features {
		place := slices.Index(header, f.Name)
		if place >= 0 && slices.Contains(header[place+1:], f.Name) {
			return nil, fmt.Errorf("column %q stands twice in the header", f.Name)
		}
		if place < 0 && !m.named && len(header) == len(m.features) {
			place = i
		}
		if place < 0 {
			return nil, fmt.Errorf("the header lacks column %q, which the model takes", f.Name)
		}
		c.places = append(c.places, place)
	}
	return c, nil
}

func (c *csvRows) next(row []cell) error {
	fields, err := c.reader.Read()
	if err != nil {
		return err
	}
	for i, place := range c.places {
		if !utf8.ValidString(fields[place]) {
			line, column := c.reader.FieldPos(place)
			return fmt.Errorf("line %d, column %d: not UTF-8", line, column)
		}
		row[i] = cell{kind: cellAny, text: fields[place]}
	}
	return nil
}

func (c *csvRows) more() bool { return c.source.Buffered() > 0 }
