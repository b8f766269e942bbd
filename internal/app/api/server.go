package api

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/petal-ml/petal/internal/access"
	"github.com/petal-ml/petal/internal/account"
	"github.com/petal-ml/petal/internal/account/sqlstore"
	"github.com/petal-ml/petal/internal/app/process"
	"github.com/petal-ml/petal/internal/httpapi"
	"github.com/petal-ml/petal/internal/model/trial"
	"github.com/petal-ml/petal/internal/poll"
	"github.com/petal-ml/petal/internal/predict"
	"github.com/petal-ml/petal/internal/serving"
	"github.com/petal-ml/petal/internal/settings"
	"github.com/petal-ml/petal/internal/token"
)

const (
	// stopTimeout bounds the whole teardown after DRAIN_MIN; requests under way come
	// first.
	stopTimeout = 20 * time.Second
	// drainTimeout bounds how long requests are still taken while stopping, and
	// drainQuiet is how long none must come for the drain to end before.
	drainTimeout = 5 * time.Second
	drainQuiet   = 200 * time.Millisecond
	// restoreTimeout is how long a start waits for the last good model: a check of the
	// health may come soon, and the model may be hopeless.
	restoreTimeout = 5 * time.Second
	// registryTimeout bounds one call to the registry.
	registryTimeout = 10 * time.Second
	// registryRetry is how long a command tries again.
	registryRetry = time.Second
	// The watch does not retry inside a poll: the next one comes soon enough,
	// and one line in the log tells of an outage, not one a poll.
	noRetry = -1
	// modelDir is where the last good model is kept, below STATE_DIR.
	modelDir = "model"
)

// A Server is a running API.
type Server struct {
	cfg      settings.API
	program  string // how it was started
	log      *slog.Logger
	listener net.Listener
	accounts *account.Service
	guard    *account.Guard
	opener   *trial.Opener
	follower *serving.Follower
	// cleanups end what was started, in the order of starting.
	cleanups []cleanup
	started  chan struct{} // closed once the users can be asked for
	draining chan struct{} // closed when stopping begins
	failed   chan error    // from the HTTP server and from the wait for the database, at most one each

	issuer      *token.Issuer
	verifier    *token.Verifier
	certificate *process.Certificate // nil without TLS
	// after is [time.After]; tests have clocks of their own.
	after func(time.Duration) <-chan time.Time
}

type cleanup struct {
	name string
	stop func(context.Context) error
}

// Start starts the API: it listens, opens keys and accounts, makes the first
// user, takes the last good model from the disk, serves, and follows the alias.
// Program is how this program was started, for the log; the opener opens the models.
// The caller stops it. Where it fails, what was started has been stopped.
func Start(ctx context.Context, cfg settings.API, program string, opener *trial.Opener, log *slog.Logger) (_ *Server, err error) {
	s := &Server{cfg: cfg, program: program, opener: opener, log: log, started: make(chan struct{}), draining: make(chan struct{}), failed: make(chan error, 2), after: time.After}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	if err := cmp.Or(cfg.CheckServe(), cfg.MakeStateDir()); err != nil {
		return nil, err
	}
	if err := s.openCertificate(); err != nil {
		return nil, err
	}
	if err := s.listen(ctx); err != nil {
		return nil, err
	}
	if err := s.startAccounts(ctx); err != nil {
		return nil, err
	}
	metrics := process.NewMetrics()
	if err := s.openModel(ctx, metrics); err != nil {
		return nil, err
	}
	handler, err := s.newHandler(ctx, metrics)
	if err != nil {
		return nil, err
	}
	if err := s.startAdmin(ctx); err != nil {
		return nil, err
	}
	s.serve(handler)
	return s, nil
}

// Address is where the API listens, with the port it was given.
func (s *Server) Address() net.Addr { return s.listener.Addr() }

// Failed yields the error that ended serving before Stop was called.
func (s *Server) Failed() <-chan error { return s.failed }

// Stop ends what was started, in reverse order: no new requests, those under
// way finish, then the rest. It takes a bounded time.
func (s *Server) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.DrainMin.Duration()+stopTimeout)
	defer cancel()
	var errs []error
	for _, c := range slices.Backward(s.cleanups) {
		if err := c.stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", c.name, err))
		}
	}
	s.cleanups = nil
	return errors.Join(errs...)
}

func (s *Server) onStop(name string, stop func(context.Context) error) {
	s.cleanups = append(s.cleanups, cleanup{name, stop})
}

// Reload takes over what of the settings may change while the API runs: the keys
// that sign tokens, and the certificate, which each handshake looks for anyway.
func (s *Server) Reload(cfg settings.API) error {
	if s.certificate != nil {
		_, _ = s.certificate.Get(nil) // the log says what is wrong with it
	}
	if cfg.SigningAlg != s.cfg.SigningAlg {
		return errors.New("TOKEN_SIGNING_ALG needs a restart")
	}
	if cfg.SigningAlg == token.EdDSA {
		return nil // the key watch takes these over, in two steps
	}
	keys, _, err := token.OpenKeyring(keyConfig(cfg))
	if err != nil {
		return err
	}
	s.verifier.SetKeys(keys)
	s.issuer.SetKeys(keys)
	s.log.Info("settings are reloaded", slog.String("kid", keys.KeyID()))
	return nil
}

func (s *Server) openCertificate() (err error) {
	if s.cfg.TLS() {
		s.certificate, err = process.OpenCertificate(s.cfg.TLSCertFile, s.cfg.TLSKeyFile, s.log)
	}
	return err
}

// listen takes the port before anything is made, so that a second process finds
// out at once that it is one too many. Requests wait until serve.
func (s *Server) listen(ctx context.Context) error {
	l, err := process.Listen(ctx, s.cfg.Address, "API_ADDRESS")
	if err != nil {
		return err
	}
	s.listener = l
	s.onStop("listener", func(context.Context) error {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	return nil
}

// openStore connects to the database of the users.
func openStore(ctx context.Context, cfg settings.API) (*sqlstore.Store, error) {
	store, err := sqlstore.Open(ctx, cfg.Database.Driver, cfg.Database.Source)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	return store, nil
}

// startAccounts opens the users' database, makes the first user, and watches
// what is revoked. A database that is away is waited for: until it is reached this
// API is not ready, and lets nobody in.
func (s *Server) startAccounts(ctx context.Context) error {
	store, err := sqlstore.OpenLater(s.cfg.Database.Driver, s.cfg.Database.Source)
	if err != nil {
		return fmt.Errorf("DATABASE_URL: %w", err)
	}
	s.onStop("database", func(context.Context) error { return store.Close() })
	s.accounts = account.New(account.Config{Store: store, StateDir: s.cfg.StateDir, Log: s.log})
	err = s.openAccounts(ctx, store)
	switch {
	case errors.Is(err, account.ErrUnavailable):
		s.log.WarnContext(ctx, "the database of the users is away; waiting for it", slog.Any("error", err))
		s.background(ctx, "wait for the database", func(ctx context.Context) { s.awaitAccounts(ctx, store) })
	case err != nil:
		return err
	}
	if s.guard, err = account.StartGuard(ctx, account.GuardConfig{Store: store, Log: s.log, Wait: err != nil}); err != nil {
		return fmt.Errorf("DATABASE_URL: %w", err)
	}
	s.onStop("watch of the accounts", func(context.Context) error { return s.guard.Close() })
	return nil
}

// openAccounts brings the database up to date and makes the first user.
func (s *Server) openAccounts(ctx context.Context, store *sqlstore.Store) error {
	if err := store.Prepare(ctx); err != nil {
		return fmt.Errorf("DATABASE_URL: %w", err)
	}
	if err := s.makeFirstUser(ctx); err != nil {
		return err
	}
	close(s.started)
	return nil
}

// databaseRetry is how often a database that is away is tried.
const databaseRetry = 2 * time.Second

// awaitAccounts tries again until the database is there.
func (s *Server) awaitAccounts(ctx context.Context, store *sqlstore.Store) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(poll.Jitter(databaseRetry)):
		}
		err := s.openAccounts(ctx, store)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			s.log.InfoContext(ctx, "the database of the users is reached")
			return
		case !errors.Is(err, account.ErrUnavailable):
			s.failed <- err
			return
		}
		s.log.DebugContext(ctx, "the database of the users is still away", slog.Any("error", err))
	}
}

// makeFirstUser makes the user of the settings when there is none of that name.
// A password that was made for it is never logged.
func (s *Server) makeFirstUser(ctx context.Context) error {
	generated, err := s.accounts.Bootstrap(ctx, s.cfg.Username, s.cfg.Password.Reveal())
	if err != nil {
		return err
	}
	if generated {
		s.log.Info("a password was made for the first user; this command prints it",
			slog.String("user", s.cfg.Username), slog.String("command", pasteable(s.program, "user initial-password")))
	}
	return nil
}

// openModel opens the registry, takes the last good model from the disk and begins to
// follow the alias.
func (s *Server) openModel(ctx context.Context, metrics prometheus.Registerer) error {
	reader, err := process.OpenRegistry(s.cfg.Registry, "", process.Patience{RetryFor: noRetry, Timeout: registryTimeout}, s.log)
	if err != nil {
		return fmt.Errorf("open registry: %w", err)
	}
	s.follower, err = serving.New(reader, serving.Config{
		Name: s.cfg.ModelName, Alias: s.cfg.ModelAlias, PollInterval: s.cfg.ModelPollInterval.Duration(),
		CacheDir: filepath.Join(s.cfg.StateDir, modelDir), Opener: s.opener,
	}, s.log, metrics)
	if err != nil {
		return err
	}
	restored := make(chan struct{})
	s.background(ctx, "model watch", func(ctx context.Context) {
		s.follower.Restore(ctx)
		close(restored)
		s.follower.Run(ctx)
	})
	select {
	case <-restored:
	case <-ctx.Done():
	case <-time.After(restoreTimeout):
	}
	return nil
}

func (s *Server) newHandler(ctx context.Context, metrics *prometheus.Registry) (http.Handler, error) {
	if err := s.openKeys(ctx); err != nil {
		return nil, err
	}
	service, err := predict.New(predict.Config{
		Models: s.follower, Bearers: access.NewGate(s.verifier, s.guard), Metrics: metrics, MemoryLimit: process.MemoryLimit(),
		Started: s.started, Stopping: s.draining,
	})
	if err != nil {
		return nil, err
	}
	return httpapi.New(httpapi.Config{
		Predict: service, Accounts: s.accounts, Issuer: s.issuer, KeySet: func() []byte { return s.verifier.Keys().JWKS() },
		PredictMaxBytes: int64(s.cfg.PredictMaxBytes), BatchMaxBytes: int64(s.cfg.BatchMaxBytes), Timeouts: s.timeouts(),
		TrustedProxies: s.cfg.TrustedProxies, RootPath: string(s.cfg.RootPath),
		Log: s.log, Registry: metrics,
	})
}

func (s *Server) timeouts() httpapi.Timeouts {
	return httpapi.Timeouts{Read: s.cfg.ReadTimeout.Duration(), Write: s.cfg.WriteTimeout.Duration(), Idle: s.cfg.IdleTimeout.Duration()}
}

// openKeys opens the keys of tokens and takes over those that another process
// rotates.
func (s *Server) openKeys(ctx context.Context) error {
	config := keyConfig(s.cfg)
	keys, created, err := token.OpenKeyring(config)
	if err != nil {
		return err
	}
	s.log.Info("tokens are signed", slog.String("alg", keys.Algorithm()), slog.String("kid", keys.KeyID()), slog.Bool("new_key", created))
	if s.cfg.SecretKey != "" && s.cfg.SigningAlg == token.EdDSA {
		s.log.Warn("SECRET_KEY is set and not used: TOKEN_SIGNING_ALG is EdDSA; as SECRET_KEY_PREVIOUS it would still verify earlier tokens")
	}
	cfg := token.DefaultConfig(s.cfg.TokenLifetime())
	if s.issuer, err = token.NewIssuer(keys, cfg); err != nil {
		return err
	}
	if s.verifier, err = token.NewVerifier(keys, cfg); err != nil {
		return err
	}
	s.background(ctx, "key watch", func(ctx context.Context) { token.Watch(ctx, config, s.log, s.verifier, s.issuer) })
	return nil
}

func keyConfig(cfg settings.API) token.KeyConfig {
	return token.KeyConfig{
		StateDir: cfg.StateDir, Algorithm: string(cfg.SigningAlg),
		Secret: cfg.SecretKey.Reveal(), PreviousSecret: cfg.SecretKeyPrevious.Reveal(),
	}
}

// background runs what goes on until the API stops.
func (s *Server) background(ctx context.Context, name string, run func(context.Context)) {
	// The end of ctx is the wish to stop; Stop says when it is whose turn.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(ctx)
	}()
	s.onStop(name, func(stop context.Context) error {
		cancel()
		select {
		case <-done:
			return nil
		case <-stop.Done():
			return stop.Err()
		}
	})
}

func (s *Server) serve(handler http.Handler) {
	var requests atomic.Int64
	server := httpapi.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		handler.ServeHTTP(w, r)
	}), s.timeouts(), bool(s.cfg.H2C), s.log)
	limit := cmp.Or(int(s.cfg.MaxConnections), process.MaxConnections())
	listener := httpapi.LimitConnections(s.listener, server, limit)
	go func() {
		var err error
		if s.certificate != nil {
			server.TLSConfig = &tls.Config{GetCertificate: s.certificate.Get, MinVersion: tls.VersionTLS12}
			err = server.ServeTLS(listener, "", "")
		} else {
			err = server.Serve(listener)
		}
		if !errors.Is(err, http.ErrServerClosed) {
			s.failed <- fmt.Errorf("serve HTTP: %w", err)
		}
	}()
	s.onStop("HTTP server", func(ctx context.Context) error {
		close(s.draining)
		if s.cfg.DrainMin > 0 {
			select {
			case <-s.after(s.cfg.DrainMin.Duration()):
			case <-ctx.Done():
			}
		}
		awaitQuiet(ctx, &requests)
		err := server.Shutdown(ctx)
		if err != nil {
			err = errors.Join(fmt.Errorf("requests were cut off: %w", err), server.Close())
		}
		return err
	})
	s.log.Info("listening", slog.String("address", s.Address().String()), slog.Bool("tls", s.cfg.TLS()), slog.Int("max_connections", limit))
}

// awaitQuiet waits until no request has come for a moment, for some seconds at
// most. Connections end with their next answer meanwhile: to close one between
// two requests loses the one that is on its way.
func awaitQuiet(ctx context.Context, requests *atomic.Int64) {
	deadline := time.After(drainTimeout)
	seen := requests.Load()
	for {
		select {
		case <-time.After(drainQuiet):
		case <-deadline:
			return
		case <-ctx.Done():
			return
		}
		now := requests.Load()
		if now == seen {
			return
		}
		seen = now
	}
}
