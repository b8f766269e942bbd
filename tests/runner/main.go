// Command runner runs all tests and says in its last line how many there were.
//
// It prepares what the tests need beside Go while Go compiles them, runs
// `go test -json`, and prints a line for each package, the output of what failed,
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
	"sync"
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

// run starts the tests of the stack before all others: they wait for downloads,
// images and containers for longer than the others take to be compiled and run.
func run(ctx context.Context, args []string, out io.Writer) error {
	first, rest, err := schedule(args, func() ([]string, error) {
		list, err := command(ctx, "list", "./...").Output()
		return strings.Fields(string(list)), err
	})
	if err != nil {
		return fmt.Errorf("go list: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	var tools sync.WaitGroup
	defer func() { cancel(); tools.Wait() }()
	if first != nil { // a part of the packages builds the tools that it asks for
		tools.Go(func() { buildTools(ctx) })
	}
	if err := pyvenv.EnsureSystem(ctx, os.Stderr); err != nil {
		return err
	}
	report, ended := newReport(out), [2]error{}
	group, ctx := errgroup.WithContext(ctx)
	compiled := make(chan struct{})
	group.Go(func() error {
		compile(ctx, first)
		close(compiled)
		var err error
		ended[0], err = test(report, testCommand(ctx, first))
		return err
	})
	group.Go(func() error {
		if err := prepare(ctx, compiled, rest); err != nil {
			return err
		}
		tools.Wait()
		env, stop := preload()
		defer stop()
		cmd := testCommand(ctx, rest)
		cmd.Env = append(os.Environ(), env...)
		if first != nil {
			giveWay(cmd)
		}
		var err error
		ended[1], err = test(report, cmd)
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	report.finish()
	return report.verdict(errors.Join(ended[:]...), os.Getenv("CI") == "true")
}

// test runs go test. How it ended is for the report to judge; the error is of its
// output alone. Without a command there is nothing to run.
func test(report *report, cmd *exec.Cmd) (ended, err error) {
	if cmd == nil {
		return nil, nil
	}
	events, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("go test: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("go test: %w", err)
	}
	err = report.read(events)
	return cmd.Wait(), err
}

func testCommand(ctx context.Context, args []string) *exec.Cmd {
	if args == nil {
		return nil
	}
	return command(ctx, append([]string{"test", "-json"}, args...)...)
}

// giveWay lets the tests of the stack go first, where they need the processor. To the
// kernel all containers together are but as one process among a dozen, and services
// that come up too slowly are unhealthy.
func giveWay(cmd *exec.Cmd) {
	if nice, err := exec.LookPath("nice"); err == nil {
		cmd.Path, cmd.Args = nice, append([]string{"nice", "-n", "10"}, cmd.Args...)
	}
}

// buildTools builds the Go programs that tests run, which needs neither gcc nor
// Python. It does so here so that no test's time limit has to hold minutes of
// compiling; a tool that cannot be built is left for its test to tell.
func buildTools(ctx context.Context) {
	for _, name := range gotool.Names() {
		_, _ = gotool.Ensure(ctx, ".", name)
	}
}

// prepare installs what pip and npm download. As long as they do, Go compiles the
// tests; where all stands already, go test does both at once.
func prepare(ctx context.Context, after <-chan struct{}, args []string) error {
	_, missing := pyvenv.Python()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		_, err := pyvenv.Ensure(ctx, os.Stderr)
		return err
	})
	group.Go(func() error {
		_, _ = nodemodules.Ensure(ctx, filepath.Join("tests", "clients", "typescript")) // its test tells
		return nil
	})
	if missing != nil {
		group.Go(func() error {
			<-after // two at once would compile the same
			compile(ctx, args)
			return nil
		})
	}
	return group.Wait()
}

// preload has the Python programs of the tests start by a fork, unless the developer
// has chosen another Python. Without it they only take longer.
func preload() (env []string, stop func()) {
	python, err := pyvenv.Python()
	if err != nil || os.Getenv(pyvenv.PythonVariable) != "" || runtime.GOOS != "linux" {
		return nil, func() {}
	}
	env, stop, err = pyvenv.Preload(python, pyvenv.Modules, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tests:", err)
		return nil, func() {}
	}
	return env, stop
}

// compile compiles tests without linking or running them, as of all commands only
// go list does. Faults are left for go test to tell.
func compile(ctx context.Context, args []string) {
	if args == nil {
		return
	}
	list := command(ctx, append([]string{"list", "-e", "-test", "-deps", "-export"}, buildArgs(args)...)...)
	list.Stderr = io.Discard
	_ = list.Run()
}

// stack are the tests that run first and beside all others.
const stack = "./tests/compose"

// long are the other packages that take longest, most of it in waiting for other
// programs.
var long = []string{"./tests/e2e", "./tests/interop/...", "./internal/app/..."}

// schedule returns the arguments of two runs of go test: the stack's, and the rest
// with the long packages first, so that none of them is left over at the end. Both
// run more packages and tests at once than there are processors. Where not all
// packages are asked for there is one run.
func schedule(args []string, list func() ([]string, error)) (first, rest []string, err error) {
	var flags []string
	for _, flag := range []string{"-p=", "-parallel="} {
		if !slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, flag) }) {
			flags = append(flags, flag+strconv.Itoa(2*runtime.GOMAXPROCS(0)))
		}
	}
	at := slices.Index(args, "./...")
	if at == -1 {
		return nil, append(flags, args...), nil
	}
	packages, err := list()
	if err != nil {
		return nil, nil, err
	}
	packages = slices.DeleteFunc(packages, func(path string) bool { return strings.HasSuffix(path, stack[1:]) })
	before, behind := append(flags, args[:at]...), args[at+1:]
	first = slices.Concat(before, []string{stack}, behind)
	return first, slices.Concat(before, long, packages, behind), nil
}

// buildArgs keeps the arguments that go list understands as well.
func buildArgs(args []string) []string {
	var kept []string
	for _, arg := range args {
		name, _, _ := strings.Cut(arg, "=")
		if arg[:1] != "-" || slices.Contains([]string{"-race", "-trimpath", "-gcflags", "-tags"}, name) {
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
