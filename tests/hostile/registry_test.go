package hostile

import (
	"bytes"
	"fmt"
	"io"
	"math"
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

	"github.com/petal-ml/petal/internal/onnx"
	"github.com/petal-ml/petal/internal/registry/directory"
	"github.com/petal-ml/petal/tests/testenv"
	"github.com/petal-ml/petal/tests/testenv/servingtest"
)

// patience bounds what the API does by itself, on a machine that may be busy.
const patience = time.Minute

// Whoever may write to the registry registers what cannot be loaded. The model
// that serves goes on serving, and the operator's rollback is followed.
func TestVersionsThatCannotBeLoaded(t *testing.T) {
	t.Parallel()
	x := newTarget(t)
	r := x.registry(t)
	good := servingtest.Promote(t, r, servingtest.Iris(t), servingtest.Tags(servingtest.Iris(t)))
	x.serves(t, good.Number)
	for _, test := range hopeless(t) {
		t.Run(test.name, func(t *testing.T) {
			x.survives(t, func() {
				dir := servingtest.Iris(t)
				dir.ONNX = test.onnx
				bad := servingtest.Promote(t, r, dir, servingtest.Tags(dir))
				x.refuses(t, bad.Number)
				require.Equal(t, good.Number, x.Predict(5.1, 3.5, 1.4, 0.2).Model.Version)
				require.NoError(t, r.SetAlias(t.Context(), "iris", "champion", "1"))
				x.serves(t, "1")
				require.NoError(t, r.SetAlias(t.Context(), "iris", "champion", good.Number))
				x.serves(t, good.Number)
			})
		})
	}
	t.Run("and a restart is no crash loop", func(t *testing.T) {
		dir := servingtest.Iris(t)
		dir.ONNX = bomb("ConstantOfShape", 260_000_000, 1)
		bad := servingtest.Promote(t, r, dir, servingtest.Tags(dir))
		x.refuses(t, bad.Number)
		require.Zero(t, x.Process.Terminate(patience).Code)
		x.start() // with the last good model
		require.Equal(t, good.Number, x.Predict(5.1, 3.5, 1.4, 0.2).Model.Version)
		x.survives(t, func() { x.refuses(t, bad.Number) })
	})
}

// A training, a promotion and a comparison meet such a version as the champion. None
// hangs or is killed, and the new model takes its place.
func TestTrainerMeetsAHopelessChampion(t *testing.T) {
	t.Parallel()
	x := newTarget(t)
	require.Zero(t, x.Process.Terminate(patience).Code) // the memory is the trainer's
	x.petal.Programs.Trainer = x.caged(t, x.petal.Programs.Trainer)
	r := x.registry(t)
	for _, test := range hopeless(t) {
		t.Run(test.name, func(t *testing.T) {
			dir := servingtest.Iris(t)
			dir.ONNX = test.onnx
			bad := servingtest.Promote(t, r, dir, servingtest.Tags(dir))
			x.refusesInALine(t, "compare", "1", bad.Number)
			x.petal.Train("--force")
			champion, err := r.Resolve(t.Context(), "iris", "champion")
			require.NoError(t, err)
			require.NotEqual(t, bad.Number, champion.Number)
			x.refusesInALine(t, "promote", bad.Number)
		})
	}
}

// refusesInALine runs a command of the trainer, which fails and says why.
func (x *target) refusesInALine(t *testing.T, args ...string) {
	t.Helper()
	result := x.petal.Trainer(args...)
	require.NotZero(t, result.Code, result.Output)
	require.Less(t, result.Code, 128, "killed: %s", result.Output)
	require.Equal(t, 1, strings.Count(result.Output, "\n"), result.Output)
}

// A hopelessModel is a file that nobody can serve.
type hopelessModel struct {
	name string
	onnx []byte
}

func hopeless(t *testing.T) []hopelessModel {
	t.Helper()
	return []hopelessModel{
		{"a constant of 260 million numbers", bomb("ConstantOfShape", 260_000_000, 1)},
		{"four constants that fit one by one", bomb("ConstantOfShape", 25_000_000, 4)},
		{"sums without end", bomb("ReduceSum", 10_000_000, 20_000)},
		{"products without end", bomb("MatMul", 10_000_000, 20_000)},
		{"a row of two thousand million numbers", wide(math.MaxInt32)},
		{"labels of 200 KB", labelled(t, 200_000)},
		{"no model", bytes.Repeat([]byte{0xff}, 1<<20)},
	}
}

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
		{"60 MB of empty tags", manyTags(60 << 20)},
		{"7 MB of empty tags", manyTags(7 << 20)},
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

// manyTags answers for an alias with a version of as many empty tags as fit.
func manyTags(size int) http.HandlerFunc {
	const version = `{"model_version":{"name":"iris","version":"9","source":"models:/m-1","run_id":"a","status":"READY","tags":[`
	body := version + strings.TrimSuffix(strings.Repeat("{},", size/3), ",") + "]}}"
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
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

func (x *target) registry(t *testing.T) *directory.Store {
	t.Helper()
	r, err := directory.Open(directory.Options{Root: filepath.Join(x.petal.Dir, "mlruns")})
	require.NoError(t, err)
	return r
}

// serves waits until the API answers with the version.
func (x *target) serves(t *testing.T, version string) {
	t.Helper()
	require.Eventually(t, func() bool { return x.Predict(5.1, 3.5, 1.4, 0.2).Model.Version == version }, patience, 20*time.Millisecond,
		"version %s is followed", version)
}

// refuses waits until the API tells that the version cannot be served.
func (x *target) refuses(t *testing.T, version string) {
	t.Helper()
	x.waits(t, "model_reload_failing", 1)
	require.NotEqual(t, version, x.Predict(5.1, 3.5, 1.4, 0.2).Model.Version)
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

// bomb is a small model that folds constants of many numbers, many times.
func bomb(operator string, elements int64, times int) []byte {
	g := &onnx.Graph{
		Name: "bomb",
		Initializers: []*onnx.Tensor{
			onnx.NamedTensor("row", []int{2}, []int64{1, elements}), onnx.NamedTensor("column", []int{2}, []int64{elements, 1}),
			onnx.NamedTensor("axis", []int{1}, []int64{1}),
		},
		Inputs:  []onnx.ValueInfo{{Name: "features", Type: onnx.TensorType(onnx.Float, onnx.Symbolic("N"), onnx.Fixed(4))}},
		Outputs: []onnx.ValueInfo{{Name: "value", Type: onnx.TensorType(onnx.Float, onnx.Symbolic("N"), onnx.Fixed(1))}},
		Nodes:   []onnx.Node{{Operator: "ReduceSum", Inputs: []string{"features", "axis"}, Outputs: []string{"sum"}}},
	}
	add := func(operator string, inputs ...string) string {
		name := fmt.Sprintf("n%d", len(g.Nodes))
		g.Nodes = append(g.Nodes, onnx.Node{Operator: operator, Inputs: inputs, Outputs: []string{name}})
		return name
	}
	sums := []string{"sum"}
	row, column := "", ""
	for i := range times {
		if i == 0 || operator == "ConstantOfShape" {
			row = add("ConstantOfShape", "row")
		}
		switch operator {
		case "MatMul":
			if i == 0 {
				column = add("ConstantOfShape", "column")
			}
			sums = append(sums, add("MatMul", row, column))
		default:
			sums = append(sums, add("ReduceSum", row, "axis"))
		}
	}
	g.Nodes = append(g.Nodes, onnx.Node{Operator: "Sum", Inputs: sums, Outputs: []string{"value"}})
	m := &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 13}}, Graph: g}
	return m.Marshal()
}

// wide is a model whose rows have more numbers than memory holds.
func wide(width int) []byte {
	m := &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 13}}, Graph: &onnx.Graph{
		Name:         "wide",
		Initializers: []*onnx.Tensor{onnx.NamedTensor("axis", []int{1}, []int64{1})},
		Inputs:       []onnx.ValueInfo{{Name: "features", Type: onnx.TensorType(onnx.Float, onnx.Symbolic("N"), onnx.Fixed(width))}},
		Outputs:      []onnx.ValueInfo{{Name: "value", Type: onnx.TensorType(onnx.Float, onnx.Symbolic("N"), onnx.Fixed(1))}},
		Nodes:        []onnx.Node{{Operator: "ReduceSum", Inputs: []string{"features", "axis"}, Outputs: []string{"value"}}},
	}}
	return m.Marshal()
}

// labelled is a classifier with labels of so many bytes each.
func labelled(t *testing.T, size int) []byte {
	t.Helper()
	return servingtest.IrisLabelled(t, onnx.Labels{Strings: []string{
		strings.Repeat("a", size), strings.Repeat("b", size), strings.Repeat("c", size),
	}}).ONNX
}
