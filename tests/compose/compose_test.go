package compose

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
	"github.com/petal-ml/petal/tests/testenv/promtest"
)

// canary is a secret that no log, image or inspection may show.
const canary = "canary-6f1c2b7e-secret-access-key"

// maxImageBytes is the size of an image, uncompressed.
const maxImageBytes = 35_000_000

// TestMain lets all that may run at once do so, whatever -parallel says: it waits
// for most of its time.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	m.Run()
}

// The images are built once. Then two stacks run side by side, because both mostly
// wait: one follows the guide with the real durations, one meets the faults. Beside
// them the images are looked at.
func TestCompose(t *testing.T) {
	engine := startEngine(t)
	atOnce(t, "what is needed", []step{
		{"compose", engine.installCompose},
		{"stand-ins", func(t *testing.T) {
			if engine.private {
				buildStandins(t, engine, publishedImages(t))
			}
		}},
	})
	s := newStack(t, engine, "petal-test")
	s.env = append(s.env, "AWS_SECRET_ACCESS_KEY="+canary)
	s.shorten(t)
	for _, name := range []string{".env.production", "users.db", "var/secret_key", ".dvc/config.local", "cmd/api/.env", "data/customers.csv"} {
		writeFile(t, filepath.Join(s.dir, name), "# "+canary+"\n")
	}
	t.Run("the configuration has no warning", func(t *testing.T) { testConfiguration(t, s) })
	require.True(t, t.Run("images are built", func(t *testing.T) { testBuild(t, s) }))
	atOnce(t, "in use", []step{
		{"the stack", func(t *testing.T) { testStack(t, s) }},
		{"the guide", func(t *testing.T) { testGuide(t, engine) }},
		{"images are small and closed", func(t *testing.T) { testImages(t, s) }},
		{"builds are given the source alone", func(t *testing.T) { testContext(t, s) }},
		{"builds take their arguments", func(t *testing.T) { testBuildArguments(t, s) }},
	})
}

// testStack takes a stack through its life, in this order.
func testStack(t *testing.T, s *stack) {
	for _, step := range []struct {
		name string
		test func(*testing.T, *stack)
	}{
		{"everything comes up healthy", testUp},
		{"a prediction through the published port", testPrediction},
		{"the tests service finds nothing wrong", testInside},
		{"targets, rules and queries", testPrometheus},
		{"the first steps of every alert can be typed", testFirstSteps},
		{"an API that is stopped", testMailAPIDown},
		{"a training run that fails and a champion that is corrupted", testMailModel},
		{"minutes without MLflow", testWithoutMLflow},
		{"killed processes come back", testKilled},
		{"load within the memory limit", testMemory},
		{"no log shows a secret", testLogs},
		{"down and up lose nothing", testDownUp},
	} {
		started := time.Now()
		if !t.Run(step.name, func(t *testing.T) { step.test(t, s) }) {
			t.Fatal(s.state()) // the next ones would only say so again
		}
		t.Logf("%s: %s", step.name, time.Since(started).Round(time.Second))
	}
}

// Compose warns of nothing: without an .env, and with the example as it comes.
func testConfiguration(t *testing.T, s *stack) {
	path, err := s.engine.lookPath("docker")
	require.NoError(t, err)
	settings := filepath.Join(s.dir, ".env")
	for _, example := range []bool{false, true} {
		if example {
			copyFile(t, filepath.Join(s.dir, ".env.example"), settings)
		}
		cmd := exec.CommandContext(t.Context(), path, "compose", "--profile", "tests", "--profile", "backup", "config", "--quiet")
		cmd.Dir, cmd.Env = s.dir, append(append([]string{}, s.engine.env...), s.env...)
		output, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", output)
		require.Empty(t, string(output))
	}
	require.NoError(t, remove(settings))
}

func testBuild(t *testing.T, s *stack) {
	started := time.Now()
	s.engine.run(t, s.dir, s.env, "docker-compose", "--progress=plain", "--profile", "tests", "build")
	t.Logf("images built in %s", time.Since(started).Round(time.Second))
}

func testImages(t *testing.T, s *stack) {
	host := buildOnHost(t)
	for _, name := range []string{"api", "trainer"} {
		image := "petal-test-" + name + ":latest"
		size, err := strconv.Atoi(s.inspectImage(t, image, "{{.Size}}"))
		require.NoError(t, err)
		t.Attr("image_"+name, fmt.Sprintf("%.1f MB", float64(size)/1e6))
		require.LessOrEqual(t, size, maxImageBytes)
		require.Equal(t, "65532:65532", s.inspectImage(t, image, "{{.Config.User}}"))
		require.Contains(t, s.inspectImage(t, image, "{{.Config.Healthcheck.Test}}"), "/app healthcheck")
		require.NotContains(t, s.docker(t, "image", "inspect", image), canary)
		require.NotContains(t, s.docker(t, "history", "--no-trunc", image), canary)
		require.NotContains(t, layers(t, s, image), canary, "a layer has a file of the checkout that is not for it")
		if s.engine.private { // the same toolchain: another gives other bytes
			require.Equal(t, fileDigest(t, filepath.Join(host, name)), fileDigest(t, extract(t, s, image)),
				"%s: the image's binary differs from one of the same source built elsewhere", name)
		}
	}
}

// layers is what an image consists of, uncompressed: some stores of the engine save
// their layers with gzip.
func layers(t *testing.T, s *stack, image string) string {
	t.Helper()
	var all strings.Builder
	for archive := tar.NewReader(strings.NewReader(s.docker(t, "save", image))); ; {
		_, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		var data io.Reader = bufio.NewReader(archive)
		if magic, _ := data.(*bufio.Reader).Peek(2); string(magic) == "\x1f\x8b" {
			data, err = gzip.NewReader(data)
			require.NoError(t, err)
		}
		_, err = io.Copy(&all, data)
		require.NoError(t, err)
	}
	require.Contains(t, all.String(), "github.com/petal-ml/petal/internal/", "the binary is in no layer")
	return all.String()
}

// testContext looks at what the builds are given: the source, and none of the
// secrets and data that a checkout in use has.
func testContext(t *testing.T, s *stack) {
	const image = "petal-test-context:latest"
	s.engine.run(t, s.dir, []string{"DOCKER_BUILDKIT=0"}, "sh", "-c",
		"printf 'FROM scratch\nCOPY . /\nCMD [\"none\"]\n' | docker build --quiet --force-rm --tag "+image+" --file - .")
	defer s.docker(t, "rmi", image)
	id := strings.TrimSpace(s.docker(t, "create", image))
	defer s.docker(t, "rm", id)
	names := make(map[string]bool)
	for archive := tar.NewReader(strings.NewReader(s.docker(t, "cp", id+":/", "-"))); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if header.Typeflag == tar.TypeReg {
			names[strings.TrimPrefix(header.Name, "/")] = true
		}
	}
	require.Contains(t, names, "cmd/api/main.go")
	for name := range names {
		require.Regexp(t, `^(go\.(mod|sum)|(cmd|internal|tests/smoke)/.*|(dev|etc)/.*|\.dockerenv)$`, name)
		require.NotContains(t, name, "testdata")
	}
}

// testBuildArguments builds with a toolchain that only says what it was asked for.
func testBuildArguments(t *testing.T, s *stack) {
	const toolchain, image = "petal-test-asked:latest", "petal-test-asked-api:latest"
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "go"), "#!/bin/sh\necho \"asked: GOARCH=$GOARCH GOPROXY=$GOPROXY go $*\"\n"+
		"mkdir -p /out && touch /out/api /out/trainer /out/smoke\n")
	writeFile(t, filepath.Join(dir, "Dockerfile"), "FROM "+publishedImages(t)["mlflow"]+"\nCOPY go /usr/local/bin/go\nRUN chmod +x /usr/local/bin/go\n")
	s.engine.run(t, dir, []string{"DOCKER_BUILDKIT=0"}, "docker", "build", "--quiet", "--force-rm", "--tag", toolchain, ".")
	defer s.docker(t, "rmi", toolchain)
	env := append(append([]string{}, s.env...), "GOLANG_IMAGE="+toolchain, "API_IMAGE="+image,
		"GOPROXY=https://proxy.example", "VERSION=1.2.3", "REVISION=abcdef")
	output := s.engine.run(t, s.dir, env, "sh", "-c", "docker compose --progress=plain build --no-cache --build-arg TARGETARCH=arm64 api 2>&1")
	s.docker(t, "rmi", image)
	require.Contains(t, output, "GOPROXY=https://proxy.example go mod download")
	require.Contains(t, output, "asked: GOARCH=arm64")
	require.Contains(t, output, "version.version=1.2.3")
	require.Contains(t, output, "version.revision=abcdef")
	for _, name := range []string{"Dockerfile.api", "Dockerfile.trainer", "deploy/Dockerfile.tests"} {
		id := s.engine.run(t, s.dir, []string{"DOCKER_BUILDKIT=0"}, "docker", "build", "--quiet", "--force-rm",
			"--build-arg=GOLANG_IMAGE="+toolchain, "--build-arg=RUNTIME_IMAGE="+publishedImages(t)["distroless"], "--file="+name, ".")
		s.docker(t, "rmi", strings.TrimSpace(id))
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
	t.Attr("stack_start", time.Since(started).Round(time.Second).String())
	before := s.containers(t)
	require.Len(t, before, len(services()))
	for _, service := range services() {
		require.Regexp(t, `^Up .*\(healthy\)$`, before[service].Status, service)
		requireHardened(t, s, before[service])
	}
	running := make(map[string]string)
	for _, service := range services() {
		running[service] = s.inspect(t, before[service].ID, "{{.State.StartedAt}}")
	}
	s.compose(t, "up", "--detach", "--wait")
	after := s.containers(t)
	for _, service := range services() {
		require.Equal(t, before[service].ID, after[service].ID, "%s: the second up made it anew", service)
		require.Equal(t, running[service], s.inspect(t, after[service].ID, "{{.State.StartedAt}}"), "%s: the second up restarted it", service)
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

// outage is how long MLflow is away.
const outage = 125 * time.Second

// MLflow is down for minutes, in which a prediction is asked for ten times a second
// and none may fail. Meanwhile everything is tried that needs no MLflow.
func testWithoutMLflow(t *testing.T, s *stack) {
	token := s.token(t)
	stopped := time.Now()
	s.compose(t, "stop", "--timeout", "5", "mlflow")
	stream := s.startStream(t, token)
	t.Run("the mail", func(t *testing.T) {
		html, text := s.requireMail(t, "[WARNING] The model registry cannot be reached (RegistryUnreachable)", stopped, mailLimit)
		s.requireActionable(t, "RegistryUnreachable", html, text)
	})
	t.Run("those who watch are killed", func(t *testing.T) {
		s.requireRevived(t, watchers()...)
	})
	t.Run("a full disk", func(t *testing.T) { testFullDisk(t, s) })
	time.Sleep(time.Until(stopped.Add(outage)))
	stream.stop(t)
	require.Equal(t, http.StatusOK, s.get(t, "api", "/ready", "").Status)

	s.compose(t, "restart", "api")
	eventually(t, func() bool { return s.get(t, "api", "/ready", "").Status == http.StatusOK }, healLimit, tick,
		"the API starts without MLflow")
	s.requireFlowers(t, token)
	started := time.Now()
	s.compose(t, "start", "mlflow")
	s.requireHealthy(t, healLimit)
	s.requireMail(t, "[RESOLVED] The model registry cannot be reached (RegistryUnreachable)", started, mailLimit)
}

// A stream asks for a prediction ten times a second.
type stream struct {
	end     chan struct{}
	ended   chan struct{}
	count   int
	failed  []string
	started time.Time
}

func (s *stack) startStream(t *testing.T, token string) *stream {
	t.Helper()
	running := &stream{end: make(chan struct{}), ended: make(chan struct{}), started: time.Now()}
	go func() {
		defer close(running.ended)
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-running.end:
				return
			case <-ticker.C:
			}
			running.count++
			if got := s.predict(t, token, `{"features":[5.1,3.5,1.4,0.2]}`); got.Status != http.StatusOK {
				running.failed = append(running.failed, got.String())
			}
		}
	}()
	return running
}

// stop requires that no prediction has failed, and that they came without a gap.
func (r *stream) stop(t *testing.T) {
	t.Helper()
	close(r.end)
	<-r.ended
	took := time.Since(r.started)
	t.Logf("%d predictions in %s, %d failed", r.count, took.Round(time.Second), len(r.failed))
	require.Empty(t, r.failed)
	require.Greater(t, r.count, int(took/time.Second), "fewer than one a second")
}

// Those who watch were killed in the step before.
func testKilled(t *testing.T, s *stack) {
	token := s.token(t)
	s.requireRevived(t, slices.DeleteFunc(services(), func(service string) bool {
		return slices.Contains(watchers(), service)
	})...)
	s.requireHealthy(t, healLimit)
	s.requireFlowers(t, token)
}

// requireRevived kills the main process of each service in turn. A process that is
// killed from outside is restarted; a container that is killed by Docker stays down,
// because that counts as stopped by hand.
func (s *stack) requireRevived(t *testing.T, services ...string) {
	t.Helper()
	for _, service := range services {
		id := s.containers(t)[service].ID
		before := s.inspect(t, id, "{{.RestartCount}}")
		s.killFromHost(t, id)
		eventually(t, func() bool {
			count, running, _ := strings.Cut(s.inspect(t, id, "{{.RestartCount}} {{.State.Running}}"), " ")
			return count != before && running == "true"
		}, healLimit, tick, "%s came back", service)
	}
	eventually(t, func() bool {
		all := s.containers(t)
		return !slices.ContainsFunc(services, func(service string) bool { return all[service].Health != "healthy" })
	}, healLimit, time.Second, "healthy again: %s", services)
}

func (s *stack) inspect(t *testing.T, id, format string) string {
	t.Helper()
	return strings.TrimSpace(s.docker(t, "inspect", "--format", format, id))
}

func (s *stack) inspectImage(t *testing.T, image, format string) string {
	t.Helper()
	return strings.TrimSpace(s.docker(t, "image", "inspect", "--format", format, image))
}

// killFromHost kills the main process of a container with kill -9. It is done by a
// container that shares the host's processes: the engine may run elsewhere.
func (s *stack) killFromHost(t *testing.T, id string) {
	t.Helper()
	pid, err := strconv.Atoi(s.inspect(t, id, "{{.State.Pid}}"))
	require.NoError(t, err)
	require.Greater(t, pid, 1)
	s.python(t, "import os,sys; os.kill(int(sys.argv[1]), 9)", []string{"--pid=host"}, strconv.Itoa(pid))
}

// python runs a script in a container of its own, as root, and returns its output.
func (s *stack) python(t *testing.T, script string, options []string, args ...string) string {
	t.Helper()
	command := append([]string{"run", "--rm", "--user=0:0", "--network=none"}, options...)
	command = append(command, publishedImages(t)["mlflow"], "python", "-c", script)
	return s.docker(t, append(command, args...)...)
}

func testDownUp(t *testing.T, s *stack) {
	s.compose(t, "exec", "-T", "api", "/app", "user", "list")
	password, mails, version := s.password(t), len(s.mails(t)), s.requireFlowers(t, s.token(t))
	token, silence := s.token(t), s.silence(t)
	watched := url.Values{"query": {`count_over_time(up{job="api"}[1m])`}, "time": {strconv.FormatInt(time.Now().Unix(), 10)}}
	s.compose(t, "down", "--timeout", "10")
	s.compose(t, "up", "--detach", "--wait")
	require.Equal(t, password, s.password(t))
	require.Equal(t, version, s.requireFlowers(t, token), "the token of before is still good: the key was kept")
	require.GreaterOrEqual(t, len(s.mails(t)), mails)
	require.Equal(t, http.StatusOK, s.get(t, "alertmanager", "/api/v2/silence/"+silence, "").Status)
	var history struct{ Result []any }
	promtest.Server{URL: s.url("prometheus", "")}.Get(t, "/api/v1/query", watched, &history)
	require.NotEmpty(t, history.Result, "what Prometheus saw before")
	var registered struct {
		Versions []struct{ Version string } `json:"model_versions"`
	}
	s.getJSON(t, "mlflow", "/api/2.0/mlflow/model-versions/search?filter=name%3D%27iris%27", &registered)
	require.Len(t, registered.Versions, 2, "nothing changed, so that nothing was trained anew")
}

// silence makes a silence of an alert that does not exist, and returns its id.
func (s *stack) silence(t *testing.T) string {
	t.Helper()
	body := fmt.Sprintf(`{"matchers":[{"name":"alertname","value":"None","isRegex":false}],"startsAt":%q,"endsAt":%q,"createdBy":"test","comment":"test"}`,
		time.Now().UTC().Format(time.RFC3339), time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	got := s.send(t, http.MethodPost, "alertmanager", "/api/v2/silences", "", "application/json", []byte(body))
	require.Equal(t, http.StatusOK, got.Status, "%s", got)
	var made struct{ SilenceID string }
	require.NoError(t, json.Unmarshal(got.Body, &made))
	return made.SilenceID
}

func testLogs(t *testing.T, s *stack) {
	const wrong = "a-password-that-is-wrong"
	password, token := s.password(t), s.token(t)
	s.requireFlowers(t, token)
	form := []byte(url.Values{"username": {"student"}, "password": {wrong}}.Encode())
	require.Equal(t, http.StatusBadRequest, s.send(t, http.MethodPost, "api", "/token", "", "application/x-www-form-urlencoded", form).Status)
	key := s.python(t, "print(open('/state/var/secret_key').read().strip())", []string{"--volume=petal-test_api-state:/state:ro"})
	logs := s.compose(t, "logs", "--no-color")
	for _, secret := range []string{canary, wrong, password, token, strings.TrimSpace(key)} {
		require.NotEmpty(t, secret)
		require.NotContains(t, logs, secret)
	}
	for _, service := range []string{"api", "trainer", "mlflow", "prometheus", "alertmanager"} {
		require.Contains(t, logs, service+"-1")
	}
}

// testMemory sends the largest bodies that are allowed, several at a time, and many
// logins, each of which takes memory for its hash. What would take too much together
// is refused; nothing is ended by the kernel.
func testMemory(t *testing.T, s *stack) {
	token, c := s.token(t), s.containers(t)["api"]
	restarts := s.inspect(t, c.ID, "{{.RestartCount}}")
	row := "[5.1,3.5,1.4,0.2]"
	small := `{"instances":[` + strings.Repeat(row+",", 65536/(len(row)+1)-2) + row + "]}"
	large := []byte(`{"inputs":[` + strings.Repeat(row+",", (16<<20)/(len(row)+1)-2) + row + "]}")
	var served atomic.Int64
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			// One that is refused may be answered before all of it is sent: status 0.
			batch := s.send(t, http.MethodPost, "api", "/invocations", token, "application/json", large)
			assert.Contains(t, []int{http.StatusOK, http.StatusServiceUnavailable, 0}, batch.Status)
			if batch.Status == http.StatusOK {
				served.Add(1)
			}
			for range 30 {
				got := s.predict(t, token, small)
				assert.Contains(t, []int{http.StatusOK, http.StatusTooManyRequests, http.StatusServiceUnavailable}, got.Status, "%s", got)
				login := s.send(t, http.MethodPost, "api", "/token", "", "application/x-www-form-urlencoded", []byte("username=nobody&password=wrong"))
				assert.NotZero(t, login.Status, "%s", login)
			}
		})
	}
	group.Wait()
	// On a machine that is busy all may be refused, as more than can be done in time.
	eventually(t, func() bool {
		return served.Load() > 0 ||
			s.send(t, http.MethodPost, "api", "/invocations", token, "application/json", large).Status == http.StatusOK
	}, healLimit, time.Second, "one of the largest bodies is answered")
	require.Equal(t, restarts, s.inspect(t, c.ID, "{{.RestartCount}}"))
	for service, container := range s.containers(t) {
		require.Equal(t, "false", s.inspect(t, container.ID, "{{.State.OOMKilled}}"), service)
	}
	t.Logf("%d of 8 batches of 16 MiB served; memory of the API after the load: %s", served.Load(),
		strings.TrimSpace(s.docker(t, "stats", "--no-stream", "--format", "{{.MemUsage}}", c.ID)))
}

// fillDisk writes a file until the file system is full to the last byte.
const fillDisk = `
import sys
with open(sys.argv[1], "wb", buffering=0) as filler:
    for size in (65536, 4096, 1):
        try:
            while True:
                filler.write(b"x" * size)
        except OSError as error:
            print(error.strerror)
`

// testFullDisk runs one API by itself on a tiny file system, and fills that.
func testFullDisk(t *testing.T, s *stack) {
	const name = "petal-test-full-disk"
	_, _ = s.engine.try(t.Context(), s.dir, s.env, "docker", "rm", "--force", name) // of a run that was killed
	s.docker(t, "volume", "create", "--driver=local", "--opt=type=tmpfs", "--opt=device=tmpfs", "--opt=o=size=4m,uid=65532,gid=65532", name)
	alone := &stack{ports: map[string]int{"api": testenv.FreePort(t)}}
	s.docker(t, "run", "--detach", "--name", name, "--read-only", "--volume="+name+":/var/lib/petal",
		fmt.Sprintf("--publish=127.0.0.1:%d:8000", alone.ports["api"]),
		"--env", "STATE_DIR=/var/lib/petal/var", "petal-test-api:latest")
	defer func() {
		s.docker(t, "rm", "--force", name)
		s.docker(t, "volume", "rm", name)
	}()
	add := func(user string) error {
		_, err := s.engine.try(t.Context(), s.dir, s.env, "sh", "-c",
			fmt.Sprintf("printf 'a-long-enough-passphrase-%s\n' | docker exec -i %s /app user add %s", user, name, user))
		return err
	}
	healthy := func() bool { return alone.get(t, "api", "/health", "").Status == http.StatusOK }
	eventually(t, healthy, healLimit, time.Second, "the API starts by itself")
	require.NoError(t, add("before"))
	mounted := []string{"--volume=" + name + ":/disk"}
	require.Equal(t, 3, strings.Count(s.python(t, fillDisk, mounted, "/disk/filler"), "No space left on device"))
	var failure error
	for i := 0; i < 200 && failure == nil; i++ { // until the pages that SQLite has left are used
		failure = add(fmt.Sprintf("during%d", i))
	}
	require.Error(t, failure, "a full disk goes unnoticed")
	require.NotContains(t, failure.Error(), "panic")
	require.Equal(t, http.StatusOK, alone.get(t, "api", "/health", "").Status, "the API goes on")
	login := func(password string) answer {
		form := url.Values{"username": {"before"}, "password": {password}}.Encode()
		return alone.send(t, http.MethodPost, "api", "/token", "", "application/x-www-form-urlencoded", []byte(form))
	}
	for range 3 { // what cannot be counted is not heard
		wrong := login("wrong")
		require.Contains(t, []int{http.StatusBadRequest, http.StatusServiceUnavailable}, wrong.Status, "%s", wrong)
	}
	s.python(t, "import os; os.remove('/disk/filler')", mounted)
	require.NoError(t, add("after"))
	users := s.docker(t, "exec", name, "/app", "user", "list")
	require.Contains(t, users, "before")
	require.Contains(t, users, "after")
	right := login("a-long-enough-passphrase-before")
	require.Equal(t, http.StatusOK, right.Status, "%s", right)
	require.Equal(t, "running", s.inspect(t, name, "{{.State.Status}}"))
	check := s.python(t, "import sqlite3; print(sqlite3.connect('/disk/users.db').execute('pragma integrity_check').fetchone()[0])", mounted)
	require.Equal(t, "ok", strings.TrimSpace(check))
}
