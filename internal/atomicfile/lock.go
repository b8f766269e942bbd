//go:build unix

package atomicfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// ErrLocked means that another process, or another caller in this one, holds a lock.
var ErrLocked = errors.New("another process has held it")

// Lock takes a file's lock for this caller alone and returns how to let go of
// it. It waits for its turn for so long, 0 for not at all, and then fails with
// [ErrLocked]. The system lets go of the lock when the process dies, in whatever
// way. The file itself stays: removing it would let two callers hold locks of
// one name.
func Lock(ctx context.Context, path string, wait time.Duration) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644) //nolint:gosec // holds nothing; other accounts lock it too
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // closing unlocks
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			break
		}
		select {
		case <-time.After(5 * time.Millisecond):
			continue
		case <-deadline.C:
			err = fmt.Errorf("%w for %s: wait until it ends, or end it", ErrLocked, wait)
		case <-ctx.Done():
			err = ctx.Err()
		}
		break
	}
	_ = f.Close()
	return nil, fmt.Errorf("lock %s: %w", path, err)
}
