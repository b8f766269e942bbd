package httpapi_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A timed notes the deadlines that are set for one request.
type timed struct {
	*httptest.ResponseRecorder
	read, write []time.Time
}

func (t *timed) SetReadDeadline(at time.Time) error {
	t.read = append(t.read, at)
	return nil
}

func (t *timed) SetWriteDeadline(at time.Time) error {
	t.write = append(t.write, at)
	return nil
}

// Each byte of a body, and each piece of an answer, has the whole time; the body in
// all has forty times as much.
func TestDeadlinesMoveWithProgress(t *testing.T) {
	f := newFixture(t)
	ask := func(body io.Reader) *timed {
		w := &timed{ResponseRecorder: httptest.NewRecorder()}
		r := httptest.NewRequest(http.MethodPost, "/invocations", body)
		r.Header.Set("Authorization", "Bearer "+f.token)
		r.Header.Set("Content-Type", "text/csv")
		f.handler.ServeHTTP(w, r)
		require.Equal(t, 200, w.Code)
		return w
	}
	const head = "sepal_length,sepal_width,petal_length,petal_width\n"
	const small = head + "5.1,3.5,1.4,0.2\n"
	w := ask(iotest.OneByteReader(strings.NewReader(small)))
	require.Greater(t, len(w.read), len(small), "a deadline a byte")
	assert.True(t, w.read[len(w.read)-1].IsZero(), "none after the end: the work may take long")
	moved := w.read[:len(w.read)-1]
	for i, at := range moved {
		assert.False(t, at.Before(moved[max(i-1, 0)]))
		assert.LessOrEqual(t, at.Sub(moved[0]), 39*timeouts.Read)
	}
	large := ask(strings.NewReader(head + strings.Repeat("5.1,3.5,1.4,0.2\n", 5000)))
	require.Greater(t, large.Body.Len(), 200_000)
	assert.GreaterOrEqual(t, len(large.write), large.Body.Len()>>16, "a deadline a piece")
}

// A plain row that comes in pieces is answered as one that comes whole.
func TestRowInPieces(t *testing.T) {
	f := newFixture(t)
	conn, err := net.Dial("tcp", f.Listener.Addr().String())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	c := client{conn, bufio.NewReader(conn)}
	request := f.predictRequest(setosaRow)
	for part := range strings.SplitAfterSeq(request, ",") { // each is sent before the next, though they may be read together
		_, err := io.WriteString(conn, part)
		require.NoError(t, err)
	}
	assert.Equal(t, 200, c.status(t))
}
