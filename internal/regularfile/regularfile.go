// Package regularfile opens files that others may have put where they stand, and
// nothing but regular ones: a named pipe would wait for its writer, beyond the
// end of any context, a device has no end, and a folder holds no text.
package regularfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Causes of a [*fs.PathError].
var (
	ErrNotRegular = errors.New("not a regular file")
	ErrTooLarge   = errors.New("is too large")
)

// Open opens the file at path to read, wherever its links lead. All errors are
// [*fs.PathError].
func Open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	return regular(f, path, err)
}

// OpenIn opens the file with a slash-separated name below root, out of which no
// link leads. Errors name the whole path.
func OpenIn(root *os.Root, name string) (*os.File, error) {
	name = filepath.FromSlash(name)
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	return regular(f, filepath.Join(root.Name(), name), err)
}

func regular(f *os.File, path string, err error) (*os.File, error) {
	if fault := (*fs.PathError)(nil); errors.As(err, &fault) {
		return nil, &fs.PathError{Op: fault.Op, Path: path, Err: fault.Err}
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: ErrNotRegular}
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, err
	}
	return f, nil
}

// Read reads the file at path, of at most limit bytes.
func Read(path string, limit int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	return ReadAll(f, limit)
}

// ReadAll reads an open file of at most limit bytes to its end and closes it.
// A larger one is refused before it fills the memory.
func ReadAll(f *os.File, limit int64) ([]byte, error) {
	defer f.Close() //nolint:errcheck // only read from
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var content []byte
	if info.Size() <= limit {
		content, err = io.ReadAll(io.LimitReader(f, limit+1)) // it may grow meanwhile
	}
	if err == nil && max(info.Size(), int64(len(content))) > limit {
		err = &fs.PathError{Op: "read", Path: f.Name(), Err: fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)}
	}
	return content, err
}
