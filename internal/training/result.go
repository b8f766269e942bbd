package training

import (
	"context"
	"log/slog"

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
