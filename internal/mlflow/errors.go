package mlflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
)

// A Kind says what an error means for whoever made the call.
type Kind int

// The kinds of errors.
const (
	// Invalid means that the call was refused, here or by the server, and
	// would be refused again.
	Invalid Kind = iota
	// NotFound means that what was asked for is not there.
	NotFound
	// Unavailable means that the server was not reached, failed, or is no
	// MLflow server: the same call may succeed later.
	Unavailable
)

// An Error is the failure of one call. It never holds credentials.
type Error struct {
	Kind Kind
	// Server and Call name the place, as in "http://host:5000" and
	// "POST runs/create". Both are empty for what was refused before sending.
	Server, Call string
	// Status and Code are the server's answer: 404 and
	// "RESOURCE_DOES_NOT_EXIST". Zero and empty when there was none.
	Status int
	Code   string
	// Message is the server's own, or says what is wrong with its answer.
	Message string
	// Err is why there was no answer.
	Err error
}

// Error gives one line.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Call != "" {
		fmt.Fprintf(&b, "MLflow at %s: %s: ", e.Server, e.Call)
	}
	switch {
	case e.Err != nil && e.Message != "":
		fmt.Fprintf(&b, "%s: %v", e.Message, e.Err)
	case e.Err != nil:
		b.WriteString(e.Err.Error())
	default:
		if e.Status != 0 {
			fmt.Fprintf(&b, "%d ", e.Status)
		}
		if e.Code != "" {
			fmt.Fprintf(&b, "%s: ", e.Code)
		}
		b.WriteString(e.Message)
	}
	return b.String()
}

// Unwrap returns why there was no answer.
func (e *Error) Unwrap() error { return e.Err }

// hasCode reports whether err is the server's answer with the given code.
func hasCode(err error, code string) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}

// Codes that the client tells apart.
const (
	codeNotFound = "RESOURCE_DOES_NOT_EXIST"
	codeExists   = "RESOURCE_ALREADY_EXISTS"
)

const (
	maxErrorBody    = 64 << 10 // bytes
	maxErrorMessage = 500      // characters shown
)

// answerError reads a refusal. The server's own are JSON; a proxy's, and those
// of routes that are not there, may be anything.
func answerError(resp *http.Response) *Error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // an unreadable reason is still a refusal
	e := &Error{Status: resp.StatusCode, Kind: kindOf(resp.StatusCode)}
	var answer struct {
		Code    any `json:"error_code"`
		Message any `json:"message"`
		Detail  any `json:"detail"`
	}
	mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	isJSON := json.Unmarshal(body, &answer) == nil
	switch {
	case isJSON:
		e.Code, _ = answer.Code.(string)
		e.Message = firstText(answer.Message, answer.Detail)
		if e.Code == codeNotFound {
			e.Kind = NotFound
		}
	case strings.Contains(mediaType, "html") && bytes.ContainsRune(body, '<'):
		e.Message = "an HTML page"
	default:
		e.Message = string(body)
	}
	e.Message, _ = cut(strings.Join(strings.Fields(e.Message), " "), maxErrorMessage)
	if e.Message == "" {
		e.Message = http.StatusText(resp.StatusCode)
	}
	e.Message += hint(resp.StatusCode, isJSON, e.Message)
	if e.Kind == NotFound && !isJSON {
		// MLflow says in JSON what it does not have: this is another server.
		e.Kind = Unavailable
	}
	return e
}

func kindOf(status int) Kind {
	switch {
	case status == http.StatusNotFound:
		return NotFound
	case status >= 500, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return Unavailable
	default:
		return Invalid
	}
}

// hint names the remedy where the status gives one away.
func hint(status int, isJSON bool, message string) string {
	switch {
	case status == http.StatusUnauthorized:
		return " (set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN)"
	case status == http.StatusForbidden && strings.Contains(message, "Permission denied"):
		return " (may this user do that?)"
	case status == http.StatusForbidden && !isJSON:
		return " (does the server's --allowed-hosts name this host and port?)"
	case status == http.StatusNotFound && !isJSON:
		return " (is MLFLOW_TRACKING_URI the address of an MLflow server?)"
	}
	return ""
}

func firstText(values ...any) string {
	for _, v := range values {
		if s, ok := v.(string); ok && s != "" {
			return s
		}
	}
	return ""
}
