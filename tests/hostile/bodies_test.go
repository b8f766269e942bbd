package hostile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Sizes of bodies: just below BATCH_MAX_BYTES and PREDICT_MAX_BYTES.
const (
	large = 16<<20 - 4096
	small = 64<<10 - 16
)

// A flood is a body that many clients send at once.
type flood struct {
	name, path  string
	contentType string
	header      int // bytes of JSON in front of binary tensors
	body        []byte
	clients     int
	each        int  // requests of a client
	long        bool // not in make test
}

// Whatever the body makes of itself, rows beside it are answered all the while.
func TestBodies(t *testing.T) {
	t.Parallel()
	x := newTarget(t)
	for _, f := range slices.Concat(tensors(), frames(), crowds()) {
		if f.long && !all() {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			x.survives(t, func() { x.flood(t, f) })
		})
	}
}

// sizes are those of an element of V2's data types.
var sizes = map[string]int{
	"BOOL": 1, "UINT8": 1, "INT8": 1, "UINT16": 2, "INT16": 2, "FP16": 2, "UINT32": 4, "INT32": 4, "FP32": 4,
	"UINT64": 8, "INT64": 8, "FP64": 8,
}

// tensors are bodies for /v2/…/infer: small elements make many values.
func tensors() []flood {
	const path = "/v2/models/iris/infer"
	floods := []flood{
		{name: "V2 JSON", body: tensorJSON(large)},
		{name: "V2 JSON of strings", body: repeat(`{"inputs":[{"name":"features","shape":[1000000,4],"datatype":"BYTES","data":[`, `""`, `]}]}`, large)},
		{name: "V2 many tensors", body: repeat(`{"inputs":[`, `{"name":"a","shape":[1],"datatype":"FP32","data":[1]}`, `]}`, large)},
	}
	for i := range floods {
		f := &floods[i]
		f.path, f.contentType, f.clients, f.long = path, "application/json", 2, true
	}
	for _, datatype := range []string{"BOOL", "UINT8", "INT8", "UINT16", "INT16", "FP16", "UINT32", "INT32", "FP32", "UINT64", "INT64", "FP64"} {
		size := sizes[datatype]
		floods = append(floods, binaryTensor(datatype, (large-256)/size/4, bytes.Repeat([]byte{1}, (large-256)/size/4*4*size)))
	}
	text := bytes.Repeat([]byte{1, 0, 0, 0, '1'}, (large-256)/5/4*4)
	return append(floods, binaryTensor("BYTES", len(text)/20, text), binaryTensor("BYTES", 1<<20, bytes.Repeat([]byte{0, 0, 0, 0}, 4<<20-64)))
}

func tensorJSON(size int) []byte {
	const rows = 2_000_000
	return repeat(fmt.Sprintf(`{"inputs":[{"name":"features","shape":[%d,4],"datatype":"FP32","data":[`, rows), "1", "]}]}", min(size, 8*rows*2))
}

func binaryTensor(datatype string, rows int, data []byte) flood {
	header := fmt.Sprintf(`{"inputs":[{"name":"features","shape":[%d,4],"datatype":%q,"parameters":{"binary_data_size":%d}}]}`, rows, datatype, len(data))
	return flood{
		name: fmt.Sprintf("V2 binary %s of %d rows", datatype, rows), path: "/v2/models/iris/infer", contentType: "application/octet-stream",
		header: len(header), body: append([]byte(header), data...), clients: 2, long: datatype != "UINT8",
	}
}

// frames are bodies for /invocations in MLflow's forms.
func frames() []flood {
	const (
		names = `"sepal_length","sepal_width","petal_length","petal_width"`
		json  = "application/json"
	)
	list := func(column string) string { return string(repeat(`"`+column+`":[`, "1", "]", large/4-32)) }
	columns := `{"inputs":{` + list("sepal_length") + "," + list("sepal_width") + "," + list("petal_length") + "," + list("petal_width") + "}}"
	csv := strings.ReplaceAll(names, `"`, "") + "\n" + strings.Repeat("1,1,1,1\n", large/8-8)
	floods := []flood{
		{name: "CSV", contentType: "text/csv", body: []byte(csv)},
		{name: "CSV of line ends", contentType: "text/csv", body: []byte(csv[:64] + strings.Repeat("\n", large-64)), long: true},
		{name: "CSV of one field", contentType: "text/csv", body: []byte(csv[:51] + strings.Repeat("1", large-64)), long: true},
		{name: "CSV of commas", contentType: "text/csv", body: []byte(strings.Repeat(",", large)), long: true},
		{name: "instances", contentType: json, body: repeat(`{"instances":[`, "[1,1,1,1]", "]}", large), long: true},
		{name: "instances of empty rows", contentType: json, body: repeat(`{"instances":[`, "[]", "]}", large)},
		{name: "instances of objects", contentType: json, body: repeat(`{"instances":[`, `{"":0}`, "]}", large), long: true},
		{name: "inputs by column", contentType: json, body: []byte(columns), long: true},
		{name: "dataframe_split", contentType: json, body: repeat(`{"dataframe_split":{"columns":[`+names+`],"data":[`, "[1,1,1,1]", "]}}", large), long: true},
		{name: "dataframe_split of columns", contentType: json, body: repeat(`{"dataframe_split":{"columns":[`, `"a"`, `],"data":[]}}`, large), long: true},
		{name: "dataframe_records", contentType: json, body: repeat(`{"dataframe_records":[`, `{}`, "]}", large)},
		{name: "nested arrays", contentType: json, body: []byte(`{"instances":` + strings.Repeat("[", large-32)), long: true},
		{name: "one long string", contentType: json, body: []byte(`{"instances":["` + strings.Repeat(`\u0000`, large/6-8) + `"]}`), long: true},
	}
	for i := range floods {
		floods[i].path, floods[i].clients = "/invocations", 2
	}
	return floods
}

// crowds are small bodies of many clients at once.
func crowds() []flood {
	clients := 250
	if all() {
		clients = 1000
	}
	floods := []flood{
		{name: "predict empty rows", body: repeat(`{"instances":[`, "[]", "]}", small)},
		{name: "predict objects", body: repeat(`{"instances":[`, `{"":0}`, "]}", small), long: true},
		{name: "predict rows", body: repeat(`{"instances":[`, "[1,1,1,1]", "]}", small), long: true},
		{name: "predict explained", path: "/predict?explain=true", body: repeat(`{"instances":[`, "[1,1,1,1]", "]}", small), long: true},
		{name: "invocations rows", path: "/invocations", body: repeat(`{"instances":[`, "[1,1,1,1]", "]}", small), long: true},
		{name: "V2 rows", path: "/v2/models/iris/infer", body: tensorJSON(small), long: true},
		{name: "predict nesting", body: []byte(`{"features":` + strings.Repeat("[", small-32)), long: true},
	}
	for i := range floods {
		f := &floods[i]
		f.contentType, f.clients, f.each = "application/json", clients, 2
		if f.path == "" {
			f.path = "/predict"
		}
	}
	return floods
}

// flood sends the body from all clients at once, and a row from one beside them
// again and again.
func (x *target) flood(t *testing.T, f flood) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 0, MaxIdleConnsPerHost: f.clients}, Timeout: 3 * time.Minute}
	defer client.CloseIdleConnections()
	var clients, beside sync.WaitGroup
	over, rows := make(chan struct{}), 0
	beside.Go(func() {
		for {
			answer, err := x.Try(http.MethodPost, "/predict", "application/json", row, x.Token())
			if assert.NoError(t, err) {
				assert.Equal(t, http.StatusOK, answer.Status, "single rows always pass: %s", answer.Body)
			}
			rows++
			select {
			case <-over:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	var mu sync.Mutex
	statuses, faults := map[int]int{}, []error(nil)
	for range f.clients {
		clients.Go(func() {
			for range max(f.each, 1) {
				status, err := x.send(t, client, f)
				mu.Lock()
				statuses[status]++
				faults = append(faults, err)
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	close(over)
	beside.Wait()
	t.Logf("answers by status: %v; %d rows beside them", statuses, rows)
	require.NoError(t, errors.Join(faults...))
	require.Positive(t, rows)
}

// send sends the body once and reads the answer to its end.
func (x *target) send(t *testing.T, client *http.Client, f flood) (int, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, x.URL+f.path, bytes.NewReader(f.body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", f.contentType)
	request.Header.Set("Authorization", "Bearer "+x.Token())
	if f.header > 0 {
		request.Header.Set("Inference-Header-Content-Length", strconv.Itoa(f.header))
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return 0, fmt.Errorf("read the answer %d: %w", response.StatusCode, err)
	}
	switch response.StatusCode {
	case http.StatusOK, http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
	case http.StatusServiceUnavailable:
		assert.NotEmpty(t, response.Header.Get("Retry-After"))
	default:
		assert.Fail(t, "an unexpected answer", "%d", response.StatusCode)
	}
	return response.StatusCode, nil
}
