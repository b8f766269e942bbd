package training

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/internal/promotion"
	"github.com/petal-ml/petal/internal/registry"
	"github.com/petal-ml/petal/internal/training/pictures"
)

// Tags that stand on runs and versions beside those of the packages registry and
// promotion.
const (
	tagClass    = "estimator_class"
	tagVersion  = "petal.training_version"
	tagFinished = "petal.search_finished" // see fitted.finished
	tagSeed     = "petal.random_state"
	tagGo       = "petal.go_version"
)

// A report is what the registry keeps of a training, as values that a recorder
// writes as they stand.
type report struct {
	params     []registry.Param // of the estimator
	tags       map[string]string
	losses     []registry.Metric
	candidates []candidateReport
	model      mlmodel.Dir
	data       registry.Dataset // that the metrics are about
	metrics    []registry.Metric
	files      []pictures.Picture
	gate       []registry.Metric
	version    registry.Registration // of the model, before it is logged
	result     Result
}

// A candidateReport is a child run: what the registry keeps of one candidate.
type candidateReport struct {
	run     registry.RunSpec
	params  []registry.Param
	metrics []registry.Metric
}

// newReport says in the registry's words what the stages came to. champion is
// the version that the model was compared with, nil for none.
func newReport(p prepared, f fitted, j judged, v promotion.Verdict, champion *registry.Version, draw Draw, now time.Time) (report, error) {
	all := allFigures(f, j)
	r := report{
		params:     estimatorParams(f.model),
		tags:       runTags(p, f),
		candidates: candidateReports(p, f, now),
		model:      j.dir,
		data:       describeData(p),
		metrics:    points("", all, now),
		gate:       points("gate_", gateFigures(v), now),
		version:    registry.Registration{About: about(p), Description: describe(p, f, j, v, champion), Tags: versionTags(p, f, j, v)},
		result: Result{
			Outcome: Refused, Verdict: v,
			Data: p.source.path, Rows: p.data.Rows(), Features: len(p.data.Features), Classes: len(p.classes),
			Estimator: f.candidate.Describe(), Accuracy: j.test.Accuracy, LogLoss: j.test.LogLoss,
			Metrics: all, Plots: tables(p, j),
		},
	}
	for i, loss := range f.losses {
		r.losses = append(r.losses, registry.Metric{Key: "loss", Value: loss, Step: int64(i) + 1, Time: now})
	}
	if champion != nil {
		r.result.Version = *champion
	}
	if v.Promote {
		r.result.Outcome = Promoted
	}
	var err error
	r.files, err = runFiles(p, f, j, draw)
	return r, err
}

// allFigures are those of training rows, folds and hold-out.
func allFigures(f fitted, j judged) map[string]float64 {
	all := map[string]float64{"test_prior_log_loss": j.priorLogLoss}
	for prefix, values := range map[string]map[string]float64{
		"training_": figures(j.training), "val_": f.figures(), "test_": figures(j.test),
	} {
		for name, value := range values {
			all[prefix+name] = value
		}
	}
	return finite(all)
}

// points are figures in the order of their names.
func points(prefix string, figures map[string]float64, now time.Time) []registry.Metric {
	var all []registry.Metric
	for _, name := range slices.Sorted(maps.Keys(figures)) {
		all = append(all, registry.Metric{Key: prefix + name, Value: figures[name], Time: now})
	}
	return all
}

func gateFigures(v promotion.Verdict) map[string]float64 {
	values := map[string]float64{"promoted": 0}
	if v.Promote {
		values["promoted"] = 1
	}
	if c := v.Comparison; c != nil {
		maps.Copy(values, map[string]float64{
			"rows": float64(c.Rows), "champion_log_loss": c.Champion.LogLoss, "champion_accuracy_score": c.Champion.Accuracy,
			"log_loss_difference": c.Difference, "log_loss_difference_low": c.Low, "log_loss_difference_high": c.High, "mcnemar_p": c.McNemar,
		})
	}
	return values
}

// candidateReports has a child run for each candidate, with its parameters and
// its figures on each fold.
func candidateReports(p prepared, f fitted, now time.Time) []candidateReport {
	all := make([]candidateReport, len(f.validations))
	for i, v := range f.validations {
		c := &all[i]
		c.run = registry.RunSpec{
			Name:        fmt.Sprintf("%02d-%s", i+1, v.candidate.Name),
			Description: v.candidate.Describe(),
			Commit:      p.commit,
			Tags:        map[string]string{promotion.TagEstimator: v.candidate.Name, "petal.best": strconv.FormatBool(i == f.best)},
		}
		c.params = estimatorParams(v.candidate.New())
		for _, name := range []string{"log_loss", "accuracy_score"} {
			for fold, value := range v.fold(name) {
				c.metrics = append(c.metrics, registry.Metric{Key: "fold_" + name, Value: value, Step: int64(fold), Time: now})
			}
		}
		c.metrics = append(c.metrics, points("val_", finite(v.figures()), now)...)
	}
	return all
}

func runTags(p prepared, f fitted) map[string]string {
	tags := map[string]string{
		promotion.TagEstimator:  f.candidate.Name,
		tagClass:                className(f.model),
		tagVersion:              strconv.Itoa(Version),
		tagSeed:                 strconv.FormatInt(p.params.RandomState, 10),
		tagGo:                   runtime.Version() + " " + runtime.GOARCH,
		registry.TagFingerprint: p.fingerprint,
		mlmodel.TagTables:       `[{"path": "` + classFile + `", "type": "table"}]`, // the client searches for these very blanks
	}
	maps.Copy(tags, p.source.tags())
	return tags
}

// className is the Go type at the end of the pipeline, such as
// "linear.LogisticRegression".
func className(c learn.Classifier) string {
	return strings.TrimPrefix(fmt.Sprintf("%T", last(c)), "*")
}

// versionTags are what a reader of the registry wants to know before the
// download. The registry adds digest and size of the model file.
func versionTags(p prepared, f fitted, j judged, v promotion.Verdict) map[string]string {
	tags := map[string]string{
		registry.TagFingerprint:   p.fingerprint,
		promotion.TagEstimator:    f.candidate.Name,
		tagVersion:                strconv.Itoa(Version),
		promotion.TagVerdict:      v.String(),
		promotion.TagSplit:        p.params.split(),
		promotion.TagTestLogLoss:  strconv.FormatFloat(j.test.LogLoss, 'g', -1, 64),
		promotion.TagTestAccuracy: strconv.FormatFloat(j.test.Accuracy, 'g', -1, 64),
	}
	if f.finished != "" {
		tags[tagFinished] = f.finished
	}
	maps.Copy(tags, p.source.tags())
	return tags
}

// about is the text of the registered model, for whoever finds it in a registry.
func about(p prepared) string {
	return fmt.Sprintf("Predicts %q, one of %d classes, from %d columns of %s. Trained by Petal, which serves the version under the alias %s.",
		p.params.Label, len(p.classes), len(p.data.Features), p.source.path, promotion.Champion)
}

// describe is the text of a version that people read first.
func describe(p prepared, f fitted, j judged, v promotion.Verdict, champion *registry.Version) string {
	before := "There was no champion before."
	if champion != nil {
		before = "The champion before was version " + champion.Number + "."
	}
	return fmt.Sprintf(
		"%s, trained on %d of the %d rows of %s (MD5 %s; %d features, %d classes).\n"+
			"Hold-out of %d rows: accuracy %.4f, log-loss %.4f. Cross-validated log-loss %.4f ± %.4f over %d folds%s.\n"+
			"Gate: %s. %s",
		f.candidate.Describe(), len(p.training.y), p.data.Rows(), p.source.path, p.data.MD5, len(p.data.Features), len(p.classes),
		len(p.test.y), j.test.Accuracy, j.test.LogLoss, mean(f.logLoss()), deviation(f.logLoss()), len(f.folds), runnerUp(f),
		v, before,
	)
}

// runnerUp says whom the best candidate has beaten, "" where it was alone.
func runnerUp(f fitted) string {
	var also string
	if len(f.beaten) > 0 {
		also = fmt.Sprintf(", after %d that did not beat the prior on the hold-out", len(f.beaten))
	}
	if len(f.untried) > 0 {
		also += "; not tried: " + strings.Join(f.untried, ", ")
	}
	others := slices.Delete(slices.Clone(f.validations), f.best, f.best+1)
	if len(others) == 0 {
		return also
	}
	second := others[best(others)]
	return also + fmt.Sprintf(", the best of %d candidates before %s with %.4f ± %.4f",
		len(f.validations), second.candidate.Describe(), mean(second.logLoss()), deviation(second.logLoss()))
}
