package model_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/registry"
	"github.com/petal-ml/petal/tests/testenv/servingtest"
)

func TestPredictChecksTheRow(t *testing.T) {
	dir := servingtest.Constant(t, 0)
	dir.Petal.MissingColumns = []string{"petal_length"}
	m := open(t, dir)
	scores := make([]float32, 3)
	nan, inf := math.NaN(), math.Inf(1)
	for _, row := range []struct {
		name  string
		row   []float64
		fault model.Fault
		col   int
	}{
		{"too few", []float64{1, 2, 3}, model.WrongWidth, -1},
		{"too many", []float64{1, 2, 3, 4, 5}, model.WrongWidth, -1},
		{"none", nil, model.WrongWidth, -1},
		{"missing", []float64{1, nan, 3, 4}, model.MissingValue, 1},
		{"infinite", []float64{1, 2, 3, inf}, model.OutOfRange, 3},
		{"minus infinite", []float64{-inf, 2, 3, 4}, model.OutOfRange, 0},
		{"beyond float32", []float64{1, 2, 3.5e38, 4}, model.OutOfRange, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := m.Predict(row.row, scores)
			var in *model.InputError
			require.ErrorAs(t, err, &in)
			assert.Equal(t, row.fault, in.Fault)
			assert.Equal(t, row.col, in.Column)
			assert.NotEmpty(t, in.Error())
		})
	}
	_, err := m.Predict([]float64{1, 2, nan, 4}, scores)
	require.ErrorIs(t, err, model.ErrNotFinite, "a missing value is let in, but a linear model makes no number of it")
	require.NoError(t, m.Check([]float64{1, 2, nan, 4}))
	for _, largest := range []float64{math.MaxFloat32, 3.4028235e38} { // as it is, and as float32 is written
		_, err = m.Predict([]float64{largest, -largest, 0, 0}, scores)
		require.NoError(t, err)
	}
}

func TestFeatureNames(t *testing.T) {
	tensor := servingtest.Iris(t)
	tensor.InputExample = nil
	tensor.Signature.Inputs = []mlmodel.Column{{Type: mlmodel.Tensor, Values: "float32", Shape: []int64{-1, 4}}}
	none := servingtest.Iris(t)
	none.Signature, none.InputExample, none.Petal = mlmodel.Signature{}, nil, nil
	for name, dir := range map[string]mlmodel.Dir{"a signature of tensors": tensor, "no signature": none} {
		t.Run(name, func(t *testing.T) {
			var names []string
			for _, f := range open(t, dir).Info().Features {
				names = append(names, f.Name)
			}
			assert.Equal(t, []string{"f0", "f1", "f2", "f3"}, names)
		})
	}
}

func TestIntegerLabels(t *testing.T) {
	m := open(t, servingtest.IrisLabelled(t, onnx.Labels{Ints: []int64{-5, 0, 1 << 60}}))
	assert.Equal(t, int64(1<<60), m.Labels().Value(2))
}

func open(t *testing.T, dir mlmodel.Dir) *model.Model {
	t.Helper()
	files, err := dir.Files(mlmodel.IDs{ModelID: "m-1", RunID: "r"})
	require.NoError(t, err)
	tags := servingtest.Tags(dir)
	m, err := model.Open(t.Context(), model.Files{MLmodel: files["MLmodel"], ONNX: files["model.onnx"], Example: files["input_example.json"]},
		model.Expect{SHA256: tags[registry.TagSHA256], Size: tags[registry.TagSize]}, onnx.Limits{})
	require.NoError(t, err)
	return m
}
