// Package e2e drives the two built binaries as a user does, against a real MLflow
// server and against the directory registry.
package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/installation"
	"github.com/petal-ml/petal/tests/testenv"
)

// samples are one flower of each kind, far from the others.
var samples = []struct {
	species string
	row     []float64
}{
	{"setosa", []float64{5.1, 3.5, 1.4, 0.2}},
	{"versicolor", []float64{5.9, 2.8, 4.3, 1.3}},
	{"virginica", []float64{6.7, 3.3, 5.7, 2.5}},
}

// From a CSV to a prediction over MLflow; a new champion without one failed
// request; and MLflow's death, which serving must not notice.
func TestJourneyWithMLflow(t *testing.T) {
	t.Parallel()
	server := testenv.StartMLflow(t, testenv.MLflowOptions{})
	petal := installation.New(t, "MLFLOW_TRACKING_URI="+server.URL)

	petal.Train()
	api := petal.StartAPI()
	api.Login(petal.Read("var/initial_password"))
	requireSamples(t, api, "1")

	again := petal.Train()
	require.Equal(t, "1", api.Predict(samples[0].row...).Model.Version, "a second training of the same data must do nothing: %s", again.Output)

	load := startStream(api)
	petal.Train("--force")
	load.waitVersion(t, "2", 30*time.Second)
	load.stop()
	require.Empty(t, load.failures(), "requests failed while the champion changed")
	require.Greater(t, load.answered.Load(), int64(100), "the stream was no stream")
	requireSamples(t, api, "2")

	for _, version := range []string{"1", "2"} { // back, and forth again
		result := petal.Trainer("rollback")
		require.Zero(t, result.Code, result.Output)
		require.Eventually(t, func() bool { return api.Predict(samples[0].row...).Model.Version == version },
			30*time.Second, 100*time.Millisecond, "the API follows a rollback")
	}

	server.Kill()
	requireSamples(t, api, "2")
	require.Equal(t, http.StatusOK, api.Do(http.MethodGet, "/ready", "", "", "").Status, "ready without MLflow")

	stopped := api.Process.Stop(20 * time.Second)
	require.Zero(t, stopped.Code, "a stopped API ends with code 0: %s", stopped.Output)
	restarted := petal.StartAPI()
	restarted.Login(petal.Read("var/initial_password"))
	requireSamples(t, restarted, "2")

	// When MLflow is back, the API finds it by itself.
	server.Restart()
	petal.Train("--force")
	require.Eventually(t, func() bool {
		return restarted.Predict(samples[0].row...).Model.Version == "3"
	}, 30*time.Second, 100*time.Millisecond, "the API follows the champion again")
}

func requireSamples(t *testing.T, api *installation.API, version string) {
	t.Helper()
	for class, sample := range samples {
		prediction := api.Predict(sample.row...)
		require.Equal(t, sample.species, prediction.Label)
		require.Equal(t, class, prediction.ClassIndex)
		require.Len(t, prediction.Probabilities, len(samples))
		require.Greater(t, prediction.Probabilities[sample.species], 0.5)
		require.Equal(t, installation.Model{Name: "iris", Version: version}, prediction.Model)
	}
}

// A stream asks for predictions without pause until it is stopped.
type stream struct {
	api      *installation.API
	done     chan struct{}
	workers  sync.WaitGroup
	answered atomic.Int64

	mu       sync.Mutex
	failed   []string
	versions map[string]int
}

func startStream(api *installation.API) *stream {
	const workers = 4
	s := &stream{api: api, done: make(chan struct{}), versions: map[string]int{}}
	for range workers {
		s.workers.Go(s.work)
	}
	return s
}

func (s *stream) work() {
	body := `{"features":[5.1,3.5,1.4,0.2]}`
	for {
		select {
		case <-s.done:
			return
		case <-time.After(time.Millisecond): // bounds the load: the trainer needs the cores too
		}
		answer, err := s.api.Try(http.MethodPost, "/predict", "application/json", body, s.api.Token())
		s.note(answer, err)
	}
}

func (s *stream) note(answer installation.Answer, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.failed = append(s.failed, err.Error())
		return
	}
	if answer.Status != http.StatusOK {
		s.failed = append(s.failed, fmt.Sprintf("status %d: %s", answer.Status, answer.Body))
		return
	}
	var prediction installation.Prediction
	if err := json.Unmarshal(answer.Body, &prediction); err != nil {
		s.failed = append(s.failed, err.Error())
		return
	}
	s.versions[prediction.Model.Version]++
	s.answered.Add(1)
}

func (s *stream) waitVersion(t *testing.T, version string, limit time.Duration) {
	t.Helper()
	require.Eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.versions[version] > 0
	}, limit, 20*time.Millisecond, "the API must serve version %s", version)
}

func (s *stream) stop() {
	close(s.done)
	s.workers.Wait()
}

func (s *stream) failures() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}
