package training

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/metrics"
	"github.com/petal-ml/petal/internal/mlmodel"
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
		columns[i] = mlmodel.Column{Name: name, Type: mlmodel.Double}
	}
	return columns
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
	graph, err := learn.ToONNX(f.model, len(p.data.Features), p.data.Classes)
	if err != nil {
		return mlmodel.Dir{}, err
	}
	reference, err := json.Marshal(reference(p.data, p.training))
	if err != nil {
		return mlmodel.Dir{}, fmt.Errorf("write %s: %w", referenceFile, err)
	}
	features := make([]mlmodel.PetalFeature, len(p.data.Features))
	for i, name := range p.data.Features {
		features[i] = mlmodel.PetalFeature{Name: name, Type: mlmodel.Double}
	}
	classes := make([]any, len(p.classes))
	for i := range classes {
		classes[i] = p.data.Classes.Value(i)
	}
	params := map[string]string{}
	for _, param := range estimatorParams(f.model) {
		params[param.Key] = param.Value
	}
	return mlmodel.Dir{
		ONNX: graph.Marshal(),
		Signature: mlmodel.Signature{
			Inputs: columns(p),
			Outputs: []mlmodel.Column{
				{Name: "label", Type: labelType(p)},
				{Name: "probabilities", Type: mlmodel.Map, Values: mlmodel.Float},
			},
		},
		InputExample: example(p),
		Petal: &mlmodel.PetalMetadata{
			Estimator:      f.candidate.Name,
			Classes:        classes,
			Metrics:        finite(figures(test)),
			Data:           mlmodel.PetalData{Path: p.source.path, MD5: p.data.MD5},
			TrainedAt:      now.UTC(),
			MissingColumns: p.data.MissingColumns(),
			Features:       features,
		},
		Extra:  map[string][]byte{promotion.RowsFile: promotion.EncodeHashes(hashes(p.training.x)), referenceFile: reference},
		Params: params, Tags: p.source.tags(), Created: now.UTC(),
	}, nil
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
