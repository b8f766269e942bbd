// Package nodemodules installs the pinned npm packages that a test's JavaScript
// project needs. They stand in the folder of the user's cache that is named after
// the project's lock file, outside the work tree.
package nodemodules

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/petal-ml/petal/tests/testenv/pyvenv"
)

// Ensure installs what the project's package-lock.json pins unless it stands
// already, and returns the folder node_modules. Runs at the same time wait for
// each other.
func Ensure(ctx context.Context, project string) (string, error) {
	modules, err := ensure(ctx, project)
	if err != nil {
		return "", fmt.Errorf("install the npm packages of %s: %w", project, err)
	}
	return modules, nil
}

func ensure(ctx context.Context, project string) (string, error) {
	dir, err := cacheDir(project)
	if err != nil {
		return "", err
	}
	unlock, err := pyvenv.Lock(dir + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		return filepath.Join(dir, "node_modules"), nil
	}
	// Nothing stands under the final name until it is whole.
	unfinished := dir + ".unfinished"
	if err := os.RemoveAll(unfinished); err != nil {
		return "", err
	}
	if err := install(ctx, project, unfinished); err != nil {
		return "", err
	}
	return filepath.Join(dir, "node_modules"), os.Rename(unfinished, dir)
}

func install(ctx context.Context, project, dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	for _, file := range []string{"package.json", "package-lock.json"} {
		data, err := os.ReadFile(filepath.Join(project, file))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	cmd.Dir = dir
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, bytes.TrimSpace(output))
	}
	return nil
}

func cacheDir(project string) (string, error) {
	cache, err := pyvenv.CacheDir()
	if err != nil {
		return "", err
	}
	lock, err := os.ReadFile(filepath.Join(project, "package-lock.json"))
	if err != nil {
		return "", err
	}
	digest := sha256.Sum256(lock)
	return filepath.Join(cache, "npm-"+hex.EncodeToString(digest[:6])), nil
}
