package dvc

import (
	"context"
	"crypto/md5" //nolint:gosec // G501: DVC names objects by their MD5
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/petal-ml/petal/internal/atomicfile"
)

// digest is what a pointer says of a file's content.
type digest struct {
	md5  string
	size int64
}

func (d digest) matches(p Pointer) bool {
	return d.md5 == p.MD5 && (p.Size < 0 || d.size == p.Size)
}

func (d digest) String() string { return fmt.Sprintf("%s (%d bytes)", d.md5, d.size) }

// digestFile hashes a file; a folder or a device in its place is an error.
func digestFile(ctx context.Context, path string) (digest, error) {
	f, err := openRegular(path)
	if err != nil {
		return digest{}, err
	}
	defer f.Close() //nolint:errcheck // only read from
	return copyDigest(ctx, io.Discard, f)
}

// openRegular opens a file to read, and nothing else: a named pipe would wait for
// its writer.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// readRegular reads a file of few bytes.
func readRegular(path string, limit int64) ([]byte, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read from
	return readAll(f, limit)
}

// readAll reads up to a limit; more is an error.
func readAll(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("is larger than %d bytes", limit)
	}
	return data, err
}

// copyDigest copies all of src and hashes it on the way.
func copyDigest(ctx context.Context, dst io.Writer, src io.Reader) (digest, error) {
	hash := md5.New() //nolint:gosec // G401: see the import
	n, err := io.Copy(io.MultiWriter(hash, dst), &contextReader{ctx, src})
	return digest{md5: hex.EncodeToString(hash.Sum(nil)), size: n}, err
}

// install copies an object to path, verified, in one step: what stands at path
// is replaced by the whole right content or left alone.
func (r *Repo) install(ctx context.Context, from Remote, p Pointer, path string, mode fs.FileMode) (size int64, err error) {
	src, err := from.Open(ctx, p.MD5)
	if err != nil {
		return 0, err
	}
	defer src.Close() //nolint:errcheck // only read from
	tmp, err := createBeside(path, mode)
	if err != nil {
		return 0, err
	}
	defer tmp.Discard()

	// What is longer than it should be is hashed to its end for the message, and
	// not stored.
	limit := r.limit
	if p.Size >= 0 {
		limit = min(limit, p.Size)
	}
	found, err := copyDigest(ctx, &cappedWriter{w: tmp, left: limit}, io.LimitReader(src, r.limit+1))
	if err != nil {
		return 0, fmt.Errorf("copy from %s: %w", from, err)
	}
	switch {
	case found.size > r.limit:
		return 0, fmt.Errorf("the object in %s is larger than %d bytes", from, r.limit)
	case found.md5 == p.MD5 && !found.matches(p):
		return 0, &Error{
			File: p.Path, Problem: fmt.Sprintf("has %d bytes by its .dvc file, while the object of that MD5 in %s has %d", p.Size, from, found.size),
			Remedy: "correct the size in the .dvc file, or write it anew by dvc add", Kind: ErrPointer,
		}
	case !found.matches(p):
		expected := p.MD5
		if p.Size >= 0 {
			expected = digest{p.MD5, p.Size}.String()
		}
		return 0, &Error{
			File: p.Path, Problem: fmt.Sprintf("the object in %s is corrupted: expected MD5 %s, found %s", from, expected, found),
			Remedy: "delete the object there and restore it by dvc push from a machine that has the file", Kind: ErrCorrupt,
		}
	}
	return found.size, tmp.Commit()
}

// createBeside opens a file that is to stand at path, and makes its folder.
func createBeside(path string, mode fs.FileMode) (*atomicfile.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil { //nolint:gosec // G301: as DVC makes it, subject to the umask
		return nil, err
	}
	return atomicfile.Create(path, mode)
}

// cappedWriter stores the first bytes only and swallows the rest.
type cappedWriter struct {
	w    io.Writer
	left int64
}

func (c *cappedWriter) Write(p []byte) (int, error) {
	if keep := p[:min(int64(len(p)), c.left)]; len(keep) > 0 {
		n, err := c.w.Write(keep)
		c.left -= int64(n)
		if err != nil {
			return n, err
		}
	}
	return len(p), nil
}

// contextReader ends with the context's error once it is done.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
