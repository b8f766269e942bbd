package training

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval"
)

// loadPredictor compiles a model file.
func loadPredictor(raw []byte) (*eval.Predictor, error) {
	model, err := onnx.Load(bytes.NewReader(raw), onnx.Limits{})
	if err != nil {
		return nil, err
	}
	session, err := eval.NewSession(model)
	if err != nil {
		return nil, err
	}
	return eval.NewPredictor(session)
}

// Models that an earlier version of this package wrote still load, and say what
// they said then: testdata/earlier holds the files, and for some rows, one value
// in ten missing, what serving answered.
func TestEarlierModels(t *testing.T) {
	dir := filepath.Join("testdata", "earlier")
	text, err := os.ReadFile(filepath.Join(dir, "predictions.json"))
	require.NoError(t, err)
	var earlier struct {
		MadeBy string       `json:"made_by"`
		Rows   [][]*float32 `json:"rows"`
		Models map[string]struct {
			Labels        []string    `json:"labels"`
			Probabilities [][]float64 `json:"probabilities"`
		} `json:"models"`
	}
	require.NoError(t, json.Unmarshal(text, &earlier))
	require.Len(t, earlier.Models, 5)
	for name, said := range earlier.Models {
		t.Run(name, func(t *testing.T) {
			raw, err := os.ReadFile(filepath.Join(dir, name+".onnx"))
			require.NoError(t, err)
			predictor, err := loadPredictor(raw)
			require.NoError(t, err)
			for i, row := range earlier.Rows {
				x := make([]float32, len(row))
				for j, v := range row {
					x[j] = float32(math.NaN())
					if v != nil {
						x[j] = *v
					}
				}
				scores := make([]float32, predictor.Labels().Len())
				class, err := predictor.PredictRow(x, scores)
				require.NoError(t, err)
				assert.Equal(t, said.Labels[i], predictor.Labels().Text(class), "row %d", i)
				for k, score := range scores {
					assert.InDelta(t, said.Probabilities[i][k], score, 1e-6, "row %d", i)
				}
			}
		})
	}
}
