package web

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/petal-ml/petal/internal/httpapi/problem"
	"github.com/petal-ml/petal/internal/predict"
)

// firstBytes is how much of a body a Content-Length is believed for before
// anything has come.
const firstBytes = 64 << 10

// ReadBody reads a body of at most limit bytes; the error is a
// [*problem.Problem]. What a header gives away is refused before anything is
// read. The bytes are taken from share, unless it is nil.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64, share *predict.Share) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, problem.TooLarge(limit)
	}
	source := io.Reader(http.MaxBytesReader(w, r.Body, limit))
	if share != nil {
		if err := share.Reserve(max(r.ContentLength, 0)); err != nil {
			return nil, err
		}
		source = share.Reader(source)
	}
	var body bytes.Buffer
	if r.ContentLength > 0 {
		body.Grow(int(min(r.ContentLength, firstBytes)) + bytes.MinRead)
	}
	_, err := body.ReadFrom(source)
	var over *http.MaxBytesError
	switch {
	case err == nil:
		InfoOf(r).BodyRead = true
		return body.Bytes(), nil
	case errors.As(err, &over):
		return nil, problem.TooLarge(limit)
	case errors.Is(err, predict.ErrOverloaded), errors.Is(err, predict.ErrTooLarge):
		return nil, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, problem.SlowBody
	default:
		return nil, problem.BrokenBody
	}
}

// CheckType says whether the body is of one of the media types and not
// compressed; the error is a [*problem.Problem].
func CheckType(r *http.Request, types ...string) error {
	if IsEncoded(r) {
		return problem.Encoded
	}
	for _, t := range types {
		if IsMediaType(r, t) {
			return nil
		}
	}
	return problem.Unsupported(strings.Join(types, " or ") + ", in UTF-8")
}

// IsEncoded says whether the body is compressed, or claims to be.
func IsEncoded(r *http.Request) bool {
	for _, v := range r.Header.Values("Content-Encoding") {
		if v != "" && !strings.EqualFold(v, "identity") {
			return true
		}
	}
	return false
}

// HasType says whether there is a word of the body's media type at all.
func HasType(r *http.Request) bool {
	return slices.ContainsFunc(r.Header.Values("Content-Type"), func(v string) bool { return v != "" })
}

// IsMediaType says whether the body is declared to be of the type. A charset,
// if there is one, must be UTF-8; other parameters mean nothing.
func IsMediaType(r *http.Request, want string) bool {
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
	return !given || strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "utf8")
}
