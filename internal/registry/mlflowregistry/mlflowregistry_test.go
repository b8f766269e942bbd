package mlflowregistry

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/mlflow"
	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/internal/registry"
	"github.com/petal-ml/petal/tests/conformance/registrytest"
	"github.com/petal-ml/petal/tests/testenv"
	"github.com/petal-ml/petal/tests/testenv/golden"
)

// TestServer runs everything against one real MLflow server, whose start takes
// longer than all that follows.
func TestServer(t *testing.T) {
	server := testenv.StartMLflow(t, testenv.MLflowOptions{})
	for _, test := range []struct {
		name string
		run  func(*testing.T, *testenv.MLflowServer)
	}{
		{"conformance", testConformance},
		{"fault midway", testFaultMidway},
		{"swallowed values", testSwallowedValues},
		{"wrong types", testWrongTypes},
		{"swallowed status", testSwallowedStatus},
		{"swallowed version tags", testSwallowedVersionTags},
		{"foreign run", testForeignRun},
		{"alias moved by another", testAliasMoved},
		{"description", testDescription},
		{"experiments", testExperiments},
		{"cut values are logged", testCutValues},
		{"python", testPython},
		{"kill and restart", testKill}, // the last: the server is gone meanwhile
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, server) })
	}
}

func testConformance(t *testing.T, server *testenv.MLflowServer) {
	registrytest.Run(t, func(t *testing.T) registrytest.Subject {
		// Closing a proxy breaks this test's way to the server and no other's.
		proxy := newProxy(t, server.URL)
		s := open(t, proxy.URL)
		return registrytest.Subject{
			Registry: s, ReadRun: s.ReadRun, Break: proxy.Close,
			ReadFile: func(ctx context.Context, id, path string) ([]byte, error) {
				run, err := s.client.GetRun(ctx, id)
				if err != nil {
					return nil, err
				}
				body, _, err := s.client.OpenArtifact(ctx, run.ArtifactURI, path)
				if err != nil {
					return nil, err
				}
				defer func() { _ = body.Close() }()
				return io.ReadAll(body)
			},
			LoseFile: func(ctx context.Context, id, path string) error {
				run, err := s.client.GetRun(ctx, id)
				return errors.Join(err, deleteArtifact(ctx, server.URL, run.ArtifactURI+"/"+path))
			},
			LoseModel: func(ctx context.Context, v registry.Version) error {
				uri, err := s.locate(ctx, v)
				return errors.Join(err, deleteArtifact(ctx, server.URL, uri))
			},
		}
	})
}

// deleteArtifact removes a file or a folder by a call that Petal never makes.
func deleteArtifact(ctx context.Context, server, uri string) error {
	path := strings.TrimPrefix(uri, "mlflow-artifacts:")
	request, err := http.NewRequestWithContext(ctx, http.MethodDelete, server+"/api/2.0/mlflow-artifacts/artifacts"+path, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		err = errors.New("delete " + uri + ": " + answer.Status)
	}
	return errors.Join(err, answer.Body.Close())
}

func open(t *testing.T, uri string) *Store {
	t.Helper()
	return openAs(t, Options{Client: mlflow.Options{TrackingURI: uri}, Experiment: "conformance", LockDir: filepath.Join(t.TempDir(), "var")})
}

func openAs(t *testing.T, o Options) *Store {
	t.Helper()
	o.Client.RetryFor, o.Client.Timeout = 500*time.Millisecond, 30*time.Second
	s, err := Open(o)
	require.NoError(t, err)
	t.Cleanup(s.client.Close)
	return s
}

// A proxy stands between client and server. It answers 500 where fail says so,
// and changes bodies where edit is set.
type proxy struct {
	*httptest.Server
	fail atomic.Pointer[func(*http.Request) bool]
	edit atomic.Pointer[func(path, body string) string]
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	u, err := url.Parse(target)
	require.NoError(t, err)
	p := &proxy{}
	forward := httputil.NewSingleHostReverseProxy(u)
	forward.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fail := p.fail.Load(); fail != nil && (*fail)(r) {
			http.Error(w, "injected fault", http.StatusInternalServerError)
			return
		}
		if edit := p.edit.Load(); edit != nil {
			body, _ := io.ReadAll(r.Body)
			changed := (*edit)(r.URL.Path, string(body))
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(changed)), int64(len(changed))
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

// replace edits the bodies of one endpoint.
func (p *proxy) replace(endpoint, old, replacement string) {
	edit := func(path, body string) string {
		if !strings.Contains(path, endpoint) {
			return body
		}
		return strings.ReplaceAll(body, old, replacement)
	}
	p.edit.Store(&edit)
}

func start(t *testing.T, s *Store) registry.Run {
	t.Helper()
	run, err := s.StartRun(t.Context(), registry.RunSpec{Name: t.Name(), User: "tester", Source: "test"})
	require.NoError(t, err)
	return run
}

var onnxFile = registrytest.ModelDir([]byte("model"))

func register(t *testing.T, s *Store, name string) registry.Version {
	t.Helper()
	model, err := start(t, s).LogModel(t.Context(), onnxFile)
	require.NoError(t, err)
	v, err := s.Register(t.Context(), registry.Registration{Name: name, Model: model})
	require.NoError(t, err)
	return v
}

func testFaultMidway(t *testing.T, server *testenv.MLflowServer) {
	p := newProxy(t, server.URL)
	s := open(t, p.URL)
	champion := register(t, s, "fault")
	require.NoError(t, s.SetAlias(t.Context(), "fault", "champion", champion.Number))

	run := start(t, s)
	var failed atomic.Value
	fail := func(r *http.Request) bool {
		hit := r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/model.onnx")
		if hit {
			failed.Store(r.URL.Path)
		}
		return hit
	}
	p.fail.Store(&fail)
	_, err := run.LogModel(t.Context(), onnxFile)
	require.ErrorIs(t, err, registry.ErrUnavailable)
	require.ErrorContains(t, err, "model.onnx")
	golden.New(t).Add("midway", lasting(err))
	id := regexp.MustCompile(`m-[0-9a-f]{32}`).FindString(failed.Load().(string))
	model, err := s.client.GetLoggedModel(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, mlflow.ModelFailed, model.Status)

	require.NoError(t, run.Finish(t.Context(), registry.Failed))
	_, status, err := s.ReadRun(t.Context(), run.ID())
	require.NoError(t, err)
	require.Equal(t, registry.Failed, status)
	still, err := s.Resolve(t.Context(), "fault", "champion")
	require.NoError(t, err)
	require.Equal(t, champion.Number, still.Number, "the champion is untouched")

	p.fail.Store(nil)
	for _, endpoint := range []string{"runs/create", "logged-models", "model-versions/create", "registered-models/create", "model-versions/get", "runs/outputs"} {
		fail := func(r *http.Request) bool { return strings.Contains(r.URL.Path, endpoint) }
		p.fail.Store(&fail)
		_, err := s.StartRun(t.Context(), registry.RunSpec{Name: "x"})
		if err == nil {
			var model registry.LoggedModel
			if model, err = run.LogModel(t.Context(), onnxFile); err == nil {
				_, err = s.Register(t.Context(), registry.Registration{Name: "fault", Model: model})
			}
		}
		require.ErrorIs(t, err, registry.ErrUnavailable, endpoint)
	}
}

// testSwallowedValues leaves in the run what the real server leaves when it
// drops a value: "" for a parameter, 0 for a metric, or nothing.
func testSwallowedValues(t *testing.T, server *testenv.MLflowServer) {
	messages := golden.New(t)
	for _, test := range []struct{ name, endpoint, old, replacement, place string }{
		{"param", "runs/log-batch", `"value":"1.0"`, `"value":""`, `"C"`},
		{"tag", "runs/log-batch", `"key":"estimator_name"`, `"key":"other"`, `"estimator_name"`},
		{"NaN", "runs/log-batch", `"value":"NaN"`, `"value":0.0`, `"auc"`},
		{"metric", "runs/log-batch", `"value":0.125`, `"value":0.25`, `"loss"`},
		{"step", "runs/log-batch", `"step":2`, `"step":0`, `"loss"`},
		{"data set", "runs/log-inputs", `"name":"iris"`, `"name":"rose"`, `"iris"`},
		{"file", "/notes.txt", `hello`, `hell`, `"notes.txt"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newProxy(t, server.URL)
			run := start(t, open(t, p.URL))
			p.replace(test.endpoint, test.old, test.replacement)
			ctx := t.Context()
			require.NoError(t, run.LogParams(ctx, []registry.Param{{Key: "C", Value: "1.0"}}))
			require.NoError(t, run.SetTags(ctx, map[string]string{"estimator_name": "LR"}))
			nan := []float64{0}
			nan[0] /= nan[0]
			require.NoError(t, run.LogMetrics(ctx, []registry.Metric{
				{Key: "loss", Value: 0.5, Step: 1}, {Key: "loss", Value: 0.125, Step: 2}, {Key: "auc", Value: nan[0], Step: 3},
			}))
			require.NoError(t, run.LogDataset(ctx, registry.Dataset{Name: "iris", Digest: "d41d", Context: "training"}))
			require.NoError(t, run.LogFile(ctx, "notes.txt", []byte("hello")))
			err := run.Finish(ctx, registry.Finished)
			require.ErrorIs(t, err, registry.ErrUnavailable)
			require.ErrorContains(t, err, test.place)
			require.ErrorContains(t, err, run.ID())
			messages.Add(test.name, lasting(err))
			_, status, err := open(t, server.URL).ReadRun(ctx, run.ID())
			require.NoError(t, err)
			require.NotEqual(t, registry.Finished, status, "a run with holes is not finished")
			require.NoError(t, run.Finish(ctx, registry.Failed))
		})
	}
}

// testWrongTypes: at a value of another type the server stops reading. Without
// the run, which comes last, it cannot answer 200.
func testWrongTypes(t *testing.T, server *testenv.MLflowServer) {
	p := newProxy(t, server.URL)
	run := start(t, open(t, p.URL))
	p.replace("runs/log-batch", `"value":"1"`, `"value":1`)
	require.ErrorIs(t, run.LogParams(t.Context(), []registry.Param{{Key: "C", Value: "1"}}), registry.ErrInvalid)
	require.ErrorIs(t, run.SetTags(t.Context(), map[string]string{"a": "1"}), registry.ErrInvalid)
	p.replace("runs/log-batch", `"step":3`, `"step":3.5`)
	require.ErrorIs(t, run.LogMetrics(t.Context(), []registry.Metric{{Key: "loss", Step: 3}}), registry.ErrInvalid)
}

func testSwallowedStatus(t *testing.T, server *testenv.MLflowServer) {
	messages := golden.New(t)
	p := newProxy(t, server.URL)
	run := start(t, open(t, p.URL))
	p.replace("runs/update", "FINISHED", "DONE")
	err := run.Finish(t.Context(), registry.Finished)
	require.ErrorIs(t, err, registry.ErrUnavailable)
	require.ErrorContains(t, err, run.ID())
	messages.Add("run", lasting(err))

	p.replace("logged-models/m-", "LOGGED_MODEL_READY", "READY")
	_, err = run.LogModel(t.Context(), onnxFile)
	require.ErrorIs(t, err, registry.ErrUnavailable)
	messages.Add("model", lasting(err))

	p.replace("/requirements.txt", "mlflow", "flow")
	_, err = run.LogModel(t.Context(), onnxFile)
	require.ErrorIs(t, err, registry.ErrUnavailable)
	require.ErrorContains(t, err, `"requirements.txt"`)
	messages.Add("file", lasting(err))
}

func testSwallowedVersionTags(t *testing.T, server *testenv.MLflowServer) {
	messages := golden.New(t)
	p := newProxy(t, server.URL)
	s := open(t, p.URL)
	model, err := start(t, s).LogModel(t.Context(), onnxFile)
	require.NoError(t, err)
	p.replace("model-versions/create", `"value":"5"`, `"value":5`)
	_, err = s.Register(t.Context(), registry.Registration{Name: "swallowed", Model: model})
	require.ErrorIs(t, err, registry.ErrUnavailable)
	require.ErrorContains(t, err, registry.TagSize)
	messages.Add("register", lasting(err))

	p.edit.Store(nil)
	v, err := s.Register(t.Context(), registry.Registration{Name: "swallowed", Model: model})
	require.NoError(t, err)
	p.replace("model-versions/set-tag", "passed", "failed")
	err = s.SetTags(t.Context(), v, map[string]string{"validation_status": "passed"})
	require.ErrorIs(t, err, registry.ErrUnavailable)
	require.ErrorContains(t, err, `"validation_status"`)
	messages.Add("set", lasting(err))
}

// testForeignRun: the server itself takes any run ID.
func testForeignRun(t *testing.T, server *testenv.MLflowServer) {
	s := open(t, server.URL)
	model, err := start(t, s).LogModel(t.Context(), onnxFile)
	require.NoError(t, err)
	model.RunID = start(t, s).ID()
	_, err = s.Register(t.Context(), registry.Registration{Name: "foreign", Model: model})
	require.ErrorIs(t, err, registry.ErrInvalid)
	require.ErrorContains(t, err, model.RunID)
	golden.New(t).Add("foreign", lasting(err))
}

// testAliasMoved: who moves an alias during a move is seen, up to its last look.
func testAliasMoved(t *testing.T, server *testenv.MLflowServer) {
	messages := golden.New(t)
	ctx := t.Context()
	p := newProxy(t, server.URL)
	s, other := open(t, p.URL), open(t, server.URL)
	for range 3 {
		register(t, other, "moved")
	}
	p.replace("registered-models/alias", `"version":"2"`, `"version":"1"`)
	err := s.SetAlias(ctx, "moved", "champion", "2")
	require.ErrorIs(t, err, registry.ErrUnavailable)
	messages.Add("set", lasting(err))
	p.edit.Store(nil)

	// At which call of a move: it reads the alias, sets the other, reads both, moves.
	const late = "between the last look and the move"
	for name, at := range map[string]int64{"before": 1, "before both are read": 3, late: 4} {
		require.NoError(t, s.SetAlias(ctx, "moved", "champion", "1"))
		require.NoError(t, s.SetAlias(ctx, "moved", "previous", "3"))
		var calls atomic.Int64
		seen := func(*http.Request) bool {
			if calls.Add(1) == at {
				assert.NoError(t, other.SetAlias(ctx, "moved", "champion", "3"))
			}
			return false
		}
		p.fail.Store(&seen)
		err := s.MoveAlias(ctx, registry.Move{Name: "moved", Alias: "champion", From: "1", To: "2", Keep: "previous"})
		p.fail.Store(nil)
		champion, resolveErr := s.Resolve(ctx, "moved", "champion")
		require.NoError(t, resolveErr)
		if name == late { // what remains without compare-and-set
			require.NoError(t, err)
			require.Equal(t, "2", champion.Number)
			continue
		}
		require.ErrorIs(t, err, registry.ErrChanged, name)
		require.Equal(t, "3", champion.Number, name)
		messages.Add(name, lasting(err))
	}
}

// testDescription: whoever opens the page of a registered model reads what it is.
func testDescription(t *testing.T, server *testenv.MLflowServer) {
	ctx := t.Context()
	s := open(t, server.URL)
	described := func(name string) string {
		resp, err := http.Get(server.URL + "/api/2.0/mlflow/registered-models/get?name=" + name)
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		var answer struct {
			Model struct {
				Description string `json:"description"`
			} `json:"registered_model"`
		}
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&answer))
		return answer.Model.Description
	}
	register(t, s, "described-later") // with no description
	require.Empty(t, described("described-later"))
	model, err := start(t, s).LogModel(ctx, onnxFile)
	require.NoError(t, err)
	for _, name := range []string{"described", "described-later"} {
		for _, about := range []string{"Predicts «species».", "other words, which do not replace those of an operator"} {
			_, err := s.Register(ctx, registry.Registration{Name: name, Model: model, About: about})
			require.NoError(t, err)
			require.Equal(t, "Predicts «species».", described(name))
		}
	}
}

// lasting gives an error without what differs from run to run.
func lasting(err error) error {
	text := err.Error()
	for pattern, stays := range map[string]string{`http://127\.0\.0\.1:\d+`: "URL", `[0-9a-f]{32}`: "ID", `\d{4}-\d\d-\d\dT[^ ,]+`: "TIME"} {
		text = regexp.MustCompile(pattern).ReplaceAllString(text, stays)
	}
	return errors.New(text)
}

func testExperiments(t *testing.T, server *testenv.MLflowServer) {
	ctx := t.Context()
	s := openAs(t, Options{Client: mlflow.Options{TrackingURI: server.URL}, Experiment: "Ирис & co", ArtifactLocation: "mlflow-artifacts:/elsewhere"})
	errs := make([]error, 6)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { _, errs[i] = s.StartRun(ctx, registry.RunSpec{Name: "race"}) })
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err, "a lost race is fine")
	}
	run := start(t, s).(*run)
	require.Contains(t, run.artifacts, "mlflow-artifacts:/elsewhere/", "the location is passed on")

	body := strings.NewReader(`{"experiment_id":"` + run.experiment + `"}`)
	resp, err := http.Post(server.URL+"/api/2.0/mlflow/experiments/delete", "application/json", body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.NoError(t, start(t, s).Finish(ctx, registry.Finished), "a deleted experiment is restored")

	bucket := openAs(t, Options{Client: mlflow.Options{TrackingURI: server.URL}, Experiment: "bucket", ArtifactLocation: "s3://bucket/path"})
	_, err = bucket.StartRun(ctx, registry.RunSpec{Name: "x"})
	require.ErrorIs(t, err, registry.ErrInvalid)
	require.ErrorContains(t, err, "s3://bucket/path")
	golden.New(t).Add("bucket", lasting(err))

	nameless := openAs(t, Options{Client: mlflow.Options{TrackingURI: server.URL}})
	_, err = nameless.StartRun(ctx, registry.RunSpec{Name: "x"})
	require.ErrorIs(t, err, registry.ErrInvalid)
}

func testCutValues(t *testing.T, server *testenv.MLflowServer) {
	var log bytes.Buffer
	s := openAs(t, Options{
		Client: mlflow.Options{TrackingURI: server.URL}, Experiment: "conformance", Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	run := start(t, s)
	require.NoError(t, run.LogParams(t.Context(), []registry.Param{{Key: "long_param", Value: strings.Repeat("é", 6001)}}))
	require.NoError(t, run.SetTags(t.Context(), map[string]string{"long_tag": strings.Repeat("é", 8001)}))
	require.NoError(t, run.Finish(t.Context(), registry.Finished))
	require.Contains(t, log.String(), "param=long_param")
	require.Contains(t, log.String(), "tag=long_tag")
	found, _, err := s.ReadRun(t.Context(), run.ID())
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("é", 6000), found.Params["long_param"])
	require.Equal(t, strings.Repeat("é", 8000), found.Tags["long_tag"])
}

// testPython reads in Go what the real client registered, in each form of
// source, and has the real client read what Go logged.
func testPython(t *testing.T, server *testenv.MLflowServer) {
	ctx := t.Context()
	s := open(t, server.URL)
	run := start(t, s)
	data := registry.Dataset{
		Name: "iris", Path: "data/iris.csv", Digest: strings.Repeat("b", 32), Context: "training", Rows: 150,
		Columns: []mlmodel.Column{{Name: "sepal_length", Type: mlmodel.Double}},
	}
	require.NoError(t, run.LogDataset(ctx, data))
	model, err := run.LogModel(ctx, onnxFile)
	require.NoError(t, err)
	require.NoError(t, run.LogMetrics(ctx, []registry.Metric{
		{Key: "val_accuracy_score", Value: 0.97, Model: model.ID, Dataset: &data},
		{Key: "loss", Value: 0.5, Step: 1},
		{Key: "loss", Value: 0.25, Step: 2},
	}))
	require.NoError(t, run.Finish(ctx, registry.Finished))
	child, err := s.StartRun(ctx, registry.RunSpec{Name: "child", ParentID: run.ID()})
	require.NoError(t, err)
	require.NoError(t, child.Finish(ctx, registry.Finished))

	out := testenv.RunPython(t, pythonClient, []string{"MLFLOW_TRACKING_URI=" + server.URL}, run.ID(), model.ID)
	var python struct {
		Sources  map[string]string `json:"sources"`
		Dataset  []string          `json:"dataset"`
		Metric   []any             `json:"metric"`
		History  []float64         `json:"history"`
		Children []string          `json:"children"`
		Status   []string          `json:"status"`
		Tags     map[string]string `json:"tags"`
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n")) // the client prints links before
	require.NoError(t, json.Unmarshal(lines[len(lines)-1], &python), "%s", out)
	require.Equal(t, []string{"iris", data.Digest, "training"}, python.Dataset)
	require.Equal(t, []any{"val_accuracy_score", 0.97, "iris"}, python.Metric)
	require.Equal(t, []float64{0.5, 0.25}, python.History)
	require.Equal(t, []string{child.ID()}, python.Children)
	require.Equal(t, []string{"FINISHED", "READY"}, python.Status)
	require.Equal(t, "tester", python.Tags[mlmodel.TagUser])

	require.Len(t, python.Sources, 3)
	for name, prefix := range map[string]string{"py-model": "models:/m-", "py-artifacts": "mlflow-artifacts:/", "py-runs": "runs:/"} {
		v, err := s.Resolve(ctx, name, registry.LatestAlias)
		require.NoError(t, err, name)
		require.True(t, strings.HasPrefix(v.Source, prefix), "%s: %s", name, v.Source)
		requireReadable(t, s, v)
	}
	testOtherListings(t, s)
}

func requireReadable(t *testing.T, s *Store, v registry.Version) {
	t.Helper()
	files, err := s.Files(t.Context(), v)
	require.NoError(t, err, v.Source)
	sizes := map[string]int64{}
	for _, f := range files {
		sizes[f.Path] = f.Size
	}
	file, err := mlmodel.Parse(read(t, s, v, mlmodel.ModelFile))
	require.NoError(t, err)
	require.Equal(t, "model.onnx", file.ONNXFile)
	require.Len(t, read(t, s, v, file.ONNXFile), int(sizes["model.onnx"]))
	require.NotZero(t, sizes["model.onnx"])
}

func read(t *testing.T, s *Store, v registry.Version, path string) []byte {
	t.Helper()
	body, err := s.Open(t.Context(), v, path)
	require.NoError(t, err, v.Source)
	content, err := io.ReadAll(body)
	require.NoError(t, err)
	require.NoError(t, body.Close())
	return content
}

// testOtherListings compares the ways to list and read that are for stores
// beside the proxy with the proxy's own.
func testOtherListings(t *testing.T, s *Store) {
	ctx := t.Context()
	v, err := s.Resolve(ctx, "py-model", registry.LatestAlias)
	require.NoError(t, err)
	want, err := s.files(ctx, v)
	require.NoError(t, err)
	got, err := s.client.ListModelArtifacts(ctx, mlflow.LoggedModelID(v.Source))
	require.NoError(t, err)
	require.Equal(t, want, got)
	body, _, err := s.client.OpenVersionArtifact(ctx, v.Name, v.Number, mlmodel.ModelFile)
	require.NoError(t, err)
	content, err := io.ReadAll(body)
	require.NoError(t, err)
	require.NoError(t, body.Close())
	require.Equal(t, read(t, s, v, mlmodel.ModelFile), content)

	v, err = s.Resolve(ctx, "py-artifacts", registry.LatestAlias)
	require.NoError(t, err)
	want, err = s.files(ctx, v)
	require.NoError(t, err)
	got, err = s.client.ListRunArtifacts(ctx, v.RunID, "old/model")
	require.NoError(t, err)
	require.Equal(t, want, got)
}

const pythonClient = `
import json, os, sys, tempfile
import mlflow
from mlflow import MlflowClient
from onnx import helper, TensorProto
run_id, model_id = sys.argv[1:]
client = MlflowClient()
graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])], [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
mlflow.set_experiment("python")
with mlflow.start_run() as run:
    mlflow.onnx.log_model(model, name="model", registered_model_name="py-model")
    path = os.path.join(tempfile.mkdtemp(), "model")
    # Not found out once more, in another Python.
    mlflow.onnx.save_model(model, path, pip_requirements=mlflow.onnx.get_default_pip_requirements())
    mlflow.log_artifacts(path, "old/model")
client.create_registered_model("py-artifacts")
client.create_model_version("py-artifacts", f"{run.info.artifact_uri}/old/model", run.info.run_id)
client.create_registered_model("py-runs")
from mlflow.store.model_registry.rest_store import RestStore
client._get_registry_client().store.create_model_version("py-runs", f"runs:/{run.info.run_id}/old/model", run.info.run_id)
ours = client.get_run(run_id)
dataset = ours.inputs.dataset_inputs[0]
logged = client.get_logged_model(model_id)
metric = logged.metrics[0]
print(json.dumps({
    "sources": {name: client.search_model_versions(f"name = '{name}'")[0].source for name in ("py-model", "py-artifacts", "py-runs")},
    "dataset": [dataset.dataset.name, dataset.dataset.digest, dataset.tags[0].value],
    "metric": [metric.key, metric.value, metric.dataset_name],
    "history": [m.value for m in sorted(client.get_metric_history(run_id, "loss"), key=lambda m: m.step)],
    "children": [r.info.run_id for r in client.search_runs([ours.info.experiment_id], f"tags.mlflow.parentRunId = '{run_id}'")],
    "status": [ours.info.status, str(logged.status)],
    "tags": logged.tags,
}))
`

func testKill(t *testing.T, server *testenv.MLflowServer) {
	s := open(t, server.URL)
	v := register(t, s, "killed")
	require.NoError(t, s.SetAlias(t.Context(), "killed", "champion", v.Number))
	run := start(t, s)
	server.Kill()
	_, err := s.Resolve(t.Context(), "killed", "champion")
	require.ErrorIs(t, err, registry.ErrUnavailable)
	_, err = s.StartRun(t.Context(), registry.RunSpec{Name: "x"})
	require.ErrorIs(t, err, registry.ErrUnavailable)
	require.ErrorIs(t, run.Finish(t.Context(), registry.Finished), registry.ErrUnavailable)
	server.Restart()
	again, err := s.Resolve(t.Context(), "killed", "champion")
	require.NoError(t, err)
	require.Equal(t, v.Source, again.Source)
	require.NoError(t, run.Finish(t.Context(), registry.Finished))
}

// What the user can do stands behind the faults of a server alone.
func TestTranslate(t *testing.T) {
	const remedy = "MLFLOW_TRACKING_URI"
	messages := golden.New(t)
	down := translate(&mlflow.Error{Kind: mlflow.Unavailable, Message: "down"})
	require.ErrorIs(t, down, registry.ErrUnavailable)
	require.ErrorContains(t, down, remedy)
	messages.Add("unavailable", down)
	absent := translate(&mlflow.Error{Kind: mlflow.NotFound, Message: "no such run"})
	require.ErrorIs(t, absent, registry.ErrNotFound)
	require.NotContains(t, absent.Error(), remedy)
	messages.Add("not found", absent)
	refused := translate(&mlflow.Error{Kind: mlflow.Invalid, Message: "no such metric"})
	require.ErrorIs(t, refused, registry.ErrInvalid)
	require.NotContains(t, refused.Error(), remedy)
	messages.Add("invalid", refused)
	require.Equal(t, context.Canceled, translate(context.Canceled))
}

// Training needs logged models, which came with MLflow 3.
func TestOldServersAreRefused(t *testing.T) {
	messages := golden.New(t)
	for version, refused := range map[string]bool{"2.22.0": true, "2.15.1": true, "": false, "<html>": false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/version" {
				_, _ = io.WriteString(w, version)
				return
			}
			http.NotFound(w, r)
		}))
		s := openAs(t, Options{Client: mlflow.Options{TrackingURI: server.URL}, Experiment: "x"})
		_, err := s.StartRun(t.Context(), registry.RunSpec{Name: "r"})
		server.Close()
		require.ErrorContains(t, err, server.URL)
		require.Equal(t, refused, errors.Is(err, registry.ErrInvalid), err)
		require.Equal(t, !refused, errors.Is(err, registry.ErrUnavailable), err)
		messages.Add(cmp.Or(version, "no version"), errors.New(strings.ReplaceAll(err.Error(), server.URL, "URL")))
	}
}

// ReadRun reads back all that a run has logged, and its status.
func (s *Store) ReadRun(ctx context.Context, id string) (registry.Record, registry.Status, error) {
	record, status, err := s.readRun(ctx, id, func(string) bool { return true })
	return record, status, translate(err)
}
