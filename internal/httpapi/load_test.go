package httpapi_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv/servingtest"
)

// While there is more work than can be done, a row that costs much is refused on
// the fast path as on the other one; a row of a cheap model never is.
func TestRowsUnderOverload(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // so that little work is too much
	f := newFixture(t)
	slow, cheap := load(t, servingtest.Slow(t), "8"), load(t, servingtest.Iris(t), "9")
	f.models.Store(slow)
	batch := f.service.NewBatch(slow)
	defer batch.Release()
	require.NoError(t, batch.Resize(int(1300*time.Millisecond/slow.RowCost())))
	var work sync.WaitGroup
	work.Go(func() { assert.NoError(t, batch.Predict(t.Context(), false)) })
	require.Eventually(t, func() bool { return f.service.CheckLoad() != nil }, 5*time.Second, time.Millisecond)

	fast := f.predict(t, setosaRow)
	other := f.do(t, http.MethodPost, "/predict", setosaRow, "Authorization", "Bearer "+f.token, "Content-Type", "application/json", "X-Request-Id", "r-1")
	f.models.Store(cheap)
	single := f.predict(t, setosaRow)
	overloaded := f.service.CheckLoad() != nil
	work.Wait()
	require.True(t, overloaded, "the work ended too early for this test")
	assert.Equal(t, "urn:petal:problem:overload", requireProblem(t, fast, 503)["type"])
	assert.Equal(t, "urn:petal:problem:overload", requireProblem(t, other, 503)["type"])
	assert.Equal(t, "1", fast.header.Get("Retry-After"))
	assert.Equal(t, 200, single.status, single.body)
}

// The gauge of requests in flight holds a request of the fast path for as long as
// it is in work.
func TestFastRequestsAreInFlight(t *testing.T) {
	f := newFixture(t)
	body := &heldBody{Reader: strings.NewReader(setosaRow), began: make(chan struct{}), goOn: make(chan struct{})}
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/predict", body)
	request.ContentLength = int64(len(setosaRow))
	request.Header.Set("Authorization", "Bearer "+f.token)
	request.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	var work sync.WaitGroup
	work.Go(func() { f.handler.ServeHTTP(answer, request) })
	<-body.began
	inFlight := func(n string) error {
		return testutil.GatherAndCompare(f.metrics, strings.NewReader("# HELP http_requests_in_flight Requests being answered now.\n"+
			"# TYPE http_requests_in_flight gauge\nhttp_requests_in_flight "+n+"\n"), "http_requests_in_flight")
	}
	require.NoError(t, inFlight("1"))
	close(body.goOn)
	work.Wait()
	require.Equal(t, 200, answer.Code)
	require.NoError(t, inFlight("0"))
}

// A heldBody tells when it is read first, and waits then.
type heldBody struct {
	io.Reader
	began, goOn chan struct{}
}

func (b *heldBody) Read(p []byte) (int, error) {
	select {
	case <-b.goOn:
	default:
		close(b.began)
		<-b.goOn
	}
	return b.Reader.Read(p)
}
