package oauth

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/httpapi/problem"
	"github.com/petal-ml/petal/internal/httpapi/route"
	"github.com/petal-ml/petal/internal/httpapi/web"
	"github.com/petal-ml/petal/internal/token"
)

// Accounts knows the users.
type Accounts interface {
	// Authenticate checks a password. Its errors are those of package account.
	Authenticate(ctx context.Context, name, password string, addr netip.Addr) (account.User, error)
}

// TokenIssuer signs access tokens.
type TokenIssuer interface {
	Issue(g token.Grant) (string, token.Claims, error)
	Lifetime() time.Duration
}

// Config is what the dialect needs.
type Config struct {
	Accounts Accounts
	Issuer   TokenIssuer
	Log      *slog.Logger
	Metrics  prometheus.Registerer
}

type api struct {
	cfg    Config
	logins *prometheus.CounterVec
}

// loginResult is how a request to /token ended, as a metric label.
type loginResult string

// The results. A request that is wrong in its form is none of them.
const (
	loginSuccess   loginResult = "success"
	loginFailure   loginResult = "failure"
	loginThrottled loginResult = "throttled"
)

func (a *api) count(r loginResult) { a.logins.WithLabelValues(string(r)).Inc() }

// TokenPath is where tokens are.
const TokenPath = "/token"

// New returns the dialect with its routes.
func New(cfg Config) (route.Dialect, error) {
	a := &api{cfg: cfg, logins: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "auth_logins_total", Help: "Logins at /token, by result.",
	}, []string{"result"})}
	if err := cfg.Metrics.Register(a.logins); err != nil {
		return route.Dialect{}, fmt.Errorf("register metrics of logins: %w", err)
	}
	for _, r := range []loginResult{loginSuccess, loginFailure, loginThrottled} {
		a.logins.WithLabelValues(string(r))
	}
	errorTypes := route.JSONOf[oauthError](nil)
	return route.Dialect{
		Invalid: http.StatusBadRequest, ErrorTypes: errorTypes, WriteProblem: writeProblem,
		Routes: []route.Route{{
			Method: http.MethodPost, Path: TokenPath, Handle: a.token, MayFail: true,
			ID: "token", Tag: route.TagAccess, Summary: "Log in (RFC 6749 §4.3)",
			Description: "The password grant, for first-party use: give a user's password to no program but your own. " +
				"Machines are better served by an API key, which is accepted wherever a token is.",
			Body: &route.Body{
				Types: []route.MediaType{{Name: "application/x-www-form-urlencoded", Schema: route.SchemaOf[tokenForm]}},
			},
			Replies: []route.Reply{
				{Status: 200, Description: "A bearer token.", Types: route.JSONOf[tokenAnswer](nil), Headers: []string{"Cache-Control"}},
				{Status: 429, Description: "Too many failed logins of this account or from this address.", Types: errorTypes, Headers: []string{"Retry-After"}},
				{Status: 503, Description: "Too many logins at once, or the accounts cannot be reached.", Types: errorTypes, Headers: []string{"Retry-After"}},
			},
		}},
	}, nil
}

// oauthError is the error answer of RFC 6749 §5.2. It holds no request ID, so
// that equal errors are equal bytes.
type oauthError struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

func writeProblem(w http.ResponseWriter, p *problem.Problem, _ string) {
	w.Header().Set("Cache-Control", "no-store")
	web.WriteJSON(w, p.Status, oauthError{cmp.Or(p.OAuth, "invalid_request"), p.Detail})
}

// tokenForm is the form of POST /token.
type tokenForm struct {
	Username  string `json:"username" example:"student"`
	Password  string `json:"password" format:"password"`
	GrantType string `json:"grant_type,omitempty" enum:"password" doc:"May be absent."`
	Scope     string `json:"scope,omitempty" doc:"Separated by spaces; absent means all that the user has." example:"predict"`
}
