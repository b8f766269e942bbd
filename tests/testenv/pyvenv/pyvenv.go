// Package pyvenv prepares the Python virtual environment of the tests.
//
// It stands outside the work tree, in a folder of the user's cache that is named
// after the pins, so that every checkout with the same pins shares it and a
// change of the pins makes a new one.
package pyvenv

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/petal-ml/petal/tests"
)

// PythonVariable names the environment variable that puts another interpreter,
// with the pinned programs beside it, in the place of the prepared one.
const PythonVariable = "PETAL_TEST_PYTHON"

// readyFile is written into the environment last of all: without it the
// environment is unfinished.
const readyFile = "petal-ready"

// ErrNotReady means that the environment has not been prepared yet.
var ErrNotReady = errors.New("the Python environment of the tests is not prepared: run `make bootstrap`")

// CacheDir returns the folder that the tests keep between runs, under
// $XDG_CACHE_HOME or ~/.cache.
func CacheDir() (string, error) {
	if dir := os.Getenv("XDG_CACHE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "petal"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder: %w", err)
	}
	return filepath.Join(home, ".cache", "petal"), nil
}

// Python returns the path of the interpreter, or [ErrNotReady]. It waits for a run
// that prepares the environment now.
func Python() (string, error) {
	if python := os.Getenv(PythonVariable); python != "" {
		if _, err := os.Stat(python); err != nil {
			return "", fmt.Errorf("%s: %w", PythonVariable, err)
		}
		return python, nil
	}
	dir, err := venvDir()
	if err != nil {
		return "", err
	}
	if !isReady(dir) {
		if unlock, err := Lock(dir + ".lock"); err == nil {
			unlock()
		}
		if !isReady(dir) {
			return "", ErrNotReady
		}
	}
	return interpreter(dir), nil
}

// Ensure makes the environment unless it stands already, and returns the path of
// its interpreter. Runs at the same time wait for each other; a run that was
// broken off is begun anew. Progress goes to out, a line a step.
func Ensure(ctx context.Context, out io.Writer) (string, error) {
	if os.Getenv(PythonVariable) != "" {
		return Python()
	}
	dir, err := venvDir()
	if err != nil {
		return "", err
	}
	unlock, err := Lock(dir + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if isReady(dir) && works(ctx, dir) {
		return interpreter(dir), nil
	}
	if err := create(ctx, dir, out); err != nil {
		return "", fmt.Errorf("prepare the Python environment of the tests in %s: %w", dir, err)
	}
	return interpreter(dir), nil
}

// Lock takes the lock of a file, which it makes where it is missing, and waits
// for whoever holds it. The lock ends with the returned function or the process.
func Lock(path string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	for {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return func() { _ = file.Close() }, nil
}

func venvDir() (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	digest := sha256.Sum256([]byte(tests.Requirements + "\x00" + tests.Constraints))
	return filepath.Join(cache, "venv-"+hex.EncodeToString(digest[:6])), nil
}

func interpreter(dir string) string { return filepath.Join(dir, "bin", "python") }

func isReady(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, readyFile))
	return err == nil
}

// works tells a whole environment from one whose base Python has gone away.
func works(ctx context.Context, dir string) bool {
	return exec.CommandContext(ctx, interpreter(dir), "-c", "import sys").Run() == nil
}

func create(ctx context.Context, dir string, out io.Writer) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	say(out, "preparing the Python environment of the tests in %s (once; some minutes)", dir)
	if err := run(ctx, out, "python3", "-m", "venv", dir); err != nil {
		return err
	}
	requirements := filepath.Join(dir, "requirements.txt")
	constraints := filepath.Join(dir, "constraints.txt")
	if err := os.WriteFile(requirements, []byte(tests.Requirements), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(constraints, []byte(tests.Constraints), 0o600); err != nil {
		return err
	}
	// Bytecode is left to the first import: most of what pip would compile here
	// is never imported by a test.
	err := run(ctx, out, interpreter(dir), "-m", "pip", "install", "--quiet", "--no-compile",
		"--disable-pip-version-check", "--no-input", "--requirement", requirements, "--constraint", constraints)
	if err != nil {
		return err
	}
	say(out, "the Python environment is ready")
	return os.WriteFile(filepath.Join(dir, readyFile), nil, 0o600)
}

// run passes both streams of a program on to out: what it says when it fails is
// the reason.
func run(ctx context.Context, out io.Writer, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(append([]string{name}, args...), " "), err)
	}
	return nil
}

func say(out io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(out, "bootstrap: "+format+"\n", args...)
}
