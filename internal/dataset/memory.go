package dataset

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// freeMemory is how many bytes this process may still take: by GOMEMLIMIT, by the
// limit of its control group, and by what the machine has. Where a system does not
// say (none but Linux does), there is no bound.
func freeMemory() int64 {
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	used := int64(now.Sys - now.HeapReleased) // far below 2^63
	limit := debug.SetMemoryLimit(-1)         // only asks
	if group, err := memlimit.FromCgroup(); err == nil && group < uint64(limit) {
		limit = int64(group)
	}
	free := int64(math.MaxInt64)
	if limit < math.MaxInt64 {
		free = max(limit-used, 0) + int64(now.HeapIdle-now.HeapReleased)
	}
	return min(free, available())
}

// available is what the machine can give without swapping.
func available() int64 {
	content, err := os.ReadFile("/proc/meminfo") //nolint:forbidigo // the kernel's own
	if err != nil {
		return math.MaxInt64
	}
	for line := range bytes.Lines(content) {
		var kilobytes int64
		if n, _ := fmt.Sscanf(string(line), "MemAvailable: %d kB", &kilobytes); n == 1 {
			return kilobytes << 10
		}
	}
	return math.MaxInt64
}

// gigabytes shows an amount of memory.
func gigabytes(n int64) string { return fmt.Sprintf("%.1f GB", float64(n)/1e9) }
