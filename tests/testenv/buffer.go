package testenv

import (
	"bytes"
	"sync"
)

// A Buffer collects what is written, by a program or a log, while the test reads
// it. The zero Buffer is empty and ready.
type Buffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

// Write adds p; it never fails.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

// String is all that was written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
