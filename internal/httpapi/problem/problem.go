// Package problem holds the errors of the HTTP API as values. Which words and
// which shape they get is for the dialect of the route.
package problem

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/petal-ml/petal/internal/predict"
	"github.com/petal-ml/petal/internal/rows"
)

// A Problem is an answer that is no success.
type Problem struct {
	Status int
	// Kind is the last part of the problem's type. It is stable: programs may
	// branch on it.
	Kind   string
	Detail string
	// Fields are the faults of a body and their places.
	Fields []Field
	// OAuth is the error code of RFC 6749 §5.2 or RFC 6750 §3.1.
	OAuth      string
	Challenge  string        // WWW-Authenticate
	RetryAfter time.Duration // rounded up to seconds

	// Rejected and Denied say what the problem counts as; empty for most.
	Rejected predict.Reason
	Denied   predict.AccessReason
	// Cause is for the log; the client does not see it. A problem of ours has
	// one.
	Cause error
}

// A Field is one fault of a body and its place. Neither repeats what was sent.
type Field struct {
	Message  string `json:"message"`
	Location string `json:"location"`
}

// Error gives the detail.
func (p *Problem) Error() string { return p.Detail }

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Cause }

// Kinds that others branch on.
const (
	KindInvalid     = "invalid-input"
	KindUnsupported = "unsupported-media-type"
)

// Problems that several places share. They must not be changed.
var (
	NotFound   = &Problem{Status: http.StatusNotFound, Kind: "not-found", Detail: "there is nothing at this path; GET / lists what there is"}
	NotAllowed = &Problem{Status: http.StatusMethodNotAllowed, Kind: "method-not-allowed", Detail: "this path does not take this method; see the Allow header"}
	Encoded    = &Problem{Status: http.StatusUnsupportedMediaType, Kind: KindUnsupported, Detail: "a Content-Encoding is not accepted; send the body as it is"}
	SlowBody   = &Problem{Status: http.StatusRequestTimeout, Kind: "timeout", Detail: "the body did not arrive in time"}
	BrokenBody = &Problem{Status: http.StatusBadRequest, Kind: "incomplete", Detail: "the body could not be read to its end"}
)

// Internal is a fault of ours: what was being done, and what went wrong.
func Internal(action string, cause error) *Problem {
	return &Problem{
		Status: http.StatusInternalServerError, Kind: "internal", OAuth: "server_error",
		Detail: "something went wrong here; the log says more under this request id", Cause: fmt.Errorf("%s: %w", action, cause),
	}
}

// Invalid is a fault of a body, or of the query, and its place.
func Invalid(reason predict.Reason, location, message string) *Problem {
	return &Problem{
		Status: http.StatusUnprocessableEntity, Kind: KindInvalid, Rejected: reason,
		Detail: location + ": " + message, Fields: []Field{{message, location}},
	}
}

// TooLarge is a body beyond its limit.
func TooLarge(limit int64) *Problem {
	return &Problem{Status: http.StatusRequestEntityTooLarge, Kind: "too-large", Detail: fmt.Sprintf("the body may have %d bytes at most", limit)}
}

// Unsupported is a body of another media type than one of those that are named.
func Unsupported(types string) *Problem {
	return &Problem{Status: http.StatusUnsupportedMediaType, Kind: KindUnsupported, Detail: "the Content-Type must be " + types}
}

// Located gives an error of package predict about the input its place, in the
// words of a protocol: those of row i (-1: all rows). Other errors stay as they
// are.
func Located(err error, row func(i int) string) error {
	var in *predict.InputError
	if !errors.As(err, &in) {
		return err
	}
	at := row(in.Row)
	if in.Column >= 0 && in.ByName {
		at += "." + in.Feature
	} else if in.Column >= 0 {
		at += fmt.Sprintf("[%d]", in.Column)
	}
	return Invalid(in.Reason, at, in.Message)
}

// Of makes a problem of any error.
func Of(err error) *Problem {
	var p *Problem
	var body *rows.JSONError
	var denied *predict.AccessError
	var missing *predict.NotFoundError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &body):
		return Invalid(body.Reason, body.Place, body.Message)
	case errors.As(err, &denied):
		return ofAccess(denied)
	case errors.As(err, &missing):
		return &Problem{Status: http.StatusNotFound, Kind: "not-found", Detail: missing.Error()}
	case errors.Is(err, predict.ErrNotReady):
		return &Problem{Status: http.StatusServiceUnavailable, Kind: "not-ready", Detail: predict.ErrNotReady.Error(), RetryAfter: 2 * time.Second}
	case errors.Is(err, predict.ErrNoAccounts):
		return &Problem{Status: http.StatusServiceUnavailable, Kind: "not-ready", Detail: predict.ErrNoAccounts.Error(), RetryAfter: 2 * time.Second}
	case errors.Is(err, predict.ErrStopping):
		return &Problem{Status: http.StatusServiceUnavailable, Kind: "stopping", Detail: predict.ErrStopping.Error(), RetryAfter: 2 * time.Second}
	case errors.Is(err, predict.ErrTooLarge):
		return &Problem{Status: http.StatusRequestEntityTooLarge, Kind: "too-large", Detail: predict.ErrTooLarge.Error()}
	case errors.Is(err, predict.ErrOverloaded), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		// Or the client has left, and reads no answer.
		return &Problem{Status: http.StatusServiceUnavailable, Kind: "overload", Detail: predict.ErrOverloaded.Error(), RetryAfter: time.Second}
	default:
		return Internal("answer", err)
	}
}

// challenge is what asks for a token. RFC 6750 §3.1 wants no error code where
// none came.
const challenge = `Bearer realm="petal"`

// ofAccess says what is wrong with a token as RFC 6750 wants it.
func ofAccess(err *predict.AccessError) *Problem {
	p := &Problem{Status: http.StatusUnauthorized, Detail: err.Message, Denied: err.Reason}
	switch err.Reason {
	case predict.Unavailable:
		p.Status, p.Kind, p.RetryAfter, p.Cause = http.StatusServiceUnavailable, "unavailable", 5*time.Second, err.Err
		return p
	case predict.NoToken:
		p.Kind, p.Challenge = "unauthorized", challenge
		return p
	case predict.MalformedToken:
		p.Status, p.Kind, p.OAuth = http.StatusBadRequest, "invalid-request", "invalid_request"
	case predict.MissingScope:
		p.Status, p.Kind, p.OAuth = http.StatusForbidden, "insufficient-scope", "insufficient_scope"
	default:
		p.Kind, p.OAuth = "invalid-token", "invalid_token"
	}
	p.Challenge = challenge + `, error="` + p.OAuth + `", error_description="` + cmp.Or(err.Message, p.OAuth) + `"`
	if err.Scope != "" {
		p.Challenge += `, scope="` + err.Scope + `"`
	}
	return p
}
