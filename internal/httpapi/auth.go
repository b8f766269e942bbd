package httpapi

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/token"
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
		claims, no, err := a.bearer(r)
		switch {
		case err != nil:
			a.internal(w, r, "checking a token", err)
			return
		case no == nil && !claims.HasScope(scope):
			no = insufficient
		}
		if no != nil {
			a.denied(w, r, no)
			return
		}
		next(w, r)
	}
}

// bearer finds out who bears the request's token (RFC 6750 §2.1). The error is
// a fault of ours.
func (a *api) bearer(r *http.Request) (token.Claims, *denial, error) {
	raw, no := bearerToken(r)
	if no != nil {
		return token.Claims{}, no, nil
	}
	claims, err := a.cfg.Verifier.Verify(raw)
	if err == nil {
		exchangeOf(r).user = claims.Subject
		err = a.cfg.Accounts.CheckEpoch(r.Context(), claims.Subject, claims.Epoch)
	}
	switch {
	case errors.Is(err, token.ErrExpired):
		return claims, deny(denyExpired, http.StatusUnauthorized, "invalid-token", "invalid_token", "the token has expired"), nil
	case errors.Is(err, token.ErrInvalid), errors.Is(err, account.ErrRevoked):
		return claims, deny(denyInvalid, http.StatusUnauthorized, "invalid-token", "invalid_token", "the token is not valid"), nil
	}
	return claims, nil, err
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
		a.log.LogAttrs(r.Context(), slog.LevelWarn, "scope denied", slog.String("user", x.user),
			slog.String("path", clip(r.URL.Path, 200)), slog.String("request_id", x.id))
	}
	fail(w, r, no.answer)
}
