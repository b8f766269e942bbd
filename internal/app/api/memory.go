package api

import (
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// cgroupLimits are where a container reads how much memory it may use, by
// version 2 and 1 of control groups.
var cgroupLimits = [...]string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}

// limitMemory tells the garbage collector of the container's limit, less a tenth
// for what is not Go's heap, so that it works harder before the kernel ends the
// process. GOMEMLIMIT, where it is set, has the last word.
func limitMemory(p *Process, log *slog.Logger) {
	if p.Getenv("GOMEMLIMIT") != "" {
		return
	}
	for _, path := range cgroupLimits {
		content, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if limit := memoryLimit(content); limit > 0 {
			debug.SetMemoryLimit(limit)
			log.Info("memory is limited by the container", slog.Int64("soft_limit_bytes", limit))
		}
		return
	}
}

// softLimit is the limit of memory that limitMemory or GOMEMLIMIT has set, in
// bytes; 0 where there is none.
func softLimit() int64 {
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		return limit
	}
	return 0
}

// gcPercent is by how much of what is in use the heap grows before it is collected.
const gcPercent = 200

// collectLater sets gcPercent. Go's own 100 costs 5 to 10 % of the throughput: a
// request leaves little behind, and what is in use, a few megabytes, is mostly the
// model. The limit of limitMemory holds all the same. GOGC, where it is set, has the
// last word.
func collectLater(p *Process) {
	if p.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// memoryLimit reads a control group's limit and returns nine tenths of it; 0
// where there is none.
func memoryLimit(content []byte) int64 {
	const least = 16 << 20
	limit, err := strconv.ParseInt(strings.TrimSpace(string(content)), 10, 64)
	if err != nil || limit < least || limit > math.MaxInt64/2 {
		return 0
	}
	return limit / 10 * 9
}
