package training

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"runtime/debug"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/inspection"
	"github.com/petal-ml/petal/internal/learn/metrics"
	"github.com/petal-ml/petal/internal/training/pictures"
)

// Draw makes the pictures of a run.
type Draw func(*pictures.Subject) ([]pictures.Picture, error)

// runFiles are the files of a run beside the model: parameters, data, modules
// and, where draw is not nil, pictures.
func runFiles(p prepared, f fitted, j judged, draw Draw) ([]pictures.Picture, error) {
	params, err := yaml.Dump(p.params)
	if err != nil {
		return nil, fmt.Errorf("write params.yaml: %w", err)
	}
	profile, err := json.MarshalIndent(profile(p.data, p.training, p.test), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the profile: %w", err)
	}
	files := []pictures.Picture{
		{Name: "params.yaml", Content: params},
		{Name: "data_profile.json", Content: profile},
		{Name: "modules.txt", Content: modules()},
		{Name: classFile, Content: classTable(p, j)},
	}
	if j.importance != nil {
		files = append(files, pictures.Picture{Name: "importance.json", Content: importanceJSON(p, j)})
	}
	if draw == nil {
		return files, nil
	}
	drawn, err := draw(subject(p, f, j))
	return append(files, drawn...), err
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
func classTable(p prepared, j judged) []byte {
	rows := make([][]any, len(j.test.Classes))
	for k, c := range j.test.Classes {
		rows[k] = []any{p.classes[k]}
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

func importanceJSON(p prepared, j judged) []byte {
	type entry struct {
		Feature string  `json:"feature"`
		Mean    float64 `json:"mean"`
		Std     float64 `json:"std"`
	}
	entries := []entry{}
	for _, k := range inspection.Order(j.importance) {
		entries = append(entries, entry{p.data.Features[k], j.importance[k].Mean, j.importance[k].Std})
	}
	text, _ := json.MarshalIndent(entries, "", "  ") // log-losses are clipped and so finite
	return text
}

// subject is the model as it is drawn.
func subject(p prepared, f fitted, j judged) *pictures.Subject {
	return &pictures.Subject{
		Features: p.data.Features, Classes: p.classes, Model: f.model,
		Training: pictures.Rows{X: p.training.x, Y: p.training.y, Report: j.training},
		Test:     pictures.Rows{X: p.test.x, Y: p.test.y, Report: j.test},
		Proba:    j.proba, Losses: f.losses, Importance: j.importance,
	}
}

// tables are what other programs draw from.
func tables(p prepared, j judged) map[string][]byte {
	var predictions, roc bytes.Buffer
	write := func(w *csv.Writer, record ...string) { _ = w.Write(record) } // a buffer never fails
	w := csv.NewWriter(&predictions)
	write(w, "actual", "predicted")
	for i, class := range learn.Predict(j.proba) {
		write(w, p.classes[p.test.y[i]], p.classes[class])
	}
	w.Flush()
	w = csv.NewWriter(&roc)
	write(w, "class", "fpr", "tpr")
	for class, name := range p.classes {
		positive := make([]bool, len(p.test.y))
		for i, k := range p.test.y {
			positive[i] = k == class
		}
		curve := metrics.Curve(positive, mat.Col(nil, class, j.proba))
		last := curve[len(curve)-1]
		for _, c := range append([]metrics.CurvePoint{{}}, curve...) {
			write(w, name, share(c.FalsePositives, last.FalsePositives), share(c.TruePositives, last.TruePositives))
		}
	}
	w.Flush()
	return map[string][]byte{"predictions.csv": predictions.Bytes(), "roc.csv": roc.Bytes()}
}

func share(part, whole int) string {
	return strconv.FormatFloat(float64(part)/float64(max(whole, 1)), 'g', -1, 64)
}
