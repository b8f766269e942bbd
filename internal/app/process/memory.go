package process

import (
	"log/slog"
	"math"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// leastLimit is the smallest limit of a container that is passed on, in bytes:
// below it the collector would run all the time.
const leastLimit = 16 << 20

// LimitMemory tells the garbage collector of the container's limit, less a tenth
// for what is not Go's heap, so that it works harder before the kernel ends the
// process. GOMEMLIMIT, where it is set, has the last word.
func (p *Process) LimitMemory(log *slog.Logger) { p.limitMemory(log, memlimit.FromCgroup) }

func (p *Process) limitMemory(log *slog.Logger, container memlimit.Provider) {
	if p.Getenv("GOMEMLIMIT") != "" {
		return
	}
	limit, err := container()
	if err != nil || limit < leastLimit || limit > math.MaxInt64/2 {
		return // there is no container, or it has no limit
	}
	soft := int64(limit / 10 * 9)
	debug.SetMemoryLimit(soft)
	log.Info("memory is limited by the container", slog.Int64("soft_limit_bytes", soft))
}

// MemoryLimit is the soft limit of the process's memory in bytes, of GOMEMLIMIT
// or of [Process.LimitMemory]; 0 where there is none.
func MemoryLimit() int64 {
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return limit
	}
	return 0
}

// gcPercent is by how much of what is in use the heap grows before it is collected.
const gcPercent = 200

// CollectLater sets gcPercent. Go's own 100 costs 5 to 10 % of the throughput of
// the API: a request leaves little behind, and what is in use, a few megabytes, is
// mostly the model. The limit of [Process.LimitMemory] holds all the same. GOGC,
// where it is set, has the last word.
func (p *Process) CollectLater() {
	if p.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
