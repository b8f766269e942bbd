// Command bootstrap prepares what the tests need beside Go: gcc, git and Python
// from the system, and the pinned Python programs in a virtual environment. Run
// again, it finds everything in place and says only where.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/petal-ml/petal/tests/testenv/pyvenv"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := bootstrap(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bootstrap:", err)
		os.Exit(1) //nolint:gocritic // the signal handler dies with the process
	}
}

func bootstrap(ctx context.Context) error {
	if err := pyvenv.EnsureSystem(ctx, os.Stderr); err != nil {
		return err
	}
	python, err := pyvenv.Ensure(ctx, os.Stderr)
	if err != nil {
		return err
	}
	fmt.Println(python)
	return nil
}
