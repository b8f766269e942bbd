package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
)

// readBody reads a body of one media type, up to a limit. What a header gives
// away is refused before anything is read.
func readBody(w http.ResponseWriter, r *http.Request, mediaType string, limit int64) ([]byte, *failure) {
	if isEncoded(r) {
		return nil, &errEncoding
	}
	if !isMediaType(r, mediaType) {
		return nil, &failure{
			status: http.StatusUnsupportedMediaType, kind: "unsupported-media-type",
			detail: "the Content-Type must be " + mediaType + ", in UTF-8",
		}
	}
	return readLimited(w, r, limit)
}

func readLimited(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, *failure) {
	tooLarge := &failure{
		status: http.StatusRequestEntityTooLarge, kind: "too-large",
		detail: fmt.Sprintf("the body may have %d bytes at most", limit),
	}
	if r.ContentLength > limit {
		return nil, tooLarge
	}
	var body bytes.Buffer
	if r.ContentLength > 0 { // as far as it is believed before anything has come
		body.Grow(int(min(r.ContentLength, freeBody)) + bytes.MinRead)
	}
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, limit))
	var over *http.MaxBytesError
	switch {
	case err == nil:
		exchangeOf(r).bodyRead = true
		return body.Bytes(), nil
	case errors.As(err, &over):
		return nil, tooLarge
	case errors.Is(err, errManyBodies):
		return nil, &errOverload
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &errSlowBody
	default:
		return nil, &errBrokenBody
	}
}

// isEncoded says whether the body is compressed, or claims to be.
func isEncoded(r *http.Request) bool {
	for _, v := range r.Header.Values("Content-Encoding") {
		if v != "" && !strings.EqualFold(v, "identity") {
			return true
		}
	}
	return false
}

// isMediaType says whether the body is declared to be of the type. A charset,
// if there is one, must be UTF-8; other parameters mean nothing.
func isMediaType(r *http.Request, want string) bool {
	values := r.Header.Values("Content-Type")
	if len(values) != 1 {
		return false
	}
	if values[0] == want {
		return true
	}
	got, params, err := mime.ParseMediaType(values[0])
	if err != nil || got != want {
		return false
	}
	charset, given := params["charset"]
	return !given || strings.EqualFold(charset, "utf-8")
}

// freeBody is how much of a body may always come: refusing less would help
// nobody.
const freeBody = 64 << 10

var errManyBodies = errors.New("the bodies that are in work are too large together")

// A metered body counts what has come of it against what all may take together.
// What rows are read into, and their answers, take several times as much.
type metered struct {
	io.ReadCloser
	all   *atomic.Int64
	limit int64
	n     int64
}

// meter counts the request's body until done is called.
func (a *api) meter(r *http.Request) (done func()) {
	m := &metered{ReadCloser: r.Body, all: &a.admission.bodies, limit: 2 * a.cfg.BatchMaxBytes}
	r.Body = m
	return func() { m.all.Add(-max(m.n-freeBody, 0)) }
}

// Read fails when there is too much.
func (m *metered) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	before := max(m.n-freeBody, 0)
	m.n += int64(n)
	more := max(m.n-freeBody, 0) - before
	if more > 0 && m.all.Add(more) > m.limit {
		return n, errManyBodies
	}
	return n, err
}
