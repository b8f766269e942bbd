package testenv_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
	"github.com/petal-ml/petal/tests/testenv/pyvenv"
)

// preloaded returns how to start the Python of a process that has imported colorsys,
// and how to end that process.
func preloaded(t *testing.T) (python func(script string, args ...string) testenv.Command, stop func()) {
	t.Helper()
	t.Setenv(pyvenv.PythonVariable, "") // the runner's own
	interpreter, err := pyvenv.Python()
	if err != nil {
		testenv.Missing(t, "%v", err)
	}
	env, stop, err := pyvenv.Preload(interpreter, []string{"colorsys"}, os.Stderr)
	require.NoError(t, err)
	t.Cleanup(stop)
	path, found := strings.CutPrefix(env[0], pyvenv.PythonVariable+"=")
	require.True(t, found)
	return func(script string, args ...string) testenv.Command {
		return testenv.Command{Path: path, Args: append([]string{"-c", script}, args...), Env: testenv.Environ(env...)}
	}, stop
}

func TestPreloadedPythonIsLikeAnother(t *testing.T) {
	python, stop := preloaded(t)
	dir := t.TempDir()
	for _, test := range []struct {
		name, script string
		code         int
		prints       []string
	}{
		{"all that is given", "import os, sys; print(sys.argv, sys.stdin.read(), os.getcwd(), os.environ['NAME'], __name__)", 0, []string{"['-c', 'a b', '']", "input", dir, "value", "__main__"}},
		{"both streams", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)", 3, []string{"out", "err"}},
		{"a reason", "import sys; sys.exit('no such file')", 1, []string{"no such file"}},
		{"an exception", "1 / 0", 1, []string{"ZeroDivisionError"}},
		{"a signal", "import os; os.kill(os.getpid(), 15)", 143, nil},
		{"the end", "import atexit, threading; atexit.register(print, 'last'); threading.Thread(target=print, args=['thread']).start()", 0, []string{"last", "thread"}},
		{"its modules", "import sys; print('colorsys' in sys.modules)", 0, []string{"True"}},
		{"its packages", "import mlflow.version; print(mlflow.version.VERSION)", 0, []string{"."}},
	} {
		t.Run(test.name, func(t *testing.T) {
			command := python(test.script, "a b", "")
			command.Dir, command.Stdin, command.Env = dir, "input", append(command.Env, "NAME=value")
			result := testenv.Run(t, command, time.Minute)
			require.Equal(t, test.code, result.Code, result.Output)
			for _, text := range test.prints {
				require.Contains(t, result.Output, text)
			}
		})
	}
	t.Run("a module", func(t *testing.T) {
		command := python("")
		command.Args = []string{"-m", "json.tool", "--compact"}
		command.Stdin = `{"a": 1}`
		result := testenv.Run(t, command, time.Minute)
		require.Equal(t, testenv.Result{Output: "{\"a\":1}\n"}, result)
	})
	t.Run("another program", func(t *testing.T) {
		command := python("")
		command.Path, command.Args = filepath.Join(filepath.Dir(command.Path), "dvc"), []string{"--version"}
		result := testenv.Run(t, command, time.Minute)
		require.Zero(t, result.Code, result.Output)
		require.Regexp(t, `^\d+\.\d+\.\d+\n$`, result.Output)
	})
	t.Run("when nobody forks", func(t *testing.T) {
		stop()
		result := testenv.Run(t, python("import sys; print('colorsys' in sys.modules)"), time.Minute)
		require.Equal(t, testenv.Result{Output: "False\n"}, result)
	})
}

func TestPreloadedPythonIsKilled(t *testing.T) {
	python, _ := preloaded(t)
	for name, kill := range map[string]func(*testenv.Process){
		"with its group":    (*testenv.Process).Kill,
		"by its process ID": func(p *testenv.Process) { assert.NoError(t, syscall.Kill(p.PID(), syscall.SIGKILL)) },
		"by an interrupt":   func(p *testenv.Process) { p.Stop(time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			process := testenv.Start(t, python("import os, time; print(os.getpid(), flush=True); time.sleep(600)"))
			process.WaitOutput("\n", time.Minute)
			pid := strings.TrimSpace(process.Output())
			require.NotEqual(t, strconv.Itoa(process.PID()), pid)
			kill(process)
			require.Eventually(t, func() bool { return isGone(pid) }, time.Minute, 10*time.Millisecond, "process %s still runs", pid)
		})
	}
}
