package compose

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
)

// canary is a secret that no log, image or inspection may show.
const canary = "canary-6f1c2b7e-secret-access-key"

// maxImageBytes is the size of an image, uncompressed.
const maxImageBytes = 35_000_000

// One stack serves all cases, in this order: starting one takes most of the time.
func TestCompose(t *testing.T) {
	engine := startEngine(t)
	if engine.private {
		buildStandins(t, engine, publishedImages(t))
	}
	s := newStack(t, engine, "petal-test")
	s.env = append(s.env, "AWS_SECRET_ACCESS_KEY="+canary)
	s.shorten(t)
	for _, step := range []struct {
		name string
		test func(*testing.T, *stack)
	}{
		{"the configuration has no warning", testConfiguration},
		{"images are small and closed", testImages},
		{"everything comes up healthy", testUp},
		{"a prediction through the published port", testPrediction},
		{"the tests service finds nothing wrong", testInside},
		{"targets, rules and queries", testPrometheus},
		{"an API that is stopped", testMailAPIDown},
		{"a training run that fails", testMailTraining},
		{"a champion that is corrupted", testMailCorrupted},
		{"predictions go on without MLflow", testWithoutMLflow},
		{"killed processes come back", testKilled},
		{"a full disk", testFullDisk},
		{"load within the memory limit", testMemory},
		{"down and up lose nothing", testDownUp},
		{"no log shows a secret", testLogs},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.test(t, s) }) {
			t.Fatal(s.state()) // the next ones would only say so again
		}
	}
}

func testConfiguration(t *testing.T, s *stack) {
	path, err := s.engine.lookPath("docker")
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), path, "compose", "--profile", "tests", "config", "--quiet")
	cmd.Dir, cmd.Env = s.dir, append(append([]string{}, s.engine.env...), s.env...)
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.Empty(t, string(output))
}

func testImages(t *testing.T, s *stack) {
	started := time.Now()
	s.engine.run(t, s.dir, s.env, "docker-compose", "--progress=plain", "--profile", "tests", "build")
	t.Logf("images built in %s", time.Since(started).Round(time.Second))
	host := buildOnHost(t)
	for _, name := range []string{"api", "trainer"} {
		image := "petal-test-" + name + ":latest"
		size, err := strconv.Atoi(strings.TrimSpace(s.docker(t, "image", "inspect", "--format", "{{.Size}}", image)))
		require.NoError(t, err)
		t.Logf("image %s: %.1f MB", name, float64(size)/1e6)
		require.LessOrEqual(t, size, maxImageBytes)
		require.Equal(t, "65532:65532", strings.TrimSpace(s.docker(t, "image", "inspect", "--format", "{{.Config.User}}", image)))
		require.Contains(t, s.docker(t, "image", "inspect", "--format", "{{.Config.Healthcheck.Test}}", image), "/app healthcheck")
		require.NotContains(t, s.docker(t, "image", "inspect", image), canary)
		require.NotContains(t, s.docker(t, "history", "--no-trunc", image), canary)
		if s.engine.private { // the same toolchain: another gives other bytes
			require.Equal(t, fileDigest(t, filepath.Join(host, name)), fileDigest(t, extract(t, s, image)),
				"%s: the image's binary differs from one of the same source built elsewhere", name)
		}
	}
}

// buildOnHost builds the binaries as the Dockerfiles do, in another folder.
func buildOnHost(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	const version = "github.com/petal-ml/petal/internal/version."
	result := testenv.Run(t, testenv.Command{
		Path: goCommand(t), Dir: testenv.Root(t),
		Env: testenv.Environ("CGO_ENABLED=0", "GOFLAGS=-buildvcs=false"),
		Args: []string{
			"build", "-trimpath", "-ldflags", "-s -w -buildid= -X " + version + "version= -X " + version + "revision=",
			"-o", dir + "/", "./cmd/api", "./cmd/trainer",
		},
	}, buildLimit)
	require.Zero(t, result.Code, result.Output)
	return dir
}

// extract takes the binary out of an image.
func extract(t *testing.T, s *stack, image string) string {
	t.Helper()
	id := strings.TrimSpace(s.docker(t, "create", image))
	defer s.docker(t, "rm", id)
	archive := tar.NewReader(strings.NewReader(s.docker(t, "cp", id+":/app", "-")))
	_, err := archive.Next()
	require.NoError(t, err)
	data, err := io.ReadAll(archive)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "app")
	writeFile(t, path, string(data))
	return path
}

func testUp(t *testing.T, s *stack) {
	started := time.Now()
	s.compose(t, "up", "--detach", "--wait")
	t.Logf("the stack was up and healthy after %s", time.Since(started).Round(time.Second))
	before := s.containers(t)
	require.Len(t, before, len(services()))
	for _, service := range services() {
		require.Regexp(t, `^Up .*\(healthy\)$`, before[service].Status, service)
		requireHardened(t, s, before[service])
	}
	s.compose(t, "up", "--detach", "--wait")
	after := s.containers(t)
	for _, service := range services() {
		require.Equal(t, before[service].ID, after[service].ID, "%s: the second up made it anew", service)
	}
}

// requireHardened requires what the Compose file promises of every service, as the
// engine sees it.
func requireHardened(t *testing.T, s *stack, c container) {
	t.Helper()
	var inspected []struct {
		HostConfig struct {
			ReadonlyRootfs bool
			CapDrop        []string
			SecurityOpt    []string
			Memory         int64
			PidsLimit      *int64
			NanoCpus       int64
			LogConfig      struct{ Config map[string]string }
			RestartPolicy  struct{ Name string }
			PortBindings   map[string][]struct{ HostIP string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(s.docker(t, "inspect", c.ID)), &inspected))
	host := inspected[0].HostConfig
	require.True(t, host.ReadonlyRootfs, c.Service)
	require.Equal(t, []string{"ALL"}, host.CapDrop, c.Service)
	require.Contains(t, host.SecurityOpt, "no-new-privileges:true", c.Service)
	require.Positive(t, host.Memory, c.Service)
	require.NotNil(t, host.PidsLimit, c.Service)
	require.Positive(t, *host.PidsLimit, c.Service)
	require.Positive(t, host.NanoCpus, c.Service)
	require.NotEmpty(t, host.LogConfig.Config["max-size"], c.Service)
	require.Equal(t, "unless-stopped", host.RestartPolicy.Name, c.Service)
	for port, bindings := range host.PortBindings {
		for _, binding := range bindings {
			require.Equal(t, "127.0.0.1", binding.HostIP, "%s %s", c.Service, port)
		}
	}
}

func testPrediction(t *testing.T, s *stack) {
	version := s.requireFlowers(t, s.token(t))
	var champion struct {
		Version struct {
			Version string `json:"version"`
		} `json:"model_version"`
	}
	s.getJSON(t, "mlflow", "/api/2.0/mlflow/registered-models/alias?name=iris&alias=champion", &champion)
	require.Equal(t, champion.Version.Version, version)
}

func testInside(t *testing.T, s *stack) {
	output := s.compose(t, "run", "--rm", "-T", "tests")
	require.Contains(t, output, "PASS")
	require.NotContains(t, output, "no tests to run")
}

func testWithoutMLflow(t *testing.T, s *stack) {
	token := s.token(t)
	s.compose(t, "stop", "--timeout", "5", "mlflow")
	for range 100 { // over several polls
		got := s.predict(t, token, `{"features":[5.1,3.5,1.4,0.2]}`)
		require.Equal(t, http.StatusOK, got.Status, "%s", got)
		time.Sleep(150 * time.Millisecond)
	}
	require.Equal(t, http.StatusOK, s.get(t, "api", "/ready", "").Status)
	s.compose(t, "restart", "api")
	require.Eventually(t, func() bool { return s.get(t, "api", "/ready", "").Status == http.StatusOK }, healLimit, tick,
		"the API does not start without MLflow")
	s.requireFlowers(t, token)
	s.compose(t, "start", "mlflow")
	s.requireHealthy(t, healLimit)
}

// A process that is killed from outside is restarted; a container that is killed by
// Docker stays down, because that counts as stopped by hand.
func testKilled(t *testing.T, s *stack) {
	token := s.token(t)
	for _, service := range services() {
		id := s.containers(t)[service].ID
		before := s.inspect(t, id, "{{.RestartCount}}")
		s.killFromHost(t, id)
		require.Eventually(t, func() bool {
			return s.inspect(t, id, "{{.RestartCount}}") != before && s.inspect(t, id, "{{.State.Running}}") == "true"
		}, healLimit, tick, "%s did not come back", service)
	}
	s.requireHealthy(t, healLimit)
	s.requireFlowers(t, token)
}

func (s *stack) inspect(t *testing.T, id, format string) string {
	t.Helper()
	return strings.TrimSpace(s.docker(t, "inspect", "--format", format, id))
}

// killFromHost kills the main process of a container with kill -9.
func (s *stack) killFromHost(t *testing.T, id string) {
	t.Helper()
	if !s.engine.private {
		t.Skip("the engine may run elsewhere: its processes cannot be killed from here")
	}
	require.NoError(t, killProcess(s.pid(t, id)))
}

func (s *stack) pid(t *testing.T, id string) int {
	t.Helper()
	pid, err := strconv.Atoi(s.inspect(t, id, "{{.State.Pid}}"))
	require.NoError(t, err)
	require.Greater(t, pid, 1)
	return pid
}

func testDownUp(t *testing.T, s *stack) {
	s.compose(t, "exec", "-T", "api", "/app", "user", "list")
	password, mails, version := s.password(t), len(s.mails(t)), s.requireFlowers(t, s.token(t))
	token := s.token(t)
	s.compose(t, "down", "--timeout", "10")
	s.compose(t, "up", "--detach", "--wait")
	require.Equal(t, password, s.password(t))
	require.Equal(t, version, s.requireFlowers(t, token), "the token of before is still good: the key was kept")
	require.GreaterOrEqual(t, len(s.mails(t)), mails)
	var registered struct {
		Versions []struct{ Version string } `json:"model_versions"`
	}
	s.getJSON(t, "mlflow", "/api/2.0/mlflow/model-versions/search?filter=name%3D%27iris%27", &registered)
	require.Len(t, registered.Versions, 2, "nothing changed, so that nothing was trained anew")
}

func testLogs(t *testing.T, s *stack) {
	logs := s.compose(t, "logs", "--no-color")
	require.NotContains(t, logs, canary)
	require.NotContains(t, logs, s.password(t))
	require.NotContains(t, logs, s.token(t))
	for _, name := range []string{"api", "trainer"} {
		require.Contains(t, logs, name)
	}
}

// testMemory sends the largest batches that are allowed, several at a time, and many
// logins, each of which takes memory for its hash.
func testMemory(t *testing.T, s *stack) {
	token, c := s.token(t), s.containers(t)["api"]
	restarts := s.inspect(t, c.ID, "{{.RestartCount}}")
	row := "[5.1,3.5,1.4,0.2]"
	body := `{"instances":[` + strings.Repeat(row+",", 65536/(len(row)+1)-2) + row + "]}"
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 50 {
				got := s.predict(t, token, body)
				assert.Contains(t, []int{http.StatusOK, http.StatusTooManyRequests, http.StatusServiceUnavailable}, got.Status, "%s", got)
				login := s.send(t, http.MethodPost, "api", "/token", "", "application/x-www-form-urlencoded", []byte("username=nobody&password=wrong"))
				assert.NotZero(t, login.Status, "%s", login)
			}
		})
	}
	group.Wait()
	require.Equal(t, "false", s.inspect(t, c.ID, "{{.State.OOMKilled}}"))
	require.Equal(t, restarts, s.inspect(t, c.ID, "{{.RestartCount}}"))
	t.Logf("memory of the API after the load: %s", strings.TrimSpace(s.docker(t, "stats", "--no-stream", "--format", "{{.MemUsage}}", c.ID)))
}

// testFullDisk runs one API by itself on a tiny file system, and fills that.
func testFullDisk(t *testing.T, s *stack) {
	if !s.engine.private {
		t.Skip("the engine may run elsewhere: its file systems cannot be filled from here")
	}
	name := "petal-test-full-disk"
	s.docker(t, "run", "--detach", "--name", name, "--read-only", "--tmpfs", "/var/lib/petal:size=4m,uid=65532,gid=65532",
		"--env", "STATE_DIR=/var/lib/petal/var", "petal-test-api:latest")
	defer s.docker(t, "rm", "--force", name)
	add := func(user string) error {
		_, err := s.engine.try(t.Context(), s.dir, s.env, "sh", "-c",
			fmt.Sprintf("printf 'a-long-enough-passphrase-%s\\n' | docker exec -i %s /app user add %s", user, name, user))
		return err
	}
	require.Eventually(t, func() bool { return add("before") == nil }, healLimit, time.Second, "the API does not start by itself")
	disk := fmt.Sprintf("/proc/%d/root/var/lib/petal/", s.pid(t, name))
	fill(t, disk+"filler")
	var failure error
	for i := 0; i < 200 && failure == nil; i++ { // until the pages that SQLite has left are used
		failure = add(fmt.Sprintf("during%d", i))
	}
	require.Error(t, failure, "a full disk goes unnoticed")
	require.NotContains(t, failure.Error(), "panic")
	require.NoError(t, remove(disk+"filler"))
	require.NoError(t, add("after"))
	users := s.docker(t, "exec", name, "/app", "user", "list")
	require.Contains(t, users, "before")
	require.Contains(t, users, "after")
	snapshot := t.TempDir() // SQLite does not open files below /proc
	for _, file := range []string{"users.db", "users.db-wal"} {
		copyFile(t, disk+file, filepath.Join(snapshot, file))
	}
	check := testenv.RunPython(t, "import sqlite3,sys; print(sqlite3.connect(sys.argv[1]).execute('pragma integrity_check').fetchone()[0])",
		nil, filepath.Join(snapshot, "users.db"))
	require.Equal(t, "ok", strings.TrimSpace(string(check)))
}
