package httpapi

import (
	"context"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/petal-ml/petal/internal/serving"
)

// Bounds on the evaluation of large batches.
const (
	// freeWork is what a request may cost without being asked for: turning it
	// away would cost as much.
	freeWork = 200 * time.Microsecond
	// maxWait bounds the work that is ahead of a request, a processor.
	maxWait = time.Second
)

var errOverload = failure{
	status: http.StatusServiceUnavailable, kind: "overload", retryAfter: time.Second,
	detail: "there is more work than can be done in time; try again shortly, or with fewer rows",
}

// An admission bounds the work of evaluation that is under way and waits, by
// what it is expected to cost. More than that is refused at once: a queue that
// grows helps nobody.
type admission struct {
	pending atomic.Int64  // nanoseconds of one processor
	turns   chan struct{} // a place a batch that is evaluated
	bodies  atomic.Int64  // bytes of large bodies that are in work
}

func newAdmission() *admission {
	return &admission{turns: make(chan struct{}, runtime.GOMAXPROCS(0))}
}

// full says whether large work would be refused now, so that its body need not
// be read.
func (a *admission) full() bool {
	return a.pending.Load() > int64(maxWait)*int64(cap(a.turns))
}

// enter waits for the turn of a batch. Done must be called after it was
// evaluated, where ok is true.
func (a *admission) enter(ctx context.Context, cost time.Duration) (done func(), ok bool) {
	if cost < freeWork {
		return func() {}, true
	}
	ahead := a.pending.Add(int64(cost)) - int64(cost)
	if ahead > int64(maxWait)*int64(cap(a.turns)) {
		a.pending.Add(-int64(cost))
		return nil, false
	}
	select {
	case a.turns <- struct{}{}:
		return func() {
			<-a.turns
			a.pending.Add(-int64(cost))
		}, true
	case <-ctx.Done():
		a.pending.Add(-int64(cost))
		return nil, false
	}
}

// evaluate predicts a batch in its turn; false means that there is too much
// work.
func (a *api) evaluate(ctx context.Context, model *serving.Live, b *batch) (row int, admitted bool, err error) {
	done, ok := a.admission.enter(ctx, time.Duration(b.n)*model.RowCost())
	if !ok {
		return 0, false, nil
	}
	defer done()
	row, err = b.evaluate(model)
	return row, true, err
}
