package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// startAdmin serves the profiles of the process on a port of this machine, where
// one is set. They are on no other: profiles show what is in memory.
func (s *Server) startAdmin(ctx context.Context) error {
	if s.cfg.AdminAddress == "" {
		return nil
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", string(s.cfg.AdminAddress))
	if err != nil {
		return fmt.Errorf("ADMIN_ADDRESS: listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	// A profile takes as long as it was asked to, so there is no write timeout.
	server := &http.Server{Handler: loopbackHost(mux), ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("the admin port is gone", slog.Any("error", err))
		}
	}()
	s.onStop("admin port", func(context.Context) error { return server.Close() })
	s.log.Info("profiles are served", slog.String("address", l.Addr().String()))
	return nil
}

// loopbackHost refuses requests that name another host: a page in a browser on
// this machine could reach the port by a name that it controls.
func loopbackHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "only for this machine", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}
