package dataset

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"runtime"
	"slices"
	"sync"

	"github.com/petal-ml/petal/internal/rows"
)

// blockBytes is how much of the file a worker takes at a time: with the numbers
// that it becomes it stays in the processor's own cache.
const blockBytes = 256 << 10

// A block is a piece of the file that ends where a line or the file ends. All
// memory of it is used again for a later piece.
type block struct {
	raw  []byte // of the file
	text []byte // what of raw is still to be parsed
	err  error  // what ends the file: io.EOF or a failure; there is no text then

	pending sync.WaitGroup // hashing and parsing
	table   table          // the rows, once parsed
}

// source cuts a file into blocks, and bounds it and its lines.
type source struct {
	r     *bufio.Reader
	path  string
	limit int64
	size  int // of a block, where lines are shorter
	// lineEnd is the byte that ends each line.
	lineEnd byte
	n       int64
	rest    []byte // beginning of the line that the last block ended in
	ended   bool
}

// head looks at what the file begins with, and learns how its lines end.
func (s *source) head() ([]byte, error) {
	start, err := s.r.Peek(checkedBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if rows.EndsInCR(start) {
		s.lineEnd = '\r'
	}
	return start, nil
}

// fill reads the next block. Behind its text there is room for a line end and for
// scanAhead bytes.
func (s *source) fill(ctx context.Context, b *block) error {
	b.raw, b.text = nil, nil
	if s.ended {
		return io.EOF
	}
	room := min(max(s.size, 2*len(s.rest)), maxLineBytes+1)
	buf := b.table.buffer(room + 1 + scanAhead)
	used := copy(buf, s.rest)
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read %s: %w", s.path, err)
		}
		n, err := io.ReadFull(s.r, buf[used:room])
		end := 1 + used + bytes.LastIndexByte(buf[used:used+n], s.lineEnd)
		if end == used {
			end = 0 // one line from the beginning
		}
		used += n
		s.n += int64(n)
		s.ended = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		switch {
		case err != nil && !s.ended:
			return err
		case s.n > s.limit:
			return TooLarge(s.path, s.limit)
		case end == 0 && used > maxLineBytes:
			return &Error{File: s.path, Problem: fmt.Sprintf("has a line longer than %d bytes", maxLineBytes), Remedy: "name a CSV file with one row on each line"}
		case s.ended:
			end = used
		case end == 0: // the line goes on
			room = min(2*room, maxLineBytes+1)
			buf = slices.Grow(buf[:used], room+1+scanAhead-used)
			buf = buf[:cap(buf)]
			continue
		default:
			s.rest = append(s.rest[:0], buf[end:used]...)
		}
		b.raw = buf[:end]
		b.text = b.raw
		if s.lineEnd == '\r' {
			b.raw = bytes.Clone(b.text) // which is hashed
			rows.ReplaceCR(b.text)
		}
		return nil
	}
}

// stream reads ahead: while the blocks are taken in the file's order, the next
// ones are read, hashed and parsed. The number of blocks bounds its memory.
type stream struct {
	free, ordered chan *block
	quit          chan struct{}
	running       sync.WaitGroup
}

// newStream starts with a block that has been read already. Where digest is nil
// nothing is hashed.
func newStream(ctx context.Context, s *source, first *block, digest hash.Hash, l *layout, workers int) *stream {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	// No channel is ever full: each has room for all blocks.
	blocks := 2*workers + 2
	st := &stream{free: make(chan *block, blocks), ordered: make(chan *block, blocks), quit: make(chan struct{})}
	hashing, parsing := make(chan *block, blocks), make(chan *block, blocks)
	send := func(b *block) {
		if digest != nil {
			b.pending.Add(1)
			hashing <- b
		}
		b.pending.Add(1)
		parsing <- b
		st.ordered <- b
	}
	for range blocks - 1 {
		st.free <- &block{}
	}
	send(first)

	st.running.Go(func() {
		defer close(hashing)
		defer close(parsing)
		for {
			select {
			case <-st.quit:
				return
			case b := <-st.free:
				b.err = s.fill(ctx, b)
				send(b)
				if b.err != nil {
					return
				}
			}
		}
	})
	st.running.Go(func() {
		for b := range hashing {
			_, _ = digest.Write(b.raw) // a hash never fails
			b.pending.Done()
		}
	})
	for range workers {
		st.running.Go(func() {
			for b := range parsing {
				l.parse(b)
				b.pending.Done()
			}
		})
	}
	return st
}

// next waits for the next block of the file. Nothing follows one with an error.
func (s *stream) next() *block {
	b := <-s.ordered
	b.pending.Wait()
	return b
}

// recycle gives a block back.
func (s *stream) recycle(b *block) { s.free <- b }

// stop ends the reading ahead and waits for it.
func (s *stream) stop() {
	close(s.quit)
	s.running.Wait()
}
