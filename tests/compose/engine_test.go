package compose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
	"github.com/petal-ml/petal/tests/testenv/pyvenv"
)

// An engine is a Docker Engine, and the environment in which `docker compose`
// and `docker-compose` reach it.
type engine struct {
	dir string // in the cache
	env []string
	// private means that the tests started it with a store of its own: what is
	// in it belongs to the tests, and it knows no published image.
	private bool
}

// startEngine finds a running Docker Engine, or starts one that ends with the
// test. Its store stays in the cache: images are built once.
func startEngine(t *testing.T) *engine {
	t.Helper()
	if os.Getenv("CI") != "true" && testing.Short() {
		t.Skip("the Compose tests take minutes: left out by -short")
	}
	cache, err := pyvenv.CacheDir()
	require.NoError(t, err)
	dir := filepath.Join(cache, "engine")
	require.NoError(t, os.MkdirAll(dir, 0o750))
	tools := []string{
		"DOCKER_CONFIG=" + filepath.Join(dir, "config"),
		"PATH=" + filepath.Join(dir, "bin") + string(os.PathListSeparator) + os.Getenv("PATH"),
	}
	if running := (&engine{dir: dir, env: append(testenv.Environ(dockerVariables()...), tools...)}); running.answers(t.Context()) {
		return running
	}
	requireDebianRoot(t)
	socket := filepath.Join(dir, "docker.sock")
	private := &engine{dir: dir, private: true, env: append(testenv.Environ("DOCKER_HOST=unix://"+socket), tools...)}
	startDaemon(t, private, dir, socket)
	return private
}

func dockerVariables() []string {
	var set []string
	for _, name := range []string{"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"} {
		if value := os.Getenv(name); value != "" {
			set = append(set, name+"="+value)
		}
	}
	return set
}

// installCompose puts the pinned Compose where the docker command looks for its
// plugins, and beside it under its old name.
func (e *engine) installCompose(t *testing.T) {
	t.Helper()
	tool := testenv.GoTool(t, "docker-compose")
	for _, folder := range []string{filepath.Join(e.dir, "config", "cli-plugins"), filepath.Join(e.dir, "bin")} {
		require.NoError(t, os.MkdirAll(folder, 0o750))
		link := filepath.Join(folder, "docker-compose")
		if target, err := os.Readlink(link); err == nil && target == tool {
			continue
		}
		require.NoError(t, errors.Join(remove(link), os.Symlink(tool, link)))
	}
}

func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// requireDebianRoot installs what an engine of our own needs, or skips the test.
func requireDebianRoot(t *testing.T) {
	t.Helper()
	_, noApt := exec.LookPath("apt-get")
	if os.Geteuid() != 0 || noApt != nil {
		testenv.Missing(t, "no Docker Engine answers: start one, or run as root on Debian")
	}
	for _, program := range []string{"dockerd", "iptables", "debootstrap", "docker"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Logf("%s is missing: installing docker.io, iptables and debootstrap by apt-get", program)
			install(t, "docker.io", "iptables", "debootstrap")
			return
		}
	}
}

func install(t *testing.T, packages ...string) {
	t.Helper()
	for _, args := range [][]string{
		{"update", "-qq"},
		append([]string{"install", "-qq", "-y", "--no-install-recommends"}, packages...),
	} {
		cmd := exec.CommandContext(t.Context(), "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if output, err := cmd.CombinedOutput(); err != nil {
			testenv.Missing(t, "apt-get %s: %v\n%s", strings.Join(args, " "), err, output)
		}
	}
}

// startDaemon starts dockerd unless one that an earlier run left behind answers.
// It leads a session of its own, so that Ctrl-C does not take the engine away
// before the containers are gone.
func startDaemon(t *testing.T, engine *engine, dir, socket string) {
	t.Helper()
	unlock, err := pyvenv.Lock(filepath.Join(dir, "engine.lock"))
	require.NoError(t, err)
	t.Cleanup(unlock) // one test run at a time
	if engine.answers(t.Context()) {
		return
	}
	pidFile := filepath.Join(dir, "docker.pid")
	require.NoError(t, remove(pidFile)) // of a daemon that was killed
	log, err := os.Create(filepath.Join(dir, "dockerd.log"))
	require.NoError(t, err)
	daemon := exec.Command("dockerd",
		"--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
		"--pidfile", pidFile, "--host", "unix://"+socket)
	daemon.Stdout, daemon.Stderr = log, log
	daemon.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	require.NoError(t, daemon.Start())
	ended := make(chan error, 1)
	go func() { ended <- daemon.Wait() }()
	t.Cleanup(func() {
		_ = daemon.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			t.Logf("dockerd ended: %v", err)
		case <-time.After(30 * time.Second):
			_ = daemon.Process.Kill()
		}
		_ = log.Close()
	})
	for deadline := time.Now().Add(time.Minute); !engine.answers(t.Context()); time.Sleep(100 * time.Millisecond) {
		select {
		case err := <-ended:
			ended <- err
			testenv.Missing(t, "dockerd ended at once: %v\n%s", err, lastLines(log.Name(), 5))
		default:
		}
		require.Less(t, time.Now(), deadline, "dockerd does not answer\n%s", lastLines(log.Name(), 5))
	}
}

func lastLines(path string, count int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}

func (e *engine) answers(ctx context.Context) bool {
	_, err := e.try(ctx, "", nil, "docker", "version", "--format", "{{.Server.Version}}")
	return err == nil
}

// run runs a command in a folder and returns what it printed on its standard
// output. A failure fails the test with both streams.
func (e *engine) run(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	output, err := e.try(t.Context(), dir, env, name, args...)
	require.NoError(t, err)
	return output
}

func (e *engine) try(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	path, err := e.lookPath(name)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Env = dir, append(append([]string{}, e.env...), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.String(), nil
}

// lookPath looks in the engine's own PATH, not in that of the test.
func (e *engine) lookPath(name string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	for i := len(e.env) - 1; i >= 0; i-- {
		path, found := strings.CutPrefix(e.env[i], "PATH=")
		if !found {
			continue
		}
		for _, dir := range filepath.SplitList(path) {
			candidate := filepath.Join(dir, name)
			if info, err := os.Stat(candidate); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
				return candidate, nil
			}
		}
		break
	}
	return "", fmt.Errorf("%s: %w", name, exec.ErrNotFound)
}
