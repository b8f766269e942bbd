package mlmodel

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
	"github.com/petal-ml/petal/tests/testenv/golden"
)

// hostile are texts that one YAML reader or another takes for something else.
var hostile = []string{
	"yes", "NO", "on", "null", "~", "", " ", "1", "1.0", "1e5", "1e-07", "0x1F", "0o17", "012", "1_000", "12:30:45",
	"190:20:30", ".nan", ".inf", "2026-11-23", "2026-11-23T12:00:00Z", "=", "<<", "- a", "a: b", "#c", "a #b", "*a", "&a", "!x",
	"%x", "@x", "`x", "'q'", `"q"`, `\n`, "line\nbreak", "tab\t", "\u0085", "\u2028", "\ufeff", "😀", "é", "[a", "{b", "a, b", "|", ">", "?", "? a",
	strings.Repeat("long words ", 40),
}

func modelDir() Dir {
	classes := make([]any, len(hostile))
	for i, s := range hostile {
		classes[i] = s
	}
	return Dir{
		ONNX: []byte("onnx"),
		Signature: Signature{
			Inputs: []Column{
				{Name: "a <b> & 'c', \"d\"", Type: Double},
				{Name: "длина", Type: Double, Optional: true},
				{Name: "t", Type: Tensor, Values: "float32", Shape: []int64{-1, 4}},
			},
			Outputs: []Column{{Name: "label", Type: String}, {Name: "probabilities", Type: Map, Values: Float}},
		},
		InputExample: [][]float64{{1, math.NaN(), 1e-7}},
		Petal: &PetalMetadata{
			Estimator: "x", Classes: classes, MissingColumns: []string{"длина"},
			Metrics:   map[string]float64{"a": 1e-7, "b": 1e22, "nan": math.NaN(), "inf": math.Inf(-1), "c": 3},
			Data:      PetalData{Path: "data/iris.csv", MD5: "12345678901234567890123456789012"},
			TrainedAt: time.Date(2026, 11, 23, 15, 0, 0, 5, time.FixedZone("", 3*3600)),
			Features:  []PetalFeature{{Name: "длина", Type: Double}},
		},
		Metadata: map[string]any{"owner": "on", "nested": map[string]any{"k": []any{1.5, true, nil}}},
		Created:  time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
	}
}

func TestModelFileRoundTrip(t *testing.T) {
	dir := modelDir()
	ids := IDs{ModelID: "m-0123", RunID: "0e12", ArtifactPath: "mlflow-artifacts:/1/models/m-0123/artifacts"}
	files, err := dir.Files(ids)
	require.NoError(t, err)
	again, err := dir.Files(ids)
	require.NoError(t, err)
	require.Equal(t, files, again, "the same input gives the same bytes")

	m, err := Parse(files[ModelFile])
	require.NoError(t, err)
	require.Equal(t, "m-0123", m.ModelID)
	require.Equal(t, "0e12", m.RunID, "text, though it looks like a number")
	require.Equal(t, dir.Created, m.UTCTimeCreated)
	require.Equal(t, dir.Signature, m.Signature)
	require.Equal(t, ONNXFile, m.ONNXFile)
	require.Equal(t, []string{"onnx", "python_function"}, m.Flavors)
	require.Equal(t, dir.Petal.Classes, m.Petal.Classes)
	require.True(t, dir.Petal.TrainedAt.Equal(m.Petal.TrainedAt))
	require.True(t, math.IsNaN(m.Petal.Metrics["nan"]))
	require.Equal(t, 1e-7, m.Petal.Metrics["a"])
	require.JSONEq(t, `{"columns":["a <b> & 'c', \"d\"","длина","t"],"data":[[1,null,1e-7]]}`, string(files[inputExampleFile]))
}

// TestPythonReadsTheSame has PyYAML, which follows YAML 1.1, read what was
// written for it.
func TestPythonReadsTheSame(t *testing.T) {
	files, err := modelDir().Files(IDs{ModelID: "m-0123", RunID: "0e12"})
	require.NoError(t, err)
	out := testenv.RunPython(t, `
import json, sys, yaml
print(json.dumps([yaml.safe_load(text) for text in sys.argv[1:]]))`, nil,
		string(files[ModelFile]), string(files[condaFile]), string(files[pythonEnvFile]))
	// Python writes NaN and -Infinity bare.
	out = []byte(strings.NewReplacer("-Infinity", `"-inf"`, "NaN", `"nan"`).Replace(string(out)))
	var read []map[string]any
	require.NoError(t, json.Unmarshal(out, &read))

	petal := read[0]["metadata"].(map[string]any)["petal"].(map[string]any)
	want := make([]any, len(hostile))
	for i, s := range hostile {
		want[i] = s
	}
	require.Equal(t, want, petal["classes"])
	require.Equal(t, map[string]any{"a": 1e-7, "b": 1e22, "nan": "nan", "inf": "-inf", "c": 3.0}, petal["metrics"])
	require.Equal(t, "2026-11-23T12:00:00.000000005Z", petal["trained_at"])
	require.Equal(t, "12345678901234567890123456789012", petal["data"].(map[string]any)["md5"])
	require.Equal(t, "0e12", read[0]["run_id"])
	require.Equal(t, "3.11.7", read[2]["python"])
	require.Equal(t, "pip", read[1]["dependencies"].([]any)[1])
}

// TestParsePythonsModel reads MLmodel files of the forms that the real client
// writes.
func TestParsePythonsModel(t *testing.T) {
	out := testenv.RunPython(t, `
import json, sys, tempfile, os, numpy as np, onnx, mlflow
from onnx import helper, TensorProto
from mlflow.models import ModelSignature
from mlflow.types import Schema, ColSpec, TensorSpec, DataType
graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])], [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
signatures = {
    "none": None,
    "columns": ModelSignature(Schema([ColSpec(DataType.double, "a b"), ColSpec(DataType.long, "c", required=False)]), Schema([ColSpec(DataType.string)])),
    "tensor": ModelSignature(Schema([TensorSpec(np.dtype("float32"), (-1, 2), "x")]), None),
}
files = {}
for name, signature in signatures.items():
    path = os.path.join(tempfile.mkdtemp(), "m")
    # Requirements that are given need not be found in another Python, which takes seconds.
    mlflow.onnx.save_model(model, path, signature=signature, metadata={"team": "x"} if signature else None,
        pip_requirements=mlflow.onnx.get_default_pip_requirements())
    files[name] = open(os.path.join(path, "MLmodel")).read()
print(json.dumps(files))`, nil)
	var files map[string]string
	require.NoError(t, json.Unmarshal(out, &files), "%s", out)
	for name, want := range map[string]Signature{
		"none":    {},
		"columns": {Inputs: []Column{{Name: "a b", Type: Double}, {Name: "c", Type: Long, Optional: true}}, Outputs: []Column{{Type: String}}},
		"tensor":  {Inputs: []Column{{Name: "x", Type: Tensor, Values: "float32", Shape: []int64{-1, 2}}}},
	} {
		m, err := Parse([]byte(files[name]))
		require.NoError(t, err, name)
		require.Equal(t, want, m.Signature, name)
		require.Equal(t, "model.onnx", m.ONNXFile)
		require.Nil(t, m.Petal)
		require.WithinDuration(t, time.Now(), m.UTCTimeCreated, time.Hour)
		require.Contains(t, m.Flavors, "python_function")
	}
}

func TestParseRefuses(t *testing.T) {
	const onnx = "flavors: {onnx: {data: model.onnx}}\n"
	messages := golden.New(t)
	for name, file := range map[string]string{
		"empty":         "",
		"no YAML":       "{a",
		"a list":        "[1, 2]",
		"no flavors":    "run_id: x",
		"no data":       "flavors: {onnx: {}}",
		"absolute path": "flavors: {onnx: {data: /etc/passwd}}",
		"path upwards":  "flavors: {onnx: {data: a/../../x}}",
		"folder":        "flavors: {onnx: {data: .}}",
		"time":          onnx + "utc_time_created: yesterday",
		"signature":     onnx + "signature: {inputs: '{}'}",
		"classes":       onnx + "metadata: {petal: {classes: [1.5]}}",
		"trained at":    onnx + "metadata: {petal: {trained_at: soon}}",
		"too large":     onnx + strings.Repeat("#", maxModelFile),
		"aliases": "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n" +
			"d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n" +
			"metadata: {g: [*f,*f,*f,*f,*f,*f,*f,*f,*f]}",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(file))
			require.ErrorContains(t, err, ModelFile+": ", "the place")
			messages.Add(name, err)
			require.NotContains(t, err.Error(), "\n", "one line")
		})
	}
}

func TestParseKeepsIntegerClasses(t *testing.T) {
	m, err := Parse([]byte("flavors: {onnx: {data: sub/m.onnx}}\nmetadata: {petal: {classes: [0, -1, 9223372036854775807]}}\nmodel_uuid: m-1\nutc_time_created: '2026-11-23 12:00:00'"))
	require.NoError(t, err)
	require.Equal(t, []any{int64(0), int64(-1), int64(math.MaxInt64)}, m.Petal.Classes)
	require.Equal(t, "sub/m.onnx", m.ONNXFile)
	require.Equal(t, "m-1", m.ModelID)
	require.Equal(t, time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), m.UTCTimeCreated)
	m, err = Parse([]byte("flavors: {sklearn: {pickled_model: model.pkl}}"))
	require.NoError(t, err)
	require.Empty(t, m.ONNXFile)
}

func FuzzParse(f *testing.F) {
	files, err := modelDir().Files(IDs{ModelID: "m-0123"})
	require.NoError(f, err)
	f.Add(files[ModelFile])
	f.Add([]byte("flavors: {onnx: {data: x}}\nsignature: {inputs: '[{\"type\":\"tensor\"}]'}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data)
		if err == nil && m.ONNXFile != "" {
			require.NoError(t, CheckPath(m.ONNXFile))
		}
	})
}

// A model of texts and numbers brings a loader, and its example keeps its types.
func TestTypedDir(t *testing.T) {
	files, err := Dir{
		ONNX: []byte("onnx"), Typed: true, TypedExample: [][]any{{"Lyon", json.RawMessage("41.0"), true}},
		Signature: Signature{Inputs: []Column{{Name: "city", Type: String}, {Name: "age", Type: Double}, {Name: "member", Type: Boolean}}},
		Petal:     &PetalMetadata{Features: []PetalFeature{{Name: "city", Type: String, Kind: "category", Categories: []string{"no", "Лион"}}}},
	}.Files(IDs{})
	require.NoError(t, err)
	require.Contains(t, string(files["code/petal_loader.py"]), "def _load_pyfunc(path):")
	require.JSONEq(t, `{"columns":["city","age","member"],"data":[["Lyon",41.0,true]]}`, string(files["input_example.json"]))
	require.Contains(t, string(files["input_example.json"]), "41.0", "a whole number is no double to MLflow")
	require.Contains(t, string(files[ModelFile]), "loader_module: petal_loader\n")
	require.Contains(t, string(files[ModelFile]), "code: code\n")
	m, err := Parse(files[ModelFile])
	require.NoError(t, err)
	require.Equal(t, []string{"no", "Лион"}, m.Petal.Features[0].Categories)
}
