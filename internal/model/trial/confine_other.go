//go:build unix && !linux

package trial

// sacrifice knows how on Linux alone.
func sacrifice() {}

// confine knows how on Linux alone: elsewhere the parent's time limit holds.
func confine(int64, float64) {}
