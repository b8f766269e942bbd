package api

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/registry/directory"
	"github.com/petal-ml/petal/internal/serving"
	"github.com/petal-ml/petal/internal/settings"
	"github.com/petal-ml/petal/tests/testenv"
	"github.com/petal-ml/petal/tests/testenv/servingtest"
)

const setosa = `{"features":[5.1,3.5,1.4,0.2]}`

// A project is a folder with what the API keeps and reads, and its environment.
type project struct {
	dir     string
	environ []string
	log     testenv.Buffer
}

func newProject(t *testing.T, environ ...string) *project {
	t.Helper()
	dir := t.TempDir()
	return &project{dir: dir, environ: append([]string{
		"DATABASE_URL=sqlite:///" + filepath.Join(dir, "users.db"), "STATE_DIR=" + filepath.Join(dir, "var"),
		"API_ADDRESS=127.0.0.1:0", "MODEL_POLL_INTERVAL=20ms", "DRAIN_MIN=0",
	}, environ...)}
}

// promote puts a model into the project's directory registry.
func (p *project) promote(t *testing.T, model mlmodel.Dir) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(p.dir, "mlflow.yaml"), []byte("artifact_location: "+p.registry()+"\n"), 0o600))
	store, err := directory.Open(directory.Options{Root: p.registry(), Experiment: "test"})
	require.NoError(t, err)
	servingtest.Promote(t, store, model, servingtest.Tags(model))
}

func (p *project) registry() string { return filepath.Join(p.dir, "mlruns") }

// start starts the API and stops it when the test ends, if that is not done by
// then.
func (p *project) start(t *testing.T) *Server {
	t.Helper()
	cfg, err := settings.Load[settings.API](p.dir, p.environ)
	require.NoError(t, err)
	s, err := Start(t.Context(), cfg, "bin/api", nil, slog.New(slog.NewTextHandler(&p.log, nil)))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Stop()) })
	return s
}

func (p *project) ready(t *testing.T) *Server {
	t.Helper()
	s := p.start(t)
	select {
	case <-s.follower.Ready():
	case <-time.After(10 * time.Second):
		require.Fail(t, "no model", p.log.String())
	}
	return s
}

// run runs a command of the binary.
func (p *project) run(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	in := filepath.Join(t.TempDir(), "stdin")
	require.NoError(t, os.WriteFile(in, []byte(stdin), 0o600))
	f, err := os.Open(in)
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	var out, errs bytes.Buffer
	code = Run(t.Context(), args, Process{Dir: p.dir, Environ: p.environ, Stdin: f, Stdout: &out, Stderr: &errs})
	return code, out.String(), errs.String()
}

func (p *project) initialPassword(t *testing.T) string {
	t.Helper()
	code, out, errs := p.run(t, "", "user", "initial-password")
	require.Equal(t, 0, code, errs)
	return strings.TrimSpace(out)
}

func login(t *testing.T, s *Server, user, password string) (status int, token string) {
	t.Helper()
	resp, err := http.PostForm("http://"+s.Address().String()+"/token", url.Values{"username": {user}, "password": {password}})
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&answer))
	return resp.StatusCode, answer.AccessToken
}

func postRow(t *testing.T, s *Server, token string) (status int, label string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.Address().String()+"/predict", strings.NewReader(setosa))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	var answer struct{ Label string }
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&answer))
	return resp.StatusCode, answer.Label
}

// refusedSoon waits until a token is refused: an API that runs sees within about
// a second what a command has revoked.
func refusedSoon(t *testing.T, s *Server, token, why string) {
	t.Helper()
	require.Eventually(t, func() bool {
		status, _ := postRow(t, s, token)
		return status == http.StatusUnauthorized
	}, 3*time.Second, 20*time.Millisecond, why)
}

func TestServesAndRestartsWithoutRegistry(t *testing.T) {
	p := newProject(t)
	p.promote(t, servingtest.Iris(t))
	s := p.ready(t)
	password := p.initialPassword(t)
	status, token := login(t, s, "student", password)
	require.Equal(t, http.StatusOK, status)
	status, label := postRow(t, s, token)
	require.Equal(t, http.StatusOK, status)
	assert.Equal(t, "setosa", label)

	p.promote(t, servingtest.Constant(t, 2))
	require.Eventually(t, func() bool {
		_, label := postRow(t, s, token)
		return label == "virginica"
	}, 5*time.Second, 10*time.Millisecond, "the new champion")
	assert.NotContains(t, p.log.String(), password)
	assert.Contains(t, p.log.String(), "bin/api user initial-password")
	require.NoError(t, s.Stop())

	require.NoError(t, os.RemoveAll(p.registry()))
	s = p.start(t)
	status, label = postRow(t, s, token) // at once: the token, the user and the model are kept
	require.Equal(t, http.StatusOK, status)
	assert.Equal(t, "virginica", label)
	assert.Equal(t, password, p.initialPassword(t))

	for _, name := range []string{"secret_key", "initial_password"} {
		info, err := os.Stat(filepath.Join(p.dir, "var", name))
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), name)
	}
}

// What the guide prints is what a shell does.
func TestGuideCanBePasted(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		testenv.Missing(t, "curl is not installed")
	}
	p := newProject(t)
	p.promote(t, servingtest.Iris(t))
	s := p.ready(t)
	var out bytes.Buffer
	s.guide(t.Context(), &Process{Name: "/opt/my petal/api", Stdout: &out})
	assert.Contains(t, out.String(), "'/opt/my petal/api' user passwd student")
	assert.Contains(t, out.String(), p.initialPassword(t))

	var script []string
	for line := range strings.SplitSeq(out.String(), "\n") {
		if strings.HasPrefix(line, "  ") && !strings.HasPrefix(line, "  User:") && !strings.HasPrefix(line, "  Password:") {
			script = append(script, line)
		}
	}
	answers, err := exec.CommandContext(t.Context(), "sh", "-c", strings.Join(script, "\n")).Output()
	require.NoError(t, err)
	d := json.NewDecoder(bytes.NewReader(answers))
	for _, want := range []string{"setosa", "versicolor", "virginica"} {
		var got struct{ Label string }
		require.NoError(t, d.Decode(&got), "%s", answers)
		assert.Equal(t, want, got.Label)
	}
}

func TestGuideWithoutAKnownPassword(t *testing.T) {
	p := newProject(t, "API_PASSWORD=it's-a-quiet-meadow")
	p.promote(t, servingtest.Iris(t))
	s := p.ready(t)
	var out bytes.Buffer
	s.guide(t.Context(), &Process{Stdout: &out})
	assert.NotContains(t, out.String(), "meadow")
	assert.Contains(t, out.String(), "YOUR PASSWORD")
	status, _ := login(t, s, "student", "it's-a-quiet-meadow")
	assert.Equal(t, http.StatusOK, status)
	code, _, errs := p.run(t, "", "user", "initial-password")
	assert.Equal(t, 1, code)
	assert.Contains(t, errs, "no initial password is in force")
}

func TestGuideWhileThereIsNoModel(t *testing.T) {
	p := newProject(t)
	s := p.start(t)
	ctx, cancel := context.WithTimeout(t.Context(), noModelAfter+500*time.Millisecond)
	defer cancel()
	var out bytes.Buffer
	s.guide(ctx, &Process{Stdout: &out})
	assert.Contains(t, out.String(), "no iris@champion yet")
	assert.NotContains(t, out.String(), "ready")
}

func TestSamples(t *testing.T) {
	features := []model.Feature{{Name: "a"}, {Name: "b"}}
	assert.Equal(t, []string{"[0,0]"}, samples(&serving.Info{Info: model.Info{Features: features}}))
	assert.Equal(t, []string{"[1,2.5]", `[3,"x"]`}, samples(&serving.Info{Info: model.Info{Features: features, Example: [][]model.Cell{{{Number: 1}, {Number: 2.5}}, {{Number: 1}, {Number: 2.5}}, {{Number: 3}, {Kind: model.Text, Text: "x"}}}}}))
}

func TestURLs(t *testing.T) {
	for _, row := range []struct{ address, shown string }{
		{":8000", "http://localhost:8000"},
		{"[::]:8000", "http://localhost:8000"},
		{"0.0.0.0:8000", "http://localhost:8000"},
		{"127.0.0.1:8000", "http://localhost:8000"},
		{"[::1]:8000", "http://[::1]:8000"},
		{"192.0.2.7:80", "http://192.0.2.7:80"},
		{"example.org:80", "http://example.org:80"},
	} {
		assert.Equal(t, row.shown, baseURL(row.address, false))
	}
	assert.Equal(t, "https://localhost:1", baseURL(":1", true))
	assert.Equal(t, `'it'\''s'`, quote("it's"))
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	p := newProject(t, "API_ADDRESS="+l.Addr().String())
	code, out, errs := p.run(t, "", "serve")
	assert.Equal(t, 1, code)
	assert.Empty(t, out)
	assert.Equal(t, fmt.Sprintf("api: listen on %s: the port is in use; stop the program that has it, or set API_ADDRESS to another address\n", l.Addr()), errs)
	assert.NoFileExists(t, filepath.Join(p.dir, "users.db"), "nothing is made before the port is had")
}

func TestBadSettings(t *testing.T) {
	p := newProject(t, "SECRET_KEY=zzz", "ACCESS_TOKEN_EXPIRE_MINUTES=ten", "MLFLOW_TRACKING_URI=ftp://x")
	for _, args := range [][]string{{"serve"}, {"healthcheck"}, {"user", "list"}} {
		code, _, errs := p.run(t, "", args...)
		assert.Equal(t, 2, code)
		lines := strings.Split(strings.TrimSpace(errs), "\n")
		require.Len(t, lines, 3, errs)
		for _, variable := range []string{"SECRET_KEY", "ACCESS_TOKEN_EXPIRE_MINUTES", "MLFLOW_TRACKING_URI"} {
			assert.Contains(t, errs, "api: "+variable+": ")
		}
		assert.NotContains(t, errs, "zzz")
	}
}

func TestUnusableDatabase(t *testing.T) {
	p := newProject(t, "DATABASE_URL=sqlite:////nowhere/at/all/users.db")
	code, _, errs := p.run(t, "", "serve")
	assert.Equal(t, 1, code)
	last := errs[strings.LastIndex(strings.TrimSpace(errs), "\n")+1:]
	assert.Contains(t, last, "api: DATABASE_URL: ")
	assert.Contains(t, last, "/nowhere/at/all")
}

func TestUsage(t *testing.T) {
	p := newProject(t)
	code, _, errs := p.run(t, "", "nonsense")
	assert.Equal(t, 2, code)
	assert.Equal(t, 1, strings.Count(errs, "\n"), errs)
	code, out, _ := p.run(t, "", "--help")
	assert.Equal(t, 0, code)
	for _, command := range []string{
		"serve", "healthcheck", "user add", "user passwd", "user disable", "user list", "user initial-password",
		"user revoke", "key add", "key list", "key revoke", "token revoke", "token rotate-key", "migrate", "backup", "version",
	} {
		assert.Contains(t, out, command)
	}
	code, out, _ = p.run(t, "", "version")
	assert.Equal(t, 0, code)
	assert.Contains(t, out, runtime.Version())
}

func TestUserCommands(t *testing.T) {
	p := newProject(t)
	p.promote(t, servingtest.Iris(t))
	s := p.ready(t) // the commands work while the API runs
	initial := p.initialPassword(t)
	_, before := login(t, s, "student", initial)

	code, out, errs := p.run(t, "quiet-harbour-lantern\n", "user", "add", "ann", "--scope", "predict")
	require.Equal(t, 0, code, errs)
	assert.Equal(t, "user ann added with the scopes predict\n", out)
	status, token := login(t, s, "ann", "quiet-harbour-lantern")
	require.Equal(t, http.StatusOK, status)
	status, _ = postRow(t, s, token)
	assert.Equal(t, http.StatusOK, status)

	code, _, errs = p.run(t, "quiet-harbour-lantern\n", "user", "passwd")
	require.Equal(t, 0, code, errs)
	refusedSoon(t, s, before, "a token of the old password")
	status, _ = login(t, s, "student", "quiet-harbour-lantern")
	assert.Equal(t, http.StatusOK, status)

	code, _, errs = p.run(t, "", "user", "disable", "ann")
	require.Equal(t, 0, code, errs)
	refusedSoon(t, s, token, "a token of a user that is disabled")
	_, out, _ = p.run(t, "", "user", "list")
	assert.Regexp(t, `(?m)^ann +disabled +predict +20`, out)
	assert.Regexp(t, `(?m)^student +active +predict model:read +20`, out)
	code, _, _ = p.run(t, "", "user", "enable", "ann")
	require.Equal(t, 0, code)
	status, _ = login(t, s, "ann", "quiet-harbour-lantern")
	assert.Equal(t, http.StatusOK, status)

	for _, row := range []struct {
		name, stdin string
		args        []string
		says        string
	}{
		{"a name that is taken", "quiet-harbour-lantern\n", []string{"user", "add", "ann"}, "exists already"},
		{"a bad name", "quiet-harbour-lantern\n", []string{"user", "add", "-ann"}, ""},
		{"a short password", "short\n", []string{"user", "add", "bob"}, "8 are the least"},
		{"no password", "", []string{"user", "add", "bob"}, "standard input is empty"},
		{"an unknown scope", "quiet-harbour-lantern\n", []string{"user", "add", "bob", "--scope", "root"}, "root"},
		{"an unknown user", "quiet-harbour-lantern\n", []string{"user", "passwd", "nobody"}, "no such user"},
		{"an unknown user to disable", "", []string{"user", "disable", "nobody"}, "no such user"},
	} {
		t.Run(row.name, func(t *testing.T) {
			code, _, errs := p.run(t, row.stdin, row.args...)
			assert.NotZero(t, code)
			assert.Contains(t, errs, row.says)
			assert.Equal(t, 1, strings.Count(errs, "\n"), errs)
			assert.NotContains(t, errs, "harbour")
		})
	}
}

func TestHealthcheck(t *testing.T) {
	p := newProject(t)
	s := p.start(t)
	p.environ = append(p.environ, "API_ADDRESS="+s.Address().String())
	code, _, errs := p.run(t, "", "healthcheck")
	assert.Equal(t, 1, code)
	assert.Contains(t, errs, "503")
	p.promote(t, servingtest.Iris(t))
	require.NoError(t, s.Stop())
	s = p.ready(t)
	p.environ = append(p.environ, "API_ADDRESS="+s.Address().String())
	code, out, _ := p.run(t, "", "healthcheck")
	assert.Equal(t, 0, code)
	assert.Equal(t, "ready\n", out)
	require.NoError(t, s.Stop())
	code, _, errs = p.run(t, "", "healthcheck")
	assert.Equal(t, 1, code)
	assert.Equal(t, 1, strings.Count(errs, "\n"), errs)
}

func TestTLS(t *testing.T) {
	certified := httptest.NewTLSServer(nil) // for its certificate
	certified.Close()
	pair := certified.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	require.NoError(t, err)
	p := newProject(t)
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(p.dir, name)
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return path
	}
	p.environ = append(p.environ, "TLS_CERT_FILE="+write("cert.pem", "CERTIFICATE", pair.Certificate[0]), "TLS_KEY_FILE="+write("key.pem", "PRIVATE KEY", key))
	p.promote(t, servingtest.Iris(t))
	s := p.ready(t)
	p.environ = append(p.environ, "API_ADDRESS="+s.Address().String())
	code, out, errs := p.run(t, "", "healthcheck")
	assert.Equal(t, 0, code, errs)
	assert.Equal(t, "ready\n", out)
}

// A request that has begun is answered after the signal to stop.
func TestStopFinishesRequests(t *testing.T) {
	p := newProject(t)
	p.promote(t, servingtest.Iris(t))
	s := p.ready(t)
	_, token := login(t, s, "student", p.initialPassword(t))
	conn, err := net.Dial("tcp", s.Address().String())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = fmt.Fprintf(conn, "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
		token, len(setosa), setosa[:5])
	require.NoError(t, err)
	time.Sleep(50 * time.Millisecond) // the handler has begun to read
	stopped := make(chan error)
	go func() { stopped <- s.Stop() }()
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", s.Address().String())
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	}, 5*time.Second, 5*time.Millisecond, "no new connections")
	_, err = io.WriteString(conn, setosa[5:])
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	assert.Contains(t, string(answer), "HTTP/1.1 200 OK")
	assert.Contains(t, string(answer), `"label":"setosa"`)
	require.NoError(t, <-stopped)
}

func TestRunEndsWithItsContext(t *testing.T) {
	p := newProject(t)
	p.promote(t, servingtest.Iris(t))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() {
		for ctx.Err() == nil && !strings.Contains(p.log.String(), "model serves") {
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
	}()
	var out bytes.Buffer
	code := Run(ctx, []string{"serve"}, Process{Dir: p.dir, Environ: p.environ, Stdin: os.Stdin, Stdout: &out, Stderr: &p.log})
	assert.Zero(t, code)
	assert.Empty(t, out.String(), "the guide is for terminals")
	assert.Contains(t, p.log.String(), "model serves")
}

func TestNothingIsLeftRunning(t *testing.T) {
	p := newProject(t)
	p.promote(t, servingtest.Iris(t))
	require.NoError(t, p.ready(t).Stop()) // what is made once
	before := runtime.NumGoroutine()
	for range 5 {
		s := p.ready(t)
		_, _ = login(t, s, "student", "wrong-password")
		http.DefaultClient.CloseIdleConnections()
		require.NoError(t, s.Stop())
	}
	// Not by Eventually, whose condition is a goroutine itself.
	after := runtime.NumGoroutine()
	for deadline := time.Now().Add(5 * time.Second); after > before && time.Now().Before(deadline); after = runtime.NumGoroutine() {
		time.Sleep(10 * time.Millisecond)
	}
	assert.LessOrEqual(t, after, before)
}
