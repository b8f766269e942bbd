package process

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/petal-ml/petal/internal/settings"
)

// A signalled is the cause of a context that a signal has ended.
type signalled struct{ os.Signal }

func (s signalled) Error() string { return s.String() + " signal received" }

// Is makes it a cancellation.
func (s signalled) Is(target error) bool { return target == context.Canceled }

// untilSignal returns a context that ends at the first signal to stop. The second
// one has its default effect: the process ends at once.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case s := <-signals:
			cancel(signalled{s})
		case <-ctx.Done():
		}
		signal.Stop(signals)
	}()
	return ctx, func() { cancel(nil) }
}

// IsInterrupted says whether somebody at a terminal has ended the context, who
// waits for nothing.
func IsInterrupted(ctx context.Context) bool {
	var s signalled
	return errors.As(context.Cause(ctx), &s) && s.Signal == os.Interrupt
}

// OnHangup calls reload at each SIGHUP until ctx ends. On a terminal the signal means
// that it was closed, and keeps its default effect.
func (p *Process) OnHangup(ctx context.Context, reload func()) {
	if settings.IsTerminal(p.Stdout) {
		return
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		for {
			select {
			case <-hangups:
				reload()
			case <-ctx.Done():
				return // the signal is caught to the end: it must not cut the drain short
			}
		}
	}()
}
