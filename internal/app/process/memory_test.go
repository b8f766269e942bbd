package process

import (
	"log/slog"
	"math"
	"runtime/debug"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/stretchr/testify/assert"
)

func TestLimitMemory(t *testing.T) {
	before := debug.SetMemoryLimit(math.MaxInt64)
	defer debug.SetMemoryLimit(before)
	log := slog.New(slog.DiscardHandler)
	for _, row := range []struct {
		name, environ string
		limit         uint64
		err           error
		want          int64
	}{
		{name: "a limit", limit: 104857600, want: 94371840},
		{name: "none", err: memlimit.ErrNoLimit},
		{name: "none in the old way", limit: 9223372036854771712},
		{name: "too small to help", limit: 1000},
		{name: "GOMEMLIMIT has the last word", environ: "GOMEMLIMIT=1GiB", limit: 104857600},
	} {
		debug.SetMemoryLimit(math.MaxInt64)
		p := &Process{Environ: []string{row.environ}}
		p.limitMemory(log, func() (uint64, error) { return row.limit, row.err })
		assert.Equal(t, row.want, MemoryLimit(), row.name)
	}
}

func TestCollectLater(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	(&Process{Environ: []string{"GOGC=50"}}).CollectLater()
	assert.Equal(t, 100, debug.SetGCPercent(100), "GOGC has the last word")
	(&Process{}).CollectLater()
	assert.Equal(t, gcPercent, debug.SetGCPercent(100))
}
