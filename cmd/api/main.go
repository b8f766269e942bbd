// Command api serves the model that a registry's alias points at.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/petal-ml/petal/internal/app/api"
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
	return api.Run(ctx, os.Args[1:], api.Process{
		Name:    os.Args[0],
		Dir:     ".",
		Environ: os.Environ(),
		Stdin:   os.Stdin,
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
	})
}
