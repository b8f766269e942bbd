package e2e

import (
	"cmp"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/installation"
	"github.com/petal-ml/petal/tests/testenv"
)

// Exit codes of the trainer.
const (
	exitFailure  = 1
	exitBadInput = 2
)

// goodRows are enough rows for a small model: more rows than folds in each class.
var goodRows = strings.Repeat("1,2,a\n", 12) + strings.Repeat("3,5,b\n", 12)

func TestTrainerRefusesBadInput(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		noFile bool
		csv    string
		label  string // empty: "label"
		says   []string
	}{
		{name: "missing file", noFile: true, says: []string{"table.csv"}},
		{name: "ragged row", csv: "x,y,label\n" + goodRows + "1,a\n", says: []string{"table.csv", "26"}},
		{name: "text in a numeric column", csv: "x,y,label\n" + goodRows + "1,tall,a\n", says: []string{"table.csv", "26", "y", "tall"}},
		{name: "one class", csv: "x,y,label\n" + strings.Repeat("1,2,a\n", 20), says: []string{"table.csv", "label", "class"}},
		{name: "empty file", csv: "", says: []string{"table.csv", "empty"}},
		{name: "header only", csv: "x,y,label\n", says: []string{"table.csv", "row"}},
		{name: "unknown label column", csv: "x,y,label\n" + goodRows, label: "species", says: []string{"species"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			petal := installation.New(t)
			if !test.noFile {
				petal.Write("table.csv", test.csv)
			}
			result := petal.Trainer("train", "--data", "table.csv", "--label", cmp.Or(test.label, "label"))
			require.Equal(t, exitBadInput, result.Code, result.Output)
			requireOneLine(t, result, test.says...)
			requireNothingRegistered(t, petal)
		})
	}
}

func TestTrainerRefusesUnusableRegistry(t *testing.T) {
	t.Parallel()
	t.Run("a file where the folder should be", func(t *testing.T) {
		t.Parallel()
		petal := installation.New(t)
		petal.Write("mlruns", "in the way")
		result := petal.Trainer("train")
		require.Equal(t, exitFailure, result.Code, result.Output)
		requireOneLine(t, result, "mlruns")
		require.Equal(t, "in the way", petal.Read("mlruns"))
	})
	t.Run("a file system that refuses to write", func(t *testing.T) {
		t.Parallel()
		petal := installation.New(t)
		petal.Write("mlflow.yaml", "artifact_location: /proc/petal\nexperiment_name: iris\n")
		result := petal.Trainer("train")
		require.Equal(t, exitFailure, result.Code, result.Output)
		requireOneLine(t, result, "/proc/petal")
	})
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		address := "http://" + testenv.FreeAddress(t)
		petal := installation.New(t, "MLFLOW_TRACKING_URI="+address)
		result := petal.Trainer("train")
		require.Equal(t, exitFailure, result.Code, result.Output)
		requireOneLine(t, result, address, "connection refused")
	})
}

func TestRefusesBadSettings(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		settings []string
		says     []string
	}{
		{"short key", []string{"SECRET_KEY=hunter2"}, []string{"SECRET_KEY", "32"}},
		{"three faults at once", []string{"SECRET_KEY=hunter2", "ACCESS_TOKEN_EXPIRE_MINUTES=soon", "DATABASE_URL=oracle://x"}, []string{"SECRET_KEY", "ACCESS_TOKEN_EXPIRE_MINUTES", "DATABASE_URL"}},
		{"an address without a port", []string{"API_ADDRESS=localhost"}, []string{"API_ADDRESS"}},
		{"a tracking URI of another kind", []string{"MLFLOW_TRACKING_URI=ftp://x"}, []string{"MLFLOW_TRACKING_URI"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			petal := installation.New(t, test.settings...)
			result := petal.RunAPI("serve")
			require.NotZero(t, result.Code, result.Output)
			for _, text := range test.says {
				require.Contains(t, result.Output, text)
			}
			requireNoCrash(t, result)
			require.NotContains(t, result.Output, "hunter2", "a secret was printed")
			require.NoFileExists(t, filepath.Join(petal.Dir, "users.db"))
		})
	}
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	address := listener.Addr().String()

	petal := installation.New(t, "API_ADDRESS="+address, "TRAINER_ADDRESS="+address)
	result := petal.RunAPI("serve")
	require.Equal(t, exitFailure, result.Code, result.Output)
	requireOneLine(t, result, address, "in use")

	result = petal.StartTrainer("serve").Wait(time.Minute)
	require.Equal(t, exitFailure, result.Code, result.Output)
	requireOneLine(t, result, address, "in use")
}

// requireOneLine wants one line about the fault, the last, with everything that
// the user needs to find it. Log records of what went before, such as attempts
// that will be repeated, are no such lines.
func requireOneLine(t *testing.T, result testenv.Result, says ...string) {
	t.Helper()
	requireNoCrash(t, result)
	lines := strings.Split(strings.TrimSpace(result.Output), "\n")
	last := lines[len(lines)-1]
	for _, text := range says {
		require.Containsf(t, last, text, "the last line of\n%s", result.Output)
	}
	for _, line := range lines[:len(lines)-1] {
		require.Truef(t, strings.HasPrefix(line, "{") && !strings.Contains(line, `"level":"ERROR"`), "more than one line tells of the fault: %s", line)
	}
}

func requireNoCrash(t *testing.T, result testenv.Result) {
	t.Helper()
	require.NotContains(t, result.Output, "panic:")
	require.NotContains(t, result.Output, "goroutine ")
	require.Less(t, result.Code, 128, "ended by a signal")
}

func requireNothingRegistered(t *testing.T, petal *installation.Installation) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(petal.Dir, "mlruns"), func(path string, entry os.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		require.NoError(t, err)
		require.NotEqual(t, "model.onnx", entry.Name(), path)
		return nil
	})
	require.NoError(t, err)
}
