//go:build bench

package httpbench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// serverVariable makes this test binary one of the servers, at the address
	// behind the colon: bare:127.0.0.1:1234.
	serverVariable = "PETAL_BENCH_SERVER"
	key            = "mT4kW8zQ1vX6cN9rY3bL7jH2gP5sD0fA"
	bareAnswer     = `{"label":"setosa","class_index":0,"probabilities":{"setosa":0.98,"versicolor":0.02,"virginica":0.0},"model":{"name":"iris","version":"3"}}`
)

func TestMain(m *testing.M) {
	kind, address, is := strings.Cut(os.Getenv(serverVariable), ":")
	if !is {
		os.Exit(m.Run())
	}
	handler := http.Handler(http.HandlerFunc(bare))
	if kind == "idiomatic" {
		handler = idiomatic()
	}
	server := &http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
	os.Exit(1)
}

// bare reads the body and answers the same each time: what net/http itself
// costs.
func bare(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, bareAnswer)
}

// idiomatic is the service as one writes it first: a router, a token checked
// each time, encoding/json, a counter and a histogram by label.
func idiomatic() http.Handler {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "requests_total"}, []string{"method", "route", "code"})
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "duration_seconds"}, []string{"method", "route"})
	router := chi.NewRouter()
	router.Use(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			start := time.Now()
			next.ServeHTTP(w, r)
			requests.WithLabelValues(r.Method, "/predict", "200").Inc()
			duration.WithLabelValues(r.Method, "/predict").Observe(time.Since(start).Seconds())
		})
	})
	router.Get("/ready", func(http.ResponseWriter, *http.Request) {})
	router.Post("/predict", func(w http.ResponseWriter, r *http.Request) {
		if err := authorize(r); err != nil {
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		var body struct {
			Features []float64 `json:"features"`
		}
		d := json.NewDecoder(r.Body)
		d.DisallowUnknownFields()
		if err := d.Decode(&body); err != nil || len(body.Features) != 4 {
			http.Error(w, "four features are expected", http.StatusUnprocessableEntity)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(classify(body.Features))
	})
	return router
}

func authorize(r *http.Request) error {
	raw, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return errors.New("no token")
	}
	_, err := jwt.Parse(raw, func(*jwt.Token) (any, error) { return []byte(key), nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired())
	return err
}

// classify is a logistic regression of three classes.
func classify(x []float64) any {
	names := []string{"setosa", "versicolor", "virginica"}
	weights := [][]float64{{-0.4234, 0.9674, -2.5171, -1.0794, 9.8497}, {0.5345, -0.3216, -0.2064, -0.9442, 2.2372}, {-0.1111, -0.6457, 2.7235, 2.0236, -12.0869}}
	scores, sum, best := make([]float64, len(weights)), 0.0, 0
	for k, w := range weights {
		scores[k] = w[4]
		for j, v := range x {
			scores[k] += w[j] * v
		}
		scores[k] = math.Exp(scores[k])
		sum += scores[k]
		if scores[k] > scores[best] {
			best = k
		}
	}
	probabilities := map[string]float64{}
	for k, s := range scores {
		probabilities[names[k]] = s / sum
	}
	return map[string]any{
		"label": names[best], "class_index": best, "probabilities": probabilities,
		"model": map[string]string{"name": "iris", "version": "3"},
	}
}
