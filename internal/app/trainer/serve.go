package trainer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/petal-ml/petal/internal/app/process"
	"github.com/petal-ml/petal/internal/settings"
	"github.com/petal-ml/petal/internal/training"
	"github.com/petal-ml/petal/internal/version"
)

type serveCommand struct{ request }

// Help is shown by "trainer serve --help".
func (*serveCommand) Help() string {
	return `Answers /health, /ready and /metrics on TRAINER_ADDRESS. TRAIN_SCHEDULE is in cron syntax and UTC, such as "0 3 * * *"; empty means only at the start. While the registry cannot be reached the training is tried again; when a training fails the trainer stays up.`
}

// shutdownTimeout bounds the end of the server: nobody waits long for it.
const shutdownTimeout = 3 * time.Second

// Run serves until ctx ends.
func (c *serveCommand) Run(ctx context.Context, p *Process) error {
	a, err := newApp(p, "serve", nil, false)
	if err != nil {
		return err
	}
	service := &training.Service{
		Trainer: a.trainer, Schedule: a.settings.Schedule, Logger: a.log,
		Load: func() (training.Request, error) { return c.load(p.Dir) },
	}
	p.OnHangup(ctx, func() {
		changed, err := process.Settings[settings.Trainer](p)
		if err != nil {
			a.log.Error("the changed settings cannot be used; those before stay in force", "error", err)
			return
		}
		p.SetLogLevel(changed.Level)
	})
	listener, err := process.Listen(ctx, a.settings.Address, "TRAINER_ADDRESS")
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           handler(service, a.metrics),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			cancel(fmt.Errorf("serve on %s: %w", listener.Addr(), err))
		}
	}()
	a.log.InfoContext(ctx, "listening", "address", listener.Addr().String(), "schedule", a.settings.Schedule)

	// The training stops first: until then its health can be asked for.
	err = service.Run(ctx)
	if cause := context.Cause(ctx); err == nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	end, stop := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer stop()
	if shutdownErr := server.Shutdown(end); shutdownErr != nil {
		err = errors.Join(err, fmt.Errorf("stop the server: %w", shutdownErr))
	}
	a.log.InfoContext(end, "stopped")
	return err
}

// handler answers the three questions that a trainer is asked.
func handler(service *training.Service, metrics *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, `{"status":"ok"}`)
	})
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		if err := service.Ready(); err != nil {
			// The reason stands in the log and in registry_up; it may name hosts.
			w.Header().Set("Retry-After", "10")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = fmt.Fprintln(w, `{"status":"registry unavailable"}`)
			return
		}
		_, _ = fmt.Fprintln(w, `{"status":"ready"}`)
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if r.URL.Path != "/metrics" {
			w.Header().Set("Content-Type", "application/json")
		}
		mux.ServeHTTP(w, r)
	})
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(p *Process) error {
	_, err := fmt.Fprintf(p.Stdout, "trainer %s, training version %d\n", version.Current(), training.Version)
	return err
}

type healthcheckCommand struct{}

// Run asks the server on this machine for its health.
func (healthcheckCommand) Run(ctx context.Context, cfg settings.Trainer) error {
	return process.CheckHealth(ctx, cfg.Address, false, "/health")
}
