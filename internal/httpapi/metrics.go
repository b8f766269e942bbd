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

var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
	http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace,
}

// metrics are those of requests.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
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
	m := &metrics{
		routes: map[routeKey]routeSeries{},
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_requests_total", Help: "Requests answered, by method, route and status code.",
		}, []string{"method", "route", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "http_request_duration_seconds", Help: "Time from the first byte of a request's headers to the end of its answer.",
			Buckets:                     []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
			NativeHistogramBucketFactor: 1.1,
		}, []string{"method", "route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "http_requests_in_flight", Help: "Requests being answered now."}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.inFlight} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of HTTP: %w", err)
		}
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
