// Package poll says when to look again.
package poll

import (
	"math/rand/v2"
	"time"
)

// share of the time between two polls that chance adds or takes away.
const share = 0.1

// Jitter is a time within 10 % of d, drawn anew for each poll: replicas that were
// started at once do not ask at once for ever.
func Jitter(d time.Duration) time.Duration {
	return d + time.Duration((2*rand.Float64()-1)*share*float64(d)) //nolint:gosec // G404: nobody gains by guessing it
}
