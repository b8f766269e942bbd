package hostile

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
)

// patience bounds what the API does by itself, on a machine that may be busy.
const patience = time.Minute

// The files of the directory registry become what no file of a registry is.
func TestRegistryFilesThatAreNone(t *testing.T) {
	t.Parallel()
	x := newTarget(t)
	index := filepath.Join(x.petal.Dir, "mlruns", "index.json")
	whole := x.petal.Read("mlruns/index.json")
	for _, test := range hostileFiles() {
		t.Run(test.name, func(t *testing.T) {
			x.survives(t, func() {
				require.NoError(t, os.Remove(index))
				require.NoError(t, test.create(index))
				x.waits(t, "registry_up", 0)
			})
			require.NoError(t, os.RemoveAll(index))
			x.petal.Write("mlruns/index.json", whole)
			x.waits(t, "registry_up", 1)
		})
	}
}

// An MLflow server answers without end, in drops, or with what was not asked.
func TestMLflowThatIsNone(t *testing.T) {
	t.Parallel()
	x := newTarget(t)
	require.Zero(t, x.Process.Terminate(patience).Code)
	settings := x.petal
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
	}{
		{"an answer without end", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, endless{}) }},
		{"an answer in drops", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte(" "))
				_ = http.NewResponseController(w).Flush()
				time.Sleep(100 * time.Millisecond)
			}
		}},
		{"no answer", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		{"deep JSON", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("[", 1<<20)) }},
		{"another model", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"model_version":{"name":"other","version":"7","current_stage":"None","source":"models:/m-1","run_id":"a","status":"READY"}}`)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(test.answer)
			defer server.Close()
			x.petal = settings.With("MLFLOW_TRACKING_URI=" + server.URL)
			x.start() // with the last good model
			x.survives(t, func() { time.Sleep(500 * time.Millisecond) })
			server.CloseClientConnections()
			require.Zero(t, x.Process.Terminate(patience).Code)
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	return copy(p, bytes.Repeat([]byte(`{"a":[0,`), len(p)/8)), nil
}

// The operator's own files are what they are not: the API says so at once and
// ends, or goes on without.
func TestFilesThatAreNone(t *testing.T) {
	t.Parallel()
	x := newTarget(t)
	require.Zero(t, x.Process.Terminate(patience).Code)
	for _, name := range []string{"var/secret_key", "var/model/current.json", "mlflow.yaml", ".env", "users.db"} {
		path := filepath.Join(x.petal.Dir, filepath.FromSlash(name))
		for _, test := range hostileFiles() {
			t.Run(name+" as "+test.name, func(t *testing.T) {
				aside := path + ".aside"
				if err := os.Rename(path, aside); err != nil {
					require.ErrorIs(t, err, os.ErrNotExist)
				}
				require.NoError(t, test.create(path))
				defer func() {
					require.NoError(t, os.RemoveAll(path))
					_ = os.Rename(aside, path)
				}()
				x.startsOrSays(t)
			})
		}
	}
}

// startsOrSays starts the API, which serves soon or ends with a line that says
// why.
func (x *target) startsOrSays(t *testing.T) {
	t.Helper()
	petal := x.petal.With("API_ADDRESS=" + testenv.FreeAddress(t))
	process := testenv.Start(t, testenv.Command{Path: petal.Programs.API, Args: []string{"serve"}, Env: petal.Env, Dir: petal.Dir})
	defer process.Kill()
	serves := func() bool { return strings.Contains(process.Output(), `"model serves"`) }
	ended := func() bool { return syscall.Kill(process.PID(), 0) != nil }
	require.Eventually(t, func() bool { return serves() || ended() }, patience, 10*time.Millisecond, "neither serves nor ends")
	output := process.Output()
	require.NotContains(t, output, "goroutine ", "no stack for an operator")
	if ended() {
		require.Contains(t, []int{1, 2}, process.Wait(patience).Code, output) // a failure, or bad settings
	}
}

type hostileFile struct {
	name   string
	create func(path string) error
}

func hostileFiles() []hostileFile {
	return []hostileFile{
		{"a pipe", func(path string) error { return syscall.Mkfifo(path, 0o600) }},
		{"a link to a device without end", func(path string) error { return os.Symlink("/dev/zero", path) }},
		{"a sparse file of 600 MB", func(path string) error {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				return err
			}
			return os.Truncate(path, 600<<20)
		}},
		{"a folder", func(path string) error { return os.Mkdir(path, 0o700) }},
	}
}

// waits waits until a metric has a value.
func (x *target) waits(t *testing.T, metric string, value float64) {
	t.Helper()
	require.Eventually(t, func() bool { return x.metric(t, metric) == value }, patience, 20*time.Millisecond, "%s becomes %v", metric, value)
}

// metric reads a metric without labels.
func (x *target) metric(t *testing.T, name string) float64 {
	t.Helper()
	found := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindSubmatch(x.Do(http.MethodGet, "/metrics", "", "", "").Body)
	require.NotNil(t, found, "no metric %s", name)
	value, err := strconv.ParseFloat(string(found[1]), 64)
	require.NoError(t, err)
	return value
}
