package trainer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

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
func (c *serveCommand) Run(ctx context.Context, process *Process) error {
	a, err := newApp(process, "serve", nil, false)
	if err != nil {
		return err
	}
	a.registerProcess()
	service := &training.Service{
		Trainer: a.trainer, Schedule: a.settings.Schedule, Logger: a.log,
		Load: func() (training.Request, error) { return c.load(process.Dir) },
	}
	listener, err := listen(ctx, a.settings.Address)
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

func listen(ctx context.Context, address settings.Address) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", string(address))
	if err != nil {
		var cause *net.OpError
		if errors.As(err, &cause) {
			err = cause.Err
		}
		return nil, fmt.Errorf("cannot listen on %s: %w; set TRAINER_ADDRESS to another address", address, err)
	}
	return listener, nil
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

// registerProcess adds what every process tells of itself.
func (a *app) registerProcess() {
	v := version.Current()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "petal_build_info", Help: "The build of this program; always 1.",
		ConstLabels: prometheus.Labels{"version": v.Version, "goversion": v.GoVersion, "revision": v.Revision},
	})
	build.Set(1)
	a.metrics.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(process *Process) error {
	_, err := fmt.Fprintf(process.Stdout, "trainer %s, training version %d\n", version.Current(), training.Version)
	return err
}

type healthcheckCommand struct{}

// healthTimeout is less than what container runtimes grant.
const healthTimeout = 3 * time.Second

// Run asks the server on this machine for its health.
func (healthcheckCommand) Run(ctx context.Context, process *Process) error {
	cfg, err := settings.Load[settings.Trainer](process.Dir, process.Environ)
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(string(cfg.Address))
	if err != nil {
		return fmt.Errorf("check health: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/health", nil)
	if err != nil {
		return fmt.Errorf("check health: %w", err)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("check health: %w", err)
	}
	defer answer.Body.Close() //nolint:errcheck // only the status counts
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("check health: %s", answer.Status)
	}
	return nil
}
