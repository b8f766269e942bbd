package testenv_test

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
)

func shell(script string) testenv.Command {
	return testenv.Command{Path: "/bin/sh", Args: []string{"-c", script}}
}

func TestRunReturnsCodeAndBothStreams(t *testing.T) {
	result := testenv.Run(t, shell("echo out; echo err >&2; exit 3"), time.Minute)
	require.Equal(t, 3, result.Code)
	require.ElementsMatch(t, []string{"out", "err"}, strings.Fields(result.Output))
}

func TestKillReachesWhatTheProgramStarted(t *testing.T) {
	process := testenv.Start(t, shell("sleep 600 & echo child $!; wait"))
	process.WaitOutput("\n", time.Minute)
	child := strings.Fields(process.Output())[1]
	process.Kill()
	require.Equal(t, 137, process.Wait(time.Minute).Code)
	require.Eventually(t, func() bool { return isGone(child) }, 10*time.Second, 10*time.Millisecond, "process %s still runs", child)
}

func TestStopInterrupts(t *testing.T) {
	process := testenv.Start(t, shell("trap 'echo bye; exit 0' INT; echo ready; while :; do sleep 0.05; done"))
	process.WaitOutput("ready", time.Minute)
	result := process.Stop(time.Minute)
	require.Zero(t, result.Code)
	require.Contains(t, result.Output, "bye")
}

func TestEnvironKeepsSettingsOut(t *testing.T) {
	t.Setenv("SECRET_KEY", "the developer's own")
	t.Setenv("MLFLOW_TRACKING_URI", "http://production.example")
	env := testenv.Environ("MODEL_NAME=iris")
	require.Contains(t, env, "MODEL_NAME=iris")
	require.Contains(t, env, "PATH="+os.Getenv("PATH"))
	require.NotContains(t, strings.Join(env, "\n"), "SECRET_KEY")
	require.NotContains(t, strings.Join(env, "\n"), "production.example")
}

// isGone counts a dead process that nobody has waited for as gone.
func isGone(pid string) bool {
	state, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return os.IsNotExist(err) || strings.Contains(err.Error(), syscall.ESRCH.Error())
	}
	return strings.Contains(string(state), ") Z ")
}
