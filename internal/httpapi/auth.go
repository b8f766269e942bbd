package httpapi

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/petal-ml/petal/internal/access"
)

// bareChallenge answers a request without credentials: RFC 6750 §3.1 wants no
// error code there.
const bareChallenge = `Bearer realm="petal"`

// A denial is a request that is not let in.
type denial struct {
	reason denyReason
	answer failure
}

func deny(reason denyReason, status int, kind, oauth, detail string) *denial {
	challenge := bareChallenge
	if oauth != "" {
		challenge += `, error="` + oauth + `", error_description="` + detail + `"`
	}
	return &denial{reason, failure{status: status, kind: kind, oauth: oauth, detail: detail, challenge: challenge}}
}

// require lets in who bears a token with the scope. Nothing of the body has been
// read when it says no.
func (a *api) require(scope string, next http.HandlerFunc) http.HandlerFunc {
	insufficient := deny(denyScope, http.StatusForbidden, "insufficient-scope", "insufficient_scope",
		"the token does not have the scope "+scope)
	insufficient.answer.challenge += `, scope="` + scope + `"`
	return func(w http.ResponseWriter, r *http.Request) {
		principal, no := a.bearer(r)
		if no == nil && !principal.HasScope(scope) {
			no = insufficient
		}
		if no != nil {
			a.denied(w, r, no)
			return
		}
		next(w, r)
	}
}

// bearer finds out who bears the request's token (RFC 6750 §2.1), a user's or
// the API key of a machine.
func (a *api) bearer(r *http.Request) (access.Principal, *denial) {
	raw, no := bearerToken(r)
	if no != nil {
		return access.Principal{}, no
	}
	principal, err := a.cfg.Bearers.Authenticate(r.Context(), raw)
	x := exchangeOf(r)
	x.user = principal.Name
	switch {
	case errors.Is(err, access.ErrExpired):
		return principal, deny(denyExpired, http.StatusUnauthorized, "invalid-token", "invalid_token", "the token has expired")
	case errors.Is(err, access.ErrInvalid):
		return principal, deny(denyInvalid, http.StatusUnauthorized, "invalid-token", "invalid_token", "the token is not valid")
	case err != nil:
		a.log.LogAttrs(r.Context(), slog.LevelError, "checking a token failed", slog.String("request_id", x.id), slog.Any("error", err))
		return principal, &denial{denyUnavailable, errCannotCheck}
	}
	return principal, nil
}

// bearerToken takes the token from the one place where it may stand, the
// Authorization header.
func bearerToken(r *http.Request) (string, *denial) {
	malformed := func(detail string) *denial {
		return deny(denyMalformed, http.StatusBadRequest, "invalid-request", "invalid_request", detail)
	}
	values := r.Header.Values("Authorization")
	switch {
	case r.URL.RawQuery != "" && r.URL.Query().Has("access_token"):
		return "", malformed("a token in the URL is not accepted; use the Authorization header")
	case len(values) > 1:
		return "", malformed("there is more than one Authorization header")
	case len(values) == 0:
		return "", deny(denyNoToken, http.StatusUnauthorized, "unauthorized", "", "a bearer token is needed; POST /token gives one")
	}
	scheme, raw, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", deny(denyNoToken, http.StatusUnauthorized, "unauthorized", "", "a bearer token is needed; POST /token gives one")
	}
	raw = strings.Trim(raw, " ")
	if raw == "" {
		return "", deny(denyInvalid, http.StatusUnauthorized, "invalid-token", "invalid_token", "the token is empty")
	}
	return raw, nil
}

// denied says no, counts it and leaves a trace of a scope that was missing.
func (a *api) denied(w http.ResponseWriter, r *http.Request, no *denial) {
	a.metrics.deny(no.reason)
	if no.reason == denyScope {
		x := exchangeOf(r)
		a.log.LogAttrs(r.Context(), slog.LevelWarn, "scope denied", slog.Bool("audit", true), slog.String("user", x.user),
			slog.String("path", clip(r.URL.Path, 200)), slog.String("request_id", x.id))
	}
	fail(w, r, no.answer)
}
