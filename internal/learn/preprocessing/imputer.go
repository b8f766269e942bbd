package preprocessing

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/emit"
	"github.com/petal-ml/petal/internal/onnx"
)

// SimpleImputer puts the median of a feature's training values in place of a
// missing one, as scikit-learn's SimpleImputer(strategy="median",
// keep_empty_features=True): the mean of the middle two where their number is
// even, and 0 where all are missing.
type SimpleImputer struct {
	// Statistics holds each feature's median after Fit.
	Statistics []float64
}

var _ learn.Transformer = (*SimpleImputer)(nil)

// Name returns "SimpleImputer".
func (*SimpleImputer) Name() string { return "SimpleImputer" }

// Params returns the strategy, which is always "median".
func (*SimpleImputer) Params() map[string]any { return map[string]any{"strategy": "median"} }

// Fit learns the medians, one feature at a time: it needs memory for one column.
func (s *SimpleImputer) Fit(ctx context.Context, rows learn.Rows) error {
	n, p := rows.Dims()
	medians := make([]float64, p)
	row, column := make([]float64, p), make([]float64, 0, n)
	for j := range p {
		if err := ctx.Err(); err != nil {
			return err
		}
		column = column[:0]
		for i := range n {
			v := rows.X.At(i, j)
			if len(rows.Through) > 0 {
				rows.Read(row, i)
				v = row[j]
			}
			if math.IsInf(v, 0) {
				return fmt.Errorf("fit SimpleImputer: row %d, column %d is %v: %w", i, j, v, learn.ErrValue)
			}
			if !math.IsNaN(v) {
				column = append(column, v)
			}
		}
		medians[j] = median(column)
	}
	s.Statistics = medians
	return nil
}

// median sorts the values.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	low, high := values[(len(values)-1)/2], values[len(values)/2]
	return low + (high-low)/2
}

// TransformRow copies row to dst with the medians in place of NaN.
func (s *SimpleImputer) TransformRow(dst, row []float64) {
	for j, v := range row {
		if math.IsNaN(v) {
			v = s.Statistics[j]
		}
		dst[j] = v
	}
}

// Emit adds an Imputer node.
func (s *SimpleImputer) Emit(b *emit.Builder, input string) (string, error) {
	if s.Statistics == nil {
		return "", fmt.Errorf("write SimpleImputer as ONNX: %w", learn.ErrNotFitted)
	}
	return b.NodeML("Imputer", []string{input},
		onnx.FloatsAttribute("imputed_value_floats", emit.Floats(s.Statistics)...),
		onnx.FloatAttribute("replaced_value_float", float32(math.NaN()))), nil
}
