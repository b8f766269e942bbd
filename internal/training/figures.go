package training

import (
	"maps"
	"math"
	"slices"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/metrics"
	"github.com/petal-ml/petal/internal/registry"
)

// figures names the figures of a report as they are logged: the names that
// MLflow's autologging made usual, and scikit-learn's function names for the
// rest. Weighted averages where a figure is one.
func figures(r *metrics.Report) map[string]float64 {
	return map[string]float64{
		"accuracy_score":             r.Accuracy,
		"balanced_accuracy_score":    r.BalancedAccuracy,
		"precision_score":            r.Weighted.Precision,
		"recall_score":               r.Weighted.Recall,
		"f1_score":                   r.Weighted.F1,
		"precision_score_macro":      r.Macro.Precision,
		"recall_score_macro":         r.Macro.Recall,
		"f1_score_macro":             r.Macro.F1,
		"log_loss":                   r.LogLoss,
		"roc_auc":                    r.ROCAUC,
		"average_precision_score":    r.PRAUC,
		"brier_score_loss":           r.Brier,
		"expected_calibration_error": r.ECE,
		"matthews_corrcoef":          r.MCC,
	}
}

// finite leaves out figures that are not defined for the data.
func finite(values map[string]float64) map[string]float64 {
	maps.DeleteFunc(values, func(_ string, v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) })
	return values
}

// estimatorParams are an estimator's name and parameters as they are logged.
func estimatorParams(c learn.Classifier) []registry.Param {
	values := c.Params()
	params := []registry.Param{{Key: "estimator", Value: c.Name()}}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := plain(values[name])
		if x, ok := values[name].(float64); ok {
			value = number(x)
		}
		params = append(params, registry.Param{Key: name, Value: value})
	}
	return params
}
