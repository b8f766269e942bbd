// Package trial opens models that may come from anywhere: each is tried in a process
// of its own first.
//
// What a model takes in memory and in time, and whether it finds a fault that ends
// the process, is only known when it was opened and run. An [Opener] lets a child of
// the same program do that, within bounds that the system and the parent hold it to;
// what the child got through, the parent opens for itself.
package trial

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/onnx"
)

// Defaults of an [Opener].
const (
	defaultTimeout = time.Minute
	defaultMemory  = 1 << 30
	maxFile        = 256 << 20
	// leastMemory is what a child takes for itself, and a small model.
	leastMemory = 32 << 20
)

// An Opener opens models within bounds. The zero value, and a nil one, opens them in
// this process alone.
type Opener struct {
	// Command runs this program again, such that it calls [Serve]. Where it is empty
	// nothing is tried beforehand.
	Command []string
	// Memory is what a model may take while it is opened and tried, in bytes; 1 GiB
	// where it is zero.
	Memory int64
	// Left says how much memory this process has left; nil where there is no limit.
	Left func() int64
	// Timeout is how long a trial may take; a minute where it is zero.
	Timeout time.Duration
}

// For returns an opener that runs command and takes its bounds from the memory limit
// of this process, in bytes, 0 for none: two fifths of it. The rest belongs to the
// requests and to the model that serves meanwhile.
func For(command []string, limit int64) *Opener {
	o := &Opener{Command: command}
	if limit > 0 {
		o.Memory = limit / 5 * 2
		o.Left = func() int64 { return limit - resident("self") }
	}
	return o
}

func (o *Opener) memory() int64 {
	if o == nil || o.Memory <= 0 {
		return defaultMemory
	}
	return o.Memory
}

func (o *Opener) timeout() time.Duration {
	if o == nil || o.Timeout <= 0 {
		return defaultTimeout
	}
	return o.Timeout
}

// MaxFile is the largest ONNX file that is worth fetching, in bytes: the file and what
// is read from it stand side by side.
func (o *Opener) MaxFile() int64 { return min(maxFile, o.memory()/2) }

// Limits are those of the models that it opens.
func (o *Opener) Limits() onnx.Limits {
	return onnx.Limits{Bytes: o.MaxFile(), Memory: o.memory()}
}

// Open tries a model and opens it, as [model.Open] does. An error that is not the
// context's says why the model cannot be served, or could not be tried.
func (o *Opener) Open(ctx context.Context, f model.Files, expect model.Expect) (*model.Model, error) {
	if o != nil && len(o.Command) > 0 {
		if err := o.try(ctx, f, expect); err != nil {
			return nil, err
		}
	}
	return model.Open(ctx, f, expect, o.Limits())
}

// ErrUntried means that a model could not be tried, which says nothing of the model.
var ErrUntried = errors.New("the model could not be tried")

// try has a child open the model.
func (o *Opener) try(ctx context.Context, f model.Files, expect model.Expect) error {
	if int64(len(f.ONNX)) > o.MaxFile() {
		return fmt.Errorf("the model file has %d bytes, %d are allowed", len(f.ONNX), o.MaxFile())
	}
	memory := o.memory()
	if o.Left != nil {
		memory = min(memory, o.Left())
	}
	if memory < leastMemory {
		return fmt.Errorf("%w: this process has %d MiB of memory left", ErrUntried, max(memory, 0)>>20)
	}
	c := child{command: o.Command, timeout: o.timeout(), memory: memory}
	return c.run(ctx, request{
		Sizes: [3]int{len(f.MLmodel), len(f.ONNX), len(f.Example)}, Bare: f.MLmodel == nil, NoExample: f.Example == nil,
		Expect: expect, Limits: o.Limits(), Memory: memory, Seconds: o.timeout().Seconds(),
	}, f)
}

// rehearse opens a model and has it do what a server does with it.
func rehearse(ctx context.Context, f model.Files, expect model.Expect, limits onnx.Limits) error {
	m, err := model.Open(ctx, f, expect, limits)
	if err != nil {
		return err
	}
	return m.TryExplain()
}
