// Package httpapi is the API over HTTP: the list of all routes and the server
// that answers them.
//
// A folder below holds each dialect: native, oauth, mlflow and inference; openapi
// describes them all. A dialect lists its routes; its handlers return errors as
// values (package problem), which the dialect of the route puts into its words.
// Who may not ask is told so before a byte of the body is read.
package httpapi

import (
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/petal-ml/petal/internal/httpapi/inference"
	"github.com/petal-ml/petal/internal/httpapi/mlflow"
	"github.com/petal-ml/petal/internal/httpapi/native"
	"github.com/petal-ml/petal/internal/httpapi/oauth"
	"github.com/petal-ml/petal/internal/httpapi/openapi"
	"github.com/petal-ml/petal/internal/httpapi/problem"
	"github.com/petal-ml/petal/internal/httpapi/route"
	"github.com/petal-ml/petal/internal/predict"
)

// Config is what the API is made of. TrustedProxies, RootPath and the timeouts may
// be left out.
type Config struct {
	Predict  *predict.Service
	Accounts oauth.Accounts
	Issuer   oauth.TokenIssuer
	// KeySet returns the public keys of tokens, a JSON Web Key Set.
	KeySet func() []byte

	// PredictMaxBytes bounds the body of /predict.
	PredictMaxBytes int64
	// BatchMaxBytes bounds the bodies of /invocations and /v2/…/infer.
	BatchMaxBytes int64
	// TrustedProxies are the networks whose X-Forwarded-For and
	// X-Forwarded-Prefix are believed.
	TrustedProxies []netip.Prefix
	// RootPath stands before the path where clients ask, such as "/petal"; empty
	// for nothing.
	RootPath string
	// Timeouts are those of requests; 0 for ever.
	Timeouts Timeouts

	Log      *slog.Logger
	Registry interface {
		prometheus.Registerer
		prometheus.Gatherer
	}
}

// server is the handler of the whole API.
type server struct {
	cfg      Config
	metrics  *metrics
	dialects []route.Dialect
	router   *chi.Mux
	fast     []fastRoute
}

// A fastRoute answers plain requests before the router.
type fastRoute struct {
	*route.Route
	prefixed string // its path below RootPath
}

// New returns the handler of the whole API.
func New(cfg Config) (http.Handler, error) {
	m, err := newMetrics(cfg.Registry)
	if err != nil {
		return nil, err
	}
	s := &server{cfg: cfg, metrics: m, router: chi.NewRouter()}
	if s.dialects, err = dialects(cfg); err != nil {
		return nil, err
	}
	s.router.Use(s.observe)
	s.router.NotFound(s.notFound)
	s.router.MethodNotAllowed(s.methodNotAllowed)
	for i := range s.dialects {
		s.mount(&s.dialects[i])
	}
	return s, nil
}

// dialects lists all that the API answers, in the order of the documentation.
func dialects(cfg Config) ([]route.Dialect, error) {
	login, err := oauth.New(oauth.Config{Accounts: cfg.Accounts, Issuer: cfg.Issuer, Log: cfg.Log, Metrics: cfg.Registry})
	if err != nil {
		return nil, err
	}
	all := []route.Dialect{
		native.New(native.Config{Predict: cfg.Predict, MaxBytes: cfg.PredictMaxBytes, Log: cfg.Log}),
		login,
	}
	all = append(all, mlflow.Dialects(mlflow.Config{Predict: cfg.Predict, MaxBytes: cfg.BatchMaxBytes}, native.Problems())...)
	all = append(all, inference.New(inference.Config{Predict: cfg.Predict, MaxBytes: cfg.BatchMaxBytes}))

	docs := openapi.New(cfg.Predict)
	service := &service{cfg: cfg}
	open := native.Problems()
	open.Routes = append(service.routes(), docs.Routes()...)
	all = append(all, open)
	docs.Describe(all)
	service.list(all)
	return all, nil
}

// mount puts the routes of a dialect on the router.
func (s *server) mount(d *route.Dialect) {
	for i := range d.Routes {
		r := &d.Routes[i]
		h := s.handler(d, r)
		s.router.Method(r.Method, r.Path, h)
		if r.Method == http.MethodGet {
			s.router.Head(r.Path, h)
		}
		if !r.Hidden {
			s.metrics.known(r.Method, r.Path)
		}
		if r.Fast != nil {
			s.fast = append(s.fast, fastRoute{r, s.cfg.RootPath + r.Path})
		}
	}
}

// handler answers a request to a route, and its errors in the route's dialect.
func (s *server) handler(d *route.Dialect, r *route.Route) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		defer s.recover(d, w, req)
		err := s.authorize(req, r.Scope)
		if err == nil {
			err = r.Handle(w, req)
		}
		if err != nil {
			s.fail(d, w, req, problem.Of(err))
		}
	}
}

// ServeHTTP answers plain requests of some routes on a short way, and all others,
// and all that is wrong with one, through the router. The two give the same
// answers.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, fast := range s.fast {
		if r.Method == fast.Method && (r.URL.Path == fast.Path || r.URL.Path == fast.prefixed) && s.serveFast(fast.Route, w, r) {
			return
		}
	}
	s.router.ServeHTTP(w, r)
}

func (s *server) serveFast(fast *route.Route, w http.ResponseWriter, r *http.Request) bool {
	start := time.Now()
	s.metrics.inFlight.Inc()
	defer s.metrics.inFlight.Dec()
	if !fast.Fast(w, r) {
		return false
	}
	s.metrics.observe(fast.Method, fast.Path, http.StatusOK, time.Since(start))
	return true
}

// Timeouts bound how long somebody waits for the other side of a connection.
type Timeouts struct {
	Read  time.Duration // for the next byte of a body
	Write time.Duration // for an answer, or the next piece of it, to be taken
	Idle  time.Duration // for the next request
}

// headerTimeout bounds how long the headers of a request may take.
const headerTimeout = 5 * time.Second

// NewServer returns an HTTP server with the limits of the API. The caller
// listens. With h2c it speaks HTTP/2 without TLS, too, to those who begin with it.
func NewServer(h http.Handler, t Timeouts, h2c bool, log *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(h2c)
	return &http.Server{
		Handler:           h,
		Protocols:         protocols,
		ReadHeaderTimeout: headerTimeout,
		// Both are moved on while a request makes progress.
		ReadTimeout:    headerTimeout + t.Read,
		WriteTimeout:   headerTimeout + t.Read + t.Write,
		IdleTimeout:    t.Idle,
		MaxHeaderBytes: 16 << 10,
		// Else net/http answers "OPTIONS *" by itself, without our headers.
		DisableGeneralOptionsHandler: true,
		// What clients do to connections is their affair.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
