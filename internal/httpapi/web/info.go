// Package web is what every dialect needs of HTTP: what is known of a request,
// bodies that are read within limits, and answers that are whole.
package web

import (
	"context"
	"crypto/rand"
	"net/http"
)

// Info is what is known of one request and its answer.
type Info struct {
	ID       string // X-Request-Id
	User     string // empty until a token or a login said who it is
	BodyRead bool   // to its end
}

type infoKey struct{}

// WithInfo returns the request with the info.
func WithInfo(r *http.Request, i *Info) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), infoKey{}, i))
}

// InfoOf returns the info of a request, which may be written to.
func InfoOf(r *http.Request) *Info {
	if i, ok := r.Context().Value(infoKey{}).(*Info); ok {
		return i
	}
	return &Info{}
}

// NewIDs makes request ids of 130 random bits, in the form of [rand.Text].
func NewIDs(n int) []string {
	const alphabet, length = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 26
	text := make([]byte, n*length)
	_, _ = rand.Read(text) // it never fails
	for i, b := range text {
		text[i] = alphabet[b%byte(len(alphabet))]
	}
	all, ids := string(text), make([]string, n)
	for i := range ids {
		ids[i] = all[i*length : (i+1)*length]
	}
	return ids
}
