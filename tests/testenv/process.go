package testenv

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A Command says what to run.
type Command struct {
	Path  string
	Args  []string
	Env   []string // in full: usually [Environ] with settings added
	Dir   string   // empty: a new temporary folder
	Stdin string
}

// A Process is a program that runs beside the test. It leads a process group, so
// that what it starts ends with it, and it is killed when the test ends. Where
// the test failed, its output is logged.
type Process struct {
	t      testing.TB
	cmd    *exec.Cmd
	output *Buffer
	done   chan struct{}
}

// A Result is what a finished program left.
type Result struct {
	Code   int // as the shell counts: 128 + the number of a fatal signal
	Output string
}

// Start starts a program.
func Start(t testing.TB, command Command) *Process {
	t.Helper()
	cmd := exec.Command(command.Path, command.Args...)
	cmd.Env, cmd.Dir = command.Env, command.Dir
	if cmd.Env == nil {
		cmd.Env = Environ()
	}
	if cmd.Dir == "" {
		cmd.Dir = t.TempDir()
	}
	if command.Stdin != "" {
		cmd.Stdin = strings.NewReader(command.Stdin)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	process := &Process{t: t, cmd: cmd, output: new(Buffer), done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = process.output, process.output
	// A grandchild that outlives the program must not hold Wait by its pipe.
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", process.name(), err)
	}
	go func() {
		_ = cmd.Wait() // the exit code is read from ProcessState
		close(process.done)
	}()
	t.Cleanup(process.cleanup)
	return process
}

// Run runs a program to its end, at most for the given time.
func Run(t testing.TB, command Command, limit time.Duration) Result {
	t.Helper()
	return Start(t, command).Wait(limit)
}

// WaitReady waits until the URL answers 200. It fails the test when the program
// ends first or the time is over.
func (p *Process) WaitReady(url string, limit time.Duration) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), limit)
	defer cancel()
	var last error
	for {
		if last = probe(ctx, url); last == nil {
			return
		}
		select {
		case <-p.done:
			p.t.Fatalf("%s ended with code %d before %s was ready", p.name(), p.code(), url)
		case <-ctx.Done():
			p.t.Fatalf("%s: %s not ready after %s: %v", p.name(), url, limit, last)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// WaitOutput waits until the program has printed the text.
func (p *Process) WaitOutput(text string, limit time.Duration) {
	p.t.Helper()
	deadline := time.After(limit)
	for !strings.Contains(p.Output(), text) {
		select {
		case <-p.done:
			if strings.Contains(p.Output(), text) {
				return
			}
			p.t.Fatalf("%s ended with code %d before it printed %q", p.name(), p.code(), text)
		case <-deadline:
			p.t.Fatalf("%s did not print %q within %s", p.name(), text, limit)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Wait waits for the program to end by itself, and fails the test when it takes
// longer than the limit.
func (p *Process) Wait(limit time.Duration) Result {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(limit):
		p.Kill()
		p.t.Fatalf("%s still runs after %s", p.name(), limit)
	}
	return Result{Code: p.code(), Output: p.Output()}
}

// Stop interrupts the program's group, as Ctrl-C does, and waits for its end.
func (p *Process) Stop(limit time.Duration) Result {
	p.t.Helper()
	p.signal(syscall.SIGINT)
	return p.Wait(limit)
}

// Terminate asks the program's group to end, as a supervisor does, and waits for
// that.
func (p *Process) Terminate(limit time.Duration) Result {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	return p.Wait(limit)
}

// Kill ends the program and whatever it started at once, and waits until it is
// gone.
func (p *Process) Kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// Output returns what the program has printed so far on both streams.
func (p *Process) Output() string { return p.output.String() }

// PID is the process's ID, which its group bears too.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// ResidentMiB is the memory that the program's group has in use now. It works on
// Linux; elsewhere it is 0.
func (p *Process) ResidentMiB() float64 {
	pages := 0.0
	p.eachStat(func(fields []string) { pages += number(fields[21]) })
	return pages * float64(os.Getpagesize()) / (1 << 20)
}

// CPUTime is the time that processors have spent on the program's group so far,
// to a hundredth of a second. It works on Linux; elsewhere it is 0.
func (p *Process) CPUTime() time.Duration {
	ticks := 0.0
	p.eachStat(func(fields []string) { ticks += number(fields[11]) + number(fields[12]) })
	return time.Duration(ticks) * time.Second / 100 // as every Linux counts, for programs
}

// eachStat reads /proc/…/stat of the group's processes: the fields behind the
// name in parentheses.
func (p *Process) eachStat(use func(fields []string)) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is right
	for _, path := range stats {
		content, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// State, parent, group, …
		fields := strings.Fields(string(content[bytes.LastIndexByte(content, ')')+1:]))
		if len(fields) > 21 && fields[2] == strconv.Itoa(p.PID()) {
			use(fields)
		}
	}
}

func number(field string) float64 {
	v, _ := strconv.ParseFloat(field, 64) // the kernel writes numbers
	return v
}

func (p *Process) cleanup() {
	p.Kill()
	if p.t.Failed() {
		p.t.Logf("output of %s:\n%s", p.name(), tail(p.Output()))
	}
}

// signal goes to the whole group. A group that is already gone is fine.
func (p *Process) signal(signal syscall.Signal) { _ = syscall.Kill(-p.cmd.Process.Pid, signal) }

func (p *Process) name() string {
	return strings.Join(append([]string{filepath.Base(p.cmd.Path)}, p.cmd.Args[1:]...), " ")
}

func (p *Process) code() int {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return p.cmd.ProcessState.ExitCode()
}

// tail leaves out the beginning of a long output.
func tail(output string) string {
	const limit = 8 << 10
	if len(output) <= limit {
		return output
	}
	return "…" + output[len(output)-limit:]
}

func probe(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", response.Status)
	}
	return nil
}
