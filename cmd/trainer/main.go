// Command trainer trains models and decides which one is served. See its --help.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/petal-ml/petal/internal/app/trainer"
)

func main() {
	os.Exit(run())
}

// run ends in order after the first signal. The second one has its default
// effect: the process ends at once.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return trainer.Run(ctx, os.Args[1:], trainer.Process{
		Dir:     ".",
		Environ: os.Environ(),
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
	})
}
