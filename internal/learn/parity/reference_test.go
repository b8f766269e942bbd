// Package parity compares the estimators, metrics and splits with scikit-learn
// and their ONNX files with onnxruntime, both run live on the same data.
//
// Two data sets are compared by default; PETAL_PARITY=all takes all fourteen.
package parity

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/tests/testenv"
)

// allSets are the data sets of a full comparison: four that scikit-learn ships,
// ten that reference.py makes.
var allSets = []string{
	"iris", "wine", "breast_cancer", "digits",
	"imbalanced", "ten_classes", "collinear", "constant_columns", "missing",
	"two_features", "noisy_labels", "unscaled", "few_values", "circles",
}

// everything tells a full comparison.
func everything() bool { return os.Getenv("PETAL_PARITY") == "all" }

// sets returns what this run compares.
func sets() []string {
	if everything() {
		return allSets
	}
	return []string{"iris", "breast_cancer"}
}

// reference is one Python process that all tests of the package ask in turn.
type reference struct {
	mu      sync.Mutex
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

var shared reference

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.command != nil {
		_ = shared.in.Close()
		_ = shared.command.Wait()
	}
	os.Exit(code)
}

// ask calls a function of reference.py and decodes what it returns.
func ask(t *testing.T, call string, arguments map[string]any, answer any) {
	t.Helper()
	python := testenv.Python(t)
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.command == nil {
		require.NoError(t, shared.start(python))
	}
	arguments["call"] = call
	line, err := json.Marshal(arguments)
	require.NoError(t, err)
	_, err = shared.in.Write(append(line, '\n'))
	require.NoError(t, err)
	reply, err := shared.out.ReadBytes('\n')
	require.NoError(t, err, "the reference process ended")
	var result struct {
		OK    json.RawMessage
		Error string
	}
	require.NoError(t, json.Unmarshal(reply, &result))
	require.Empty(t, result.Error, "%s in reference.py", call)
	require.NoError(t, json.Unmarshal(result.OK, answer))
}

func (r *reference) start(python string) error {
	command := exec.CommandContext(context.Background(), python, filepath.Join("testdata", "reference.py"))
	command.Env = testenv.Environ("OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1")
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		return err
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	r.command, r.in, r.out = command, in, bufio.NewReaderSize(out, 1<<20)
	return nil
}

// array is a float64 array on its way to or from Python, exact to the bit.
type array struct {
	Shape []int  `json:"shape"`
	Data  string `json:"data"`
}

func pack(m *mat.Dense) array {
	r, c := m.Dims()
	raw := make([]byte, 0, 8*r*c)
	for i := range r {
		for _, v := range m.RawRowView(i) {
			raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(v))
		}
	}
	return array{Shape: []int{r, c}, Data: base64.StdEncoding.EncodeToString(raw)}
}

func (a array) values(t *testing.T) []float64 {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(a.Data)
	require.NoError(t, err)
	out := make([]float64, len(raw)/8)
	for i := range out {
		out[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
	}
	return out
}

func (a array) dense(t *testing.T) *mat.Dense {
	t.Helper()
	require.Len(t, a.Shape, 2)
	return mat.NewDense(a.Shape[0], a.Shape[1], a.values(t))
}

// data is one data set, its classes numbered from 0.
type data struct {
	name    string
	x       *mat.Dense
	y       []int
	classes int
}

func load(t *testing.T, name string) data {
	t.Helper()
	var answer struct {
		X array
		Y []int
	}
	ask(t, "dataset", map[string]any{"name": name}, &answer)
	d := data{name: name, x: answer.X.dense(t), y: answer.Y}
	for _, k := range d.y {
		d.classes = max(d.classes, k+1)
	}
	require.NotEmpty(t, d.y, "data set %s is empty", name)
	return d
}

// requireClose compares two matrices element by element.
func requireClose(t *testing.T, want, got *mat.Dense, tolerance float64, what string) {
	t.Helper()
	wr, wc := want.Dims()
	gr, gc := got.Dims()
	require.Equal(t, []int{wr, wc}, []int{gr, gc}, what)
	for i := range wr {
		for j := range wc {
			a, b := want.At(i, j), got.At(i, j)
			require.Equal(t, math.IsNaN(a), math.IsNaN(b), "%s [%d,%d]: %v and %v", what, i, j, a, b)
			if !math.IsNaN(a) {
				require.InDelta(t, a, b, tolerance, "%s [%d,%d]", what, i, j)
			}
		}
	}
}

// unmarshalOptional leaves dst nil for null.
func unmarshalOptional(data []byte, dst **float64) error { return json.Unmarshal(data, dst) }
