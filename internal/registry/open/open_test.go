package open_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/registry"
	"github.com/petal-ml/petal/internal/registry/directory"
	"github.com/petal-ml/petal/internal/registry/mlflowregistry"
	"github.com/petal-ml/petal/internal/registry/open"
	"github.com/petal-ml/petal/tests/testenv"
	"github.com/petal-ml/petal/tests/testenv/golden"
)

func TestOpenChooses(t *testing.T) {
	messages := golden.New(t)
	const password = "correct-horse"
	for _, test := range []struct {
		name   string
		config open.Config
		want   registry.Registry
		fails  bool
	}{
		{name: "directory", config: open.Config{ArtifactLocation: "./mlruns"}, want: &directory.Store{}},
		{name: "file URI", config: open.Config{ArtifactLocation: "file:///tmp/mlruns"}, want: &directory.Store{}},
		{name: "server", config: open.Config{TrackingURI: "http://localhost:5000", ArtifactLocation: "./mlruns"}, want: &mlflowregistry.Store{}},
		{name: "https with a path", config: open.Config{TrackingURI: "https://host/mlflow"}, want: &mlflowregistry.Store{}},
		{name: "no folder", config: open.Config{}, fails: true},
		{name: "file with a host", config: open.Config{ArtifactLocation: "file://mlruns/x"}, fails: true},
		{name: "bucket without a server", config: open.Config{ArtifactLocation: "s3://bucket/x"}, fails: true},
		{name: "scheme", config: open.Config{TrackingURI: "ftp://petal:" + password + "@host"}, fails: true},
		{name: "malformed", config: open.Config{TrackingURI: "http://petal:" + password + "@host:port"}, fails: true},
		{name: "no host", config: open.Config{TrackingURI: "http:///mlflow"}, fails: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := open.Open(test.config)
			if test.fails {
				require.ErrorIs(t, err, registry.ErrInvalid)
				messages.Add(test.name, err)
				require.NotContains(t, err.Error(), password)
				return
			}
			require.NoError(t, err)
			require.IsType(t, test.want, got)
		})
	}
}

func TestLocalArtifactLocationIsLeftOut(t *testing.T) {
	for location, logged := range map[string]bool{
		"./mlruns": true, "/srv/mlruns": true, "file:///srv/mlruns": true, "s3://bucket/path": false, "mlflow-artifacts:/x": false, "": false,
	} {
		var log bytes.Buffer
		_, err := open.Open(open.Config{
			TrackingURI: "http://localhost:5000", ArtifactLocation: location, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		require.NoError(t, err)
		require.Equal(t, logged, bytes.Contains(log.Bytes(), []byte("left out")), "%q: %s", location, &log)
	}
}

// TestPythonReadsBoth has the real mlflow.pyfunc load what Go wrote: from the
// directory registry by path, from the server by name and alias.
func TestPythonReadsBoth(t *testing.T) {
	server := testenv.StartMLflow(t, testenv.MLflowOptions{})
	root := filepath.Join(t.TempDir(), "mlruns")
	onServer := register(t, open.Config{TrackingURI: server.URL, ArtifactLocation: "./mlruns", ExperimentName: "iris"})
	inFolder := register(t, open.Config{ArtifactLocation: root, ExperimentName: "iris"})
	require.Contains(t, onServer.Source, "models:/m-")

	out := testenv.RunPython(t, loadBoth, []string{"MLFLOW_TRACKING_URI=" + server.URL},
		filepath.Join(root, filepath.FromSlash(inFolder.Source)), "models:/iris@champion")
	var answers []map[string]any
	require.NoError(t, json.Unmarshal(out, &answers), "%s", out)
	require.Len(t, answers, 2)
	for _, answer := range answers {
		require.Equal(t, []any{"setosa", "виргиника"}, answer["labels"])
		require.InDelta(t, 1/(1+0.01831563888873418), answer["first"], 1e-6, "the logistic function of 4")
		require.Equal(t, answer["labels"], answer["shuffled"], "columns are taken by name")
		require.Equal(t, []any{"width, \"cm\"", "длина"}, answer["example"])
		require.Equal(t, []any{"setosa", "виргиника"}, answer["classes"])
		require.InDelta(t, 1e-7, answer["loss"], 0)
		require.Equal(t, "2026-11-23T12:00:00Z", answer["trained_at"])
	}
}

const loadBoth = `
import json, sys
import mlflow, pandas as pd
answers = []
for uri in sys.argv[1:]:
    model = mlflow.pyfunc.load_model(uri)
    names = model.metadata.signature.inputs.input_names()
    frame = pd.DataFrame([[4.0, 1.0], [1.0, 4.0]], columns=names)
    out = model.predict(frame)
    petal = model.metadata.metadata["petal"]
    answers.append({
        "labels": out["label"].tolist(),
        "first": out["probabilities"][0]["setosa"],
        "shuffled": model.predict(frame[names[::-1]])["label"].tolist(),
        "example": list(model.input_example.columns),
        "classes": petal["classes"],
        "loss": petal["metrics"]["val_log_loss"],
        "trained_at": petal["trained_at"],
    })
    onnx_model = mlflow.onnx.load_model(uri)
    import onnx
    onnx.checker.check_model(onnx_model, full_check=True)
    mlflow.models.validate_serving_input(uri, mlflow.models.convert_input_example_to_serving_input(frame))
print(json.dumps(answers))
`

// register does what training does, in its order.
func register(t *testing.T, config open.Config) registry.Version {
	t.Helper()
	ctx := t.Context()
	config.RetryFor = 5 * time.Second
	r, err := open.Open(config)
	require.NoError(t, err)
	run, err := r.StartRun(ctx, registry.RunSpec{Name: "test", User: "tester", Source: "test"})
	require.NoError(t, err)
	model, err := run.LogModel(ctx, twoColumns())
	require.NoError(t, err)
	v, err := r.Register(ctx, registry.Registration{Name: "iris", Model: model})
	require.NoError(t, err)
	require.NoError(t, run.Finish(ctx, registry.Finished))
	require.NoError(t, r.SetAlias(ctx, "iris", "champion", v.Number))
	return v
}

// twoColumns is a classifier that compares its two columns: with x and y, the
// odds are exp(4(x-y)/3).
func twoColumns() mlmodel.Dir {
	const a = 2.0 / 3
	rows := onnx.Symbolic("N")
	labels := []string{"setosa", "виргиника"}
	graph := &onnx.Model{
		IRVersion: 8,
		Opsets:    []onnx.Opset{{Domain: onnx.DomainONNX, Version: 15}, {Domain: onnx.DomainML, Version: 3}},
		Graph: &onnx.Graph{
			Name:    "two",
			Inputs:  []onnx.ValueInfo{{Name: "features", Type: onnx.TensorType(onnx.Float, rows, onnx.Fixed(2))}},
			Outputs: []onnx.ValueInfo{{Name: "label", Type: onnx.TensorType(onnx.String, rows)}, {Name: "probabilities", Type: onnx.ProbabilityMapsType(onnx.String)}},
			Nodes: []onnx.Node{
				{
					Operator: "LinearClassifier", Domain: onnx.DomainML, Inputs: []string{"features"}, Outputs: []string{"label", "raw"},
					Attributes: []onnx.Attribute{
						onnx.FloatsAttribute("coefficients", a, -a, -a, a), onnx.FloatsAttribute("intercepts", 0, 0),
						onnx.StringsAttribute("classlabels_strings", labels...),
						onnx.StringAttribute("post_transform", "SOFTMAX"), onnx.IntAttribute("multi_class", 1),
					},
				},
				{
					Operator: "ZipMap", Domain: onnx.DomainML, Inputs: []string{"raw"}, Outputs: []string{"probabilities"},
					Attributes: []onnx.Attribute{onnx.StringsAttribute("classlabels_strings", labels...)},
				},
			},
		},
	}
	return mlmodel.Dir{
		ONNX: graph.Marshal(),
		Signature: mlmodel.Signature{
			Inputs:  []mlmodel.Column{{Name: `width, "cm"`, Type: mlmodel.Double}, {Name: "длина", Type: mlmodel.Double}},
			Outputs: []mlmodel.Column{{Name: "label", Type: mlmodel.String}, {Name: "probabilities", Type: mlmodel.Map, Values: mlmodel.Float}},
		},
		InputExample: [][]float64{{4, 1}},
		Petal: &mlmodel.PetalMetadata{
			Estimator: "logistic_regression", Classes: []any{labels[0], labels[1]},
			Metrics:   map[string]float64{"val_log_loss": 1e-7},
			TrainedAt: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
		},
	}
}
