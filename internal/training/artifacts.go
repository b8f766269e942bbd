package training

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/inspection"
	"github.com/petal-ml/petal/internal/learn/metrics"
	"github.com/petal-ml/petal/internal/registry"
	"github.com/petal-ml/petal/internal/training/pictures"
)

// logCandidates makes a child run for each candidate, with its parameters and
// its figures on each fold.
func (t *Trainer) logCandidates(ctx context.Context, parent registry.Run, j *job, f *fitted) error {
	for i, v := range f.validations {
		child, err := t.cfg.Registry.StartRun(ctx, registry.RunSpec{
			Name:        fmt.Sprintf("%02d-%s", i+1, v.candidate.Name),
			Description: v.candidate.Describe(),
			ParentID:    parent.ID(),
			User:        t.cfg.User, Source: t.cfg.Source, Commit: j.commit,
			Tags: map[string]string{tagEstimator: v.candidate.Name, "petal.best": strconv.FormatBool(i == f.best)},
		})
		if err != nil {
			return fmt.Errorf("start the run of %s: %w", v.candidate.Name, err)
		}
		if err := t.logCandidate(ctx, child, v); err != nil {
			t.abandon(ctx, child, err)
			return fmt.Errorf("log candidate %s: %w", v.candidate.Name, err)
		}
	}
	return nil
}

func (t *Trainer) logCandidate(ctx context.Context, child registry.Run, v validation) error {
	if err := child.LogParams(ctx, estimatorParams(v.candidate.New())); err != nil {
		return err
	}
	var points []registry.Metric
	add := func(key string, value float64, step int) {
		points = append(points, registry.Metric{Key: key, Value: value, Step: int64(step), Time: t.cfg.Now()})
	}
	for _, name := range []string{"log_loss", "accuracy_score"} {
		for fold, value := range v.fold(name) {
			add("fold_"+name, value, fold)
		}
	}
	values := finite(v.figures())
	for _, name := range slices.Sorted(maps.Keys(values)) {
		add("val_"+name, values[name], 0)
	}
	if err := child.LogMetrics(ctx, points); err != nil {
		return err
	}
	return child.Finish(ctx, registry.Finished)
}

// figures are mean and spread over the folds.
func (v validation) figures() map[string]float64 {
	values := map[string]float64{}
	for name := range v.folds[0] {
		values[name], values[name+"_std"] = mean(v.fold(name)), deviation(v.fold(name))
	}
	return values
}

// Bounds of the permutation importance: it predicts rows × features × repeats
// rows.
const (
	importanceRepeats  = 5
	importanceRows     = 1000
	importanceFeatures = 200
)

// measureImportance asks how much each feature matters on the hold-out, or the first
// rows of a large one. Beyond some hundred features nobody asks.
func (f *fitted) measureImportance(ctx context.Context, j *job) error {
	if len(j.data.Features) > importanceFeatures {
		return nil
	}
	rows := j.test
	if len(rows.y) > importanceRows {
		first := make([]int, importanceRows) // the hold-out is in random order
		for i := range first {
			first[i] = i
		}
		rows = rows.take(first)
	}
	var err error
	f.importance, err = inspection.PermutationImportance(ctx, f.model, rows.x, rows.y,
		func(y []int, proba *mat.Dense) float64 { return -metrics.LogLoss(y, proba) }, importanceRepeats, j.params.Seed())
	return err
}

// logFiles logs the files beside the model: parameters, data, modules and
// pictures.
func (t *Trainer) logFiles(ctx context.Context, run registry.Run, j *job, f *fitted) error {
	params, err := yaml.Dump(j.params)
	if err != nil {
		return fmt.Errorf("write params.yaml: %w", err)
	}
	profile, err := json.MarshalIndent(profile(j.data, j.training, j.test), "", "  ")
	if err != nil {
		return fmt.Errorf("write the profile: %w", err)
	}
	files := []pictures.Picture{{Name: "params.yaml", Content: params}, {Name: "data_profile.json", Content: profile}, {Name: "modules.txt", Content: modules()}, {Name: classFile, Content: f.classTable(j)}}
	if f.importance != nil {
		files = append(files, pictures.Picture{Name: "importance.json", Content: f.importanceJSON(j)})
	}
	if t.cfg.Draw != nil {
		drawn, err := t.cfg.Draw(f.subject(j))
		if err != nil {
			return err
		}
		files = append(files, drawn...)
	}
	for _, file := range files {
		if err := run.LogFile(ctx, file.Name, file.Content); err != nil {
			return fmt.Errorf("log %s: %w", file.Name, err)
		}
	}
	return nil
}

// modules lists what this program was built from, each with its checksum.
func modules() []byte {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return []byte("unknown\n")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", info.Main.Path, info.GoVersion)
	for _, m := range info.Deps {
		fmt.Fprintf(&b, "%s %s %s\n", m.Path, m.Version, m.Sum)
	}
	return []byte(b.String())
}

// classFile is a table that MLflow shows: the run's tag says so.
const classFile = "test_classes.json"

// classTable has the figures of each class on the hold-out.
func (f *fitted) classTable(j *job) []byte {
	rows := make([][]any, len(f.test.Classes))
	for k, c := range f.test.Classes {
		rows[k] = []any{j.data.Classes.Text(k)}
		for _, v := range []float64{c.Precision, c.Recall, c.F1, c.ROCAUC, c.PRAUC} {
			if math.IsNaN(v) { // JSON has none
				rows[k] = append(rows[k], nil)
				continue
			}
			rows[k] = append(rows[k], v)
		}
		rows[k] = append(rows[k], c.Support)
	}
	text, _ := json.Marshal(map[string]any{ // texts, finite numbers and nulls
		"columns": []string{"class", "precision_score", "recall_score", "f1_score", "roc_auc", "average_precision_score", "support"},
		"data":    rows,
	})
	return text
}

func (f *fitted) importanceJSON(j *job) []byte {
	type entry struct {
		Feature string  `json:"feature"`
		Mean    float64 `json:"mean"`
		Std     float64 `json:"std"`
	}
	entries := []entry{}
	for _, k := range inspection.Order(f.importance) {
		entries = append(entries, entry{j.data.Features[k], f.importance[k].Mean, f.importance[k].Std})
	}
	text, _ := json.MarshalIndent(entries, "", "  ") // log-losses are clipped and so finite
	return text
}

// subject is the model as it is drawn.
func (f *fitted) subject(j *job) *pictures.Subject {
	names := make([]string, j.data.Classes.Len())
	for i := range names {
		names[i] = j.data.Classes.Text(i)
	}
	return &pictures.Subject{
		Features: j.data.Features, Classes: names, Model: f.model,
		Training: pictures.Rows{X: j.training.x, Y: j.training.y, Report: f.training},
		Test:     pictures.Rows{X: j.test.x, Y: j.test.y, Report: f.test},
		Proba:    f.proba, Losses: f.losses, Importance: f.importance,
	}
}

// tables are what other programs draw from.
func (f *fitted) tables(j *job) map[string][]byte {
	names := j.data.Classes
	var predictions, roc bytes.Buffer
	write := func(w *csv.Writer, record ...string) { _ = w.Write(record) } // a buffer never fails
	w := csv.NewWriter(&predictions)
	write(w, "actual", "predicted")
	for i, class := range learn.Predict(f.proba) {
		write(w, names.Text(j.test.y[i]), names.Text(class))
	}
	w.Flush()
	w = csv.NewWriter(&roc)
	write(w, "class", "fpr", "tpr")
	for class := range names.Len() {
		positive := make([]bool, len(j.test.y))
		for i, k := range j.test.y {
			positive[i] = k == class
		}
		curve := metrics.Curve(positive, mat.Col(nil, class, f.proba))
		last := curve[len(curve)-1]
		for _, c := range append([]metrics.CurvePoint{{}}, curve...) {
			write(w, names.Text(class), share(c.FalsePositives, last.FalsePositives), share(c.TruePositives, last.TruePositives))
		}
	}
	w.Flush()
	return map[string][]byte{"predictions.csv": predictions.Bytes(), "roc.csv": roc.Bytes()}
}

func share(part, whole int) string {
	return strconv.FormatFloat(float64(part)/float64(max(whole, 1)), 'g', -1, 64)
}
