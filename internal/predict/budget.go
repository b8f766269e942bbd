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
	of *budget
	n  int64
}

// Take asks for bytes before they are made. The error is [ErrTooLarge] where the
// request alone would take more than the whole budget, [ErrOverloaded] where
// there is not enough left just now.
func (s *Share) Take(bytes int) error {
	before := max(s.n-freeMemory, 0)
	s.n += int64(bytes)
	more := max(s.n-freeMemory, 0) - before
	switch {
	case more == 0:
		return nil
	case s.n > s.of.limit:
		s.n -= int64(bytes)
		return ErrTooLarge
	case s.of.used.Add(more) > s.of.limit:
		return ErrOverloaded // what was counted is given back by Release
	}
	return nil
}

// Release gives back all that was taken.
func (s *Share) Release() {
	if counted := max(s.n-freeMemory, 0); counted > 0 {
		s.of.used.Add(-counted)
	}
	s.n = 0
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
