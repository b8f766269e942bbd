// Package testenv gives tests the real programs that they run against: the Python
// tools of the bootstrap, the binaries of this checkout, and processes that end
// with the test.
//
// A part that is not there skips the test in one line. Under CI=true it fails the
// test, because a skip nobody reads is a gate that is always open.
package testenv

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/petal-ml/petal/tests/testenv/pyvenv"
)

// Missing skips the test, or fails it under CI=true.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// Python returns the path of the interpreter that has the pinned programs.
func Python(t testing.TB) string {
	t.Helper()
	python, err := pyvenv.Python()
	if err != nil {
		Missing(t, "%v", err)
	}
	return python
}

// Tool returns the path of a pinned Python program such as "mlflow" or "dvc".
func Tool(t testing.TB, name string) string {
	t.Helper()
	tool := filepath.Join(filepath.Dir(Python(t)), name)
	if _, err := os.Stat(tool); err != nil {
		Missing(t, "the Python environment of the tests has no %s: run `make bootstrap`", name)
	}
	return tool
}

// RunPython runs a script with arguments and returns what it printed on its
// standard output. A script that fails, fails the test with its traceback. The
// environment is that of [Environ] with env added.
func RunPython(t testing.TB, script string, env []string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, Python(t), append([]string{"-c", script}, args...)...)
	cmd.Dir = t.TempDir()
	cmd.Env = Environ(append([]string{"PYTHONWARNINGS=ignore", "MLFLOW_DISABLE_TELEMETRY=true"}, env...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	if err != nil {
		t.Fatalf("python: %v\n%s", err, stderr.Bytes())
	}
	return stdout
}

// Environ returns the part of this process's environment that every program
// needs, followed by more. No setting of Petal, MLflow, DVC or S3 gets through:
// what the developer happens to have set must not change a test.
func Environ(more ...string) []string {
	var env []string
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if keepVariable(name) {
			env = append(env, variable)
		}
	}
	return append(env, more...)
}

func keepVariable(name string) bool {
	switch name {
	case "PATH", "HOME", "USER", "TMPDIR", "LANG", "CI", pyvenv.PythonVariable, pyvenv.SocketVariable:
		return true
	}
	for _, prefix := range []string{"GO", "XDG_", "SSL_", "LC_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// FreePort returns a port of 127.0.0.1 that nothing listens on. Another process
// may take it before the caller does: use port 0 wherever the program under test
// can tell which one it got.
func FreePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		t.Fatalf("free port %d: %v", port, err)
	}
	return port
}

// FreeAddress returns [FreePort] as "127.0.0.1:port".
func FreeAddress(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", FreePort(t))
}

// Root returns the top folder of the checkout.
func Root(t testing.TB) string {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// moduleRoot looks upwards for go.mod: a test runs in its package's folder.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the checkout: %w", err)
	}
	for start := dir; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("find the checkout: no go.mod in or above %s", start)
		}
	}
}
