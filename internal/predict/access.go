package predict

import (
	"context"
	"errors"

	"github.com/petal-ml/petal/internal/access"
)

// An AccessReason is why a request was not let in; it is a label of
// auth_denied_total.
type AccessReason string

// The reasons.
const (
	NoToken        AccessReason = "no_token"
	MalformedToken AccessReason = "malformed"
	InvalidToken   AccessReason = "invalid_token"
	ExpiredToken   AccessReason = "expired_token"
	MissingScope   AccessReason = "insufficient_scope"
	// Unavailable is no fault of the client: nothing could be said of the token.
	Unavailable AccessReason = "unavailable"
)

var accessReasons = []AccessReason{NoToken, MalformedToken, InvalidToken, ExpiredToken, MissingScope, Unavailable}

// An AccessError refuses a request because of its bearer token.
type AccessError struct {
	Reason  AccessReason
	Scope   string // that is missing, for MissingScope
	Message string // for the client; it does not repeat the token
	Err     error  // for the log
}

// Error gives the message and what is behind it.
func (e *AccessError) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

// Unwrap returns what is behind it.
func (e *AccessError) Unwrap() error { return e.Err }

// Authorize returns who bears a token or an API key, if it has the scope. The
// error is an [*AccessError]; the principal then has a name where it is known.
func (s *Service) Authorize(ctx context.Context, bearer, scope string) (principal access.Principal, err error) {
	if bearer == "" {
		return principal, &AccessError{Reason: InvalidToken, Message: "the token is empty"}
	}
	principal, err = s.bearers.Authenticate(ctx, bearer)
	switch {
	case err == nil && principal.HasScope(scope):
		return principal, nil
	case err == nil:
		return principal, &AccessError{Reason: MissingScope, Scope: scope, Message: "the token does not have the scope " + scope}
	case errors.Is(err, access.ErrExpired):
		return principal, &AccessError{ExpiredToken, "", "the token has expired", err}
	case errors.Is(err, access.ErrInvalid):
		return principal, &AccessError{InvalidToken, "", "the token is not valid", err}
	default:
		return principal, &AccessError{Unavailable, "", "no token can be checked just now; try again shortly", err}
	}
}
