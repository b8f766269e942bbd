package predict

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"
)

// Bounds on the evaluation of large batches.
const (
	// freeWork is what a request may cost without being asked for: turning it
	// away would cost as much.
	freeWork = 200 * time.Microsecond
	// maxWait bounds the work that is ahead of a request, a processor.
	maxWait = time.Second
)

// An admission bounds the work of evaluation that is under way and waits, by
// what it is expected to cost. More than that is refused at once: a queue that
// grows helps nobody.
type admission struct {
	pending atomic.Int64  // nanoseconds of one processor
	turns   chan struct{} // a place a request that is evaluated
}

func newAdmission() admission {
	return admission{turns: make(chan struct{}, runtime.GOMAXPROCS(0))}
}

// full says whether work that is not free would be refused now.
func (a *admission) full() bool {
	return a.pending.Load() > int64(maxWait)*int64(cap(a.turns))
}

// A turn is the right to evaluate. The zero turn is that of free work.
type turn struct {
	of   *admission
	cost time.Duration
}

// enter waits for a turn; the error is [ErrOverloaded] where there is too much
// work, or the context's. The turn must end after the evaluation.
func (a *admission) enter(ctx context.Context, cost time.Duration) (turn, error) {
	if cost < freeWork {
		return turn{}, nil
	}
	if ahead := a.pending.Add(int64(cost)) - int64(cost); ahead > int64(maxWait)*int64(cap(a.turns)) {
		a.pending.Add(-int64(cost))
		return turn{}, ErrOverloaded
	}
	select {
	case a.turns <- struct{}{}:
		return turn{a, cost}, nil
	case <-ctx.Done():
		a.pending.Add(-int64(cost))
		return turn{}, ctx.Err()
	}
}

// end gives the turn to the next request.
func (t turn) end() {
	if t.of != nil {
		<-t.of.turns
		t.of.pending.Add(-int64(t.cost))
	}
}
