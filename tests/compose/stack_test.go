package compose

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
)

const (
	buildLimit = 10 * time.Minute
	// healLimit is how long a service may take to be back after its process was
	// killed: a restart, and the ten to fifteen seconds to its first health check.
	// On a machine that is busy MLflow alone needs more than a minute to start.
	healLimit = 4 * time.Minute
	// mailLimit is for the shortened durations of [shorten].
	mailLimit = 2 * time.Minute
	tick      = 500 * time.Millisecond
)

// services are those of a plain `up`.
func services() []string {
	return []string{"trainer", "api", "mlflow", "prometheus", "alertmanager", "grafana", "mailpit"}
}

// watchers are those that only watch.
func watchers() []string { return []string{"prometheus", "alertmanager", "grafana", "mailpit"} }

// A stack is a checkout of its own with the unchanged Compose file, and a project
// on ports of its own.
type stack struct {
	engine *engine
	dir    string
	// project is the name that Compose gives to all that belongs together.
	project string
	env     []string
	ports   map[string]int // by service
	// known is the password of the first user once it was asked for.
	known string
}

func newStack(t *testing.T, engine *engine, project string) *stack {
	t.Helper()
	s := &stack{engine: engine, dir: copyCheckout(t), project: project, ports: make(map[string]int)}
	s.env = []string{"COMPOSE_PROJECT_NAME=" + project, "GOPROXY=" + goProxy(t)}
	for service, variable := range map[string]string{
		"api": "API_PORT", "mlflow": "MLFLOW_PORT", "prometheus": "PROMETHEUS_PORT",
		"grafana": "GRAFANA_PORT", "alertmanager": "ALERTMANAGER_PORT", "mailpit": "MAILPIT_PORT",
	} {
		s.ports[service] = testenv.FreePort(t)
		s.env = append(s.env, fmt.Sprintf("%s=%d", variable, s.ports[service]))
	}
	// The images of a test project are its own: those of a user stay as they are.
	for _, variable := range []string{"API_IMAGE", "TRAINER_IMAGE", "TESTS_IMAGE"} {
		name := strings.ToLower(strings.TrimSuffix(variable, "_IMAGE"))
		s.env = append(s.env, variable+"="+project+"-"+name+":latest")
	}
	s.remove() // what a run that was killed has left
	t.Cleanup(s.remove)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.state())
		}
	})
	return s
}

// remove leaves the images: the next run finds their layers.
func (s *stack) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	_, _ = s.engine.try(ctx, s.dir, s.env, "docker", "compose", "--profile", "tests", "down", "--volumes", "--remove-orphans", "--timeout", "5")
}

// eventually waits until a condition holds. It asks in the test's own goroutine, as
// require.Eventually does not: a condition may fail the test, and none outlives it.
func eventually(t *testing.T, condition func() bool, limit, tick time.Duration, message string, args ...any) {
	t.Helper()
	for deadline := time.Now().Add(limit); !condition(); time.Sleep(tick) {
		require.Less(t, time.Now(), deadline, append([]any{"not within %s: " + message, limit}, args...)...)
	}
}

// state is what one wants to see after a failure.
func (s *stack) state() string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	containers, err := s.engine.try(ctx, s.dir, s.env, "docker", "compose", "ps", "--all")
	logs, logErr := s.engine.try(ctx, s.dir, s.env, "docker", "compose", "logs", "--no-color", "--tail", "15")
	return fmt.Sprint(containers, err, "\n", logs, logErr)
}

// compose runs `docker compose` in the checkout.
func (s *stack) compose(t *testing.T, args ...string) string {
	t.Helper()
	return s.engine.run(t, s.dir, s.env, "docker", append([]string{"compose"}, args...)...)
}

// docker runs `docker`.
func (s *stack) docker(t *testing.T, args ...string) string {
	t.Helper()
	return s.engine.run(t, s.dir, s.env, "docker", args...)
}

// A container is one as `docker compose ps` lists it.
type container struct {
	ID, Service, State, Health, Status string
}

// containers asks the engine, of which Compose would take five times as long to ask.
func (s *stack) containers(t *testing.T) map[string]container {
	t.Helper()
	found := make(map[string]container)
	list := s.docker(t, "ps", "--all", "--filter", "label=com.docker.compose.oneoff=False", "--filter", "label=com.docker.compose.project="+s.project,
		"--format", `{{.ID}}|{{.Label "com.docker.compose.service"}}|{{.State}}|{{.Status}}`)
	for line := range strings.Lines(list) {
		fields := strings.Split(strings.TrimSpace(line), "|")
		require.Len(t, fields, 4, line)
		c := container{ID: fields[0], Service: fields[1], State: fields[2], Status: fields[3]}
		if match := regexp.MustCompile(`\((?:health: )?(\w+)\)$`).FindStringSubmatch(c.Status); c.State == "running" && match != nil {
			c.Health = match[1]
		}
		found[c.Service] = c
	}
	return found
}

// requireHealthy waits until every service is up and healthy.
func (s *stack) requireHealthy(t *testing.T, limit time.Duration) {
	t.Helper()
	var last map[string]container
	eventually(t, func() bool {
		last = s.containers(t)
		for _, service := range services() {
			if c := last[service]; c.State != "running" || c.Health != "healthy" {
				return false
			}
		}
		return true
	}, limit, time.Second, "every service healthy: %v", &last)
}

// url is the address of a service on the published port.
func (s *stack) url(service, path string) string {
	return fmt.Sprintf("http://localhost:%d%s", s.ports[service], path)
}

// An answer is a status and a body.
type answer struct {
	Status int
	Body   []byte
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.Status, a.Body) }

// get asks once; a connection that fails is status 0.
func (s *stack) get(t *testing.T, service, path, token string) answer {
	t.Helper()
	return s.send(t, http.MethodGet, service, path, token, "", nil)
}

func (s *stack) send(t *testing.T, method, service, path, token, contentType string, body []byte) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, s.url(service, path), bytes.NewReader(body))
	if err != nil {
		return answer{Body: []byte(err.Error())}
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer{Body: []byte(err.Error())}
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{Body: []byte(err.Error())}
	}
	return answer{response.StatusCode, data}
}

// getJSON requires status 200 and decodes the body.
func (s *stack) getJSON(t *testing.T, service, path string, into any) {
	t.Helper()
	got := s.get(t, service, path, "")
	require.Equal(t, http.StatusOK, got.Status, "%s: %s", path, got)
	require.NoError(t, json.Unmarshal(got.Body, into), "%s", got)
}

// password is that of the first user, made at the first start.
func (s *stack) password(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(s.compose(t, "exec", "-T", "api", "/app", "user", "initial-password"))
}

func (s *stack) token(t *testing.T) string {
	t.Helper()
	if s.known == "" {
		s.known = s.password(t)
	}
	form := url.Values{"username": {"student"}, "password": {s.known}}.Encode()
	got := s.send(t, http.MethodPost, "api", "/token", "", "application/x-www-form-urlencoded", []byte(form))
	require.Equal(t, http.StatusOK, got.Status, "%s", got.Body)
	var parsed struct {
		AccessToken string `json:"access_token"`
	}
	require.NoError(t, json.Unmarshal(got.Body, &parsed))
	return parsed.AccessToken
}

func (s *stack) predict(t *testing.T, token, body string) answer {
	t.Helper()
	return s.send(t, http.MethodPost, "api", "/predict", token, "application/json", []byte(body))
}

// requireFlowers requires the right label for a flower of each kind, and returns
// the version that answered.
func (s *stack) requireFlowers(t *testing.T, token string) string {
	t.Helper()
	version := ""
	for label, features := range map[string]string{
		"setosa": "[5.1,3.5,1.4,0.2]", "versicolor": "[5.9,2.8,4.2,1.3]", "virginica": "[6.7,3.1,5.7,2.3]",
	} {
		got := s.predict(t, token, `{"features":`+features+`}`)
		require.Equal(t, http.StatusOK, got.Status, "%s", got.Body)
		var parsed struct {
			Label string `json:"label"`
			Model struct {
				Version string `json:"version"`
			} `json:"model"`
		}
		require.NoError(t, json.Unmarshal(got.Body, &parsed))
		require.Equal(t, label, parsed.Label, "%s", got.Body)
		version = parsed.Model.Version
	}
	return version
}

// copyCheckout copies the checkout, without what is ignored, as a fresh clone
// would have it.
func copyCheckout(t *testing.T) string {
	t.Helper()
	root, dir := testenv.Root(t), filepath.Join(t.TempDir(), "petal")
	cmd := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	list, err := cmd.Output()
	require.NoError(t, err)
	for _, name := range strings.Split(strings.Trim(string(list), "\x00"), "\x00") {
		if info, err := os.Lstat(filepath.Join(root, name)); err == nil && info.Mode().IsRegular() {
			copyFile(t, filepath.Join(root, name), filepath.Join(dir, name))
		}
	}
	// The folders of t.TempDir are private; the containers' users read this one.
	for at := dir; at != os.TempDir() && at != "/"; at = filepath.Dir(at) {
		if os.Chmod(at, 0o755) != nil {
			break
		}
	}
	return dir
}

// goProxy hands on where this machine gets its Go modules.
func goProxy(t *testing.T) string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), goCommand(t), "env", "GOPROXY").Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(output))
}

func goCommand(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("go")
	require.NoError(t, err)
	return path
}

// publishedImages reads the image references of the Compose file, by the last part
// of their names.
func publishedImages(t *testing.T) map[string]string {
	t.Helper()
	data := readFile(t, filepath.Join(testenv.Root(t), "docker-compose.yml"))
	images := make(map[string]string)
	for _, match := range regexp.MustCompile(`\$\{[A-Z]+_IMAGE:-([^}]+)\}`).FindAllSubmatch(data, -1) {
		reference := string(match[1])
		name := reference[strings.LastIndex(reference, "/")+1:]
		name, _, _ = strings.Cut(name, ":")
		if strings.HasPrefix(name, "static-debian") {
			name = "distroless"
		}
		images[name] = reference
	}
	for _, name := range []string{"golang", "distroless", "mlflow", "prometheus", "alertmanager", "grafana", "mailpit"} {
		require.Contains(t, images, name)
	}
	return images
}

// shorten lays copies of the rules and routes over the real ones in which every
// duration that makes a mail wait is short. What they say stays as it is.
func (s *stack) shorten(t *testing.T) {
	t.Helper()
	s.rewrite(t, "dashboards/prometheus.yml", `(scrape_interval|scrape_timeout|evaluation_interval): \S+`, "$1: 2s")
	s.rewrite(t, "dashboards/alert.rules.yml", `(?m)^(        for): \S+`, "$1: 2s")
	s.rewrite(t, "dashboards/alertmanager.yml", `(group_wait|group_interval): \S+`, "$1: 1s")
}

func (s *stack) rewrite(t *testing.T, name, pattern, replacement string) {
	t.Helper()
	path := filepath.Join(s.dir, name)
	before := string(readFile(t, path))
	after := regexp.MustCompile(pattern).ReplaceAllString(before, replacement)
	require.NotEqual(t, before, after, "%s has no %s", name, pattern)
	require.NoError(t, os.WriteFile(path, []byte(after), 0o644))
}
