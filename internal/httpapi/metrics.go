package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// unmatched is the route label of requests that no route takes. No metric label
// holds a path that a client made up.
const unmatched = "unmatched"

// rejectReason is why an input was refused, as a metric label.
type rejectReason string

// The reasons.
const (
	rejectMalformed    rejectReason = "malformed"
	rejectUnknownKey   rejectReason = "unknown_key"
	rejectMissingKey   rejectReason = "missing_key"
	rejectWrongType    rejectReason = "wrong_type"
	rejectMissingValue rejectReason = "missing_value"
	rejectOutOfRange   rejectReason = "out_of_range"
	rejectWrongWidth   rejectReason = "wrong_width"
	rejectNotFinite    rejectReason = "not_finite"
	// rejectUnexplained is no fault of the row: the model cannot be explained.
	rejectUnexplained rejectReason = "unexplained"
	rejectRefused     rejectReason = "refused" // by the graph, such as a category that it does not know
)

var rejectReasons = []rejectReason{
	rejectMalformed, rejectUnknownKey, rejectMissingKey, rejectWrongType,
	rejectMissingValue, rejectOutOfRange, rejectWrongWidth, rejectNotFinite, rejectUnexplained, rejectRefused,
}

// denyReason is why a request was not let in, as a metric label.
type denyReason string

// The reasons.
const (
	denyNoToken   denyReason = "no_token"
	denyMalformed denyReason = "malformed"
	denyInvalid   denyReason = "invalid_token"
	denyExpired   denyReason = "expired_token"
	denyScope     denyReason = "insufficient_scope"
	// denyUnavailable is no fault of the client: nothing could be said of the
	// token.
	denyUnavailable denyReason = "unavailable"
)

var denyReasons = []denyReason{denyNoToken, denyMalformed, denyInvalid, denyExpired, denyScope, denyUnavailable}

// loginResult is how a request to /token ended, as a metric label.
type loginResult string

// The results. A request that is wrong in its form is none of them.
const (
	loginSuccess   loginResult = "success"
	loginFailure   loginResult = "failure"
	loginThrottled loginResult = "throttled"
)

var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
	http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace,
}

// metrics are those of requests, logins and refusals.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
	logins   *prometheus.CounterVec
	denied   *prometheus.CounterVec
	rejected *prometheus.CounterVec
	// routes are the series of the routes, resolved once. It is not changed
	// once the API serves.
	routes map[routeKey]routeSeries
}

type routeKey struct{ method, route string }

type routeSeries struct {
	ok       prometheus.Counter // answers with 200
	duration prometheus.Observer
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		routes:   map[routeKey]routeSeries{},
		requests: counter("http_requests_total", "Requests answered, by method, route and status code.", "method", "route", "code"),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "http_request_duration_seconds", Help: "Time from the first byte of a request's headers to the end of its answer.",
			Buckets:                     []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
			NativeHistogramBucketFactor: 1.1,
		}, []string{"method", "route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "http_requests_in_flight", Help: "Requests being answered now."}),
		logins:   counter("auth_logins_total", "Logins at /token, by result.", "result"),
		denied:   counter("auth_denied_total", "Requests that were not let in, by reason.", "reason"),
		rejected: counter("model_rejected_inputs_total", "Bodies refused before a prediction, by reason.", "reason"),
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.inFlight, m.logins, m.denied, m.rejected} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of HTTP: %w", err)
		}
	}
	for _, r := range []loginResult{loginSuccess, loginFailure, loginThrottled} {
		m.logins.WithLabelValues(string(r))
	}
	for _, r := range denyReasons {
		m.denied.WithLabelValues(string(r))
	}
	for _, r := range rejectReasons {
		m.rejected.WithLabelValues(string(r))
	}
	return m, nil
}

// known starts the series of a route at 0, so that the first error is an
// increase.
func (m *metrics) known(method, route string) {
	for _, code := range []string{"200", "500"} {
		m.requests.WithLabelValues(method, route, code)
	}
	m.routes[routeKey{method, route}] = routeSeries{
		ok: m.requests.WithLabelValues(method, route, "200"), duration: m.duration.WithLabelValues(method, route),
	}
}

func (m *metrics) observe(method, route string, status int, took time.Duration) {
	if s, known := m.routes[routeKey{method, route}]; known && status == http.StatusOK {
		s.ok.Inc()
		s.duration.Observe(took.Seconds())
		return
	}
	if !slices.Contains(methods, method) {
		method = "other"
	}
	m.requests.WithLabelValues(method, route, strconv.Itoa(status)).Inc()
	m.duration.WithLabelValues(method, route).Observe(took.Seconds())
}

func (m *metrics) login(r loginResult) { m.logins.WithLabelValues(string(r)).Inc() }
func (m *metrics) deny(r denyReason)   { m.denied.WithLabelValues(string(r)).Inc() }
