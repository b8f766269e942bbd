package training

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/metrics"
	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/internal/registry"
)

// Tags that stand on runs and versions beside those of package registry.
const (
	tagDVCPath      = "dvc.path"
	tagDVCMD5       = "dvc.md5"
	tagDVCRemote    = "dvc.remote"
	tagEstimator    = "estimator_name"
	tagClass        = "estimator_class"
	tagVerdict      = "petal.gate"
	tagSplit        = "petal.split"
	tagVersion      = "petal.training_version"
	tagSeed         = "petal.random_state"
	tagGo           = "petal.go_version"
	tagTestLogLoss  = "petal.test_log_loss"
	tagTestAccuracy = "petal.test_accuracy"
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

// logInputs logs what the training starts from: parameters and data.
func (t *Trainer) logInputs(ctx context.Context, run registry.Run, j *job) error {
	p := j.params
	params := []registry.Param{
		{Key: "data", Value: j.source.path},
		{Key: "label", Value: p.Label},
		{Key: "drop", Value: strings.Join(p.Drop, ",")},
		{Key: "test_size", Value: number(p.TestSize)},
		{Key: "random_state", Value: strconv.FormatInt(p.RandomState, 10)},
		{Key: "n_splits", Value: strconv.Itoa(p.NSplits)},
		{Key: "scoring", Value: p.Scoring},
	}
	if err := run.LogParams(ctx, params); err != nil {
		return fmt.Errorf("log parameters: %w", err)
	}
	if err := run.LogDataset(ctx, j.dataset()); err != nil {
		return fmt.Errorf("log the data set: %w", err)
	}
	return nil
}

// dataset describes the data for the registry.
func (j *job) dataset() registry.Dataset {
	columns := j.columns()
	columns = append(columns, mlmodel.Column{Name: j.data.Label, Type: j.labelType()})
	return registry.Dataset{
		Name: j.data.Name, Path: j.source.path, Digest: j.data.MD5, Context: "training",
		Columns: columns, Rows: j.data.Rows(),
	}
}

func (j *job) columns() []mlmodel.Column {
	columns := make([]mlmodel.Column, len(j.data.Features))
	for i, name := range j.data.Features {
		columns[i] = mlmodel.Column{Name: name, Type: mlmodel.Double}
	}
	return columns
}

func (j *job) labelType() string {
	if j.data.Classes.Ints != nil {
		return mlmodel.Long
	}
	return mlmodel.String
}

// logResults logs what came out: the estimator's parameters, the loss of each
// iteration, figures, pictures and the model itself.
func (t *Trainer) logResults(ctx context.Context, run registry.Run, j *job, f *fitted) (registry.LoggedModel, error) {
	var none registry.LoggedModel
	if err := run.LogParams(ctx, estimatorParams(f.model)); err != nil {
		return none, fmt.Errorf("log parameters: %w", err)
	}
	if err := run.SetTags(ctx, j.runTags(f)); err != nil {
		return none, fmt.Errorf("log tags: %w", err)
	}
	if err := t.logLosses(ctx, run, f); err != nil {
		return none, err
	}
	if err := t.logCandidates(ctx, run, j, f); err != nil {
		return none, err
	}
	dir, err := j.modelDir(f, t)
	if err != nil {
		return none, err
	}
	logged, err := run.LogModel(ctx, dir)
	if err != nil {
		return none, fmt.Errorf("log the model: %w", err)
	}
	if err := t.logFigures(ctx, run, j, f, logged); err != nil {
		return none, err
	}
	return logged, t.logFiles(ctx, run, j, f)
}

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

// number writes a float as Python does: 1.0, not 1.
func number(x float64) string {
	text := strconv.FormatFloat(x, 'g', -1, 64)
	if !strings.ContainsAny(text, ".eNI") {
		text += ".0"
	}
	return text
}

func (j *job) runTags(f *fitted) map[string]string {
	tags := map[string]string{
		tagEstimator:            f.candidate.Name,
		tagClass:                className(f.model),
		tagVersion:              strconv.Itoa(Version),
		tagSeed:                 strconv.FormatInt(j.params.RandomState, 10),
		tagGo:                   runtime.Version() + " " + runtime.GOARCH,
		registry.TagFingerprint: j.fingerprint,
		mlmodel.TagTables:       `[{"path": "` + classFile + `", "type": "table"}]`, // the client searches for these very blanks
	}
	maps.Copy(tags, j.dvcTags())
	return tags
}

// className is the Go type at the end of the pipeline, such as
// "linear.LogisticRegression".
func className(c learn.Classifier) string {
	if p, ok := c.(*learn.Pipeline); ok {
		c = p.Classifier
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", c), "*")
}

func (j *job) dvcTags() map[string]string {
	if j.source.dvcPath == "" {
		return nil
	}
	return map[string]string{tagDVCPath: j.source.dvcPath, tagDVCMD5: j.source.md5, tagDVCRemote: j.source.dvcRemote}
}

func (t *Trainer) logLosses(ctx context.Context, run registry.Run, f *fitted) error {
	now := t.cfg.Now()
	points := make([]registry.Metric, len(f.losses))
	for i, loss := range f.losses {
		points[i] = registry.Metric{Key: "loss", Value: loss, Step: int64(i) + 1, Time: now}
	}
	if len(points) == 0 {
		return nil
	}
	if err := run.LogMetrics(ctx, points); err != nil {
		return fmt.Errorf("log the loss: %w", err)
	}
	return nil
}

// logFigures logs the figures of training rows, folds and hold-out, tied to the
// model and the data.
func (t *Trainer) logFigures(ctx context.Context, run registry.Run, j *job, f *fitted, logged registry.LoggedModel) error {
	now, data := t.cfg.Now(), j.dataset()
	var points []registry.Metric
	values := f.allFigures(j)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		points = append(points, registry.Metric{Key: name, Value: values[name], Time: now, Model: logged.ID, Dataset: &data})
	}
	if err := run.LogMetrics(ctx, points); err != nil {
		return fmt.Errorf("log metrics: %w", err)
	}
	return nil
}

// logVerdict logs what the gate says, in words and in figures.
func (t *Trainer) logVerdict(ctx context.Context, run registry.Run, v Verdict) error {
	values := map[string]float64{"promoted": 0}
	if v.Promote {
		values["promoted"] = 1
	}
	if v.Comparison != nil {
		maps.Copy(values, v.Comparison.figures())
	}
	var points []registry.Metric
	for _, name := range slices.Sorted(maps.Keys(values)) {
		points = append(points, registry.Metric{Key: "gate_" + name, Value: values[name], Time: t.cfg.Now()})
	}
	if err := run.LogMetrics(ctx, points); err != nil {
		return fmt.Errorf("log the verdict: %w", err)
	}
	if err := run.SetTags(ctx, map[string]string{tagVerdict: v.String()}); err != nil {
		return fmt.Errorf("log the verdict: %w", err)
	}
	return nil
}

// allFigures are those of training rows, folds and hold-out.
func (f *fitted) allFigures(j *job) map[string]float64 {
	all := map[string]float64{"test_prior_log_loss": metrics.LogLoss(j.test.y, f.baseline)}
	for prefix, values := range map[string]map[string]float64{
		"training_": figures(f.training), "val_": f.figures(), "test_": figures(f.test),
	} {
		for name, value := range values {
			all[prefix+name] = value
		}
	}
	return all
}

// modelDir describes the model for MLflow, Petal's own facts included.
func (j *job) modelDir(f *fitted, t *Trainer) (mlmodel.Dir, error) {
	reference, err := json.Marshal(reference(j.data, j.training))
	if err != nil {
		return mlmodel.Dir{}, fmt.Errorf("write %s: %w", referenceFile, err)
	}
	created := t.cfg.Now().UTC()
	features := make([]mlmodel.PetalFeature, len(j.data.Features))
	for i, name := range j.data.Features {
		features[i] = mlmodel.PetalFeature{Name: name, Type: mlmodel.Double}
	}
	classes := make([]any, j.data.Classes.Len())
	for i := range classes {
		classes[i] = j.data.Classes.Value(i)
	}
	params := map[string]string{}
	for _, p := range estimatorParams(f.model) {
		params[p.Key] = p.Value
	}
	return mlmodel.Dir{
		ONNX: f.onnx,
		Signature: mlmodel.Signature{
			Inputs: j.columns(),
			Outputs: []mlmodel.Column{
				{Name: "label", Type: j.labelType()},
				{Name: "probabilities", Type: mlmodel.Map, Values: mlmodel.Float},
			},
		},
		InputExample: j.example(),
		Petal: &mlmodel.PetalMetadata{
			Estimator:      f.candidate.Name,
			Classes:        classes,
			Metrics:        finite(figures(f.test)),
			Data:           mlmodel.PetalData{Path: j.source.path, MD5: j.data.MD5},
			TrainedAt:      created,
			MissingColumns: j.data.MissingColumns(),
			Features:       features,
		},
		Extra:  map[string][]byte{rowsFile: hashRows(j.training.x), referenceFile: reference},
		Params: params, Tags: j.dvcTags(), Created: created,
	}, nil
}

// example is the first training row of each of the first classes, without
// missing values.
func (j *job) example() [][]float64 {
	const most = 3
	var rows [][]float64
	for class := range min(j.data.Classes.Len(), most) {
		for i, y := range j.training.y {
			row := j.training.x.RawRowView(i)
			if y == class && !slices.ContainsFunc(row, math.IsNaN) {
				rows = append(rows, slices.Clone(row))
				break
			}
		}
	}
	return rows
}

// registration asks for a version with all that a reader of the registry wants
// to know before the download.
func (j *job) registration(name string, f *fitted, logged registry.LoggedModel, verdict Verdict) registry.Registration {
	sum := sha256.Sum256(f.onnx)
	tags := map[string]string{
		registry.TagSHA256:      hex.EncodeToString(sum[:]),
		registry.TagSize:        strconv.Itoa(len(f.onnx)),
		registry.TagFingerprint: j.fingerprint,
		tagEstimator:            f.candidate.Name,
		tagVersion:              strconv.Itoa(Version),
		tagVerdict:              verdict.String(),
		tagSplit:                j.params.split(),
		tagTestLogLoss:          strconv.FormatFloat(f.test.LogLoss, 'g', -1, 64),
		tagTestAccuracy:         strconv.FormatFloat(f.test.Accuracy, 'g', -1, 64),
	}
	maps.Copy(tags, j.dvcTags())
	return registry.Registration{Name: name, Model: logged, Description: j.describe(f, verdict), Tags: tags}
}

// describe is the text that people read first.
func (j *job) describe(f *fitted, verdict Verdict) string {
	champion := "There was no champion before."
	if j.champion != nil {
		champion = "The champion before was version " + j.champion.Number + "."
	}
	return fmt.Sprintf(
		"%s, trained on %d of the %d rows of %s (MD5 %s; %d features, %d classes).\n"+
			"Hold-out of %d rows: accuracy %.4f, log-loss %.4f. Cross-validated log-loss %.4f ± %.4f over %d folds%s.\n"+
			"Gate: %s. %s",
		f.candidate.Describe(), len(j.training.y), j.data.Rows(), j.source.path, j.data.MD5, len(j.data.Features), j.data.Classes.Len(),
		len(j.test.y), f.test.Accuracy, f.test.LogLoss, mean(f.logLoss()), deviation(f.logLoss()), len(f.folds), f.runnerUp(),
		verdict, champion,
	)
}

// runnerUp says whom the best candidate has beaten, "" where it was alone.
func (f *fitted) runnerUp() string {
	others := slices.Delete(slices.Clone(f.validations), f.best, f.best+1)
	if len(others) == 0 {
		return ""
	}
	second := others[best(others)]
	return fmt.Sprintf(", the best of %d candidates before %s with %.4f ± %.4f",
		len(f.validations), second.candidate.Describe(), mean(second.logLoss()), deviation(second.logLoss()))
}
