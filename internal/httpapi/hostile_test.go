package httpapi_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a request claims to bring is not believed: nothing of that size is made.
func TestSizesThatLie(t *testing.T) {
	f := newFixture(t)
	tensor := func(name string, rows, width, size int) string {
		shape := fmt.Sprintf("[%d,%d]", rows, width)
		return fmt.Sprintf(`{"name":%q,"shape":%s,"datatype":"INT8","parameters":{"binary_data_size":%d}}`, name, shape, size)
	}
	for name, inputs := range map[string]string{
		"one tensor":     tensor("features", 500_000_000, 4, 2_000_000_000),
		"one feature":    tensor("petal_width", 2_000_000_000, 1, 2_000_000_000),
		"two features":   tensor("petal_width", 4, 1, 4) + "," + tensor("petal_length", 2_000_000_000, 1, 2_000_000_000),
		"an output each": tensor("features", 1, 4, 4) + `],"outputs":[{"name":"label"}` + strings.Repeat(`,{"name":"label"}`, 10_000),
	} {
		t.Run(name, func(t *testing.T) {
			head := `{"inputs":[` + inputs + `]}`
			made := allocated(func() {
				a := f.do(t, http.MethodPost, "/v2/models/iris/infer", head+"abcd",
					"Authorization", "Bearer "+f.token, "Inference-Header-Content-Length", strconv.Itoa(len(head)))
				require.Equal(t, 400, a.status, a.body)
			})
			assert.Less(t, made, 8<<20, "bytes made")
		})
	}
}

// allocated is how many bytes were made meanwhile, by the client too.
func allocated(what func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	what()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}

// Bodies that are made of as many things as can be take few times the memory
// that they have as bytes.
func TestBodiesThatSwell(t *testing.T) {
	f := newFixture(t)
	const size = 1<<20 - 100
	fill := func(head, what, tail string) string {
		return head + strings.Repeat(what, (size-len(head))/len(what)) + tail
	}
	var keys strings.Builder
	for i := 0; keys.Len() < size-20; i++ {
		fmt.Fprintf(&keys, `"%d":0,`, i)
	}
	for name, row := range map[string]struct{ path, contentType, body string }{
		"rows of nothing":     {"/invocations", "application/json", fill(`{"instances":[`, "[],", "[]]}")},
		"records of nothing":  {"/invocations", "application/json", fill(`{"dataframe_records":[`, "{},", "{}]}")},
		"one long column":     {"/invocations", "application/json", fill(`{"inputs":{"sepal_length":[`, "1,", "1]}}")},
		"columns of nothing":  {"/invocations", "text/csv", fill("", ",", "\n")},
		"a line of nothing":   {"/invocations", "text/csv", fill("sepal_length,sepal_width,petal_length,petal_width\n", ",", "\n")},
		"many keys":           {"/invocations", "application/json", "{" + keys.String() + `"x":0}`},
		"tensors of nothing":  {"/v2/models/iris/infer", "application/json", fill(`{"inputs":[`, "{},", "{}]}")},
		"outputs of nothing":  {"/v2/models/iris/infer", "application/json", fill(`{"outputs":[`, "{},", "{}]}")},
		"a shape of nothing":  {"/v2/models/iris/infer", "application/json", fill(`{"inputs":[{"shape":[`, "0,", "0]}]}")},
		"a tensor of one row": {"/v2/models/iris/infer", "application/json", fill(`{"inputs":[{"name":"petal_width","datatype":"FP32","shape":[500000],"data":[`, "1,", "1]}]}")},
	} {
		t.Run(name, func(t *testing.T) {
			made := allocated(func() {
				a := f.post(t, row.path, row.contentType, row.body)
				require.Equal(t, 400, a.status, a.body)
			})
			assert.Less(t, made, 40*size, "bytes made")
		})
	}
}

// What a proxy may take for the end of a body does not begin another request.
func TestNoRequestIsSmuggled(t *testing.T) {
	f := newFixture(t)
	conn, err := net.Dial("tcp", f.Listener.Addr().String())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(5*time.Second)))
	const hidden = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
	body := chunked(setosaRow) + hidden
	_, err = io.WriteString(conn, post("/predict", f.token,
		fmt.Sprintf("Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nContent-Length: %d\r\n", len(body)), body))
	require.NoError(t, err)
	answers, _ := io.ReadAll(conn) // a reset is an end, too
	assert.Contains(t, string(answers), "Connection: close")
	assert.Equal(t, 1, strings.Count(string(answers), "HTTP/1.1 "), string(answers))
}

// What large bodies make together is bounded; small ones always find room.
func TestManyLargeBodies(t *testing.T) {
	const limit = 256 << 10 // of one; its rows and their answer take 6 MiB with it
	f := newFixture(t, func(c *config, _ *http.Server) { c.BatchMaxBytes, c.predict.MemoryLimit = limit, 10<<20 })
	ask := func(body io.Reader) *httptest.ResponseRecorder {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/invocations", body)
		request.Header.Set("Authorization", "Bearer "+f.token)
		request.Header.Set("Content-Type", "text/csv")
		answer := httptest.NewRecorder()
		f.handler.ServeHTTP(answer, request)
		return answer
	}
	var slow sync.WaitGroup
	begin := func() *io.PipeWriter {
		body, sender := io.Pipe()
		slow.Go(func() { ask(body) })
		for _, part := range []string{strings.Repeat(" ", limit-2), " "} { // once the second is read, the first is counted
			_, err := io.WriteString(sender, part)
			require.NoError(t, err)
		}
		return sender
	}
	first, second := begin(), begin()
	const head = "sepal_length,sepal_width,petal_length,petal_width\n"
	large := head + strings.Repeat("1,1,1,1\n", (limit-1000)/8)
	refused := ask(strings.NewReader(large))
	require.Equal(t, http.StatusServiceUnavailable, refused.Code, "two large bodies are in work")
	require.Equal(t, "1", refused.Header().Get("Retry-After"))
	require.Equal(t, http.StatusOK, ask(strings.NewReader(head+"1,1,1,1\n")).Code, "a small one")
	require.NoError(t, first.Close())
	require.NoError(t, second.CloseWithError(io.ErrUnexpectedEOF))
	slow.Wait()
	require.Equal(t, http.StatusOK, ask(strings.NewReader(large)).Code)
}
