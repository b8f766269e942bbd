package pyvenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// packages are the Debian packages that hold what every test run needs beside
// Go: the C compiler for the race detector, git, and Python with venv.
var packages = []string{"gcc", "libc6-dev", "git", "python3", "python3-venv"}

// optional are the parts whose tests skip, or fail where CI is set, when they
// are missing.
var optional = []struct {
	name, purpose string
	debian        []string
	present       func() bool
}{
	{"PostgreSQL", "accounts in it", []string{"postgresql"}, hasPostgreSQL},
	{"Chromium", "the documentation page", []string{"chromium"}, hasProgram("chromium")},
	{"npm", "the TypeScript client", []string{"nodejs", "npm"}, hasProgram("npm")},
}

// EnsureSystem checks that gcc, git and a usable Python are installed. On Debian
// and as root it installs what is missing and says so; elsewhere its error holds
// the one command to type. A missing optional part is no error: its tests skip,
// or fail where CI is set.
func EnsureSystem(ctx context.Context, out io.Writer) error {
	missing, install := missingParts(ctx), packages
	for _, part := range optional {
		if part.present() {
			continue // from elsewhere, it might not go with Debian's package
		}
		install = append(install, part.debian...)
		if canInstall() {
			missing = append(missing, part.name)
		} else {
			say(out, "%s missing: tests of %s are skipped; Debian has it in %s", part.name, part.purpose, strings.Join(part.debian, " "))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	names := strings.Join(missing, ", ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("the tests need %s: install gcc, git and Python 3.11 or later with venv", names)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("the tests need %s: type `sudo apt-get install %s`", names, strings.Join(install, " "))
	}
	say(out, "%s missing: installing %s by apt-get", names, strings.Join(install, " "))
	if err := aptInstall(ctx, out, install); err != nil {
		if len(missingParts(ctx)) == 0 {
			say(out, "not everything could be installed, the tests of what is missing are skipped: %v", err)
			return nil
		}
		return err
	}
	if missing = missingParts(ctx); len(missing) > 0 {
		return fmt.Errorf("the tests need %s, which this Debian release does not have: install it by hand",
			strings.Join(missing, ", "))
	}
	return nil
}

func canInstall() bool {
	_, err := exec.LookPath("apt-get")
	return err == nil && os.Geteuid() == 0
}

// hasPostgreSQL looks on the path and where Debian keeps the server's programs.
func hasPostgreSQL() bool {
	if _, err := exec.LookPath("initdb"); err == nil {
		return true
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	return err == nil && len(found) > 0
}

func hasProgram(name string) func() bool {
	return func() bool {
		_, err := exec.LookPath(name)
		return err == nil
	}
}

func missingParts(ctx context.Context) []string {
	var missing []string
	for _, tool := range []string{"gcc", "git"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, tool)
		}
	}
	if os.Getenv(PythonVariable) != "" {
		return missing
	}
	check := "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"
	if err := exec.CommandContext(ctx, "python3", "-c", check).Run(); err != nil {
		missing = append(missing, "Python 3.11 or later with venv")
	}
	return missing
}

func aptInstall(ctx context.Context, out io.Writer, names []string) error {
	// Package lists are often absent or old in an image.
	update := run(ctx, out, "apt-get", "update", "-qq")
	install := append([]string{"DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-qq", "-y", "--no-install-recommends"}, names...)
	if err := run(ctx, out, "env", install...); err != nil {
		return errors.Join(update, err)
	}
	return nil
}
