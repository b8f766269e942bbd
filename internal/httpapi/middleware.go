package httpapi

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
)

// An exchange is what is known of one request and its answer.
type exchange struct {
	id       string // X-Request-Id
	user     string // empty until a token or a login said who it is
	bodyRead bool   // to its end
}

type exchangeKey struct{}

// exchangeOf returns the exchange that [api.observe] has made.
func exchangeOf(r *http.Request) *exchange {
	if x, ok := r.Context().Value(exchangeKey{}).(*exchange); ok {
		return x
	}
	return &exchange{}
}

// observe names the request, sets the headers of every answer, counts and logs.
func (a *api) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		x := &exchange{id: requestID(r)}
		r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Request-Id", x.id)

		if a.isDraining() || isChunked(r) {
			h.Set("Connection", "close")
		}

		a.metrics.inFlight.Inc()
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		defer func() {
			a.metrics.inFlight.Dec()
			a.finish(r, x, ww.Status(), time.Since(start))
		}()
		next.ServeHTTP(ww, r)
	})
}

// isChunked says whether the body came in chunks. A Content-Length beside them is
// a sign of request smuggling, after whose answer the connection must be closed
// (RFC 9112, 6.1); net/http drops it, so that no chunked request is followed by
// another one.
func isChunked(r *http.Request) bool { return len(r.TransferEncoding) > 0 }

// isDraining says whether the server is about to stop.
func (a *api) isDraining() bool {
	select {
	case <-a.cfg.Draining:
		return true
	default:
		return false
	}
}

// traceOf is the trace that the request belongs to, by its W3C traceparent
// (version 00); empty where there is none.
func traceOf(r *http.Request) string {
	header := r.Header.Get("Traceparent")
	if len(header) != 55 || header[:3] != "00-" || header[35] != '-' || header[52] != '-' {
		return ""
	}
	for i, c := range []byte(header) {
		isHex := c >= '0' && c <= '9' || c >= 'a' && c <= 'f'
		if !isHex && i != 2 && i != 35 && i != 52 {
			return ""
		}
	}
	if header[3:35] == strings.Repeat("0", 32) {
		return ""
	}
	return header[3:35]
}

// finish counts and logs an answer. Of answers as they should be the metrics
// tell enough; they are logged at debug level only.
func (a *api) finish(r *http.Request, x *exchange, status int, took time.Duration) {
	if status == 0 {
		status = http.StatusOK
	}
	route := unmatched
	if c := chi.RouteContext(r.Context()); c != nil && c.RoutePattern() != "" &&
		status != http.StatusNotFound && status != http.StatusMethodNotAllowed {
		route = c.RoutePattern()
	}
	a.metrics.observe(r.Method, route, status, took)

	level := slog.LevelDebug
	switch {
	case status >= http.StatusInternalServerError && status != http.StatusServiceUnavailable:
		level = slog.LevelError
	case status >= http.StatusBadRequest && route != "/ready": // what asks there asks every few seconds
		level = slog.LevelInfo
	}
	if !a.log.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", clip(r.Method, 16)), slog.String("path", clip(r.URL.Path, 200)), slog.Int("status", status),
		slog.Float64("seconds", took.Seconds()), slog.String("client", middleware.GetClientIP(r.Context())),
		slog.String("user", x.user), slog.String("request_id", x.id),
	}
	if trace := traceOf(r); trace != "" {
		attrs = append(attrs, slog.String("trace_id", trace))
	}
	a.log.LogAttrs(r.Context(), level, "request", attrs...)
}

// recover answers 500 in place of a handler that panicked.
func (a *api) recover(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			fault := recover()
			if fault == nil {
				return
			}
			if err, ok := fault.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(fault) // how a handler drops a connection on purpose
			}
			a.log.LogAttrs(r.Context(), slog.LevelError, "a handler panicked",
				slog.String("request_id", exchangeOf(r).id), slog.Any("fault", fault), slog.String("stack", string(debug.Stack())))
			if ww, ok := w.(middleware.WrapResponseWriter); ok && ww.Status() == 0 {
				w.Header().Del("Content-Type")
				fail(w, r, errInternal)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// internal answers 500 and logs the reason, which the client does not see.
func (a *api) internal(w http.ResponseWriter, r *http.Request, action string, err error) {
	a.log.LogAttrs(r.Context(), slog.LevelError, "a request failed", slog.String("action", action),
		slog.String("request_id", exchangeOf(r).id), slog.Any("error", err))
	fail(w, r, errInternal)
}

// requestID takes the client's name for the request, where it is a harmless
// one, or makes one.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	if len(id) == 0 || len(id) > 64 {
		return rand.Text()
	}
	for _, c := range []byte(id) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return rand.Text()
		}
	}
	return id
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}
