package httpapi

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/petal-ml/petal/internal/httpapi/native"
	"github.com/petal-ml/petal/internal/httpapi/problem"
	"github.com/petal-ml/petal/internal/httpapi/route"
	"github.com/petal-ml/petal/internal/httpapi/web"
	"github.com/petal-ml/petal/internal/predict"
)

// fail answers with a problem in the words of a dialect, counts it and logs what
// the client does not see.
func (s *server) fail(d *route.Dialect, w http.ResponseWriter, r *http.Request, p *problem.Problem) {
	s.count(r, p)
	h, info := w.Header(), web.InfoOf(r)
	if p.Challenge != "" {
		h.Set("WWW-Authenticate", p.Challenge)
	}
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((p.RetryAfter+time.Second-1)/time.Second), 10))
	}
	if !info.BodyRead && r.ContentLength != 0 && r.ProtoMajor == 1 {
		// Else net/http would read the rest of the body before it sends the
		// answer, and a client that never sends it would wait for nothing. Over
		// HTTP/2 it would end the connection for all its requests.
		h.Set("Connection", "close")
	}
	if p.Kind == problem.KindInvalid && p.Status != d.Invalid {
		own := *p
		own.Status, p = d.Invalid, &own
	}
	h.Set("Content-Type", "application/json")
	d.WriteProblem(w, p, info.ID)
}

func (s *server) count(r *http.Request, p *problem.Problem) {
	info, ctx := web.InfoOf(r), r.Context()
	if p.Rejected != "" {
		s.cfg.Predict.CountRejected(p.Rejected)
	}
	if p.Denied != "" {
		s.cfg.Predict.CountDenied(p.Denied)
	}
	if p.Denied == predict.MissingScope {
		s.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "scope denied", slog.Bool("audit", true), slog.String("user", info.User),
			slog.String("path", clip(r.URL.Path, 200)), slog.String("request_id", info.ID))
	}
	if p.Cause != nil {
		s.cfg.Log.LogAttrs(ctx, slog.LevelError, "a request failed", slog.String("request_id", info.ID), slog.Any("error", p.Cause))
	}
}

// recover answers 500 in place of a handler that panicked.
func (s *server) recover(d *route.Dialect, w http.ResponseWriter, r *http.Request) {
	fault := recover()
	if fault == nil {
		return
	}
	if err, ok := fault.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(fault) // how a handler drops a connection on purpose
	}
	p := problem.Internal("a handler panicked", fmt.Errorf("%v\n%s", fault, debug.Stack()))
	if ww, ok := w.(*writer); ok && ww.status == 0 {
		s.fail(d, w, r, p)
	} else {
		s.count(r, p)
	}
}

// dialectOf is the dialect of the paths below its prefix; our own elsewhere.
func (s *server) dialectOf(path string) *route.Dialect {
	for i := range s.dialects {
		if d := &s.dialects[i]; d.Prefix != "" && (path == d.Prefix || strings.HasPrefix(path, d.Prefix+"/")) {
			return d
		}
	}
	own := native.Problems()
	return &own
}

// routed is the path that the route was looked for by.
func routed(r *http.Request) string { return chi.RouteContext(r.Context()).RoutePath }

func (s *server) notFound(w http.ResponseWriter, r *http.Request) {
	s.fail(s.dialectOf(routed(r)), w, r, problem.NotFound)
}

// methodNotAllowed answers with the methods that the path does take, in the
// dialect of the route that takes them.
func (s *server) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	var found *route.Dialect
	for _, method := range methods {
		match := chi.NewRouteContext()
		if s.router.Match(match, method, routed(r)) {
			w.Header().Add("Allow", method)
			found = s.dialectWith(match.RoutePattern())
		}
	}
	if found == nil { // chi says so of a method it never heard of, on any path
		s.notFound(w, r)
		return
	}
	s.fail(found, w, r, problem.NotAllowed)
}

// dialectWith is the dialect that has a route at this pattern.
func (s *server) dialectWith(pattern string) *route.Dialect {
	for i, d := range s.dialects {
		for _, r := range d.Routes {
			if r.Path == pattern {
				return &s.dialects[i]
			}
		}
	}
	return nil
}
