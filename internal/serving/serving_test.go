package serving_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/model/trial"
	"github.com/petal-ml/petal/internal/registry"
	"github.com/petal-ml/petal/internal/registry/directory"
	"github.com/petal-ml/petal/internal/serving"
	"github.com/petal-ml/petal/tests/testenv"
	"github.com/petal-ml/petal/tests/testenv/servingtest"
)

// A fixture is a follower of a real directory registry that can be made to
// fail.
type fixture struct {
	store    registry.Registry
	reader   *flaky
	follower *serving.Follower
	metrics  *prometheus.Registry
	log      *testenv.Buffer
	cacheDir string
	interval time.Duration
}

// flaky is a registry that fails while it is down, and whose files may be
// damaged on their way.
type flaky struct {
	registry.Reader
	down   atomic.Bool
	damage atomic.Bool
	opened atomic.Int64
	held   atomic.Pointer[func(context.Context, registry.Version) error] // before a file is opened
}

func (f *flaky) Resolve(ctx context.Context, name, alias string) (registry.Version, error) {
	if f.down.Load() {
		// The port differs from call to call, as in real messages.
		return registry.Version{}, fmt.Errorf("dial from port %d: %w", time.Now().UnixNano()%60000, registry.ErrUnavailable)
	}
	return f.Reader.Resolve(ctx, name, alias)
}

func (f *flaky) Open(ctx context.Context, v registry.Version, path string) (io.ReadCloser, error) {
	f.opened.Add(1)
	if hold := f.held.Load(); hold != nil {
		if err := (*hold)(ctx, v); err != nil {
			return nil, err
		}
	}
	rc, err := f.Reader.Open(ctx, v, path)
	if err != nil || !f.damage.Load() || path != registry.ModelFile {
		return rc, err
	}
	data, err := io.ReadAll(rc)
	data[len(data)/2] ^= 1
	return io.NopCloser(bytes.NewReader(data)), err
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	store, err := directory.Open(directory.Options{Root: filepath.Join(t.TempDir(), "mlruns"), Experiment: "test"})
	require.NoError(t, err)
	f := &fixture{store: store, reader: &flaky{Reader: store}, cacheDir: filepath.Join(t.TempDir(), "model"), interval: 5 * time.Millisecond}
	f.restart(t)
	return f
}

// restart makes a new follower, as a new process would.
func (f *fixture) restart(t *testing.T) {
	t.Helper()
	f.metrics, f.log = prometheus.NewPedanticRegistry(), new(testenv.Buffer)
	var err error
	f.follower, err = serving.New(f.reader, serving.Config{
		Name: "iris", Alias: "champion", PollInterval: f.interval, CacheDir: f.cacheDir, Opener: &trial.Opener{Memory: 2 << 20},
	}, slog.New(slog.NewTextHandler(f.log, nil)), f.metrics)
	require.NoError(t, err)
}

// run follows until the test ends, or stop is called.
func (f *fixture) run(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.follower.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

func (f *fixture) requireVersion(t *testing.T, number string) {
	t.Helper()
	require.Eventually(t, func() bool {
		m := f.follower.Current()
		return m != nil && m.Info().Version == number
	}, 5*time.Second, time.Millisecond, "version %s never served; log:\n%s", number, f.log)
}

func (f *fixture) requireLog(t *testing.T, text string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(f.log.String(), text) },
		5*time.Second, time.Millisecond, "%q never logged; log:\n%s", text, f.log)
}

func (f *fixture) metric(t *testing.T, name string) float64 {
	t.Helper()
	families, err := f.metrics.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() == name {
			require.Len(t, family.GetMetric(), 1, name)
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	require.Fail(t, "no such metric", name)
	return 0
}

func predict(t *testing.T, m *serving.Live, row []float64) string {
	t.Helper()
	class, err := m.Predict(row, make([]float32, m.NumScores()))
	require.NoError(t, err)
	return m.Labels().Text(class)
}

func TestFollowsTheAlias(t *testing.T) {
	f := newFixture(t)
	require.Nil(t, f.follower.Current())
	f.run(t)
	f.requireLog(t, "the alias cannot be resolved")
	assert.Zero(t, f.metric(t, "model_loaded"))

	iris := servingtest.Iris(t)
	servingtest.Promote(t, f.store, iris, servingtest.Tags(iris))
	<-f.follower.Ready()
	f.requireVersion(t, "1")
	m := f.follower.Current()
	assert.Equal(t, "setosa", predict(t, m, servingtest.Setosa))
	assert.Equal(t, "versicolor", predict(t, m, servingtest.Versicolor))
	assert.Equal(t, "virginica", predict(t, m, servingtest.Virginica))
	assert.Equal(t, []model.Feature{
		{Name: "sepal_length", Type: "double"},
		{Name: "sepal_width", Type: "double"},
		{Name: "petal_length", Type: "double"},
		{Name: "petal_width", Type: "double"},
	}, m.Info().Features)
	require.Len(t, m.Info().Example, 3)
	assert.Equal(t, model.Cell{Number: servingtest.Versicolor[1]}, m.Info().Example[1][1])

	second := servingtest.Constant(t, 1)
	v := servingtest.Promote(t, f.store, second, servingtest.Tags(second))
	f.requireVersion(t, v.Number)
	assert.Equal(t, "versicolor", predict(t, f.follower.Current(), servingtest.Setosa))
	assert.Equal(t, "setosa", predict(t, m, servingtest.Setosa), "who holds the old model goes on with it")

	require.NoError(t, f.store.SetAlias(t.Context(), "iris", "champion", "1")) // a rollback
	f.requireVersion(t, "1")

	require.NoError(t, testutil.GatherAndCompare(f.metrics, strings.NewReader(`
# HELP model_info The model that serves; always 1.
# TYPE model_info gauge
model_info{alias="champion",name="iris",sha256="`+servingtest.Tags(iris)[registry.TagSHA256]+`",version="1"} 1
# HELP model_loaded Whether a model is loaded and serves, 0 or 1.
# TYPE model_loaded gauge
model_loaded 1
# HELP model_predictions_total Rows answered, by model version and predicted class (empty for a regressor).
# TYPE model_predictions_total counter
model_predictions_total{class="setosa",version="1"} 2
model_predictions_total{class="setosa",version="2"} 0
model_predictions_total{class="versicolor",version="1"} 1
model_predictions_total{class="versicolor",version="2"} 1
model_predictions_total{class="virginica",version="1"} 1
model_predictions_total{class="virginica",version="2"} 0
# HELP model_reloads_total Attempts to load a version of the model, by result.
# TYPE model_reloads_total counter
model_reloads_total{result="failure"} 0
model_reloads_total{result="success"} 3
`), "model_info", "model_loaded", "model_predictions_total", "model_reloads_total"))
	assert.InDelta(t, 1793534400, f.metric(t, "model_trained_timestamp_seconds"), 0)
	assert.InDelta(t, time.Now().Unix(), f.metric(t, "registry_last_success_timestamp_seconds"), 30)
	problems, err := testutil.GatherAndLint(f.metrics)
	require.NoError(t, err)
	assert.Empty(t, problems)
}

// The registry goes away: the model serves on, and the log says so once.
func TestRegistryDown(t *testing.T) {
	f := newFixture(t)
	dir := servingtest.Iris(t)
	servingtest.Promote(t, f.store, dir, servingtest.Tags(dir))
	f.run(t)
	f.requireVersion(t, "1")
	f.reader.down.Store(true)
	f.requireLog(t, "the registry is unavailable")
	time.Sleep(100 * time.Millisecond) // some twenty polls
	assert.Equal(t, 1, strings.Count(f.log.String(), "the registry is unavailable"), f.log)
	assert.Zero(t, f.metric(t, "registry_up"))
	assert.Equal(t, "setosa", predict(t, f.follower.Current(), servingtest.Setosa))

	f.reader.down.Store(false)
	f.requireLog(t, "following the registry again")
	assert.InDelta(t, 1, f.metric(t, "registry_up"), 0)
	assert.Equal(t, 1, strings.Count(f.log.String(), "model serves"), "the same version is not loaded twice")
}

// The process starts while the registry is down.
func TestRestore(t *testing.T) {
	f := newFixture(t)
	for class := range 3 { // several swaps leave one copy
		dir := servingtest.Constant(t, class)
		servingtest.Promote(t, f.store, dir, servingtest.Tags(dir))
	}
	dir := servingtest.Iris(t)
	servingtest.Promote(t, f.store, dir, servingtest.Tags(dir))
	stop := f.run(t)
	f.requireVersion(t, "4")
	stop()
	copies, err := filepath.Glob(filepath.Join(f.cacheDir, "*"))
	require.NoError(t, err)
	assert.Len(t, copies, 2, "one copy and current.json")

	f.reader.down.Store(true)
	f.restart(t)
	start := time.Now()
	f.follower.Restore(t.Context())
	took := time.Since(start)
	m := f.follower.Current()
	require.NotNil(t, m, f.log)
	assert.Less(t, took, 50*time.Millisecond)
	assert.Equal(t, "4", m.Info().Version)
	assert.Equal(t, "champion", m.Info().Alias)
	assert.Equal(t, "virginica", predict(t, m, servingtest.Virginica))
	assert.Len(t, m.Info().Example, 3)
	f.run(t)
	f.requireLog(t, "the registry is unavailable")

	f.reader.opened.Store(0)
	f.reader.down.Store(false)
	f.requireLog(t, "following the registry again")
	assert.Zero(t, f.reader.opened.Load(), "what is on disk is not fetched again")
}

func TestRestoreRefusesADamagedCopy(t *testing.T) {
	find := func(t *testing.T, f *fixture, name string) string {
		paths, err := filepath.Glob(filepath.Join(f.cacheDir, "model-*", name))
		require.NoError(t, err)
		require.Len(t, paths, 1)
		return paths[0]
	}
	for _, row := range []struct {
		name   string
		damage func(t *testing.T, f *fixture)
		says   string
	}{
		{"a bit of the model", func(t *testing.T, f *fixture) {
			path := find(t, f, "model.onnx")
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			data[len(data)/2] ^= 1
			require.NoError(t, os.WriteFile(path, data, 0o600))
		}, "model.onnx has SHA-256"},
		{"a model cut short", func(t *testing.T, f *fixture) {
			require.NoError(t, os.Truncate(find(t, f, "model.onnx"), 10))
		}, "model.onnx has SHA-256"},
		{"the description", func(t *testing.T, f *fixture) {
			require.NoError(t, os.WriteFile(find(t, f, "MLmodel"), []byte("flavors: {}"), 0o600))
		}, "MLmodel has SHA-256"},
		{"a file that is gone", func(t *testing.T, f *fixture) {
			require.NoError(t, os.Remove(find(t, f, "model.onnx")))
		}, "no such file"},
		{"current.json", func(t *testing.T, f *fixture) {
			require.NoError(t, os.WriteFile(filepath.Join(f.cacheDir, "current.json"), []byte(`{"version":`), 0o600))
		}, "current.json"},
		{"current.json that leads away", func(t *testing.T, f *fixture) {
			require.NoError(t, os.WriteFile(filepath.Join(f.cacheDir, "current.json"), []byte(`{"dir":"../x"}`), 0o600))
		}, "names no directory beside it"},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := newFixture(t)
			dir := servingtest.Iris(t)
			servingtest.Promote(t, f.store, dir, servingtest.Tags(dir))
			stop := f.run(t)
			f.requireVersion(t, "1")
			stop()
			row.damage(t, f)
			f.restart(t)
			f.follower.Restore(t.Context())
			require.Nil(t, f.follower.Current())
			assert.Equal(t, 1, strings.Count(f.log.String(), "\n"), f.log)
			assert.Contains(t, f.log.String(), row.says)
			f.run(t)
			f.requireVersion(t, "1")

			f.restart(t)
			f.follower.Restore(t.Context())
			require.NotNil(t, f.follower.Current(), "the copy is whole again")
		})
	}
}

func TestRestoreOfAnotherAlias(t *testing.T) {
	f := newFixture(t)
	dir := servingtest.Iris(t)
	servingtest.Promote(t, f.store, dir, servingtest.Tags(dir))
	stop := f.run(t)
	f.requireVersion(t, "1")
	stop()
	other, err := serving.New(f.reader, serving.Config{Name: "iris", Alias: "challenger", PollInterval: time.Hour, CacheDir: f.cacheDir},
		slog.New(slog.NewTextHandler(f.log, nil)), prometheus.NewRegistry())
	require.NoError(t, err)
	other.Restore(t.Context())
	assert.Nil(t, other.Current())
	assert.Contains(t, f.log.String(), "of another name or alias")
}

// A copy that cannot be written is no reason not to serve.
func TestCopyCannotBeKept(t *testing.T) {
	f := newFixture(t)
	require.NoError(t, os.WriteFile(f.cacheDir, []byte("a file where a directory should be"), 0o600))
	dir := servingtest.Iris(t)
	servingtest.Promote(t, f.store, dir, servingtest.Tags(dir))
	f.run(t)
	f.requireVersion(t, "1")
	assert.Contains(t, f.log.String(), "no copy of it could be kept")
}

// A version that cannot be served leaves the one before, says so once, and is
// left alone once the alias moves on.
func TestBadVersions(t *testing.T) {
	for _, row := range []struct {
		name string
		dir  func(t testing.TB) mlmodel.Dir
		tags func(tags map[string]string)
		says string
	}{
		{"another digest", servingtest.Iris, func(tags map[string]string) {
			tags[registry.TagSHA256] = strings.Repeat("0", 64)
		}, "the registry says 000"},
		{"another size", servingtest.Iris, func(tags map[string]string) {
			tags[registry.TagSize] = "7"
		}, "the registry says 7"},
		{"too large, by its tag", servingtest.Iris, func(tags map[string]string) {
			tags[registry.TagSize] = "2000000"
		}, "too large"},
		{"too large", func(t testing.TB) mlmodel.Dir {
			dir := servingtest.Iris(t)
			dir.ONNX = append(dir.ONNX, make([]byte, 1<<20)...)
			return dir
		}, func(tags map[string]string) { clear(tags) }, "too large"},
		{"no model", func(t testing.TB) mlmodel.Dir {
			dir := servingtest.Iris(t)
			dir.ONNX = []byte("<html>not found</html>")
			return dir
		}, nil, "invalid model"},
		{"an unknown operator", func(t testing.TB) mlmodel.Dir {
			dir := servingtest.Iris(t)
			dir.ONNX = bytes.ReplaceAll(dir.ONNX, []byte("LinearClassifier"), []byte("LinearClairvoyer"))
			return dir
		}, nil, "LinearClairvoyer"},
		{"a signature of another width", func(t testing.TB) mlmodel.Dir {
			dir := servingtest.Iris(t)
			dir.Signature.Inputs, dir.InputExample = dir.Signature.Inputs[:3], nil
			return dir
		}, nil, "the signature names 3 inputs, the graph takes 4"},
		{"a name twice", func(t testing.TB) mlmodel.Dir {
			dir := servingtest.Iris(t)
			dir.Signature.Inputs[3].Name = dir.Signature.Inputs[0].Name
			return dir
		}, nil, "has no name of its own"},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := newFixture(t)
			good := servingtest.Iris(t)
			servingtest.Promote(t, f.store, good, servingtest.Tags(good))
			f.run(t)
			f.requireVersion(t, "1")

			bad := row.dir(t)
			tags := servingtest.Tags(bad)
			if row.tags != nil {
				row.tags(tags)
			}
			servingtest.Promote(t, f.store, bad, tags)
			f.requireLog(t, "cannot be served")
			time.Sleep(60 * time.Millisecond) // a dozen polls
			assert.Equal(t, 1, strings.Count(f.log.String(), "cannot be served"), f.log)
			assert.Contains(t, f.log.String(), row.says)
			assert.Contains(t, f.log.String(), "serving=1")
			assert.InDelta(t, 1, f.metric(t, "model_reload_failing"), 0)
			assert.InDelta(t, 1, f.metric(t, "registry_up"), 0)
			assert.Equal(t, "setosa", predict(t, f.follower.Current(), servingtest.Setosa))
			f.restart(t)
			f.follower.Restore(t.Context())
			require.NotNil(t, f.follower.Current(), "the copy on disk is still the good one")
			assert.Equal(t, "1", f.follower.Current().Info().Version)
		})
	}
}

func TestRecoversFromABadVersion(t *testing.T) {
	f := newFixture(t)
	good := servingtest.Iris(t)
	servingtest.Promote(t, f.store, good, servingtest.Tags(good))
	f.run(t)
	f.requireVersion(t, "1")
	f.reader.damage.Store(true)
	second := servingtest.Constant(t, 2)
	servingtest.Promote(t, f.store, second, servingtest.Tags(second))
	f.requireLog(t, "cannot be served")
	f.reader.damage.Store(false) // tried again, ever more rarely
	f.requireVersion(t, "2")
	f.requireLog(t, "following the registry again")
	assert.Zero(t, f.metric(t, "model_reload_failing"))
}

// Models are swapped under a steady stream of predictions, none of which fails
// or mixes two models.
func TestSwapUnderLoad(t *testing.T) {
	f := newFixture(t)
	class := map[string]string{}
	names := []string{"setosa", "versicolor", "virginica"}
	promote := func(i int) {
		dir := servingtest.Constant(t, i%3)
		v := servingtest.Promote(t, f.store, dir, servingtest.Tags(dir))
		require.Equal(t, names[i%3], class[v.Number])
	}
	const swaps = 12
	for i := range swaps {
		class[fmt.Sprint(i+1)] = names[i%3]
	}
	promote(0)
	f.run(t)
	<-f.follower.Ready()

	var wg sync.WaitGroup
	var answered, failed atomic.Int64
	done := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			scores := make([]float32, 3)
			for {
				select {
				case <-done:
					return
				default:
				}
				m := f.follower.Current()
				got, err := m.Predict(servingtest.Setosa, scores)
				if err != nil || m.Labels().Text(got) != class[m.Info().Version] {
					failed.Add(1)
				}
				answered.Add(1)
				runtime.Gosched()
			}
		})
	}
	for i := 1; i < swaps; i++ {
		promote(i)
		f.requireVersion(t, fmt.Sprint(i+1))
	}
	close(done)
	wg.Wait()
	assert.Zero(t, failed.Load())
	assert.Positive(t, answered.Load())
	// Old versions leave the metrics: of twelve, the last two or three remain.
	n, err := testutil.GatherAndCount(f.metrics, "model_predictions_total")
	require.NoError(t, err)
	assert.LessOrEqual(t, n, 9)
}

func TestPredictAllocatesNothing(t *testing.T) {
	m := load(t, servingtest.Iris(t))
	scores := make([]float32, 3)
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		if _, err := m.Predict(servingtest.Setosa, scores); err != nil {
			panic(err)
		}
	}))
}

func load(t *testing.T, dir mlmodel.Dir) *serving.Live {
	t.Helper()
	files, err := dir.Files(mlmodel.IDs{ModelID: "m-1", RunID: "r"})
	require.NoError(t, err)
	m, err := serving.Load(t.Context(), nil, serving.Bundle{
		Version: registry.Version{Name: "iris", Number: "1", Tags: servingtest.Tags(dir)},
		Files:   model.Files{MLmodel: files["MLmodel"], ONNX: files["model.onnx"], Example: files["input_example.json"]},
	})
	require.NoError(t, err)
	return m
}

// clocked is a registry that holds nothing and notes when it is asked.
type clocked struct {
	registry.Reader
	asked []time.Time
}

func (c *clocked) Resolve(context.Context, string, string) (registry.Version, error) {
	c.asked = append(c.asked, time.Now())
	return registry.Version{}, registry.ErrNotFound
}

// Followers that started together do not ask together for ever.
func TestPollsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := &clocked{}
		f, err := serving.New(reg, serving.Config{Name: "iris", Alias: "champion", PollInterval: time.Second, CacheDir: t.TempDir()},
			slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		require.NoError(t, err)
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		f.Run(ctx)
		low, high := time.Hour, time.Duration(0)
		for i := range len(reg.asked) - 1 {
			between := reg.asked[i+1].Sub(reg.asked[i])
			low, high = min(low, between), max(high, between)
		}
		assert.GreaterOrEqual(t, low, 900*time.Millisecond)
		assert.LessOrEqual(t, high, 1100*time.Millisecond)
		assert.Greater(t, high-low, 100*time.Millisecond)
	})
}
