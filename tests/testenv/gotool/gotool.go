// Package gotool builds the Go programs that the tests run Petal against, such as
// the real Prometheus, from modules of their own below tests/tools. Their
// dependencies thus stay out of Petal's go.mod, and each go.sum pins one program.
//
// A built program stands in the folder of the user's cache that is named after
// everything that went into it: another version lands in another folder.
package gotool

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/petal-ml/petal/tests/testenv/pyvenv"
)

// ErrUnknown means that there is no tool of that name.
var ErrUnknown = errors.New("unknown tool")

// A recipe says how a tool is built.
type recipe struct {
	module  string // folder below tests/tools
	pkg     string // import path of the main package
	tags    string
	ldflags string
	cut     cut
}

// A cut leaves out of a tool what Petal's tests do not use of it, where that is
// most of what would have to be compiled: Kubernetes, Vault, Azure. The stubs that
// take its place stand below the tool's folder cut, at the paths of the module.
type cut struct {
	module string
	paths  []string // files and folders of the module that go
}

func recipes() map[string]recipe {
	kubernetesDiscovery := cut{module: "github.com/prometheus/prometheus", paths: []string{"discovery/kubernetes"}}
	return map[string]recipe{
		// Without the service discoveries: Petal's configuration is static, and
		// they are most of what would have to be compiled.
		"prometheus":   {module: "prometheus", pkg: "github.com/prometheus/prometheus/cmd/prometheus", tags: "remove_all_sd", cut: kubernetesDiscovery},
		"promtool":     {module: "prometheus", pkg: "github.com/prometheus/prometheus/cmd/promtool", tags: "remove_all_sd", cut: kubernetesDiscovery},
		"alertmanager": {module: "alertmanager", pkg: "github.com/prometheus/alertmanager/cmd/alertmanager"},
		"amtool":       {module: "amtool", pkg: "github.com/prometheus/alertmanager/cmd/amtool"},
		"mailpit":      {module: "mailpit", pkg: "github.com/axllent/mailpit"},
		"versitygw": {module: "versitygw", pkg: "github.com/versity/versitygw/cmd/versitygw", cut: cut{
			module: "github.com/versity/versitygw",
			paths: []string{
				"auth/iam_vault.go", "cmd/internal/gwcli/azure.go", "cmd/versitygw/test.go",
				"iamapi/storage/vault.go", "s3event/kafka.go",
			},
		}},
		// Compose asks for its own version at run time.
		"docker-compose": {
			module: "compose", pkg: "github.com/docker/compose/v2/cmd",
			ldflags: "-X github.com/docker/compose/v2/internal.Version=v2.40.3",
			cut: cut{module: "github.com/docker/buildx", paths: []string{
				"driver/kubernetes/context", "driver/kubernetes/driver.go", "driver/kubernetes/execconn",
				"driver/kubernetes/factory.go", "driver/kubernetes/manifest", "driver/kubernetes/podchooser",
			}},
		},
	}
}

// Names returns the names of all tools, sorted.
func Names() []string {
	names := make([]string, 0, len(recipes()))
	for name := range recipes() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Ensure builds a tool unless it stands already, and returns its path. The root
// is the top folder of the checkout. Builds at the same time wait for each other:
// two compilers side by side would only share the cores.
func Ensure(ctx context.Context, root, name string) (string, error) {
	recipe, ok := recipes()[name]
	if !ok {
		return "", fmt.Errorf("build %s: %w", name, ErrUnknown)
	}
	module := filepath.Join(root, "tests", "tools", recipe.module)
	dir, err := toolDir(module, recipe)
	if err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	unlock, err := pyvenv.Lock(filepath.Join(filepath.Dir(dir), "tools.lock"))
	if err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	defer unlock()
	if _, err := os.Stat(path); err == nil {
		return path, nil // built while this process waited
	}
	if err := build(ctx, module, recipe, path); err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	return path, nil
}

// build leaves nothing under the final name until the program is whole.
func build(ctx context.Context, module string, recipe recipe, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	unfinished := path + ".unfinished"
	args := []string{
		"build", "-trimpath", "-tags", recipe.tags, "-ldflags", strings.TrimSpace("-s -w " + recipe.ldflags), "-o", unfinished,
	}
	if recipe.cut.module != "" {
		dir, err := os.MkdirTemp("", "petal-tool-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		modfile, err := cutModule(ctx, module, recipe.cut, dir)
		if err != nil {
			return err
		}
		args = append(args, "-modfile="+modfile)
	}
	if _, err := command(ctx, module, append(args, recipe.pkg)...); err != nil {
		return err
	}
	return os.Rename(unfinished, path)
}

// cutModule copies the module into a folder without what is cut, and returns a
// go.mod that uses the copy.
func cutModule(ctx context.Context, module string, cut cut, dir string) (modfile string, err error) {
	output, err := command(ctx, module, "mod", "download", "-json", cut.module)
	if err != nil {
		return "", err
	}
	var downloaded struct{ Dir string }
	if err := json.Unmarshal(output, &downloaded); err != nil {
		return "", err
	}
	source := filepath.Join(dir, "source")
	if err := os.CopyFS(source, os.DirFS(downloaded.Dir)); err != nil {
		return "", err
	}
	for _, path := range cut.paths {
		if err := os.RemoveAll(filepath.Join(source, path)); err != nil {
			return "", err
		}
	}
	if err := os.CopyFS(source, os.DirFS(filepath.Join(module, "cut"))); err != nil {
		return "", err
	}
	for _, file := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(module, file))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
			return "", err
		}
	}
	modfile = filepath.Join(dir, "go.mod")
	_, err = command(ctx, module, "mod", "edit", "-replace="+cut.module+"="+source, modfile)
	return modfile, err
}

// command runs go in a tool's module and returns its standard output.
func command(ctx context.Context, module string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return output, nil
}

// toolDir names the folder after the pins, the flags and the compiler.
func toolDir(module string, recipe recipe) (string, error) {
	cache, err := pyvenv.CacheDir()
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	_, _ = fmt.Fprintf(hash, "%+v\x00%s/%s %s\x00", recipe, runtime.GOOS, runtime.GOARCH, runtime.Version())
	for _, file := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(module, file))
		if err != nil {
			return "", err
		}
		_, _ = hash.Write(data)
	}
	if recipe.cut.module != "" {
		if err := hashFiles(hash, os.DirFS(filepath.Join(module, "cut"))); err != nil {
			return "", err
		}
	}
	return filepath.Join(cache, "tools-"+hex.EncodeToString(hash.Sum(nil)[:6])), nil
}

func hashFiles(hash io.Writer, files fs.FS) error {
	return fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, path)
		_, _ = fmt.Fprintf(hash, "%s\x00%s\x00", path, data)
		return err
	})
}
