// Package web is what every dialect needs of HTTP: what is known of a request,
// bodies that are read within limits, and answers that are whole.
package web

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"

	"github.com/go-chi/chi/v5"
)

// Info is what is known of one request and its answer.
type Info struct {
	ID       string     // X-Request-Id
	Client   netip.Addr // behind trusted proxies the one that they forward
	Prefix   string     // of the path, as the client sees it: "/petal", or empty
	User     string     // empty until a token or a login said who it is
	BodyRead bool       // to its end
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

// PathParam is a part of the path that the pattern of a route names. The router
// keeps a % and a slash in it encoded.
func PathParam(r *http.Request, name string) string {
	value, err := url.PathUnescape(chi.URLParam(r, name))
	if err != nil { // the router was given another path than ours
		return ""
	}
	return value
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

// WriteJSON writes v, which always encodes, under the Content-Type that is set,
// or application/json.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // no type of an answer does this
		panic("httpapi: encode answer: " + err.Error())
	}
	h := w.Header()
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client may be gone
}

// WriteBody writes a body that is whole.
func WriteBody(w http.ResponseWriter, mediaType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the client may be gone
}
