package process

import (
	"math"
	"syscall"
)

const (
	// connectionBytes is about what a connection takes that waits for a request.
	connectionBytes = 32 << 10
	// unlimited is what connections are counted by where the process has no limit of
	// memory, in bytes.
	unlimited = 1 << 30
	// ownDescriptors are for files, the database and the registry.
	ownDescriptors = 128
	// fewestConnections are allowed in any case.
	fewestConnections = 64
)

// MaxConnections is how many connections the process can hold: as many as it may
// have descriptors, and as fit into a quarter of its memory.
func MaxConnections() int {
	memory := MemoryLimit()
	if memory == 0 {
		memory = unlimited
	}
	most := memory / 4 / connectionBytes
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err == nil && limit.Cur < math.MaxInt32 {
		most = min(most, int64(limit.Cur)-ownDescriptors)
	}
	return int(max(most, fewestConnections))
}
