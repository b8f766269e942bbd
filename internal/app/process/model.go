package process

import (
	"context"
	"os"
	"runtime"

	"github.com/petal-ml/petal/internal/model/trial"
)

// Opener opens models that come from the registry, within what the process may have
// of memory: call it behind [Process.LimitMemory].
func (p *Process) Opener() *trial.Opener { return trial.For(p.Try, MemoryLimit()) }

// TryModel is the command that a program runs as a child of itself, to try a model
// where its failure hurts nobody.
type TryModel struct{}

// Run reads a model from standard input and writes what became of it.
func (TryModel) Run(ctx context.Context, p *Process) error {
	return trial.Serve(ctx, p.Stdin, p.Stdout)
}

// self is how this program is run again: by what is running, whatever has become of
// its file since.
func self() string {
	if runtime.GOOS == "linux" {
		return "/proc/self/exe"
	}
	path, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return path
}
