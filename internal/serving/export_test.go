package serving

import "context"

// PollForTest polls n times without waiting.
func PollForTest(ctx context.Context, f *Follower, n int) {
	for range n {
		f.poll(ctx)
	}
}
