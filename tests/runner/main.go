// Command runner runs all tests and says in its last line how many there were.
//
// It prepares the Python environment of the tests while Go compiles, then runs
// `go test -json` and prints a line for each package, the output of what failed,
// and what was skipped and why. Under CI=true a skip is a failure. Its arguments
// are those of go test.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/petal-ml/petal/tests/testenv/gotool"
	"github.com/petal-ml/petal/tests/testenv/nodemodules"
	"github.com/petal-ml/petal/tests/testenv/pyvenv"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "tests:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if err := prepare(ctx, args); err != nil {
		return err
	}
	cmd := command(ctx, append([]string{"test", "-json"}, schedule(args)...)...)
	events, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	report := newReport(out)
	readErr := report.read(events)
	waitErr := cmd.Wait()
	report.finish()
	if readErr != nil {
		return errors.Join(readErr, waitErr)
	}
	return report.verdict(waitErr, os.Getenv("CI") == "true")
}

// prepare installs what is missing. The C compiler of the race detector comes
// first, then pip downloads while Go compiles the tests and the tools they run.
func prepare(ctx context.Context, args []string) error {
	if err := pyvenv.EnsureSystem(ctx, os.Stderr); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		_, err := pyvenv.Ensure(ctx, os.Stderr)
		return err
	})
	group.Go(func() error {
		// Here, so that no test's time limit has to hold minutes of compiling. A
		// tool that cannot be built is left for its test to tell.
		for _, name := range gotool.Names() {
			_, _ = gotool.Ensure(ctx, ".", name)
		}
		_, _ = nodemodules.Ensure(ctx, filepath.Join("tests", "clients", "typescript"))
		return nil
	})
	group.Go(func() error {
		// Of all commands, only go list compiles tests without linking or
		// running them. Its faults are left for go test to tell.
		list := command(ctx, append([]string{"list", "-e", "-test", "-deps", "-export"}, buildArgs(args)...)...)
		list.Stderr = io.Discard
		_ = list.Run()
		return nil
	})
	return group.Wait()
}

// long are the packages that take longest, most of it in waiting for other programs.
var long = []string{"./tests/compose", "./tests/e2e", "./tests/interop/...", "./internal/app/..."}

// schedule starts the long packages first, so that none of them is left over at the
// end, and more packages and tests at once than there are processors.
func schedule(args []string) []string {
	var scheduled []string
	for _, flag := range []string{"-p=", "-parallel="} {
		if !slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, flag) }) {
			scheduled = append(scheduled, flag+strconv.Itoa(2*runtime.GOMAXPROCS(0)))
		}
	}
	for _, arg := range args {
		if arg == "./..." {
			scheduled = append(scheduled, long...)
		}
		scheduled = append(scheduled, arg)
	}
	return scheduled
}

// buildArgs keeps the arguments that go list understands as well.
func buildArgs(args []string) []string {
	var kept []string
	for _, arg := range args {
		if arg == "-race" || arg[:1] != "-" {
			kept = append(kept, arg)
		}
	}
	return kept
}

// command runs go so that an interrupt reaches its tests first: they stop what
// they started.
func command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	return cmd
}
