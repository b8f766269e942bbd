package testenv

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// MLflowOptions say how to start an MLflow server.
type MLflowOptions struct {
	// Dir keeps the database and the files; empty: a new temporary folder.
	Dir string
	// Args are added to the command line.
	Args []string
	// Env is added to the environment.
	Env []string
}

// An MLflowServer is a real MLflow server on a port of 127.0.0.1, with SQLite
// and its own file store. It ends with the test.
type MLflowServer struct {
	URL string
	// Dir keeps the database and the files.
	Dir string

	t       testing.TB
	command Command
	process *Process
}

// mlflowStart bounds the server's start, which imports half of Python on a
// machine that may be busy.
const mlflowStart = 6 * time.Minute

// StartMLflow starts a server and waits until it answers.
func StartMLflow(t testing.TB, o MLflowOptions) *MLflowServer {
	t.Helper()
	tool := Tool(t, "mlflow")
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	artifacts := filepath.Join(o.Dir, "artifacts")
	if err := os.MkdirAll(artifacts, 0o750); err != nil {
		t.Fatalf("make the server's folder: %v", err)
	}
	port := FreePort(t)
	s := &MLflowServer{URL: fmt.Sprintf("http://127.0.0.1:%d", port), Dir: o.Dir, t: t}
	s.command = Command{
		Path: tool,
		Args: append([]string{
			"server", "--host", "127.0.0.1", "--port", strconv.Itoa(port), "--workers", "1",
			"--backend-store-uri", "sqlite:///" + filepath.Join(o.Dir, "mlflow.db"),
			"--serve-artifacts", "--artifacts-destination", artifacts,
		}, o.Args...),
		Env: Environ(append([]string{
			"MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false",
			"MLFLOW_DISABLE_TELEMETRY=true",
			// The server starts Python by name.
			"PATH=" + filepath.Dir(tool) + string(os.PathListSeparator) + os.Getenv("PATH"),
		}, o.Env...)...),
		Dir: o.Dir,
	}
	s.start()
	return s
}

// Stop ends the server as an operator would.
func (s *MLflowServer) Stop() {
	s.t.Helper()
	s.process.Stop(30 * time.Second)
}

// Kill ends the server at once. Killing one that is down does nothing.
func (s *MLflowServer) Kill() { s.process.Kill() }

// Restart starts the server again, at the same address and with the same data.
func (s *MLflowServer) Restart() {
	s.t.Helper()
	s.process.Kill()
	s.start()
}

func (s *MLflowServer) start() {
	s.t.Helper()
	s.process = Start(s.t, s.command)
	s.process.WaitReady(s.URL+"/health", mlflowStart)
}
