package compose

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests"
	"github.com/petal-ml/petal/tests/testenv"
)

// standinLabel marks an image as no upstream image. Its value tells what it was
// made from.
const standinLabel = "org.petal.standin"

// baseImage is a Debian root with Python, from Debian's own packages.
const baseImage = "petal-standin/debian:latest"

// buildStandins gives a private engine an image under each published name that
// the stack uses. The published names are read from the Compose file. Some wait for
// downloads and some for compilers: all are made at once.
func buildStandins(t *testing.T, engine *engine, images map[string]string) {
	t.Helper()
	t.Log("Stand-ins take the place of the published images: this proves the wiring, not the upstream images.")
	buildBase(t, engine)
	buildRuntime(t, engine, images["distroless"])
	atOnce(t, "images", []step{
		{"golang", func(t *testing.T) { buildToolchain(t, engine, images["golang"]) }},
		{"mlflow", func(t *testing.T) { buildMLflow(t, engine, images["mlflow"]) }},
		{"grafana", func(t *testing.T) {
			buildTool(t, engine, images["grafana"], `
RUN mkdir /var/lib/grafana && chown 472:0 /var/lib/grafana
COPY grafana /grafana
USER 472:0
ENTRYPOINT ["/grafana"]`, buildGrafana(t))
		}},
		{"tools", func(t *testing.T) {
			buildTool(t, engine, images["alertmanager"], `
RUN mkdir /alertmanager && chown 65534:65534 /alertmanager
COPY alertmanager amtool /bin/
USER 65534:65534
WORKDIR /alertmanager
ENTRYPOINT ["/bin/alertmanager"]`, testenv.GoTool(t, "alertmanager"), testenv.GoTool(t, "amtool"))
			buildTool(t, engine, images["mailpit"], `
COPY mailpit /mailpit
ENTRYPOINT ["/mailpit"]`, testenv.GoTool(t, "mailpit"))
			buildTool(t, engine, images["prometheus"], `
RUN mkdir /prometheus && chown 65534:65534 /prometheus
COPY prometheus promtool /bin/
USER 65534:65534
WORKDIR /prometheus
ENTRYPOINT ["/bin/prometheus"]`, testenv.GoTool(t, "prometheus"), testenv.GoTool(t, "promtool"))
		}},
	})
}

// A step is a part of a test.
type step struct {
	name string
	run  func(*testing.T)
}

// atOnce runs steps side by side, those in front first, and requires all of them.
func atOnce(t *testing.T, name string, steps []step) {
	t.Helper()
	require.True(t, t.Run(name, func(t *testing.T) {
		for _, step := range steps {
			t.Run(step.name, func(t *testing.T) {
				t.Parallel()
				step.run(t)
			})
		}
	}))
}

// standing tells whether an image was already made from the same parts.
func standing(t *testing.T, engine *engine, image, made string) bool {
	t.Helper()
	label, err := engine.try(t.Context(), "", nil, "docker", "image", "inspect",
		"--format", fmt.Sprintf("{{index .Config.Labels %q}}", standinLabel), image)
	return err == nil && strings.TrimSpace(label) == made
}

func digest(parts ...string) string {
	hash := sha256.New()
	for _, part := range parts {
		_, _ = fmt.Fprintf(hash, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}

// buildTool makes an image of some files on the base.
func buildTool(t *testing.T, engine *engine, image, dockerfile string, files ...string) {
	t.Helper()
	made := digest(append([]string{dockerfile, debianRelease(t)}, digests(t, files)...)...)
	if standing(t, engine, image, made) {
		return
	}
	dir := t.TempDir()
	for _, path := range files {
		copyFile(t, path, filepath.Join(dir, filepath.Base(path)))
	}
	build(t, engine, image, made, dir, "FROM "+baseImage+"\n"+dockerfile+"\n")
}

// build uses the classic builder: it knows local images and needs no plugin.
func build(t *testing.T, engine *engine, image, made, dir, dockerfile string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "Dockerfile")
	require.NoError(t, os.WriteFile(path, []byte(dockerfile), 0o600))
	engine.run(t, "", []string{"DOCKER_BUILDKIT=0"}, "docker", "build", "--quiet", "--force-rm",
		"--label", standinLabel+"="+made, "--tag", image, "--file", path, dir)
}

// buildBase makes a Debian root by debootstrap. It need not survive a power cut.
func buildBase(t *testing.T, engine *engine) {
	t.Helper()
	packages := "ca-certificates,curl,python3"
	release := debianRelease(t)
	certificates := readFile(t, "/etc/ssl/certs/ca-certificates.crt")
	made := digest(release, packages, string(certificates))
	if standing(t, engine, baseImage, made) {
		return
	}
	dir := filepath.Join(t.TempDir(), "root")
	engine.run(t, "", []string{"DPKG_FORCE=unsafe-io"}, "debootstrap", "--variant=minbase", "--include="+packages, release, dir)
	// Those of the host: a network may have a certificate authority of its own.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "etc/ssl/certs/ca-certificates.crt"), certificates, 0o644))
	importFolder(t, engine, dir, baseImage, "LABEL "+standinLabel+"="+made, "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
}

// importFolder makes an image of one layer.
func importFolder(t *testing.T, engine *engine, dir, image string, changes ...string) {
	t.Helper()
	archive := filepath.Join(t.TempDir(), "layer.tar")
	engine.run(t, "", nil, "tar", "-C", dir, "--exclude=./var/cache/apt/archives/*.deb", "--exclude=./dev/*", "-cf", archive, ".")
	args := []string{"import"}
	for _, change := range changes {
		args = append(args, "--change", change)
	}
	engine.run(t, "", nil, "docker", append(args, archive, image)...)
	require.NoError(t, os.Remove(archive))
}

// buildRuntime makes what distroless/static is: certificates and a user, no shell.
func buildRuntime(t *testing.T, engine *engine, image string) {
	t.Helper()
	certificates := readFile(t, "/etc/ssl/certs/ca-certificates.crt")
	made := digest("runtime", string(certificates))
	if standing(t, engine, image, made) {
		return
	}
	dir := t.TempDir()
	for path, content := range map[string]string{
		"etc/passwd":                        "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n",
		"etc/group":                         "root:x:0:\nnonroot:x:65532:\n",
		"etc/nsswitch.conf":                 "hosts: files dns\n",
		"etc/ssl/certs/ca-certificates.crt": string(certificates),
	} {
		target := filepath.Join(dir, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(target), 0o755))
		require.NoError(t, os.WriteFile(target, []byte(content), 0o644))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "tmp"), 0o777))
	require.NoError(t, os.Chmod(dir, 0o755))
	importFolder(t, engine, dir, image, "LABEL "+standinLabel+"="+made, "USER 65532", "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
}

// buildToolchain makes the image of the Go toolchain from the one that runs this
// test. The dependencies that Petal had when it was made are compiled in it already,
// as in a builder that is used every day: a change of Petal compiles in seconds.
func buildToolchain(t *testing.T, engine *engine, image string) {
	t.Helper()
	made := digest("toolchain with smoke", runtime.Version(), debianRelease(t))
	if standing(t, engine, image, made) {
		return
	}
	goroot := strings.TrimSpace(engine.run(t, "", nil, "go", "env", "GOROOT"))
	bare := "petal-standin/golang:latest"
	build(t, engine, bare, made, goroot, "FROM "+baseImage+`
COPY . /usr/local/go
ENV GOPATH=/go GOTOOLCHAIN=local PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
WORKDIR /go
`)
	source := copyCheckout(t)
	require.NoError(t, remove(filepath.Join(source, ".dockerignore")))
	build(t, engine, image, made, source, "FROM "+bare+`
COPY . /src
RUN cd /src && go mod download && CGO_ENABLED=0 GOFLAGS=-buildvcs=false go build -trimpath -ldflags "-s -w -buildid=" -o /tmp/ ./cmd/api ./cmd/trainer && \
    CGO_ENABLED=0 GOFLAGS=-buildvcs=false go test -c -trimpath -ldflags "-s -w" -tags smoke -o /tmp/smoke ./tests/smoke && rm -rf /src /tmp/api /tmp/trainer /tmp/smoke
`)
}

// buildMLflow installs the pinned MLflow from the Python package index. The wheels
// come for the base image's Python, whatever this machine's is.
func buildMLflow(t *testing.T, engine *engine, image string) {
	t.Helper()
	made := digest("mlflow", debianRelease(t), mlflowRequirement(t), mlflowScript)
	if standing(t, engine, image, made) {
		return
	}
	version := strings.TrimSpace(engine.run(t, "", nil, "docker", "run", "--rm", baseImage, "python3", "-c",
		"import sys; print('%d.%d' % sys.version_info[:2])"))
	dir := t.TempDir()
	constraints := filepath.Join(t.TempDir(), "constraints.txt")
	require.NoError(t, os.WriteFile(constraints, []byte(tests.Constraints), 0o600))
	engine.run(t, "", nil, testenv.Python(t), "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check",
		"--target", filepath.Join(dir, "mlflow"), "--python-version", version, "--only-binary=:all:",
		"--constraint", constraints, mlflowRequirement(t), "boto3")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "mlflow.py"), []byte(mlflowScript), 0o755))
	build(t, engine, image, made, dir, "FROM "+baseImage+`
COPY mlflow /opt/mlflow
COPY mlflow.py /usr/local/bin/mlflow
ENV PYTHONPATH=/opt/mlflow
# What a server imports that answers is compiled, which is little of all that is
# installed.
RUN ln -s /usr/bin/python3 /usr/local/bin/python \
    && python3 -m compileall -q /opt/mlflow/mlflow/server /opt/mlflow/mlflow/store && cd /tmp \
    && { MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow server --workers 1 >log 2>&1 & } \
    && curl --silent --fail --retry 600 --retry-delay 1 --retry-connrefused http://127.0.0.1:5000/health \
    && kill $! && rm -rf /tmp/*
CMD ["python3"]
`)
}

// mlflowScript is the command mlflow, but for one thing: its server becomes uvicorn
// where MLflow starts that as a child, which imports everything a second time.
const mlflowScript = `#!/usr/bin/python3
import os
import sys

import uvicorn
from mlflow.utils import process


def become(command, extra_env, **_):
    os.environ.update(extra_env)
    for name in list(sys.modules):  # it has read the settings as they were
        if name.split(".")[:2] == ["mlflow", "server"]:
            del sys.modules[name]
    sys.argv = command[2:]  # behind python -m
    sys.exit(uvicorn.main())


process._exec_cmd = become

from mlflow.cli import cli

sys.exit(cli())
`

func mlflowRequirement(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(tests.Requirements) {
		if strings.HasPrefix(line, "mlflow==") {
			return strings.TrimSpace(line)
		}
	}
	require.Fail(t, "tests/requirements.txt pins no mlflow")
	return ""
}

func buildGrafana(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "grafana")
	result := testenv.Run(t, testenv.Command{
		Path: goCommand(t), Dir: testenv.Root(t), Env: testenv.Environ("CGO_ENABLED=0"),
		Args: []string{"build", "-trimpath", "-ldflags", "-s -w -buildid=", "-o", path, "./tests/compose/standin/grafana"},
	}, buildLimit)
	require.Zero(t, result.Code, result.Output)
	return path
}

func debianRelease(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(string(readFile(t, "/etc/os-release"))) {
		if name, found := strings.CutPrefix(strings.TrimSpace(line), "VERSION_CODENAME="); found {
			return name
		}
	}
	require.Fail(t, "/etc/os-release names no release")
	return ""
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return data
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
}

func digests(t *testing.T, files []string) []string {
	t.Helper()
	sums := make([]string, 0, len(files))
	for _, path := range files {
		sums = append(sums, fileDigest(t, path))
	}
	return sums
}

func fileDigest(t *testing.T, path string) string {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	hash := sha256.New()
	_, err = io.Copy(hash, file)
	require.NoError(t, err)
	return hex.EncodeToString(hash.Sum(nil))
}

// copyFile keeps the mode: programs stay executable.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	info, err := os.Stat(from)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o755))
	require.NoError(t, os.WriteFile(to, readFile(t, from), info.Mode().Perm()))
}
