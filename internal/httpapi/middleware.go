package httpapi

import (
	"crypto/rand"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/petal-ml/petal/internal/httpapi/web"
	"github.com/petal-ml/petal/internal/predict"
)

// observe names the request, sets the headers of every answer, counts and logs.
func (s *server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		info := &web.Info{
			ID: requestID(r), Client: proxies(s.cfg.TrustedProxies).client(r),
			Prefix: proxies(s.cfg.TrustedProxies).prefix(r, s.cfg.RootPath),
		}
		r = web.WithInfo(r, info)
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Request-Id", info.ID)
		chi.RouteContext(r.Context()).RoutePath = routePath(r.URL, s.cfg.RootPath)

		if s.cfg.Predict.IsStopping() || isChunked(r) {
			h.Set("Connection", "close")
		}

		control := http.NewResponseController(w)
		if s.cfg.Timeouts.Read > 0 {
			r.Body = &body{ReadCloser: r.Body, control: control, timeout: s.cfg.Timeouts.Read}
		}
		s.answer(next, &writer{ResponseWriter: w, control: control, timeout: s.cfg.Timeouts.Write}, r, start)
		if r.ProtoMajor > 1 && hasUnread(r) {
			discard(w, r)
		}
	})
}

// answer counts and logs what next answers.
func (s *server) answer(next http.Handler, w *writer, r *http.Request, start time.Time) {
	s.metrics.inFlight.Inc()
	defer func() {
		s.metrics.inFlight.Dec()
		s.finish(r, web.InfoOf(r), w.status, time.Since(start))
	}()
	next.ServeHTTP(w, r)
}

// hasUnread says whether some of the body has not been read, and need not wait
// for our word to come.
func hasUnread(r *http.Request) bool {
	return r.ContentLength != 0 && !web.InfoOf(r).BodyRead && r.Header.Get("Expect") == ""
}

// isChunked says whether the body came in chunks. A Content-Length beside them is
// a sign of request smuggling, after whose answer the connection must be closed
// (RFC 9112, 6.1); net/http drops it, so that no chunked request is followed by
// another one.
func isChunked(r *http.Request) bool { return len(r.TransferEncoding) > 0 }

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
func (s *server) finish(r *http.Request, info *web.Info, status int, took time.Duration) {
	if status == 0 {
		status = http.StatusOK
	}
	route := unmatched
	if c := chi.RouteContext(r.Context()); c != nil && c.RoutePattern() != "" &&
		status != http.StatusNotFound && status != http.StatusMethodNotAllowed {
		route = c.RoutePattern()
	}
	s.metrics.observe(r.Method, route, status, took)

	level := slog.LevelDebug
	switch {
	case status >= http.StatusInternalServerError && status != http.StatusServiceUnavailable:
		level = slog.LevelError
	case status >= http.StatusBadRequest && !isProbe(route):
		level = slog.LevelInfo
	}
	if !s.cfg.Log.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", clip(r.Method, 16)), slog.String("path", clip(r.URL.Path, 200)), slog.Int("status", status),
		slog.Float64("seconds", took.Seconds()), slog.String("client", info.Client.String()),
		slog.String("user", info.User), slog.String("request_id", info.ID),
	}
	if trace := traceOf(r); trace != "" {
		attrs = append(attrs, slog.String("trace_id", trace))
	}
	s.cfg.Log.LogAttrs(r.Context(), level, "request", attrs...)
}

// isProbe says whether a route answers those who ask for readiness every few
// seconds.
func isProbe(route string) bool { return route == "/ping" || strings.HasSuffix(route, "/ready") }

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

// authorize lets in who bears a token with the scope, a user's or the API key of
// a machine; everybody where the scope is empty. Nothing of the body has been
// read then.
func (s *server) authorize(r *http.Request, scope string) error {
	if scope == "" {
		return nil
	}
	raw, err := bearerToken(r)
	if err != nil {
		return err
	}
	principal, err := s.cfg.Predict.Authorize(r.Context(), raw, scope)
	web.InfoOf(r).User = principal.Name
	return err
}

// bearerToken takes the token from the one place where it may stand, the
// Authorization header (RFC 6750 §2.1).
func bearerToken(r *http.Request) (string, error) {
	values := r.Header.Values("Authorization")
	switch {
	case r.URL.RawQuery != "" && r.URL.Query().Has("access_token"):
		return "", &predict.AccessError{Reason: predict.MalformedToken, Message: "a token in the URL is not accepted; use the Authorization header"}
	case len(values) > 1:
		return "", &predict.AccessError{Reason: predict.MalformedToken, Message: "there is more than one Authorization header"}
	case len(values) == 1:
		if scheme, raw, _ := strings.Cut(values[0], " "); strings.EqualFold(scheme, "Bearer") {
			return strings.Trim(raw, " "), nil
		}
	}
	return "", &predict.AccessError{Reason: predict.NoToken, Message: "a bearer token is needed; POST /token gives one"}
}
