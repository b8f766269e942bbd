package trial

import (
	"math"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// sacrifice has the kernel, where it must end a process for want of memory, end this
// one before any other, and lets others have the processor first.
func sacrifice() {
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0) // it may be mounted read-only
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, task := range tasks {
		if id, err := strconv.Atoi(task.Name()); err == nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, id, 10)
		}
	}
}

// confine has the kernel refuse memory far beyond what the child may have, and end it
// after so many seconds of a processor: whatever becomes of the parent, which looks
// now and then how much is in use. What is refused here is what is reserved, and Go's
// runtime reserves generously.
func confine(memory int64, seconds float64) {
	var before unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_DATA, &before) == nil {
		if limit := 2*uint64(max(memory, 0)) + dataSize(); limit < before.Max {
			_ = unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: limit, Max: limit})
		}
	}
	processor := uint64(math.Ceil(seconds)) + 1
	_ = unix.Setrlimit(unix.RLIMIT_CPU, &unix.Rlimit{Cur: processor, Max: processor})
}

// dataSize is the memory that this process has reserved so far, in bytes.
func dataSize() uint64 {
	data, err := os.ReadFile("/proc/self/statm") //nolint:forbidigo // the kernel writes it
	fields := strings.Fields(string(data))
	if err != nil || len(fields) < 6 {
		return math.MaxUint64 / 2
	}
	pages, err := strconv.ParseUint(fields[5], 10, 64) // data and stack
	if err != nil {
		return math.MaxUint64 / 2
	}
	return pages * uint64(os.Getpagesize()) //nolint:gosec // G115: it is positive
}
