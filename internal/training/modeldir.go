package training

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/petal-ml/petal/internal/dataset"
	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/emit"
	"github.com/petal-ml/petal/internal/learn/metrics"
	"github.com/petal-ml/petal/internal/learn/preprocessing"
	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/promotion"
	"github.com/petal-ml/petal/internal/registry"
)

// describeData describes the data for the registry.
func describeData(p prepared) registry.Dataset {
	return registry.Dataset{
		Name: p.data.Name, Path: p.source.path, Digest: p.data.MD5, Context: "training",
		Columns: append(columns(p), mlmodel.Column{Name: p.data.Label, Type: labelType(p)}), Rows: p.data.Rows(),
	}
}

func columns(p prepared) []mlmodel.Column {
	columns := make([]mlmodel.Column, len(p.data.Features))
	for i, name := range p.data.Features {
		columns[i] = mlmodel.Column{Name: name, Type: columnType(p.data, i)}
	}
	return columns
}

// columnType is MLflow's type of a column. It gives true and false to a column of
// text that they come in; other words of a boolean are text to it.
func columnType(d *dataset.Dataset, column int) string {
	if d.Columns == nil || !d.Columns[column].IsText() {
		return mlmodel.Double
	}
	if c := d.Columns[column]; c.Kind == dataset.Boolean && strings.EqualFold(c.Categories[1], "true") {
		return mlmodel.Boolean
	}
	return mlmodel.String
}

// petalFeatures say what Petal itself knows of each column.
func petalFeatures(p prepared, f fitted) []mlmodel.PetalFeature {
	features := make([]mlmodel.PetalFeature, len(p.data.Features))
	pipeline, _ := f.model.(*learn.Pipeline)
	for i, name := range p.data.Features {
		features[i] = mlmodel.PetalFeature{Name: name, Type: columnType(p.data, i)}
		if p.columns() == nil || !p.data.Columns[i].IsText() {
			continue
		}
		features[i].Kind = string(p.data.Columns[i].Kind)
		features[i].Categories = pipeline.Steps[0].(*preprocessing.ColumnEncoder).Categories(i)
	}
	return features
}

// toONNX writes the model for the columns of the data.
func toONNX(p prepared, f fitted) (*onnx.Model, error) {
	columns := p.columns()
	if columns == nil {
		return learn.ToONNX(f.model, len(p.data.Features), p.data.Classes)
	}
	inputs := make([]emit.InputColumn, len(columns))
	for i, c := range columns {
		inputs[i] = emit.InputColumn{Name: c.Name, Text: c.Categories != nil}
	}
	return learn.ToTypedONNX(f.model, inputs, p.data.Classes)
}

func labelType(p prepared) string {
	if p.data.Classes.Ints != nil {
		return mlmodel.Long
	}
	return mlmodel.String
}

// modelDir writes the model as ONNX and describes it for MLflow, Petal's own
// facts included. test is its report on the hold-out.
func modelDir(p prepared, f fitted, test *metrics.Report, now time.Time) (mlmodel.Dir, error) {
	graph, err := toONNX(p, f)
	if err != nil {
		return mlmodel.Dir{}, err
	}
	reference, err := json.Marshal(reference(p.data, p.training))
	if err != nil {
		return mlmodel.Dir{}, fmt.Errorf("write %s: %w", referenceFile, err)
	}
	classes := make([]any, len(p.classes))
	for i := range classes {
		classes[i] = p.data.Classes.Value(i)
	}
	params := map[string]string{}
	for _, param := range estimatorParams(f.model) {
		params[param.Key] = param.Value
	}
	dir := mlmodel.Dir{
		ONNX: graph.Marshal(),
		Signature: mlmodel.Signature{
			Inputs: columns(p),
			Outputs: []mlmodel.Column{
				{Name: "label", Type: labelType(p)},
				{Name: "probabilities", Type: mlmodel.Map, Values: mlmodel.Float},
			},
		},
		Petal: &mlmodel.PetalMetadata{
			Estimator:      f.candidate.Name,
			Classes:        classes,
			Metrics:        finite(figures(test)),
			Data:           mlmodel.PetalData{Path: p.source.path, MD5: p.data.MD5},
			TrainedAt:      now.UTC(),
			MissingColumns: p.data.MissingColumns(),
			Features:       petalFeatures(p, f),
		},
		Extra:  map[string][]byte{promotion.RowsFile: promotion.EncodeHashes(hashes(p.training.x, textsOf(p.data))), referenceFile: reference},
		Params: params, Tags: p.source.tags(), Created: now.UTC(),
	}
	if rows := example(p); p.columns() == nil {
		dir.InputExample = rows
	} else {
		dir.Typed, dir.TypedExample = true, typedExample(p, rows)
	}
	return dir, nil
}

// typedExample writes rows as they are sent: texts as texts.
func typedExample(p prepared, rows [][]float64) [][]any {
	texts := textsOf(p.data)
	typed := make([][]any, len(rows))
	for i, row := range rows {
		for j, v := range row {
			switch {
			case texts[j] == nil: // 71 would be an integer to pandas, which MLflow does not take for a double
				typed[i] = append(typed[i], json.RawMessage(number(v)))
			case columnType(p.data, j) == mlmodel.Boolean:
				typed[i] = append(typed[i], v == 1)
			default:
				typed[i] = append(typed[i], texts[j][int(v)])
			}
		}
	}
	return typed
}

// example is the first training row of each of the first classes, without
// missing values.
func example(p prepared) [][]float64 {
	const most = 3
	var rows [][]float64
	for class := range min(len(p.classes), most) {
		for i, y := range p.training.y {
			row := p.training.x.RawRowView(i)
			if y == class && !slices.ContainsFunc(row, math.IsNaN) {
				rows = append(rows, slices.Clone(row))
				break
			}
		}
	}
	return rows
}
