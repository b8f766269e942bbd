package httpapi

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"time"
)

const (
	// writeBytes are written together: each such piece has the whole of
	// WriteTimeout.
	writeBytes = 64 << 10
	// bodyTimeouts times ReadTimeout is what a body may take in all: one that comes
	// byte by byte must not hold its memory for ever.
	bodyTimeouts = 40
	// discardBytes bounds what is read of a body that nobody wants.
	discardBytes = 32 << 20
	// discardPause is how long its client may send nothing. Some, as Go's, send no more
	// once they see the status, and wait for the end of the answer, as we for theirs.
	discardPause = 250 * time.Millisecond
)

// A body is that of a request, whose deadline moves on with each read.
type body struct {
	io.ReadCloser
	control *http.ResponseController
	timeout time.Duration
	end     time.Time
}

// Read waits for the next bytes. Errors of the deadline show where it is passed.
func (b *body) Read(p []byte) (int, error) {
	next := time.Now().Add(b.timeout)
	if b.end.IsZero() {
		b.end = next.Add((bodyTimeouts - 1) * b.timeout)
	} else if next.After(b.end) {
		next = b.end
	}
	_ = b.control.SetReadDeadline(next) // a test's recorder has none
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.control.SetReadDeadline(time.Time{}) // else the work on the body ended with it
	}
	return n, err
}

// A writer is that of an answer, whose deadline moves on with each piece. It knows
// the status.
type writer struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	status  int // 0 until there is one
}

// WriteHeader sends the status.
func (w *writer) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
		w.move()
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write sends a part of the answer.
func (w *writer) Write(p []byte) (written int, err error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if len(p) == 0 {
		return w.ResponseWriter.Write(p)
	}
	for piece := range slices.Chunk(p, writeBytes) {
		w.move()
		n, err := w.ResponseWriter.Write(piece)
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

func (w *writer) move() {
	if w.timeout > 0 {
		_ = w.control.SetWriteDeadline(time.Now().Add(w.timeout)) // a test's recorder has none
	}
}

// Unwrap is for [http.ResponseController].
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// discard reads what is left of the body of a request over HTTP/2 that was
// answered, once the answer is on its way. To end the stream before would have it
// reset, which some clients take for the loss of the answer; and nothing that
// happens on a stream may end the connection of the others.
func discard(w http.ResponseWriter, r *http.Request) {
	if b, ok := r.Body.(*body); ok {
		b.timeout = min(b.timeout, discardPause)
	}
	if http.NewResponseController(w).Flush() == nil {
		_, _ = io.CopyN(io.Discard, r.Body, discardBytes) // the client may be gone
	}
}
