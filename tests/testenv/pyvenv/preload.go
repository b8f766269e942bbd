package pyvenv

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed preload.py
var preloadServer string

//go:embed preload_client.py
var preloadClient string

// SocketVariable names the environment variable with the socket of the process that
// [Preload] starts.
const SocketVariable = "PETAL_TEST_PRELOAD"

// preloaded are the programs that fork from the process of [Preload].
var preloaded = []string{"python", "mlflow", "dvc"}

// Modules are what the programs of the tests import. Uvicorn comes before MLflow,
// which thereby knows that it is to be a server. MLflow's FastAPI application is not
// among them: it reads its settings when it is imported.
var Modules = strings.Fields(`
	uvicorn.main uvicorn.loops.auto uvicorn.protocols.http.auto uvicorn.protocols.websockets.auto uvicorn.lifespan.on
	mlflow.cli mlflow.onnx mlflow.pyfunc mlflow.data.pandas_dataset mlflow.store.artifact.mlflow_artifacts_repo
	mlflow.store.tracking.sqlalchemy_store mlflow.store.model_registry.sqlalchemy_store sqlalchemy.dialects.sqlite
	fastapi graphene alembic.command boto3 starlette.middleware.wsgi
	onnx.checker onnxruntime onnxmltools skl2onnx xgboost lightgbm
	sklearn.compose sklearn.datasets sklearn.ensemble sklearn.impute sklearn.linear_model sklearn.naive_bayes sklearn.pipeline sklearn.svm
	dvc.cli.parser dvc.scm dvc.repo.add dvc.repo.init dvc.repo.status dvc.repo.pull dvc.repo.push dvc.repo.reproduce dvc.repo.index
	dvc.repo.metrics.diff dvc.repo.params.diff dvc.repo.plots.diff dvc.utils.strictyaml dvc_data.index.push dvc_s3 s3fs
	dvc_render.html networkx fsspec.implementations.memory pygit2
`)

// Preload starts a process that imports the modules once, for all programs that fork
// from it: with most of them the imports take most of the time. With env, tests find
// in the place of the interpreter and the programs beside it what forks them; where it
// cannot, they run as ever. The process ends with the function or with this process.
// It works on Linux.
func Preload(python string, modules []string, log io.Writer) (env []string, stop func(), err error) {
	programs, err := writeClients(filepath.Dir(filepath.Dir(python)))
	if err != nil {
		return nil, nil, fmt.Errorf("preload Python: %w", err)
	}
	dir, err := os.MkdirTemp("", "petal-preload-")
	if err != nil {
		return nil, nil, fmt.Errorf("preload Python: %w", err)
	}
	socket := filepath.Join(dir, "socket")
	end, err := startServer(socket, python, modules, log)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("preload Python: %w", err), os.RemoveAll(dir))
	}
	return []string{PythonVariable + "=" + filepath.Join(programs, "python"), SocketVariable + "=" + socket}, func() {
		end()
		_ = os.RemoveAll(dir)
	}, nil
}

// startServer listens before the process does anything: who asks early waits for the
// imports.
func startServer(socket, python string, modules []string, log io.Writer) (end func(), err error) {
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false)
	defer func() { _ = listener.Close() }()
	file, err := listener.File()
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	cmd := exec.Command(python, append([]string{"-c", preloadServer}, modules...)...)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=", "PYTHONWARNINGS=ignore", "MLFLOW_DISABLE_TELEMETRY=true")
	cmd.Stderr, cmd.ExtraFiles = log, []*os.File{file}
	stdin, err := cmd.StdinPipe() // its end tells that this process has ended
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = stdin.Close()
	}, nil
}

// writeClients fills a folder of the environment with its programs, of which some
// are forked. What is right already stays: go test keeps results by the age of files.
func writeClients(venv string) (dir string, err error) {
	dir = filepath.Join(venv, "preloaded")
	unlock, err := Lock(dir + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(filepath.Join(venv, "bin"))
	if err != nil {
		return "", err
	}
	client := "#!" + interpreter(venv) + " -IS\n" + preloadClient
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		if !slices.Contains(preloaded, entry.Name()) {
			if err := os.Symlink(filepath.Join(venv, "bin", entry.Name()), path); err != nil && !errors.Is(err, os.ErrExist) {
				return "", err
			}
			continue
		}
		if content, err := os.ReadFile(path); err == nil && string(content) == client {
			continue
		}
		if err := os.WriteFile(path+".new", []byte(client), 0o700); err != nil {
			return "", err
		}
		if err := os.Rename(path+".new", path); err != nil {
			return "", err
		}
	}
	return dir, nil
}
