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
	"errors"
	"fmt"
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
}

func recipes() map[string]recipe {
	return map[string]recipe{
		// Without the service discoveries: Petal's configuration is static, and
		// they are most of what would have to be compiled.
		"prometheus":   {module: "prometheus", pkg: "github.com/prometheus/prometheus/cmd/prometheus", tags: "remove_all_sd"},
		"promtool":     {module: "prometheus", pkg: "github.com/prometheus/prometheus/cmd/promtool", tags: "remove_all_sd"},
		"alertmanager": {module: "alertmanager", pkg: "github.com/prometheus/alertmanager/cmd/alertmanager"},
		"amtool":       {module: "amtool", pkg: "github.com/prometheus/alertmanager/cmd/amtool"},
		"mailpit":      {module: "mailpit", pkg: "github.com/axllent/mailpit"},
		"versitygw":    {module: "versitygw", pkg: "github.com/versity/versitygw/cmd/versitygw"},
		// Compose asks for its own version at run time.
		"docker-compose": {
			module: "compose", pkg: "github.com/docker/compose/v2/cmd",
			ldflags: "-X github.com/docker/compose/v2/internal.Version=v2.40.3",
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
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", recipe.tags,
		"-ldflags", strings.TrimSpace("-s -w "+recipe.ldflags), "-o", unfinished, recipe.pkg)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, bytes.TrimSpace(output))
	}
	return os.Rename(unfinished, path)
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
	return filepath.Join(cache, "tools-"+hex.EncodeToString(hash.Sum(nil)[:6])), nil
}
