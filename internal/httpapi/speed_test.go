package httpapi_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv/servingtest"
)

// A replay is one request that is answered again and again, with no more around
// it than net/http has.
type replay struct {
	handler http.Handler
	request *http.Request
	body    bytes.Reader
	content []byte
	header  http.Header
	status  int
	length  int
}

func newReplay(t testing.TB, path string, content []byte, headers ...string) *replay {
	t.Helper()
	f := newFixture(t, func(c *config, _ *http.Server) { c.PredictMaxBytes = 1 << 20 })
	r := &replay{handler: f.handler, content: content, header: http.Header{}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, path, &r.body)
	require.NoError(t, err)
	request.Body, request.ContentLength = io.NopCloser(&r.body), int64(len(content))
	request.RemoteAddr = "127.0.0.1:5000"
	request.Header.Set("Authorization", "Bearer "+f.token)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	r.request = request
	return r
}

func (r *replay) Header() http.Header { return r.header }

func (r *replay) WriteHeader(status int) { r.status = status }

func (r *replay) Write(p []byte) (int, error) {
	r.length += len(p)
	return len(p), nil
}

func (r *replay) serve() {
	r.body.Reset(r.content)
	r.status, r.length = http.StatusOK, 0
	r.handler.ServeHTTP(r, r.request)
}

const irisRow = `{"features":[5.1,3.5,1.4,0.2]}`

// A prediction costs nothing beyond what net/http itself allocates. The least of
// many is what counts: the race detector makes pools forget, and request ids are
// made by the dozen.
func TestPredictAllocatesNothing(t *testing.T) {
	r := newReplay(t, "/predict", []byte(irisRow), "Content-Type", "application/json")
	least := math.Inf(1)
	for range 100 {
		least = min(least, testing.AllocsPerRun(1, r.serve))
	}
	require.Equal(t, http.StatusOK, r.status)
	require.NotEmpty(t, r.header["X-Request-Id"])
	assert.Zero(t, least)
}

// No two answers have the same id.
func TestRequestIDs(t *testing.T) {
	r := newReplay(t, "/predict", []byte(irisRow), "Content-Type", "application/json")
	seen := map[string]bool{}
	for range 200 {
		r.serve()
		id := r.header.Get("X-Request-Id")
		assert.Len(t, id, 26)
		assert.Empty(t, strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"))
		assert.False(t, seen[id])
		seen[id] = true
	}
}

func BenchmarkPredict(b *testing.B) {
	benchmarkReplay(b, 1, newReplay(b, "/predict", []byte(irisRow), "Content-Type", "application/json"))
}

func BenchmarkPredictInstances1000(b *testing.B) {
	body := `{"instances":[` + strings.Repeat("[5.1,3.5,1.4,0.2],", 999) + `[5.1,3.5,1.4,0.2]]}`
	benchmarkReplay(b, 1000, newReplay(b, "/predict", []byte(body), "Content-Type", "application/json"))
}

func BenchmarkInferBinary1000(b *testing.B) {
	var rows []byte
	for range 1000 {
		for _, v := range servingtest.Setosa {
			rows = binary.LittleEndian.AppendUint32(rows, math.Float32bits(float32(v)))
		}
	}
	head := fmt.Sprintf(`{"inputs":[{"name":"features","datatype":"FP32","shape":[1000,4],"parameters":{"binary_data_size":%d}}],"parameters":{"binary_data_output":true}}`, len(rows))
	benchmarkReplay(b, 1000, newReplay(b, "/v2/models/iris/infer", append([]byte(head), rows...),
		"Content-Type", "application/octet-stream", "Inference-Header-Content-Length", fmt.Sprint(len(head))))
}

func benchmarkReplay(b *testing.B, rows int, r *replay) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		r.serve()
	}
	require.Equal(b, http.StatusOK, r.status)
	require.Greater(b, r.length, 12*rows)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/row")
}
