// Package oauth is the dialect of logins: POST /token (RFC 6749) and the public
// keys of tokens (RFC 7517).
package oauth

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/httpapi/problem"
	"github.com/petal-ml/petal/internal/httpapi/web"
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
func (a *api) token(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
	form, err := readLogin(w, r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), loginTimeout)
	defer cancel()
	user, err := a.cfg.Accounts.Authenticate(ctx, form.username, form.password, web.InfoOf(r).Client)
	if err != nil {
		return a.loginError(err)
	}
	a.count(loginSuccess)
	info := web.InfoOf(r)
	info.User = user.Name
	scopes, err := account.GrantScopes(user.Scopes, form.scope)
	if err != nil {
		return invalid("invalid_scope", "the user has none of the scopes asked for")
	}
	raw, claims, err := a.cfg.Issuer.Issue(token.Grant{Subject: user.Name, Scopes: scopes, Epoch: user.Epoch})
	if err != nil {
		return problem.Internal("issue a token", err)
	}
	// By its ID a token can be revoked; who holds the ID holds nothing else.
	a.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "token issued", slog.Bool("audit", true), slog.String("user", claims.Subject),
		slog.String("jti", claims.ID), slog.Any("scopes", claims.Scopes), slog.String("request_id", info.ID))
	web.WriteJSON(w, http.StatusOK, tokenAnswer{
		AccessToken: raw,
		TokenType:   "bearer",
		ExpiresIn:   int64(a.cfg.Issuer.Lifetime() / time.Second),
		Scope:       strings.Join(claims.Scopes, " "),
	})
	return nil
}

// loginError words the refusal of a login that was right in form. An unknown user
// and a wrong password are the same here: account keeps them apart in its audit
// log.
func (a *api) loginError(err error) error {
	var throttled *account.ThrottledError
	switch {
	case errors.As(err, &throttled):
		a.count(loginThrottled)
		return &problem.Problem{
			Status: http.StatusTooManyRequests, OAuth: "temporarily_unavailable",
			Detail: "too many failed logins; try again later", RetryAfter: max(throttled.RetryAfter, time.Second),
		}
	case errors.Is(err, account.ErrCredentials):
		a.count(loginFailure)
		return invalid("invalid_grant", "the user name or the password is wrong")
	case errors.Is(err, account.ErrBusy), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		// Or the client has left, and reads no answer.
		return &problem.Problem{
			Status: http.StatusServiceUnavailable, OAuth: "temporarily_unavailable",
			Detail: "too many logins at once; try again shortly", RetryAfter: time.Second,
		}
	case errors.Is(err, account.ErrUnavailable):
		return &problem.Problem{
			Status: http.StatusServiceUnavailable, OAuth: "temporarily_unavailable",
			Detail: "no login can be checked just now; try again shortly", RetryAfter: 5 * time.Second, Cause: err,
		}
	default:
		return problem.Internal("log in", err)
	}
}

// readLogin reads the form and checks all that can be checked without knowing
// the user.
func readLogin(w http.ResponseWriter, r *http.Request) (login, error) {
	var l login
	if web.IsEncoded(r) {
		return l, problem.Encoded
	}
	if !web.IsMediaType(r, "application/x-www-form-urlencoded") {
		return l, invalid("invalid_request", "the request must be a form: Content-Type application/x-www-form-urlencoded")
	}
	body, err := web.ReadBody(w, r, tokenMaxBytes, nil)
	if err != nil {
		return l, err
	}
	form, err := parseForm(string(body))
	if err != nil {
		return l, err
	}
	if grant := form["grant_type"]; grant != "" && grant != "password" {
		return l, invalid("unsupported_grant_type", "the grant_type must be password")
	}
	l.username, l.password = form["username"], form["password"]
	if l.username == "" || l.password == "" {
		return l, invalid("invalid_request", "username and password are required")
	}
	l.scope = form["scope"]
	if _, err := account.GrantScopes(account.Scopes(), l.scope); err != nil {
		return l, invalid("invalid_scope", "a scope is unknown; the scopes are "+strings.Join(account.Scopes(), ", "))
	}
	return l, nil
}

// parameters are those that mean something here. All others are ignored, whatever
// they hold and however often they come (RFC 6749 §3.2).
var parameters = []string{"grant_type", "username", "password", "scope"}

// parseForm reads the parameters of a form. The error names the one that is wrong,
// and not what it holds.
func parseForm(body string) (map[string]string, error) {
	form := map[string]string{}
	for pair := range strings.SplitSeq(body, "&") {
		key, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(key)
		if err != nil || !slices.Contains(parameters, name) {
			continue
		}
		if _, twice := form[name]; twice {
			return nil, invalid("invalid_request", name+" comes more than once")
		}
		// Some programs take it for the end of the parameter, others do not.
		if strings.Contains(value, ";") {
			return nil, invalid("invalid_request", name+": a ; must be written as %3B")
		}
		if form[name], err = url.QueryUnescape(value); err != nil {
			return nil, invalid("invalid_request", name+": a % must be written as %25")
		}
	}
	return form, nil
}

// invalid is a request that is refused with a code of RFC 6749 §5.2.
func invalid(code, detail string) *problem.Problem {
	return &problem.Problem{Status: http.StatusBadRequest, OAuth: code, Detail: detail}
}
