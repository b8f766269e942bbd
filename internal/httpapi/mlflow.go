package httpapi

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/serving"
	"github.com/petal-ml/petal/internal/version"
)

// maxDepth bounds how deep values that nobody reads may nest.
const maxDepth = 32

// mlflowRoutes are those of MLflow's scoring server:
// https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally.
func (a *api) mlflowRoutes() []route {
	return []route{
		{
			method: http.MethodGet, path: "/ping", handle: a.ping, needsModel: true, mayFail: true,
			id: "mlflowPing", tag: tagMLflow, summary: "Whether a model is loaded",
			replies: []reply{{status: 200, description: "One is; the body is a line break.", types: []mediaType{{name: "text/plain", schema: text}}}},
		},
		{
			method: http.MethodGet, path: "/version", handle: a.version,
			id: "mlflowVersion", tag: tagMLflow, summary: "The version of this server",
			replies: []reply{{status: 200, description: "As text.", types: []mediaType{{name: "text/plain", schema: text}}}},
		},
		{
			method: http.MethodPost, path: invocationsPath, handle: a.invocations, scope: account.ScopePredict, needsModel: true, mayFail: true,
			id: "mlflowInvocations", tag: tagMLflow, summary: "Predict rows as MLflow's scoring server does",
			description: "Exactly one of `dataframe_split`, `dataframe_records`, `instances` and `inputs`, or CSV with a header. " +
				"Columns that the model does not know, `index` and `params` are ignored.",
			body: &requestBody{invalid: http.StatusBadRequest, types: []mediaType{
				{name: "application/json", schema: schemaOf[scoringRequest], example: (*samples).dataframeSplit},
				{name: "text/csv", schema: text},
			}},
			replies: []reply{{status: 200, description: "A record a row, under the names of the model's outputs.", types: []mediaType{
				{name: "application/json", schema: schemaOf[invocationsAnswer]},
			}}},
		},
	}
}

// scoringRequest is the JSON of POST /invocations.
type scoringRequest struct{}

// Schema is that of exactly one of four keys; what else stands there is ignored.
func (scoringRequest) Schema(huma.Registry) *huma.Schema {
	array := func(items *huma.Schema) *huma.Schema { return &huma.Schema{Type: huma.TypeArray, Items: items} }
	form := func(key string, value *huma.Schema) *huma.Schema {
		return &huma.Schema{
			Type: huma.TypeObject, Required: []string{key}, AdditionalProperties: true, Properties: map[string]*huma.Schema{key: value},
		}
	}
	row := &huma.Schema{OneOf: []*huma.Schema{array(&huma.Schema{}), anyObject(nil)}}
	split := form("data", array(array(&huma.Schema{})))
	split.Properties["columns"] = array(text(nil))
	return &huma.Schema{OneOf: []*huma.Schema{
		form("dataframe_split", split), form("dataframe_records", array(row)), form("instances", array(row)),
		form("inputs", &huma.Schema{OneOf: []*huma.Schema{array(row), anyObject(nil)}}),
	}}
}

// invocationsAnswer is the answer of POST /invocations.
type invocationsAnswer struct{}

// Schema is that of one record a row.
func (invocationsAnswer) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, Required: []string{"predictions"}, Properties: map[string]*huma.Schema{
		"predictions": {Type: huma.TypeArray, Items: anyObject(nil)},
	}}
}

func (s *samples) dataframeSplit() any {
	return map[string]any{"dataframe_split": map[string]any{"columns": s.names(), "data": [][]any{s.row()}}}
}

// ping is GET /ping.
func (a *api) ping(w http.ResponseWriter, r *http.Request) {
	if a.cfg.Models.Current() == nil {
		fail(w, r, errNotReady)
		return
	}
	writeBody(w, "text/plain; charset=utf-8", []byte("\n"))
}

// version is GET /version.
func (a *api) version(w http.ResponseWriter, _ *http.Request) {
	writeBody(w, "text/plain; charset=utf-8", []byte(version.Current().Version+"\n"))
}

// invocations is POST /invocations.
func (a *api) invocations(w http.ResponseWriter, r *http.Request) {
	model := a.cfg.Models.Current()
	if model == nil {
		fail(w, r, errNotReady)
		return
	}
	if a.admission.full() {
		fail(w, r, errOverload)
		return
	}
	defer a.meter(r)()
	isCSV := isMediaType(r, "text/csv")
	mediaType := "application/json"
	if isCSV {
		mediaType = "text/csv"
	}
	body, no := readBody(w, r, mediaType, a.cfg.BatchMaxBytes)
	if no != nil {
		if no.status == http.StatusUnsupportedMediaType && !isEncoded(r) {
			no.detail = "the Content-Type must be application/json or text/csv, in UTF-8"
		}
		fail(w, r, *no)
		return
	}
	columns := newColumns(model.Info().Features)
	decode := decodeInvocations
	if isCSV {
		decode = decodeCSV
	}
	bound := newBinder(model, numberedRow)
	bound.index, bound.ignoreExtra = columns.index, true
	fault := decode(body, columns, bound.add)
	var b *batch
	if fault == nil {
		b, fault = bound.finish()
	}
	if fault == nil {
		i, admitted, err := a.evaluate(r.Context(), model, b)
		if !admitted {
			fail(w, r, errOverload)
			return
		}
		if fault = evaluationFault(err, i, bound.locate); fault == nil && err != nil {
			a.internal(w, r, "prediction", err)
			return
		}
	}
	if fault != nil {
		a.rejectInput(w, r, model, fault)
		return
	}
	writeBody(w, "application/json", a.encodeRecords(model, b))
}

// numberedRow names row i, -1 all of them.
func numberedRow(i int) string {
	if i < 0 {
		return "the rows"
	}
	return fmt.Sprintf("row %d", i)
}

// encodeRecords writes a record a row, as MLflow writes a data frame.
func (a *api) encodeRecords(model *serving.Live, b *batch) []byte {
	enc := a.encoders.of(model)
	body := append(make([]byte, 0, enc.size(b.n)), `{"predictions":[`...)
	for i, class := range b.classes {
		if i > 0 {
			body = append(body, ',')
		}
		body = enc.appendRecord(body, class, b.of(i))
	}
	return append(body, "]}\n"...)
}

// mlflowCode is what MLflow calls this fault.
func (e *fieldError) mlflowCode() string {
	switch e.reason {
	case rejectMissingKey, rejectWrongWidth, rejectMissingValue, rejectOutOfRange, rejectWrongType, rejectNotFinite, rejectRefused:
		return "INVALID_PARAMETER_VALUE"
	default:
		return "BAD_REQUEST"
	}
}

// columns are the features of a model by name.
type columns struct {
	features []model.Feature
	index    map[string]int
}

func newColumns(features []model.Feature) columns {
	return columns{features, featureIndex(features)}
}

// kindAt is what column i takes; beyond the last one, numbers.
func (c columns) kindAt(i int) model.Kind {
	if i < len(c.features) {
		return c.features[i].Kind
	}
	return model.Number
}

// A sink takes one row after another. The row is used again for the next one:
// many small rows must not take many times the memory of the body.
type sink func(i int, row *instance) *fieldError

// decodeInvocations reads one of the JSON forms of /invocations.
func decodeInvocations(data []byte, known columns, take sink) *fieldError {
	d := scoringDecoder{decoder: decoder{data: data}, known: known, take: take, keys: make([]string, 0, 8)}
	if err := d.checkText(); err != nil {
		return err
	}
	d.skipSpace()
	members, err := d.members("body")
	if err != nil {
		return err
	}
	if d.skipSpace(); d.pos != len(d.data) {
		return d.malformed("there is something after the JSON object")
	}
	form, start := "", 0
	for _, name := range []string{"dataframe_split", "dataframe_records", "instances", "inputs"} {
		pos, given := members[name]
		switch {
		case given && form != "":
			return reject(rejectMalformed, "body", `give exactly one of "dataframe_split", "dataframe_records", "instances" and "inputs"`)
		case given:
			form, start = name, pos
		}
	}
	d.pos = start
	switch at := "body." + form; {
	case form == "":
		return reject(rejectMalformed, "body", `one of "dataframe_split", "dataframe_records", "instances" and "inputs" is missing`)
	case form == "dataframe_split":
		return d.split(at)
	case form == "inputs" && d.peek() == '{':
		return d.columns(at)
	default:
		return d.rows(at)
	}
}

// A scoringDecoder reads tables as pandas writes them. Values of columns that the
// model does not know may be anything.
type scoringDecoder struct {
	decoder
	known columns
	take  sink

	row  instance // the one at hand
	keys []string // its names, where it has its own
}

// next empties the row for another one.
func (d *scoringDecoder) next(names []string) *instance {
	d.row = instance{names: names, values: d.row.values[:0]}
	return &d.row
}

// members finds where the values of an object begin.
func (d *scoringDecoder) members(at string) (map[string]int, *fieldError) {
	if d.peek() != '{' {
		return nil, d.wrongType(at, "an object")
	}
	found := map[string]int{}
	err := d.object(at, func(key string) *fieldError {
		found[key] = d.pos
		return d.skip(0)
	})
	return found, err
}

// split reads {"columns":[…],"data":[[…]]}; without columns the order is the
// model's.
func (d *scoringDecoder) split(at string) *fieldError {
	members, err := d.members(at)
	if err != nil {
		return err
	}
	var names []string
	if pos, given := members["columns"]; given {
		d.pos = pos
		if names, err = d.names(at + ".columns"); err != nil {
			return err
		}
	}
	pos, given := members["data"]
	if !given {
		return reject(rejectMissingKey, at+".data", "the rows are missing")
	}
	d.pos = pos
	at += ".data"
	if d.peek() != '[' {
		return d.wrongType(at, "an array of rows")
	}
	return d.array(func(i int) *fieldError {
		if err := d.cells(func() string { return fmt.Sprintf("%s[%d]", at, i) }, names); err != nil {
			return err
		}
		return d.take(i, &d.row)
	})
}

// names reads an array of column names.
func (d *scoringDecoder) names(at string) ([]string, *fieldError) {
	if d.peek() != '[' {
		return nil, d.wrongType(at, "an array of names")
	}
	names, seen := []string{}, map[string]bool{}
	err := d.array(func(int) *fieldError {
		if d.peek() != '"' {
			return d.wrongType(at, "a name")
		}
		name, ok := d.str()
		if !ok {
			return d.malformed("a name is not written as JSON writes strings")
		}
		if seen[name] {
			return reject(rejectMalformed, at, "a column comes twice")
		}
		seen[name] = true
		names = append(names, name)
		return nil
	})
	return names, err
}

// rows reads an array of rows, by position or by name.
func (d *scoringDecoder) rows(at string) *fieldError {
	if d.peek() != '[' {
		return d.wrongType(at, "an array of rows")
	}
	return d.array(func(i int) *fieldError {
		here := func() string { return fmt.Sprintf("%s[%d]", at, i) }
		var err *fieldError
		if d.peek() == '{' {
			err = d.record(here())
		} else {
			err = d.cells(here, nil)
		}
		if err != nil {
			return err
		}
		return d.take(i, &d.row)
	})
}

func (d *scoringDecoder) record(at string) *fieldError {
	row := d.next(d.keys[:0])
	err := d.object(at, func(key string) *fieldError {
		column, known := d.known.index[key]
		if !known {
			return d.skip(0)
		}
		v, err := d.cell(func() string { return at + "." + key }, d.known.kindAt(column))
		row.names = append(row.names, key)
		row.add(v)
		return err
	})
	d.keys = row.names
	return err
}

// cells reads one row by position; with names, those of the columns.
func (d *scoringDecoder) cells(at func() string, names []string) *fieldError {
	row := d.next(names)
	if d.peek() != '[' {
		return d.wrongType(at(), "an array of numbers")
	}
	err := d.array(func(i int) *fieldError {
		column := i
		if names != nil && i < len(names) {
			var known bool
			if column, known = d.known.index[names[i]]; !known {
				row.add(model.Cell{})
				return d.skip(0)
			}
		}
		v, err := d.cell(func() string { return fmt.Sprintf("%s[%d]", at(), i) }, d.known.kindAt(column))
		row.add(v)
		return err
	})
	if err == nil && names != nil && len(row.values) != len(names) {
		err = reject(rejectWrongWidth, at(), fmt.Sprintf("there are %d columns and %d values", len(names), len(row.values)))
	}
	return err
}

// columns reads {"a":[…],"b":[…]}, or {"a":1,"b":2} for one row.
func (d *scoringDecoder) columns(at string) *fieldError {
	var names []string
	var all []instance // a column each
	err := d.object(at, func(key string) *fieldError {
		index, known := d.known.index[key]
		if !known {
			return d.skip(0)
		}
		column, err := d.column(at+"."+key, d.known.kindAt(index))
		if err == nil && len(all) > 0 && len(column.values) != len(all[0].values) {
			err = reject(rejectWrongWidth, at+"."+key, "the columns are not equally long")
		}
		names, all = append(names, key), append(all, column)
		return err
	})
	switch {
	case err != nil:
		return err
	case len(all) > 0:
		return d.transpose(names, all)
	case len(d.known.features) > 0:
		return reject(rejectMissingKey, at, "there is no column that the model knows")
	}
	return nil
}

// column reads the values of one column, or the one value.
func (d *scoringDecoder) column(at string, kind model.Kind) (instance, *fieldError) {
	var column instance
	if d.peek() != '[' {
		v, err := d.cell(func() string { return at }, kind)
		column.add(v)
		return column, err
	}
	err := d.array(func(i int) *fieldError {
		v, err := d.cell(func() string { return fmt.Sprintf("%s[%d]", at, i) }, kind)
		column.add(v)
		return err
	})
	return column, err
}

// transpose takes the rows of columns that are equally long.
func (d *scoringDecoder) transpose(names []string, columns []instance) *fieldError {
	for i := range columns[0].values {
		row := d.next(names)
		for c := range columns {
			row.add(columns[c].cell(i))
		}
		if err := d.take(i, row); err != nil {
			return err
		}
	}
	return nil
}

// cell reads a value for a column of that kind. Numbers, true and false may be
// written as text, as pandas writes columns of mixed types.
func (d *scoringDecoder) cell(here func() string, kind model.Kind) (model.Cell, *fieldError) {
	switch {
	case d.peek() == '"':
		written, ok := d.str()
		if !ok {
			return model.Cell{}, d.malformed("a value is not written as JSON writes strings")
		}
		return parseCell(written, kind, here)
	case kind == model.Text && d.peek() != 'n':
		return model.Cell{}, d.wrongType(here(), "text")
	case kind == model.Boolean:
		return d.decoder.cell(here)
	default:
		v, err := d.number(here)
		return model.Cell{Number: v}, err
	}
}

// parseCell reads a value that stands in text.
func parseCell(written string, kind model.Kind, here func() string) (model.Cell, *fieldError) {
	switch {
	case kind == model.Text:
		return model.Cell{Kind: kind, Text: written}, nil
	case kind == model.Boolean && strings.EqualFold(written, "true"):
		return model.Cell{Kind: kind, Number: 1}, nil
	case kind == model.Boolean && strings.EqualFold(written, "false"):
		return model.Cell{Kind: kind}, nil
	}
	written = strings.TrimSpace(written)
	n := decoder{data: []byte(written)}
	digits, ok := n.numberText()
	if !ok || n.pos != len(n.data) {
		return model.Cell{}, reject(rejectWrongType, here(), "a number is expected, not text")
	}
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		return model.Cell{}, reject(rejectOutOfRange, here(), "the number is out of range; a 32-bit float must hold it")
	}
	return model.Cell{Number: v}, nil
}

// skip passes over a value of any form.
func (d *decoder) skip(depth int) *fieldError {
	if depth > maxDepth {
		return d.malformed("values nest too deep")
	}
	switch c := d.peek(); {
	case c == '{':
		return d.object("body", func(string) *fieldError { return d.skip(depth + 1) })
	case c == '[':
		return d.array(func(int) *fieldError { return d.skip(depth + 1) })
	case c == '"':
		if _, ok := d.str(); !ok {
			return d.malformed("a string is not written as JSON writes strings")
		}
	case c == '-' || c >= '0' && c <= '9':
		if _, ok := d.numberText(); !ok {
			return d.malformed("a number is not written as JSON writes it")
		}
	case d.literal("true"), d.literal("false"), d.literal("null"):
	default:
		return d.malformed("a value is expected")
	}
	return nil
}

// decodeCSV reads text with a header, as pandas writes it. An empty cell is a
// missing value.
func decodeCSV(data []byte, known columns, take sink) *fieldError {
	if !utf8.Valid(data) {
		return reject(rejectMalformed, "body", "the body is not valid UTF-8")
	}
	for line := range bytes.Lines(data) {
		if bytes.Count(line, []byte{','}) >= maxMembers {
			return reject(rejectMalformed, "body", "a line has too many columns")
		}
	}
	r := csv.NewReader(bytes.NewReader(data))
	r.ReuseRecord = true
	names, fault := readHeader(r, known)
	if fault != nil {
		return fault
	}
	row := instance{names: names}
	for i := 0; ; i++ {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		line, _ := r.FieldPos(0)
		if err != nil {
			return reject(rejectMalformed, fmt.Sprintf("row %d", i), "the line is not CSV, or has another number of columns than the header")
		}
		row.values, row.cells = row.values[:0], nil
		for column, written := range cells {
			c, fault := known.readCell(names[column], written, func() string { return fmt.Sprintf("line %d, column %d", line, column+1) })
			if fault != nil {
				return fault
			}
			row.add(c)
		}
		if fault := take(i, &row); fault != nil {
			return fault
		}
	}
}

// readHeader reads the names of the columns: none twice, and all that the model
// knows.
func readHeader(r *csv.Reader, known columns) ([]string, *fieldError) {
	header, err := r.Read()
	if err != nil {
		return nil, reject(rejectMalformed, "line 1", "a header with the names of the columns is expected")
	}
	names := slices.Clone(header)
	names[0] = strings.TrimPrefix(names[0], "\ufeff")
	seen := map[string]bool{}
	for _, name := range names {
		if seen[name] {
			return nil, reject(rejectMalformed, "line 1", "a column comes twice")
		}
		seen[name] = true
	}
	for name := range known.index {
		if !seen[name] {
			return nil, reject(rejectMissingKey, "line 1", fmt.Sprintf("the header does not name the column %q", name))
		}
	}
	return names, nil
}

// readCell reads the text of a column's cell. Empty ones are missing, and so are
// those of columns that the model does not know.
func (c columns) readCell(name, written string, here func() string) (model.Cell, *fieldError) {
	column, is := c.index[name]
	kind := c.kindAt(column)
	if is && (strings.TrimSpace(written) != "" || kind == model.Text && written != "") {
		return parseCell(written, kind, here)
	}
	return model.Cell{Number: math.NaN()}, nil
}
