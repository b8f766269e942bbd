package training

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/petal-ml/petal/internal/dataset"
	"github.com/petal-ml/petal/internal/dvc"
	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/modelselection"
	"github.com/petal-ml/petal/internal/promotion"
	"github.com/petal-ml/petal/internal/registry"
)

// Outcome is how a training ended that did not fail.
type Outcome string

// The outcomes, by the names that the metrics have.
const (
	Promoted  Outcome = "promoted"
	Unchanged Outcome = "unchanged"
	Refused   Outcome = "refused"
	failure   Outcome = "failure"
)

// A Result is what a training came to.
type Result struct {
	Outcome Outcome
	// Version is the champion after it: the new one, or the one that stayed.
	// It is the zero value where there is none.
	Version registry.Version
	RunID   string // empty where nothing was trained
	Verdict promotion.Verdict

	Data      string // the file
	Rows      int
	Features  int
	Classes   int
	Estimator string // with its parameters
	Accuracy  float64
	LogLoss   float64 // of the hold-out

	// Metrics are the figures by the names that the run has them under. Plots are
	// CSV files by name, for whoever draws: "predictions.csv" with the columns
	// actual and predicted, and "roc.csv" with class, fpr and tpr.
	Metrics map[string]float64
	Plots   map[string][]byte
}

// LogResult logs how a training ended.
func LogResult(ctx context.Context, log *slog.Logger, r Result) {
	switch r.Outcome {
	case Unchanged:
		log.InfoContext(ctx, "nothing to do: the champion has the same data, parameters and training version", "data", r.Data, "version", r.Version.Number)
	case Promoted:
		log.InfoContext(ctx, "promoted", "version", r.Version.Number, "run", r.RunID, "estimator", r.Estimator, "test_accuracy", r.Accuracy, "test_log_loss", r.LogLoss)
	default:
		log.WarnContext(ctx, "refused by the gate", "reason", r.Verdict.String(), "champion", r.Version.Number, "run", r.RunID)
	}
}

// Metrics are what Prometheus is told of trainings.
type Metrics struct {
	runs         *prometheus.CounterVec
	inProgress   prometheus.Gauge
	lastRun      prometheus.Gauge
	lastSuccess  prometheus.Gauge
	lastDuration prometheus.Gauge
	lastFailed   prometheus.Gauge
	holdout      *prometheus.GaugeVec
	rows         prometheus.Gauge
	registryUp   prometheus.Gauge
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m := &Metrics{
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "training_runs_total", Help: "Trainings by how they ended.",
		}, []string{"result"}),
		inProgress:   gauge("training_in_progress", "1 while a training runs."),
		lastRun:      gauge("training_last_run_timestamp_seconds", "When the last training ended, however it did."),
		lastSuccess:  gauge("training_last_success_timestamp_seconds", "When a training last promoted a model or found nothing to do."),
		lastDuration: gauge("training_last_duration_seconds", "How long the last training took."),
		lastFailed:   gauge("training_last_failed", "1 when the last training failed; one that the gate refused did not."),
		holdout: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "training_holdout_metric", Help: "Figures of the last trained model on the hold-out.",
		}, []string{"metric"}),
		rows:       gauge("training_dataset_rows", "Rows of the data that were last read."),
		registryUp: gauge("registry_up", "1 when the registry answered the last call."),
	}
	r.MustRegister(m.runs, m.inProgress, m.lastRun, m.lastSuccess, m.lastDuration, m.lastFailed, m.holdout, m.rows, m.registryUp)
	for _, outcome := range []Outcome{Promoted, Unchanged, Refused, failure} {
		m.runs.WithLabelValues(string(outcome))
	}
	return m
}

// observe records a training that has ended.
func (m *Metrics) observe(outcome Outcome, start, end time.Time) {
	m.runs.WithLabelValues(string(outcome)).Inc()
	m.inProgress.Set(0)
	m.lastRun.Set(float64(end.UnixMilli()) / 1000)
	m.lastDuration.Set(end.Sub(start).Seconds())
	m.lastFailed.Set(0)
	switch outcome {
	case Promoted, Unchanged:
		m.lastSuccess.Set(float64(end.UnixMilli()) / 1000)
	case failure:
		m.lastFailed.Set(1)
	}
}

func (m *Metrics) setRegistryUp(up bool) {
	value := 0.0
	if up {
		value = 1
	}
	m.registryUp.Set(value)
}

// An InputError is one fault of what the user gave, on one line: of parameters
// and data here, of versions in package promotion.
type InputError = promotion.InputError

// IsInput tells whether an error of this package comes from bad input: data,
// pointers or parameters that the user has to mend. A repetition would fail
// again.
func IsInput(err error) bool {
	var (
		input  *InputError
		data   *dataset.Error
		pulled *dvc.Error
	)
	if errors.As(err, &input) || errors.As(err, &data) || errors.As(err, &pulled) {
		return true
	}
	for _, kind := range []error{dvc.ErrPointer, modelselection.ErrSplit, learn.ErrParameter, learn.ErrValue} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}
