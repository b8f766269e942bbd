package trees

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// A panic in a goroutine that nobody recovers ends the process.
func TestWorkersPanicInTheCaller(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	require.PanicsWithValue(t, "a fault", func() {
		parallel(4*blockRows, 1_000_000, func(lo, _ int) {
			if lo > 0 {
				panic("a fault")
			}
		})
	})
}
