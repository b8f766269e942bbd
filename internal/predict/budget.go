package predict

import (
	"io"
	"sync/atomic"
)

const (
	// freeMemory is what a request may make without being asked for: refusing
	// less would help nobody.
	freeMemory = 64 << 10
	// defaultBudget bounds the memory of all requests, in bytes, where no limit
	// of the process is known.
	defaultBudget = 1 << 30
)

// A budget bounds, in bytes, what all requests in work have made: their bodies,
// rows, scores, answers and explanations.
type budget struct {
	limit int64
	used  atomic.Int64
}

// newBudget leaves two fifths of the process's limit to the model, to the rest
// of the program and to what is not yet collected.
func newBudget(processLimit int64) *budget {
	if processLimit <= 0 {
		return &budget{limit: defaultBudget}
	}
	return &budget{limit: processLimit / 5 * 3}
}

// A Share is what one request has of the budget. It belongs to one goroutine.
type Share struct {
	of         *budget
	held, made int64 // what the budget counts, and what was asked for of it
}

// bytesPerByte is about how much a body of rows makes, a byte: the buffer that it is
// read into, its rows, and an answer of probabilities, which is longer than the body.
const bytesPerByte = 8

// Reserve holds what a body of so many bytes will make, before it is read: requests
// that took their memory bit by bit would together take all of it, and each would be
// refused before its end. The error is [ErrOverloaded].
func (s *Share) Reserve(body int64) error { return s.hold(min(bytesPerByte*body, s.of.limit/2)) }

// Take asks for bytes before they are made. The error is [ErrTooLarge] where the
// request alone would take more than the whole budget, [ErrOverloaded] where
// there is not enough left just now.
func (s *Share) Take(bytes int) error {
	if s.made+int64(bytes) > s.of.limit {
		return ErrTooLarge
	}
	s.made += int64(bytes)
	return s.hold(s.made)
}

// hold has the budget count so many bytes for this request, less what is free. What
// it refuses is counted all the same, and given back by Release.
func (s *Share) hold(bytes int64) error {
	before := max(s.held-freeMemory, 0)
	s.held = max(s.held, bytes)
	more := max(s.held-freeMemory, 0) - before
	if more > 0 && s.of.used.Add(more) > s.of.limit {
		return ErrOverloaded
	}
	return nil
}

// Release gives back all that was taken.
func (s *Share) Release() {
	if counted := max(s.held-freeMemory, 0); counted > 0 {
		s.of.used.Add(-counted)
	}
	s.held, s.made = 0, 0
}

// Reader counts what is read from r. Whoever collects it needs about twice as
// much, since buffers grow by doubling.
func (s *Share) Reader(r io.Reader) io.Reader { return &metered{r, s} }

type metered struct {
	io.Reader
	share *Share
}

// Read fails when there is no memory for what came.
func (m *metered) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if refused := m.share.Take(2 * n); refused != nil {
		return n, refused
	}
	return n, err
}
