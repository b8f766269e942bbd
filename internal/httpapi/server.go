package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/petal-ml/petal/internal/access"
	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/serving"
	"github.com/petal-ml/petal/internal/token"
)

// Models holds the model that serves.
type Models interface {
	// Current returns nil until a model is loaded.
	Current() *serving.Live
}

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

// Bearers tells who bears a token or an API key. Its errors are those of package
// access.
type Bearers interface {
	Authenticate(ctx context.Context, bearer string) (access.Principal, error)
}

// Config is what the API is made of. All but TrustedProxies is required.
type Config struct {
	Models   Models
	Accounts Accounts
	Issuer   TokenIssuer
	Bearers  Bearers
	// KeySet returns the public keys of tokens, a JSON Web Key Set.
	KeySet func() []byte

	// PredictMaxBytes bounds the body of /predict.
	PredictMaxBytes int64
	// BatchMaxBytes bounds the bodies of /invocations and /v2/…/infer.
	BatchMaxBytes int64
	// TrustedProxies are the networks whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix

	// Draining is closed when the server is about to stop: connections end with
	// their next answer, and /ready says so. It may be nil.
	Draining <-chan struct{}

	Log      *slog.Logger
	Registry interface {
		prometheus.Registerer
		prometheus.Gatherer
	}
}

// api holds what the handlers share.
type api struct {
	cfg       Config
	log       *slog.Logger
	metrics   *metrics
	table     []route
	scrape    http.Handler
	router    *chi.Mux
	encoders  encoderCache
	desks     desks
	admission *admission
	documents documentCache
}

// Paths of the routes.
const (
	tokenPath       = "/token"
	predictPath     = "/predict"
	modelInfoPath   = "/model-info"
	invocationsPath = "/invocations"
	inferencePath   = "/v2"
)

// New returns the handler of the whole API.
func New(cfg Config) (http.Handler, error) {
	m, err := newMetrics(cfg.Registry)
	if err != nil {
		return nil, err
	}
	a := &api{admission: newAdmission(), cfg: cfg, log: cfg.Log, metrics: m, router: chi.NewRouter()}
	a.router.Use(clientIP(cfg.TrustedProxies), a.observe, a.recover)
	a.router.NotFound(a.notFound)
	a.router.MethodNotAllowed(a.methodNotAllowed)

	a.scrape = promhttp.HandlerFor(cfg.Registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelError),
	})
	a.table = a.routes()
	a.mount(a.table)
	assets := a.docsAssets()
	a.router.Get(docsPath+"/*", assets)
	a.router.Head(docsPath+"/*", assets)
	return a, nil
}

// metricsPage is GET /metrics.
func (a *api) metricsPage(w http.ResponseWriter, r *http.Request) { a.scrape.ServeHTTP(w, r) }

// NewServer returns an HTTP server with the limits of the API. The caller
// listens.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    16 << 10,
		// Else net/http answers "OPTIONS *" by itself, without our headers.
		DisableGeneralOptionsHandler: true,
		// What clients do to connections is their affair.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

func (a *api) notFound(w http.ResponseWriter, r *http.Request) {
	fail(w, r, errNotFound)
}

// methodNotAllowed answers with the methods that the path does take.
func (a *api) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	allowed := false
	for _, m := range methods {
		if a.router.Match(chi.NewRouteContext(), m, r.URL.Path) {
			w.Header().Add("Allow", m)
			allowed = true
		}
	}
	if !allowed { // chi says so of a method it never heard of, on any path
		fail(w, r, errNotFound)
		return
	}
	fail(w, r, errNotAllowed)
}

// clientIP finds the address of the client: that of the connection, or behind
// trusted proxies the one that they forward.
func clientIP(proxies []netip.Prefix) func(http.Handler) http.Handler {
	if len(proxies) == 0 {
		return middleware.ClientIPFromRemoteAddr
	}
	prefixes := make([]string, len(proxies))
	for i, p := range proxies {
		prefixes[i] = p.String()
	}
	return middleware.ClientIPFromXFF(prefixes...)
}
