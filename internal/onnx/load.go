package onnx

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
)

// Load reads a model and validates it: the wire format, the limits, the names
// and the order of the graph. What single operators demand of their attributes
// is checked when it is compiled, by package eval.
//
// Errors wrap [ErrInvalid], [ErrLimit] or [ErrUnsupported], or the reader's own.
func Load(r io.Reader, limits Limits) (*Model, error) {
	limits = limits.WithDefaults()
	data, err := readAll(r, limits.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read model: %w", err)
	}
	d := decoder{limits: limits, memory: limits.Memory, nodes: limits.Nodes, interned: map[string]string{}}
	m, err := d.model(data)
	if err != nil {
		return nil, fmt.Errorf("read model: %w", err)
	}
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("read model: %w", err)
	}
	return m, nil
}

// readAll reads at most limit bytes. Where the size is known beforehand it
// allocates once.
func readAll(r io.Reader, limit int64) ([]byte, error) {
	size := int64(-1)
	switch s := r.(type) {
	case interface{ Len() int }:
		size = int64(s.Len())
	case interface{ Stat() (fs.FileInfo, error) }:
		if info, err := s.Stat(); err == nil && info.Mode().IsRegular() {
			size = info.Size()
		}
	}
	if size > limit {
		return nil, fmt.Errorf("%w: the file has %d bytes, %d are allowed", ErrLimit, size, limit)
	}
	buf := bytes.NewBuffer(make([]byte, 0, max(size, 0)+bytes.MinRead))
	n, err := buf.ReadFrom(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, fmt.Errorf("%w: the file has more than the %d bytes allowed", ErrLimit, limit)
	}
	if n == 0 {
		return nil, fmt.Errorf("%w: the file is empty", ErrInvalid)
	}
	return buf.Bytes(), nil
}
