// Package generator puts HTTP servers under load. It costs little beside what it
// measures: requests are whole before the load begins, and of an answer no more is
// read than must be. A request that was sent is never sent again: what is lost,
// counts as lost.
package generator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A Load says what to send, how often and for how long.
type Load struct {
	Servers *Servers
	// Request is a whole HTTP/1.1 request; see [Request].
	Request []byte
	// Connections bounds how many requests are under way.
	Connections int
	// Rate is how many requests a second become due, whether earlier ones have
	// been answered or not. With 0 each connection sends the next request as
	// soon as it has the answer to the last one.
	Rate     float64
	Duration time.Duration
	// Want is part of the body of every answer with status 200.
	Want []byte
}

// A Report tells what came of a load.
type Report struct {
	Took     time.Duration
	Statuses map[int]int // answers by status
	Failed   int         // requests without an answer, or with a wrong one
	Failure  error       // the first of them
	// Unsent requests were due while every connection was waiting.
	Unsent int
	// FromDue is the latency of answers with status 200 since they were due,
	// FromSent since they were sent. Without a rate the two are the same.
	FromDue, FromSent *Latencies
	// NoRetryAfter counts answers with status 503 that do not say when to come
	// again.
	NoRetryAfter int
}

// OKRate is the number of answers with status 200 a second.
func (r *Report) OKRate() float64 { return float64(r.Statuses[200]) / r.Took.Seconds() }

// Lost is the number of requests that were not answered with status 200.
func (r *Report) Lost() int {
	lost := r.Failed
	for status, n := range r.Statuses {
		if status != 200 {
			lost += n
		}
	}
	return lost
}

// String tells all of it in a line.
func (r *Report) String() string {
	return fmt.Sprintf("%.0f/s with 200, statuses %v, %d failed (%v), %d unsent; since due %v, since sent %v",
		r.OKRate(), r.Statuses, r.Failed, r.Failure, r.Unsent, r.FromDue, r.FromSent)
}

// Run runs the load to its end, or until ctx is done.
func (l Load) Run(ctx context.Context) *Report {
	run := &run{Load: l, report: Report{Statuses: map[int]int{}, FromDue: new(Latencies), FromSent: new(Latencies)}}
	run.start = time.Now()
	ctx, cancel := context.WithTimeout(ctx, l.Duration)
	defer cancel()
	var workers sync.WaitGroup
	for range l.Connections {
		workers.Go(func() { run.work(ctx) })
	}
	workers.Wait()
	run.report.Took = time.Since(run.start)
	if due := int(l.Rate * min(run.report.Took, l.Duration).Seconds()); due > int(run.taken.Load()) {
		run.report.Unsent = due - int(run.taken.Load())
	}
	return &run.report
}

// A run is a load under way.
type run struct {
	Load
	start  time.Time
	taken  atomic.Int64 // requests that were due
	mu     sync.Mutex   // guards report
	report Report
}

// work sends requests over one connection, one after another.
func (r *run) work(ctx context.Context) {
	w := worker{run: r, statuses: map[int]int{}}
	defer w.finish()
	for ctx.Err() == nil {
		due := time.Now()
		if r.Rate > 0 {
			due = r.start.Add(time.Duration(float64(r.taken.Add(1)-1) / r.Rate * float64(time.Second)))
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Until(due)):
			}
		}
		w.request(due)
	}
}

// A worker has one connection at a time.
type worker struct {
	run          *run
	conn         *connection
	statuses     map[int]int
	failed       int
	failure      error
	noRetryAfter int
}

func (w *worker) request(due time.Time) {
	if w.conn != nil && !w.conn.server.ready.Load() { // as a balancer leaves a server that is about to stop
		w.close()
	}
	if w.conn == nil {
		conn, err := w.run.Servers.dial()
		if err != nil {
			w.fail(err)
			time.Sleep(dialPause)
			return
		}
		w.conn = conn
	}
	sent := time.Now()
	got, err := w.conn.roundTrip(w.run.Request)
	if err == nil && got.status == 200 && !bytes.Contains(got.body, w.run.Want) {
		err = fmt.Errorf("the answer lacks %q: %q", w.run.Want, got.body)
	}
	if err != nil {
		w.fail(err)
		w.close()
		return
	}
	w.statuses[got.status]++
	switch {
	case got.status == 200:
		now := time.Now()
		w.run.report.FromDue.Add(now.Sub(due))
		w.run.report.FromSent.Add(now.Sub(sent))
	case got.status == 503 && !got.retryAfter:
		w.noRetryAfter++
	}
	if got.closes {
		w.close()
	}
}

func (w *worker) fail(err error) {
	w.failed++
	if w.failure == nil {
		w.failure = err
	}
}

func (w *worker) close() {
	_ = w.conn.conn.Close()
	w.conn = nil
}

// finish adds what the worker has counted to the report.
func (w *worker) finish() {
	if w.conn != nil {
		w.close()
	}
	r := &w.run.report
	w.run.mu.Lock()
	defer w.run.mu.Unlock()
	for status, n := range w.statuses {
		r.Statuses[status] += n
	}
	r.Failed += w.failed
	r.NoRetryAfter += w.noRetryAfter
	if r.Failure == nil {
		r.Failure = w.failure
	}
}

// Latencies counts durations to 10 µs, up to 20 s. It is safe for concurrent use.
type Latencies [2e6]atomic.Uint32

const latencyStep = 10 * time.Microsecond

// Add counts one.
func (l *Latencies) Add(d time.Duration) { l[min(max(0, int(d/latencyStep)), len(l)-1)].Add(1) }

// Quantile returns the latency that a share q of all does not exceed; 0 where
// there is none.
func (l *Latencies) Quantile(q float64) time.Duration {
	n := uint64(0)
	for i := range l {
		n += uint64(l[i].Load())
	}
	seen := uint64(0)
	for i := range l {
		seen += uint64(l[i].Load())
		if n > 0 && float64(seen) >= q*float64(n) {
			return time.Duration(i+1) * latencyStep
		}
	}
	return 0
}

// String gives the median, the 99th percentile and the longest.
func (l *Latencies) String() string {
	return fmt.Sprintf("p50 %v p99 %v max %v", l.Quantile(.5), l.Quantile(.99), l.Quantile(1))
}

var errNoServer = errors.New("no server takes connections")
