package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/registry"
	"github.com/petal-ml/petal/internal/registry/directory"
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

// twoCandidates make trainings short: what is written of each candidate is the same.
const twoCandidates = "data: data/iris.csv\nlabel: species\ncandidates: [{estimator: LogisticRegression}, {estimator: GaussianNB}]\n"

// stopTime is what a supervisor leaves a program for its end.
const stopTime = 20 * time.Second

// One server and one model for all: starting a server takes most of a test's time, and
// each request a fiftieth of a second of it.
func TestFaultsOverMLflow(t *testing.T) {
	t.Parallel()
	server := testenv.StartMLflow(t, testenv.MLflowOptions{})
	mlflow := client{t: t, url: server.URL, model: "iris", experiment: "iris_classification"}
	proxy := startProxy(t, server.URL)
	petal := installation.New(t, "MLFLOW_TRACKING_URI="+proxy.URL)
	petal.Write("params.yaml", twoCandidates)
	petal.Train()
	proxy.onRequest(nil)
	petal.Train("--force")
	writes := writesOf(proxy.requests())
	mlflow.requireWholeChampion()
	require.Equal(t, "2", mlflow.champion().Version)

	t.Run("MLflow fails midway", func(t *testing.T) { testMLflowFailsMidway(t, server, mlflow.champion()) })
	t.Run("the trainer is killed", func(t *testing.T) { testTrainerKilledOverMLflow(t, petal, proxy, mlflow, writes) })
	t.Run("promote and rollback are killed", func(t *testing.T) { testMoveKilledOverMLflow(t, petal, proxy, mlflow) })
	t.Run("the API is killed", func(t *testing.T) { testAPIKilledOverMLflow(t, petal, proxy, mlflow) })
	petal.Train("--force")
	require.Equal(t, mlflow.latest(), mlflow.champion().Version, "after all the faults a training promotes again")
	mlflow.requireWholeChampion()
}

// MLflow answers 500 to one kind of call, at whatever step that is: the trainer
// says so, marks the run FAILED and leaves the champion where it was.
func testMLflowFailsMidway(t *testing.T, server *testenv.MLflowServer, champion modelVersion) {
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
			mlflow := client{t: t, url: server.URL, model: "iris", experiment: "experiment_" + test.name}
			proxy := startProxy(t, server.URL)
			petal := installation.New(t, "MLFLOW_TRACKING_URI="+proxy.URL)
			petal.Write("params.yaml", twoCandidates)
			petal.Write("mlflow.yaml", "artifact_location: ./mlruns\nexperiment_name: "+mlflow.experiment+"\n")
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
			for id, status := range mlflow.runs() {
				require.Equal(t, test.run, status, "run %s", id)
			}
		})
	}
}

// A moment is just before the nth write of a kind.
type moment struct {
	kind string
	nth  int
}

var identifier = regexp.MustCompile(`[0-9a-f]{32}`)

// kindOf tells what a request does; "" where it writes nothing.
func kindOf(method, path string) string {
	switch {
	case method == http.MethodGet || strings.HasSuffix(path, "/search"):
		return ""
	case method == http.MethodPut && strings.Contains(path, "/models/"):
		return "PUT model"
	case method == http.MethodPut:
		return "PUT file"
	}
	return method + " " + identifier.ReplaceAllString(path, "ID")
}

// writesOf counts the writes of each kind.
func writesOf(requests []string) map[string]int {
	writes := map[string]int{}
	for _, request := range requests {
		method, path, _ := strings.Cut(request, " ")
		if kind := kindOf(method, path); kind != "" {
			writes[kind]++
		}
	}
	return writes
}

// endBefore starts a command of the trainer and ends it before a write, by SIGTERM or
// SIGKILL. Asked to end, it does so in time.
func (p *proxy) endBefore(t *testing.T, m moment, kill bool, petal *installation.Installation, args ...string) {
	t.Helper()
	reached, ended := make(chan struct{}), make(chan struct{})
	var count atomic.Int64
	p.onRequest(func(r *http.Request) bool {
		if kindOf(r.Method, r.URL.Path) == m.kind {
			if number := count.Add(1); number == int64(m.nth) {
				close(reached)
			}
		}
		if count.Load() < int64(m.nth) {
			return false
		}
		<-ended // the end comes first, and this write not at all
		return true
	})
	trainer := petal.StartTrainer(args...)
	select {
	case <-reached:
	case <-time.After(installation.TrainLimit):
		close(ended)
		t.Fatalf("%v was never reached by %v: %v", m, args, p.requests())
	}
	if kill {
		trainer.Kill()
	} else {
		require.NotZero(t, trainer.Terminate(stopTime).Code, "%v", m)
	}
	close(ended)
	p.onRequest(nil)
}

const setAlias = "POST /api/2.0/mlflow/registered-models/alias"

// Whenever the trainer is killed, the champion is a whole model, and the next
// training works. What it does in MLflow it does by writes: it is killed before the
// last one of each kind, and before both that move the champion.
func testTrainerKilledOverMLflow(t *testing.T, petal *installation.Installation, proxy *proxy, mlflow client, writes map[string]int) {
	t.Helper()
	require.Greater(t, len(writes), 9, "the trainer spoke to MLflow another way: %v", writes)
	require.Equal(t, 2, writes[setAlias], "previous and champion: %v", writes)
	champion := mlflow.champion()
	moments := []moment{{setAlias, 1}}
	for _, kind := range slices.Sorted(maps.Keys(writes)) {
		moments = append(moments, moment{kind, writes[kind]})
	}
	for i, m := range moments {
		proxy.endBefore(t, m, i%2 == 0, petal, "train", "--force")
		require.Equal(t, champion, mlflow.champion(), "%v", m)
	}
	mlflow.requireWholeChampion()
}

// The champion is the old one or the new one at whatever moment a move by hand ends,
// and the next move works.
func testMoveKilledOverMLflow(t *testing.T, petal *installation.Installation, proxy *proxy, mlflow client) {
	t.Helper()
	const setTag = "POST /api/2.0/mlflow/model-versions/set-tag"
	for _, kill := range []bool{true, false} {
		for _, m := range []moment{{setTag, 2}, {setAlias, 1}, {setAlias, 2}} {
			proxy.endBefore(t, m, kill, petal, "promote", "1")
			require.Equal(t, "2", mlflow.champion().Version, "%v", m)
		}
		result := petal.Trainer("promote", "1")
		require.Zero(t, result.Code, result.Output)
		proxy.endBefore(t, moment{setAlias, 2}, kill, petal, "rollback")
		require.Equal(t, "1", mlflow.champion().Version)
		mlflow.requireWholeChampion()
		result = petal.Trainer("promote", "2")
		require.Zero(t, result.Code, result.Output)
	}
}

// An API that ends while it loads another version serves the one before at its next
// start, though MLflow is away by then.
func testAPIKilledOverMLflow(t *testing.T, petal *installation.Installation, proxy *proxy, mlflow client) {
	t.Helper()
	api := petal.StartAPI()
	for i, file := range []string{"MLmodel", "model.onnx"} {
		kill := i == 0
		reached, ended := make(chan struct{}), make(chan struct{})
		var once sync.Once
		proxy.onRequest(func(r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "/"+file) || strings.HasSuffix(r.URL.Query().Get("path"), file) {
				once.Do(func() { close(reached) })
				<-ended
				return true
			}
			return false
		})
		mlflow.setChampion("1")
		select {
		case <-reached:
		case <-time.After(time.Minute):
			close(ended)
			t.Fatalf("%s was never asked for: %v", file, proxy.requests())
		}
		if kill {
			api.Process.Kill()
		} else {
			result := api.Process.Terminate(stopTime)
			require.Zero(t, result.Code, result.Output)
		}
		close(ended)
		mlflow.setChampion("2")
		proxy.onRequest(func(*http.Request) bool { return true }) // MLflow is away
		api = petal.StartAPI()
		api.Login(petal.Read("var/initial_password"))
		require.Equal(t, "2", api.Predict(samples[0].row...).Model.Version)
		proxy.onRequest(nil)
	}
	require.Zero(t, api.Process.Terminate(stopTime).Code)
}

// The same over the directory registry, where the end may come between two files: the
// moments are drawn by chance.
func TestKilledOverDirectory(t *testing.T) {
	t.Parallel()
	petal := installation.New(t)
	petal.Write("params.yaml", twoCandidates)
	took := func(args ...string) time.Duration {
		started := time.Now()
		result := petal.Trainer(args...)
		require.Zero(t, result.Code, result.Output)
		return time.Since(started)
	}
	train := took("train", "--force")
	took("train", "--force")
	move := max(took("promote", "1"), took("rollback"))
	reg, err := directory.Open(directory.Options{Root: filepath.Join(petal.Dir, "mlruns")})
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(3, 4))
	for i := range 60 {
		limit, args := train, []string{"train", "--force"}
		switch i % 4 {
		case 1:
			limit, args = move, []string{"promote", "1"}
		case 3:
			limit, args = move, []string{"rollback"}
		}
		trainer := petal.StartTrainer(args...)
		time.Sleep(time.Duration(random.Int64N(int64(limit))))
		if i%8 < 4 {
			trainer.Kill()
		} else {
			trainer.Terminate(stopTime)
		}
		requireWhole(t, reg)
	}
	petal.Train("--force")
	api := petal.StartAPI()
	api.Login(petal.Read("var/initial_password"))
	version := api.Predict(samples[0].row...).Model.Version
	requireSamples(t, api, version)
}

// requireWhole reads what an API would load.
func requireWhole(t *testing.T, reg registry.Reader) {
	t.Helper()
	v, err := reg.Resolve(t.Context(), "iris", "champion")
	require.NoError(t, err)
	files, err := registry.Fetch(t.Context(), reg, v, 0)
	require.NoError(t, err)
	digest := sha256.Sum256(files.ONNX)
	require.Equal(t, v.Tags[registry.TagSHA256], hex.EncodeToString(digest[:]), "version %s", v.Number)
}

// An API that ends while it takes over another champion has one of the two at its next
// start, without any registry.
func TestAPIKilledDuringASwap(t *testing.T) {
	t.Parallel()
	const poll = 50 * time.Millisecond
	petal := installation.New(t, "MODEL_POLL_INTERVAL="+poll.String())
	petal.Write("params.yaml", twoCandidates)
	petal.Train()
	petal.Train("--force")
	reg, err := directory.Open(directory.Options{Root: filepath.Join(petal.Dir, "mlruns")})
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(5, 6))
	for i := range 6 {
		api := petal.StartAPI()
		require.NoError(t, reg.SetAlias(t.Context(), "iris", "champion", []string{"1", "2"}[i%2]))
		time.Sleep(time.Duration(random.Int64N(int64(3 * poll))))
		if i%3 == 0 {
			result := api.Process.Terminate(stopTime)
			require.Zero(t, result.Code, result.Output)
		} else {
			api.Process.Kill()
		}
		petal.Write("mlflow.yaml", "artifact_location: ./away\n")
		alone := petal.StartAPI()
		alone.Login(petal.Read("var/initial_password"))
		require.Contains(t, []string{"1", "2"}, alone.Predict(samples[0].row...).Model.Version)
		alone.Process.Kill()
		petal.Write("mlflow.yaml", "artifact_location: ./mlruns\n")
	}
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

// latest is the highest number of a version.
func (c client) latest() string {
	c.t.Helper()
	var answer struct {
		Versions []modelVersion `json:"model_versions"`
	}
	c.get("/api/2.0/mlflow/model-versions/search?max_results=1&order_by=version_number%20DESC&filter=name%3D%27"+c.model+"%27", &answer)
	require.Len(c.t, answer.Versions, 1)
	return answer.Versions[0].Version
}

// setChampion moves the alias.
func (c client) setChampion(version string) {
	c.t.Helper()
	body := `{"name":"` + c.model + `","alias":"champion","version":"` + version + `"}`
	c.ask(http.MethodPost, "/api/2.0/mlflow/registered-models/alias", body, &struct{}{})
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
	var run struct {
		Run struct {
			Info struct {
				Status string `json:"status"`
			} `json:"info"`
		} `json:"run"`
	}
	c.get("/api/2.0/mlflow/runs/get?run_id="+champion.RunID, &run)
	require.Equal(c.t, "FINISHED", run.Run.Info.Status, "the champion's run")
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
