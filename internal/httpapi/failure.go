package httpapi

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// A failure is an answer that is no success, before it takes the shape of the
// face it is shown on.
type failure struct {
	status int
	// kind is the last part of the problem's type. It is stable: programs may
	// branch on it.
	kind   string
	detail string
	fields []problemField
	// oauth is the error code of RFC 6749 §5.2 or RFC 6750 §3.1.
	oauth      string
	mlflow     string        // error_code on MLflow's face; empty: by the status
	challenge  string        // WWW-Authenticate
	retryAfter time.Duration // Retry-After, rounded up to seconds
}

// problem is an RFC 9457 document. Its key order is that of the fields.
type problem struct {
	Type      string         `json:"type"`
	Title     string         `json:"title"`
	Status    int            `json:"status"`
	Detail    string         `json:"detail,omitempty"`
	Errors    []problemField `json:"errors,omitempty" nullable:"false"`
	RequestID string         `json:"request_id"`
}

// problemField is one fault of a body and its place.
type problemField struct {
	Message  string `json:"message"`
	Location string `json:"location"`
}

// problemPrefix makes a problem's kind the URI that RFC 9457 wants as its type.
const problemPrefix = "urn:petal:problem:"

// oauthError is the error answer of RFC 6749 §5.2. It holds no request ID, so
// that equal errors are equal bytes.
type oauthError struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

// fail answers with f, in the shape of the face that the request came to.
func fail(w http.ResponseWriter, r *http.Request, f failure) {
	h := w.Header()
	if f.challenge != "" {
		h.Set("WWW-Authenticate", f.challenge)
	}
	if f.retryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((f.retryAfter+time.Second-1)/time.Second), 10))
	}
	if !exchangeOf(r).bodyRead && r.ContentLength != 0 {
		// Else net/http would read the rest of the body before it sends the
		// answer, and a client that never sends it would wait for nothing.
		h.Set("Connection", "close")
	}
	h.Set("Content-Type", "application/json")
	switch faceOf(r.URL.Path) {
	case faceToken:
		h.Set("Cache-Control", "no-store")
		writeJSON(w, f.status, oauthError{cmp.Or(f.oauth, "invalid_request"), f.detail})
		return
	case faceMLflow:
		writeJSON(w, f.status, mlflowError{mlflowCode(f), f.detail})
		return
	case faceInference:
		writeJSON(w, f.status, inferenceError{f.detail})
		return
	}
	h.Set("Content-Type", "application/problem+json")
	writeJSON(w, f.status, problem{
		Type:      problemPrefix + f.kind,
		Title:     http.StatusText(f.status),
		Status:    f.status,
		Detail:    f.detail,
		Errors:    f.fields,
		RequestID: exchangeOf(r).id,
	})
}

// writeJSON writes v, which always encodes, under the Content-Type that is set,
// or application/json.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // no type of this package does this
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

// Failures that several places share.
var (
	errInternal    = failure{status: http.StatusInternalServerError, kind: "internal", detail: "something went wrong here; the log says more under this request id", oauth: "server_error"}
	errNotFound    = failure{status: http.StatusNotFound, kind: "not-found", detail: "there is nothing at this path; GET / lists what there is"}
	errNotAllowed  = failure{status: http.StatusMethodNotAllowed, kind: "method-not-allowed", detail: "this path does not take this method; see the Allow header"}
	errNotReady    = failure{status: http.StatusServiceUnavailable, kind: "not-ready", detail: "no model is loaded yet", retryAfter: 2 * time.Second}
	errStopping    = failure{status: http.StatusServiceUnavailable, kind: "stopping", detail: "this server is about to stop", retryAfter: 2 * time.Second}
	errEncoding    = failure{status: http.StatusUnsupportedMediaType, kind: "unsupported-media-type", detail: "a Content-Encoding is not accepted; send the body as it is"}
	errSlowBody    = failure{status: http.StatusRequestTimeout, kind: "timeout", detail: "the body did not arrive in time"}
	errBrokenBody  = failure{status: http.StatusBadRequest, kind: "incomplete", detail: "the body could not be read to its end"}
	errServerBusy  = failure{status: http.StatusServiceUnavailable, detail: "too many logins at once; try again shortly", oauth: "temporarily_unavailable", retryAfter: time.Second}
	errCannotCheck = failure{status: http.StatusServiceUnavailable, kind: "unavailable", detail: "no token can be checked just now; try again shortly", retryAfter: 5 * time.Second}
	errNoAccounts  = failure{status: http.StatusServiceUnavailable, detail: "no login can be checked just now; try again shortly", oauth: "temporarily_unavailable", retryAfter: 5 * time.Second}
	errCredentials = failure{status: http.StatusBadRequest, detail: "the user name or the password is wrong", oauth: "invalid_grant"}
)
