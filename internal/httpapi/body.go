package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"os"
	"strings"
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
	if r.ContentLength > 0 {
		body.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, limit))
	var over *http.MaxBytesError
	switch {
	case err == nil:
		exchangeOf(r).bodyRead = true
		return body.Bytes(), nil
	case errors.As(err, &over):
		return nil, tooLarge
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
