package onnx_test

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/onnx/eval"
	"github.com/petal-ml/petal/tests"
	"github.com/petal-ml/petal/tests/testenv"
	"github.com/petal-ml/petal/tests/testenv/pyvenv"
)

//go:embed export.py
var exportScript string

// An exportCase is one entry of the exporter's index.
type exportCase struct {
	ID          string `json:"id"`
	Library     string `json:"library"`
	Estimator   string `json:"estimator"`
	Variant     string `json:"variant"`
	Kind        string `json:"kind"`
	Skipped     string `json:"skipped"`     // no case at all
	Unconverted string `json:"unconverted"` // the converter refused
	Unloadable  string `json:"unloadable"`  // onnxruntime refused what the converter wrote
}

// An exportRun is one batch of rows with onnxruntime's answer.
type exportRun struct {
	Group   string               `json:"group"`
	Fault   string               `json:"fault"` // what onnxruntime said in place of an answer
	Inputs  map[string]jsonValue `json:"inputs"`
	Outputs []jsonValue          `json:"outputs"`
}

// exported runs a script into a cached folder, once for each version of it and of
// the pins, and returns the folder.
func exported(t *testing.T, name, script string) string {
	t.Helper()
	testenv.Python(t)
	digest := sha256.Sum256([]byte(script + tests.Requirements + tests.Constraints))
	cache, err := pyvenv.CacheDir()
	require.NoError(t, err)
	dir := filepath.Join(cache, name+"-"+hex.EncodeToString(digest[:6]))
	require.NoError(t, os.MkdirAll(cache, 0o750))
	unlock, err := pyvenv.Lock(dir + ".lock")
	require.NoError(t, err)
	defer unlock()
	if _, err := os.Stat(filepath.Join(dir, "index.json")); err == nil {
		return dir
	}
	testenv.RunPython(t, script, nil, dir)
	return dir
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, into))
}

// tolerance is how far numbers may lie from onnxruntime's, relative to the larger
// of 1 and the number: what float32 leaves after sums in another order.
const tolerance = 1e-5

// TestExportedModels compares every model that was exported with onnxruntime, on
// ordinary rows and on hard ones.
func TestExportedModels(t *testing.T) {
	dir := exported(t, "onnx-exports", exportScript)
	var index struct{ Cases []exportCase }
	readJSON(t, filepath.Join(dir, "index.json"), &index)
	compared := 0
	table := newCoverage()
	for _, c := range index.Cases {
		if c.Skipped != "" {
			continue
		}
		result := "unconverted"
		switch {
		case c.Unconverted != "":
		case c.Unloadable != "":
			result = "unloadable"
		default:
			compared++
			result = compareCase(t, dir, c)
		}
		table.add(c, result)
	}
	require.GreaterOrEqual(t, compared, 300, "models compared")
	served, all := table.classifiers()
	require.GreaterOrEqual(t, float64(served), 0.95*float64(all), "classifiers of scikit-learn that convert and are served")
	table.check(t)
	t.Logf("%d models compared; %d of %d classifiers of scikit-learn that convert are served", compared, served, all)
}

// knownDifference says why Petal and onnxruntime differ on a group of rows of an
// estimator, empty where they must not.
func knownDifference(c exportCase, group string) string {
	switch {
	case group == "extreme" && c.Estimator == "ComplementNB":
		return "sums of ±3e38 overflow in float32 or not, as the order of the terms has it"
	case group == "large" && strings.HasPrefix(c.Estimator, "KNeighbors"):
		return "distances of 10^6 in float32 are equal or not, as the order of the terms has it"
	}
	return ""
}

// refusals are the models that Petal does not serve, though onnxruntime runs
// them, each with the reason.
func refusals() map[string]string {
	return map[string]string{
		"lightgbm multi-forest": "onnxmltools writes scores for two of the three classes",
	}
}

// compareCase returns "served", "fast" for a model on the fast path, or
// "unsupported".
func compareCase(t *testing.T, dir string, c exportCase) string {
	data, err := os.ReadFile(filepath.Join(dir, c.ID, "model.onnx"))
	require.NoError(t, err)
	result := "unsupported"
	t.Run(c.ID, func(t *testing.T) {
		session, predictor, err := open(data)
		if refusals()[c.Library+" "+c.Estimator] != "" {
			require.ErrorIs(t, err, onnx.ErrUnsupported, "it is listed as refused")
			return
		}
		require.NoError(t, err)
		result = "served"
		if fast, _ := predictor.FastPath(); fast {
			result = "fast"
		}
		var file struct{ Runs []exportRun }
		readJSON(t, filepath.Join(dir, c.ID, "case.json"), &file)
		for _, run := range file.Runs {
			if difference := compareRun(session, predictor, run); difference != "" {
				if reason := knownDifference(c, run.Group); reason != "" {
					continue
				}
				t.Errorf("%s rows: %s", run.Group, difference)
			}
		}
	})
	return result
}

func open(data []byte) (*eval.Session, *eval.Predictor, error) {
	model, err := onnx.Load(bytes.NewReader(data), onnx.Limits{})
	if err != nil {
		return nil, nil, err
	}
	session, err := eval.NewSession(model)
	if err != nil {
		return nil, nil, err
	}
	predictor, err := eval.NewPredictor(session)
	return session, predictor, err
}

func compareRun(session *eval.Session, predictor *eval.Predictor, run exportRun) string {
	if run.Fault != "" {
		return ""
	}
	inputs := make(map[string]eval.Value, len(run.Inputs))
	for name, v := range run.Inputs {
		tensor, err := v.tensor()
		if err != nil {
			return err.Error()
		}
		inputs[name] = tensor
	}
	outputs, err := session.Run(inputs)
	if err != nil {
		return err.Error()
	}
	for i := range outputs {
		if d := differs(outputs[i], &run.Outputs[i], tolerance); d != "" {
			return fmt.Sprintf("output %d: %s", i, d)
		}
	}
	batch, err := predictor.Predict(inputs)
	if errors.Is(err, eval.ErrNotByRow) && predictor.IsRegressor() {
		return "" // skl2onnx lays several targets of a row below one another: none that is loaded to serve.
	}
	if err != nil {
		return err.Error()
	}
	for i, class := range batch.Classes {
		got, wanted := predictor.Labels().Text(class), run.Outputs[0].text(i)
		// Where scores are named by index, so is the label.
		if got != wanted && strconv.Itoa(class) != wanted {
			return fmt.Sprintf("row %d has the label %q, wanted %q", i, got, wanted)
		}
	}
	return compareRows(predictor, batch, inputs)
}

// compareRows holds the rows that the fast path scores against the batch.
func compareRows(p *eval.Predictor, batch eval.Predictions, inputs map[string]eval.Value) string {
	if fast, _ := p.FastPath(); !fast {
		return ""
	}
	for _, v := range inputs {
		x, _ := onnx.Elements[float32](v.(*onnx.Tensor))
		n, scores := p.NumFeatures(), make([]float32, p.NumScores())
		for i := range len(x) / n {
			class, err := p.PredictRow(x[i*n:(i+1)*n], scores)
			if err != nil {
				return err.Error()
			}
			if !p.IsRegressor() && class != batch.Classes[i] {
				return fmt.Sprintf("fast path: row %d is of class %d, wanted %d", i, class, batch.Classes[i])
			}
			for k, s := range scores {
				if !near(float64(s), batch.Scores[i*len(scores)+k], tolerance) {
					return fmt.Sprintf("fast path: row %d, score %d is %v, wanted %v", i, k, s, batch.Scores[i*len(scores)+k])
				}
			}
		}
	}
	return ""
}
