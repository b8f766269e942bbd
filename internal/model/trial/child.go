//go:build unix

package trial

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/onnx"
)

// A request is the line of JSON that a child reads; the files follow it.
type request struct {
	Sizes           [3]int // of MLmodel, ONNX and example
	Bare, NoExample bool   // there is no such file
	Expect          model.Expect
	Limits          onnx.Limits
	Memory          int64
	Seconds         float64
}

// A verdict is the line of JSON that a child writes.
type verdict struct {
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"`
}

// Bounds on what is taken of a child.
const (
	maxReason = 1 << 10 // a model's names are as long as its file likes
	maxOutput = 16 << 10
	// lookEvery is how often the parent looks at a child's memory.
	lookEvery = 10 * time.Millisecond
)

// A child is one trial.
type child struct {
	command []string
	timeout time.Duration
	memory  int64
}

var errMemory = errors.New("out of memory")

// run starts the child, hands it the files and waits for its verdict. The child ends
// with ctx.
func (c child) run(ctx context.Context, r request, f model.Files) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("opening and trying it took longer than %v", c.timeout))
	defer cancel()
	cmd := exec.CommandContext(ctx, c.command[0], c.command[1:]...) //nolint:gosec // G204: this program itself
	// The child sees none of this program's secrets, and works on one processor.
	cmd.Env = []string{"GOMAXPROCS=1", "GOTRACEBACK=none", fmt.Sprintf("GOMEMLIMIT=%d", c.memory/10*9)}
	// A signal from the terminal is for the parent, which ends the child.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	out, fault := &head{max: maxOutput}, &head{max: maxOutput}
	cmd.Stdout, cmd.Stderr = out, fault
	in, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUntried, err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%w in a process of its own: %w", ErrUntried, err)
	}
	var starved atomic.Bool
	done := make(chan struct{})
	go func() {
		_ = r.write(in, f) // a child that has ended says why; it ends too when the pipe is closed
	}()
	go func() {
		if c.outgrows(cmd.Process.Pid, done) {
			starved.Store(true)
			_ = cmd.Process.Kill()
		}
	}()
	err = cmd.Wait()
	close(done)
	var v verdict
	switch {
	case context.Cause(ctx) != nil:
		return context.Cause(ctx)
	case starved.Load():
		err = errMemory
	case json.Unmarshal(out.Bytes(), &v) == nil && v.OK && err == nil:
		return nil
	case v.Reason != "":
		return errors.New(v.Reason)
	}
	return c.ended(err, fault.String())
}

// ended words the end of a child that gave no verdict.
func (c child) ended(err error, stderr string) error {
	line, _, _ := strings.Cut(strings.TrimSpace(stderr), "\n")
	var exit *exec.ExitError
	killed := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
	switch {
	case errors.Is(err, errMemory), killed, strings.Contains(line, "out of memory"), strings.Contains(line, "cannot allocate memory"):
		return fmt.Errorf("opening and trying it takes more memory than there is for a model: %d MiB", c.memory>>20)
	case line != "":
		return fmt.Errorf("the process that tried it ended: %.200q", line)
	case err != nil:
		return fmt.Errorf("the process that tried it ended: %w", err)
	default:
		return errors.New("the process that tried it ended without a word")
	}
}

// outgrows waits until a process takes more memory than the child may, or is done.
func (c child) outgrows(pid int, done <-chan struct{}) bool {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return false
		case <-ticker.C:
			if resident(strconv.Itoa(pid)) > c.memory {
				return true
			}
		}
	}
}

// resident is the memory that a process has for itself, in bytes; 0 where that is not
// known, as where there is no /proc.
func resident(pid string) int64 {
	data, err := os.ReadFile("/proc/" + pid + "/statm") //nolint:forbidigo // the kernel writes it
	if err != nil {
		return 0
	}
	var size, pages, shared int64
	if _, err := fmt.Sscan(string(data), &size, &pages, &shared); err != nil {
		return 0
	}
	return (pages - shared) * int64(os.Getpagesize())
}

// write hands a request to the child. The pipe stays open: a child whose parent has
// died sees its end.
func (r request) write(w io.Writer, f model.Files) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	for _, part := range [][]byte{append(line, '\n'), f.MLmodel, f.ONNX, f.Example} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// read is the child's side of write.
func (r *request) read(in *bufio.Reader) (f model.Files, err error) {
	line, err := in.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, r)
	}
	if err != nil {
		return f, err
	}
	for i, file := range []*[]byte{&f.MLmodel, &f.ONNX, &f.Example} {
		*file = make([]byte, r.Sizes[i])
		if _, err := io.ReadFull(in, *file); err != nil {
			return f, err
		}
	}
	if r.Bare {
		f.MLmodel = nil
	}
	if r.NoExample {
		f.Example = nil
	}
	return f, nil
}

// Serve is what a child does: it reads a request, confines itself, tries the model and
// writes the verdict. The error is about the parent, never about the model.
func Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	sacrifice()
	var r request
	reader := bufio.NewReader(in)
	f, err := r.read(reader)
	if err != nil {
		return fmt.Errorf("read what is to be tried: %w", err)
	}
	confine(r.Memory, r.Seconds)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = reader.ReadByte() // the parent has died
		cancel()
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // whatever runs hears no context
	}()
	v := verdict{OK: true}
	if err := rehearse(ctx, f, r.Expect, r.Limits); err != nil {
		v = verdict{Reason: fmt.Sprintf("%.*s", maxReason, err.Error())}
	}
	return json.NewEncoder(out).Encode(v)
}

// A head keeps the beginning of what is written to it.
type head struct {
	bytes.Buffer
	max int
}

// Write takes all, and keeps what there is room for.
func (h *head) Write(p []byte) (int, error) {
	h.Buffer.Write(p[:min(len(p), h.max-h.Len())])
	return len(p), nil
}
