package httpapi

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/petal-ml/petal/internal/account"
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
	return map[string]any{"dataframe_split": map[string]any{"columns": s.names(), "data": [][]float64{s.row()}}}
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
	known := featureIndex(model.Info().Features)
	decode := decodeInvocations
	if isCSV {
		decode = decodeCSV
	}
	rows, fault := decode(body, known)
	if fault != nil {
		a.rejectInput(w, r, model, fault)
		return
	}
	bound := newBinder(model, func(i int) string { return fmt.Sprintf("row %d", i) })
	bound.index, bound.ignoreExtra = known, true
	b, fault := bound.bind(rows)
	if fault == nil {
		i, admitted, err := a.evaluate(r.Context(), model, b)
		if !admitted {
			fail(w, r, errOverload)
			return
		}
		if errors.Is(err, serving.ErrNotFinite) {
			fault = reject(rejectNotFinite, bound.locate(i), err.Error())
		} else if err != nil {
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

// encodeRecords writes a record a row, as MLflow writes a data frame.
func (a *api) encodeRecords(model *serving.Model, b *batch) []byte {
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
	case rejectMissingKey, rejectWrongWidth, rejectMissingValue, rejectOutOfRange, rejectWrongType, rejectNotFinite:
		return "INVALID_PARAMETER_VALUE"
	default:
		return "BAD_REQUEST"
	}
}

// decodeInvocations reads one of the JSON forms of /invocations.
func decodeInvocations(data []byte, known map[string]int) ([]instance, *fieldError) {
	d := scoringDecoder{decoder{data: data}, known}
	if err := d.checkText(); err != nil {
		return nil, err
	}
	d.skipSpace()
	members, err := d.members("body")
	if err != nil {
		return nil, err
	}
	if d.skipSpace(); d.pos != len(d.data) {
		return nil, d.malformed("there is something after the JSON object")
	}
	form, start := "", 0
	for _, name := range []string{"dataframe_split", "dataframe_records", "instances", "inputs"} {
		pos, given := members[name]
		switch {
		case given && form != "":
			return nil, reject(rejectMalformed, "body", `give exactly one of "dataframe_split", "dataframe_records", "instances" and "inputs"`)
		case given:
			form, start = name, pos
		}
	}
	d.pos = start
	switch at := "body." + form; {
	case form == "":
		return nil, reject(rejectMalformed, "body", `one of "dataframe_split", "dataframe_records", "instances" and "inputs" is missing`)
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
	known map[string]int
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
func (d *scoringDecoder) split(at string) ([]instance, *fieldError) {
	members, err := d.members(at)
	if err != nil {
		return nil, err
	}
	var names []string
	if pos, given := members["columns"]; given {
		d.pos = pos
		if names, err = d.names(at + ".columns"); err != nil {
			return nil, err
		}
	}
	pos, given := members["data"]
	if !given {
		return nil, reject(rejectMissingKey, at+".data", "the rows are missing")
	}
	d.pos = pos
	at += ".data"
	if d.peek() != '[' {
		return nil, d.wrongType(at, "an array of rows")
	}
	rows := []instance{}
	err = d.array(func(i int) *fieldError {
		row, err := d.cells(fmt.Sprintf("%s[%d]", at, i), names)
		rows = append(rows, row)
		return err
	})
	return rows, err
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
func (d *scoringDecoder) rows(at string) ([]instance, *fieldError) {
	if d.peek() != '[' {
		return nil, d.wrongType(at, "an array of rows")
	}
	rows := []instance{}
	err := d.array(func(i int) *fieldError {
		here := fmt.Sprintf("%s[%d]", at, i)
		var row instance
		var err *fieldError
		if d.peek() == '{' {
			row, err = d.record(here)
		} else {
			row, err = d.cells(here, nil)
		}
		rows = append(rows, row)
		return err
	})
	return rows, err
}

func (d *scoringDecoder) record(at string) (instance, *fieldError) {
	row := instance{names: []string{}}
	err := d.object(at, func(key string) *fieldError {
		if _, known := d.known[key]; !known {
			return d.skip(0)
		}
		v, err := d.cell(at + "." + key)
		row.names, row.values = append(row.names, key), append(row.values, v)
		return err
	})
	return row, err
}

// cells reads one row by position; with names, those of the columns.
func (d *scoringDecoder) cells(at string, names []string) (instance, *fieldError) {
	row := instance{names: names}
	if d.peek() != '[' {
		return row, d.wrongType(at, "an array of numbers")
	}
	err := d.array(func(i int) *fieldError {
		if names != nil && i < len(names) {
			if _, known := d.known[names[i]]; !known {
				row.values = append(row.values, math.NaN())
				return d.skip(0)
			}
		}
		v, err := d.cell(fmt.Sprintf("%s[%d]", at, i))
		row.values = append(row.values, v)
		return err
	})
	if err == nil && names != nil && len(row.values) != len(names) {
		err = reject(rejectWrongWidth, at, fmt.Sprintf("there are %d columns and %d values", len(names), len(row.values)))
	}
	return row, err
}

// columns reads {"a":[…],"b":[…]}, or {"a":1,"b":2} for one row.
func (d *scoringDecoder) columns(at string) ([]instance, *fieldError) {
	var rows []instance
	first := true
	err := d.object(at, func(key string) *fieldError {
		here := at + "." + key
		if _, known := d.known[key]; !known {
			return d.skip(0)
		}
		var values []float64
		var err *fieldError
		if d.peek() == '[' {
			err = d.array(func(i int) *fieldError {
				v, err := d.cell(fmt.Sprintf("%s[%d]", here, i))
				values = append(values, v)
				return err
			})
		} else {
			values = make([]float64, 1)
			values[0], err = d.cell(here)
		}
		switch {
		case err != nil:
			return err
		case first:
			rows, first = make([]instance, len(values)), false
		case len(values) != len(rows):
			return reject(rejectWrongWidth, here, "the columns are not equally long")
		}
		for i, v := range values {
			rows[i].names, rows[i].values = append(rows[i].names, key), append(rows[i].values, v)
		}
		return nil
	})
	if err == nil && first && len(d.known) > 0 {
		err = reject(rejectMissingKey, at, "there is no column that the model knows")
	}
	return rows, err
}

// cell reads a number, a null, or a number written as text.
func (d *scoringDecoder) cell(at string) (float64, *fieldError) {
	here := func() string { return at }
	if d.peek() != '"' {
		return d.number(here)
	}
	written, ok := d.str()
	if !ok {
		return 0, d.malformed("a value is not written as JSON writes strings")
	}
	return parseCell(written, at)
}

// parseCell reads a number that stands in text.
func parseCell(written, at string) (float64, *fieldError) {
	written = strings.TrimSpace(written)
	n := decoder{data: []byte(written)}
	digits, ok := n.numberText()
	if !ok || n.pos != len(n.data) {
		return 0, reject(rejectWrongType, at, "a number is expected, not text")
	}
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		return 0, reject(rejectOutOfRange, at, "the number is out of range; a 32-bit float must hold it")
	}
	return v, nil
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
func decodeCSV(data []byte, known map[string]int) ([]instance, *fieldError) {
	r := csv.NewReader(bytes.NewReader(data))
	r.ReuseRecord = true
	header, err := r.Read()
	if err != nil {
		return nil, reject(rejectMalformed, "line 1", "a header with the names of the columns is expected")
	}
	names := append([]string(nil), header...)
	names[0] = strings.TrimPrefix(names[0], "\ufeff")
	seen := map[string]bool{}
	for _, name := range names {
		if seen[name] {
			return nil, reject(rejectMalformed, "line 1", "a column comes twice")
		}
		seen[name] = true
	}
	for name := range known {
		if !seen[name] {
			return nil, reject(rejectMissingKey, "line 1", fmt.Sprintf("the header does not name the column %q", name))
		}
	}
	rows := []instance{}
	for {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		line, _ := r.FieldPos(0)
		if err != nil {
			return nil, reject(rejectMalformed, fmt.Sprintf("row %d", len(rows)), "the line is not CSV, or has another number of columns than the header")
		}
		row := instance{names: names, values: make([]float64, len(cells))}
		for i, cell := range cells {
			row.values[i] = math.NaN()
			if _, is := known[names[i]]; !is || strings.TrimSpace(cell) == "" {
				continue
			}
			var fault *fieldError
			if row.values[i], fault = parseCell(cell, fmt.Sprintf("line %d, column %d", line, i+1)); fault != nil {
				return nil, fault
			}
		}
		rows = append(rows, row)
	}
}
