// Package parallel spreads numbered pieces of work over goroutines. Which
// goroutine takes a piece is left to chance; what a piece is, and the order in
// which results are put together, is the caller's and must not depend on the
// number of goroutines.
package parallel

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// Workers returns the number of goroutines to use where n was asked for: n
// itself, or GOMAXPROCS where n is not positive.
func Workers(n int) int {
	if n > 0 {
		return n
	}
	return runtime.GOMAXPROCS(0)
}

// Do calls work(piece) for each piece in 0 … pieces−1 on up to the given number
// of goroutines and waits for all of them. Once ctx is done no new piece is
// started, and ctx's error is returned.
func Do(ctx context.Context, workers, pieces int, work func(piece int)) error {
	return DoWorker(ctx, workers, pieces, func(_, piece int) { work(piece) })
}

// DoWorker is [Do] for work that keeps scratch memory by worker: it is called
// with the worker's number, 0 … workers−1, as well.
func DoWorker(ctx context.Context, workers, pieces int, work func(worker, piece int)) error {
	workers = min(Workers(workers), pieces)
	var next atomic.Int64
	run := func(worker int) {
		for ctx.Err() == nil {
			piece := int(next.Add(1)) - 1
			if piece >= pieces {
				return
			}
			work(worker, piece)
		}
	}
	var wg sync.WaitGroup
	for w := 1; w < workers; w++ {
		wg.Go(func() { run(w) })
	}
	if workers > 0 {
		run(0)
	}
	wg.Wait()
	return ctx.Err()
}

// Range returns the half-open range of piece number i when n items are cut into
// pieces of sizes that differ by at most one.
func Range(n, pieces, i int) (from, to int) {
	return int(int64(n) * int64(i) / int64(pieces)), int(int64(n) * int64(i+1) / int64(pieces))
}
