package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-chi/chi/v5/middleware"

	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/token"
)

const (
	// tokenMaxBytes bounds the body of /token.
	tokenMaxBytes = 8 << 10
	// loginTimeout bounds how long a login waits for its turn: only a few
	// passwords are hashed at once.
	loginTimeout = 10 * time.Second
)

// tokenAnswer is the answer of RFC 6749 §5.1.
type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in"`
	Scope       string `json:"scope"`
}

// A login is the form of a token request.
type login struct {
	username, password string
	scope              string // empty: all that the user has
}

// token is POST /token, the password grant of RFC 6749 §4.3. What is wrong in
// form is answered before anybody's password is looked at.
func (a *api) token(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
	form, no := readLogin(w, r)
	if no != nil {
		fail(w, r, *no)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), loginTimeout)
	defer cancel()
	user, err := a.cfg.Accounts.Authenticate(ctx, form.username, form.password, middleware.GetClientIPAddr(ctx))
	if err != nil {
		a.loginFailed(w, r, err)
		return
	}
	a.metrics.login(loginSuccess)
	exchangeOf(r).user = user.Name
	scopes, err := account.GrantScopes(user.Scopes, form.scope)
	if err != nil {
		fail(w, r, invalidScope("the user has none of the scopes asked for"))
		return
	}
	raw, claims, err := a.cfg.Issuer.Issue(token.Grant{Subject: user.Name, Scopes: scopes, Epoch: user.Epoch})
	if err != nil {
		a.internal(w, r, "issuing a token", err)
		return
	}
	// By its ID a token can be revoked; who holds the ID holds nothing else.
	a.log.LogAttrs(ctx, slog.LevelInfo, "token issued", slog.Bool("audit", true), slog.String("user", claims.Subject),
		slog.String("jti", claims.ID), slog.Any("scopes", claims.Scopes), slog.String("request_id", exchangeOf(r).id))
	writeJSON(w, http.StatusOK, tokenAnswer{
		AccessToken: raw,
		TokenType:   "bearer",
		ExpiresIn:   int64(a.cfg.Issuer.Lifetime() / time.Second),
		Scope:       strings.Join(claims.Scopes, " "),
	})
}

// loginFailed answers a login that was right in form. An unknown user and a
// wrong password are the same here: account keeps them apart in its audit log.
func (a *api) loginFailed(w http.ResponseWriter, r *http.Request, err error) {
	var throttled *account.ThrottledError
	switch {
	case errors.As(err, &throttled):
		a.metrics.login(loginThrottled)
		fail(w, r, failure{
			status: http.StatusTooManyRequests, oauth: "temporarily_unavailable",
			detail: "too many failed logins; try again later", retryAfter: max(throttled.RetryAfter, time.Second),
		})
	case errors.Is(err, account.ErrCredentials):
		a.metrics.login(loginFailure)
		fail(w, r, errCredentials)
	case errors.Is(err, account.ErrBusy), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		fail(w, r, errServerBusy) // or the client has left, and reads no answer
	case errors.Is(err, account.ErrUnavailable):
		a.log.LogAttrs(r.Context(), slog.LevelError, "a login could not be checked",
			slog.String("request_id", exchangeOf(r).id), slog.Any("error", err))
		fail(w, r, errNoAccounts)
	default:
		a.internal(w, r, "login", err)
	}
}

// readLogin reads the form and checks all that can be checked without knowing
// the user.
func readLogin(w http.ResponseWriter, r *http.Request) (login, *failure) {
	var l login
	invalid := func(detail string) *failure {
		return &failure{status: http.StatusBadRequest, oauth: "invalid_request", detail: detail}
	}
	if isEncoded(r) {
		return l, &errEncoding
	}
	if !isMediaType(r, "application/x-www-form-urlencoded") {
		return l, invalid("the request must be a form: Content-Type application/x-www-form-urlencoded")
	}
	body, no := readLimited(w, r, tokenMaxBytes)
	if no != nil {
		return l, no
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return l, invalid("the form is malformed")
	}
	for _, values := range form {
		if len(values) > 1 {
			return l, invalid("a parameter comes more than once")
		}
	}
	if grant := form.Get("grant_type"); grant != "" && grant != "password" {
		return l, &failure{status: http.StatusBadRequest, oauth: "unsupported_grant_type", detail: "the grant_type must be password"}
	}
	l.username, l.password = form.Get("username"), form.Get("password")
	if l.username == "" || l.password == "" {
		return l, invalid("username and password are required")
	}
	l.scope = form.Get("scope")
	if _, err := account.GrantScopes(account.Scopes(), l.scope); err != nil {
		no := invalidScope("a scope is unknown; the scopes are " + strings.Join(account.Scopes(), ", "))
		return l, &no
	}
	return l, nil
}

func invalidScope(detail string) failure {
	return failure{status: http.StatusBadRequest, oauth: "invalid_scope", detail: detail}
}

// keySet is GET /.well-known/jwks.json (RFC 7517). A minute is soon enough to
// see a rotation: the key before it is listed for a day.
func (a *api) keySet(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "application/jwk-set+json")
	h.Set("Cache-Control", "public, max-age=60")
	_, _ = w.Write(a.cfg.KeySet()) // the client may be gone
}
