package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/installation"
	"github.com/petal-ml/petal/tests/testenv"
)

// A proxy stands before the real MLflow server and sees every request first.
type proxy struct {
	URL string

	mu   sync.Mutex
	seen []string                 // method and path, in order
	hook func(*http.Request) bool // true: the request gets a 500
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	address, err := url.Parse(target)
	require.NoError(t, err)
	p := &proxy{}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(address) }}
	// A client that is killed half-way is what these tests are about.
	forward.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.seen = append(p.seen, r.Method+" "+r.URL.Path)
		hook := p.hook
		p.mu.Unlock()
		if hook != nil && hook(r) {
			http.Error(w, `{"error_code":"INTERNAL_ERROR","message":"out of disk"}`, http.StatusInternalServerError)
			return
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p.URL = server.URL
	return p
}

// onRequest sets what happens before each request from now on, and forgets
// those that were seen.
func (p *proxy) onRequest(hook func(*http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hook, p.seen = hook, nil
}

func (p *proxy) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.seen...)
}

// One server for both: starting one takes most of a test's time.
func TestFaultsOverMLflow(t *testing.T) {
	t.Parallel()
	server := testenv.StartMLflow(t, testenv.MLflowOptions{})
	t.Run("MLflow fails midway", func(t *testing.T) {
		t.Parallel()
		testMLflowFailsMidway(t, server)
	})
	t.Run("the trainer is killed", func(t *testing.T) {
		t.Parallel()
		testTrainerKilledOverMLflow(t, server)
	})
}

// MLflow answers 500 to one kind of call, at whatever step that is: the trainer
// says so, marks the run FAILED and leaves the champion where it was.
func testMLflowFailsMidway(t *testing.T, server *testenv.MLflowServer) {
	t.Helper()
	for _, test := range []struct {
		name, path string
		run        string // how the run ends
	}{
		{"dataset", "runs/log-inputs", "FAILED"},
		{"metrics", "runs/log-batch", "FAILED"},
		{"model", "logged-models", "FAILED"},
		{"files", "mlflow-artifacts/artifacts", "FAILED"},
		{"version", "model-versions/create", "FAILED"},
		{"promotion", "registered-models/alias", "FINISHED"}, // all else was done
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // most of the time goes by between two attempts
			mlflow := client{t: t, url: server.URL, model: "model_" + test.name, experiment: "experiment_" + test.name}
			proxy := startProxy(t, server.URL)
			petal := installation.New(t, "MLFLOW_TRACKING_URI="+proxy.URL, "MODEL_NAME="+mlflow.model)
			petal.Write("mlflow.yaml", "artifact_location: ./mlruns\nexperiment_name: "+mlflow.experiment+"\n")
			petal.Train()
			champion, before := mlflow.champion(), mlflow.runs()
			require.Equal(t, "1", champion.Version)

			var hits atomic.Int64
			proxy.onRequest(func(r *http.Request) bool {
				fail := r.Method != http.MethodGet && strings.Contains(r.URL.Path, test.path)
				if fail {
					hits.Add(1)
				}
				return fail
			})
			result := petal.Trainer("train", "--force")
			require.NotZero(t, hits.Load(), "no request was failed: %v", proxy.requests())
			require.Equal(t, exitFailure, result.Code, result.Output)
			requireOneLine(t, result, "out of disk")
			require.Equal(t, champion, mlflow.champion(), "the champion moved")
			after := mlflow.runs()
			require.Greater(t, len(after), len(before), "no run was opened")
			for id, status := range after {
				if _, old := before[id]; !old {
					require.Equal(t, test.run, status, "run %s", id)
				}
			}

			proxy.onRequest(nil)
			petal.Train("--force")
			require.NotEqual(t, champion.Version, mlflow.champion().Version, "the next training promotes again")
			mlflow.requireWholeChampion()
		})
	}
}

// Whenever the trainer is killed, the champion is a whole model, and the next
// training works. The kills are laid before each request in turn, and at moments
// drawn by chance.
func testTrainerKilledOverMLflow(t *testing.T, server *testenv.MLflowServer) {
	t.Helper()
	mlflow := client{t: t, url: server.URL, model: "iris", experiment: "iris_classification"}
	proxy := startProxy(t, server.URL)
	petal := installation.New(t, "MLFLOW_TRACKING_URI="+proxy.URL)
	petal.Train()
	proxy.onRequest(nil)
	started := time.Now()
	petal.Train("--force")
	whole := time.Since(started)
	steps := len(proxy.requests())
	require.Greater(t, steps, 10, "the trainer spoke to MLflow another way")

	const kills = 12
	for kill := range kills {
		at := int64(1 + kill*(steps-1)/(kills-1))
		reached := make(chan struct{})
		var count atomic.Int64
		proxy.onRequest(func(*http.Request) bool {
			switch number := count.Add(1); {
			case number == at:
				close(reached)
				fallthrough
			case number > at:
				time.Sleep(50 * time.Millisecond) // the kill comes first
			}
			return false
		})
		trainer := petal.StartTrainer("train", "--force")
		select {
		case <-reached:
		case <-time.After(installation.TrainLimit):
			t.Fatalf("request %d was never sent", at)
		}
		trainer.Kill()
		proxy.onRequest(nil)
		mlflow.requireWholeChampion()
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 8 {
		trainer := petal.StartTrainer("train", "--force")
		time.Sleep(time.Duration(random.Int64N(int64(whole))))
		trainer.Kill()
		mlflow.requireWholeChampion()
	}
	petal.Train("--force")
	mlflow.requireWholeChampion()
}

// The same over the directory registry, where a kill may fall between two files.
func TestTrainerKilledOverDirectory(t *testing.T) {
	t.Parallel()
	petal := installation.New(t)
	started := time.Now()
	petal.Train()
	whole := time.Since(started)
	random := rand.New(rand.NewPCG(3, 4))
	for range 30 {
		trainer := petal.StartTrainer("train", "--force")
		time.Sleep(time.Duration(random.Int64N(int64(whole))))
		trainer.Kill()
		requireServes(t, petal)
	}
	petal.Train("--force")
	api := petal.StartAPI()
	api.Login(petal.Read("var/initial_password"))
	version := api.Predict(samples[0].row...).Model.Version
	requireSamples(t, api, version)
}

// requireServes starts an API that has nothing kept from before: it becomes ready
// only with a champion that is whole.
func requireServes(t *testing.T, petal *installation.Installation) {
	t.Helper()
	state := t.TempDir()
	fresh := petal.With("STATE_DIR="+state, "DATABASE_URL=sqlite:///"+filepath.Join(state, "users.db"))
	result := fresh.StartAPI().Process.Stop(20 * time.Second)
	require.Zero(t, result.Code, result.Output)
}

// A client asks the real MLflow server what it holds.
type client struct {
	t                 *testing.T
	url               string
	model, experiment string
}

type modelVersion struct {
	Version string `json:"version"`
	RunID   string `json:"run_id"`
	Tags    []struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	} `json:"tags"`
}

func (c client) champion() modelVersion {
	c.t.Helper()
	var answer struct {
		ModelVersion modelVersion `json:"model_version"`
	}
	c.get("/api/2.0/mlflow/registered-models/alias?alias=champion&name="+c.model, &answer)
	return answer.ModelVersion
}

// runs maps every training's run to its status; those of candidates, which are
// its children, are left out.
func (c client) runs() map[string]string {
	c.t.Helper()
	var answer struct {
		Runs []struct {
			Info struct {
				RunID  string `json:"run_id"`
				Status string `json:"status"`
			} `json:"info"`
			Data struct {
				Tags []struct {
					Key string `json:"key"`
				} `json:"tags"`
			} `json:"data"`
		} `json:"runs"`
	}
	var found struct {
		Experiment struct {
			ID string `json:"experiment_id"`
		} `json:"experiment"`
	}
	c.get("/api/2.0/mlflow/experiments/get-by-name?experiment_name="+c.experiment, &found)
	body := `{"experiment_ids":["` + found.Experiment.ID + `"],"max_results":1000}`
	c.ask(http.MethodPost, "/api/2.0/mlflow/runs/search", body, &answer)
	runs := map[string]string{}
	for _, run := range answer.Runs {
		child := false
		for _, tag := range run.Data.Tags {
			child = child || tag.Key == "mlflow.parentRunId"
		}
		if child {
			continue
		}
		runs[run.Info.RunID] = run.Info.Status
	}
	require.NotEmpty(c.t, runs)
	return runs
}

// requireWholeChampion downloads the champion and holds it against its tag.
func (c client) requireWholeChampion() {
	c.t.Helper()
	champion := c.champion()
	want := ""
	for _, tag := range champion.Tags {
		if tag.Key == "petal.model.sha256" {
			want = tag.Value
		}
	}
	require.NotEmpty(c.t, want, "version %s has no digest", champion.Version)
	var source struct {
		ArtifactURI string `json:"artifact_uri"`
	}
	c.get("/api/2.0/mlflow/model-versions/get-download-uri?name="+c.model+"&version="+champion.Version, &source)
	path := strings.TrimPrefix(source.ArtifactURI, "mlflow-artifacts:/")
	response, err := http.Get(c.url + "/api/2.0/mlflow-artifacts/artifacts/" + path + "/model.onnx")
	require.NoError(c.t, err)
	defer func() { _ = response.Body.Close() }()
	require.Equal(c.t, http.StatusOK, response.StatusCode)
	content, err := io.ReadAll(response.Body)
	require.NoError(c.t, err)
	digest := sha256.Sum256(content)
	require.Equal(c.t, want, hex.EncodeToString(digest[:]), "version %s", champion.Version)
	require.Equal(c.t, "FINISHED", c.runs()[champion.RunID], "the champion's run")
}

func (c client) get(path string, into any) {
	c.t.Helper()
	c.ask(http.MethodGet, path, "", into)
}

func (c client) ask(method, path, body string, into any) {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(body))
	require.NoError(c.t, err)
	request.Header.Set("Content-Type", jsonType)
	response, err := http.DefaultClient.Do(request)
	require.NoError(c.t, err)
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	require.NoError(c.t, err)
	require.Equal(c.t, http.StatusOK, response.StatusCode, string(content))
	require.NoError(c.t, json.Unmarshal(content, into), string(content))
}
