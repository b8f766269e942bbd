package hostile

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/installation"
)

// memory is what Compose gives the API's container.
const memory = 512 << 20

// all says whether the long attacks run as well.
func all() bool { return os.Getenv("PETAL_HOSTILE") == "all" }

// A target is an API in a memory cgroup. Where this system lets the test make
// none, the peak of its memory is held against the limit all the same.
type target struct {
	*installation.API

	petal  *installation.Installation
	cgroup string // empty: none
}

// newTarget trains a model and starts an API with as much memory and as many
// processors as in its container.
func newTarget(t *testing.T, settings ...string) *target {
	t.Helper()
	petal := installation.New(t, append([]string{"GOMEMLIMIT=400MiB", "GOMAXPROCS=1", "MODEL_POLL_INTERVAL=100ms", "DRAIN_MIN=0s"}, settings...)...)
	petal.Train()
	x := &target{petal: petal, cgroup: makeCgroup(t)}
	petal.Programs.API = x.caged(t, petal.Programs.API)
	x.start()
	return x
}

// caged is a program that runs the program given in the memory cgroup.
func (x *target) caged(t *testing.T, program string) string {
	t.Helper()
	if x.cgroup == "" {
		return program
	}
	path := filepath.Join(x.petal.Dir, "caged-"+filepath.Base(program))
	script := fmt.Sprintf("#!/bin/sh\necho $$ >'%s/cgroup.procs' || exit 99\nexec '%s' \"$@\"\n", x.cgroup, program)
	require.NoError(t, os.WriteFile(path, []byte(script), 0o700))
	return path
}

func (x *target) start() {
	x.API = x.petal.StartAPI()
	x.Login(x.petal.Read("var/initial_password"))
}

// makeCgroup makes a memory cgroup of the size of the API's container, in the
// first or the second version of cgroups.
func makeCgroup(t *testing.T) string {
	t.Helper()
	for _, place := range []struct{ parent, limit string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
		{"/sys/fs/cgroup", "memory.max"},
	} {
		dir := filepath.Join(place.parent, fmt.Sprintf("petal-test-%d-%d", os.Getpid(), time.Now().UnixNano()))
		if _, err := os.Stat(filepath.Join(place.parent, "cgroup.procs")); err != nil || os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { removeCgroup(t, dir) })
		if os.WriteFile(filepath.Join(dir, place.limit), []byte(strconv.Itoa(memory)), 0o600) == nil {
			return dir
		}
	}
	t.Log("no memory cgroup can be made here: the peak of the memory is measured instead")
	return ""
}

// removeCgroup removes an empty cgroup. A process of it that was killed, such as a
// trial's, may take a moment to be gone.
func removeCgroup(t *testing.T, dir string) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = os.Remove(dir); err == nil {
			return
		}
	}
	t.Logf("a memory cgroup is left behind: %v", err)
}

// survives runs an attack and holds that the API, still the same process, has
// stayed within its memory and answers a row.
func (x *target) survives(t *testing.T, attack func()) {
	t.Helper()
	x.forgetPeak(t)
	attack()
	answer, err := x.Try(http.MethodPost, "/predict", "application/json", row, x.Token())
	require.NoError(t, err, "the API is gone: %s", tail(x.Process.Output()))
	require.Equal(t, http.StatusOK, answer.Status, "%s", answer.Body)
	peak := x.peak(t)
	t.Attr("hostile_peak_"+t.Name()[strings.LastIndex(t.Name(), "/")+1:], fmt.Sprintf("%d MiB", peak>>20))
	require.Less(t, peak, int64(memory))
	require.NotContains(t, x.Process.Output(), "panicked")
}

// forgetPeak begins the measure of the resident memory's peak anew.
func (x *target) forgetPeak(t *testing.T) {
	t.Helper()
	require.NoError(t, os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", x.Process.PID()), []byte("5"), 0o600))
}

var highWater = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

func (x *target) peak(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", x.Process.PID()))
	require.NoError(t, err)
	found := highWater.FindSubmatch(status)
	require.NotNil(t, found, "%s", status)
	kib, err := strconv.ParseInt(string(found[1]), 10, 64)
	require.NoError(t, err)
	return kib << 10
}

// row is a request that every model here answers.
const row = `{"features":[5.1,3.5,1.4,0.2]}`

func tail(output string) string { return output[max(0, len(output)-2000):] }

// repeat is begin, then as many parts with commas between them as fit in size,
// then end.
func repeat(begin, part, end string, size int) []byte {
	n := (size - len(begin) - len(end) + 1) / (len(part) + 1)
	body := bytes.NewBuffer(make([]byte, 0, size))
	body.WriteString(begin)
	body.WriteString(strings.TrimSuffix(strings.Repeat(part+",", n), ","))
	body.WriteString(end)
	return body.Bytes()
}

func TestMain(m *testing.M) {
	if _, err := os.Stat("/proc/self/clear_refs"); err != nil {
		fmt.Println("tests/hostile needs Linux's /proc: left out")
		return
	}
	os.Exit(m.Run())
}
