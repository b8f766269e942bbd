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

	"github.com/petal-ml/petal/internal/atomicfile"
	"github.com/petal-ml/petal/internal/regularfile"
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

// A place is where a file stands or is to stand: a name below a folder, out of which
// no link leads, neither for reading nor for writing.
type place struct{ dir, name string }

func (p place) String() string { return filepath.Join(p.dir, p.name) }

// open opens the file to read, and nothing but a regular file: a named pipe would
// wait for its writer, and a device has no end.
func (p place) open() (*os.File, error) {
	root, err := os.OpenRoot(p.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // only looked into
	return regularfile.OpenIn(root, p.name)
}

// named gives the error of a root the whole path of its file.
func named(err error, path string) error {
	if fault := (*fs.PathError)(nil); errors.As(err, &fault) {
		return &fs.PathError{Op: fault.Op, Path: path, Err: fault.Err}
	}
	return err
}

// leadsOut tells whether a file was not opened because a link leads out of the place's
// folder. The package os has no name for that error.
func leadsOut(err error) bool {
	fault := (*fs.PathError)(nil)
	return errors.As(err, &fault) && fault.Err != nil && fault.Err.Error() == "path escapes from parent"
}

// read reads a file of few bytes, opened by one of the functions above.
func read(f *os.File, err error, limit int64) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read from
	return readAll(f, limit)
}

// digestFile hashes a file of at most limit bytes.
func digestFile(ctx context.Context, f *os.File, err error, limit int64) (digest, error) {
	if err != nil {
		return digest{}, err
	}
	defer f.Close() //nolint:errcheck // only read from
	if info, err := f.Stat(); err == nil && info.Size() > limit {
		return digest{}, fmt.Errorf("is larger than %d bytes", limit)
	}
	return copyDigest(ctx, io.Discard, io.LimitReader(f, limit+1))
}

// readAll reads up to a limit; more is an error.
func readAll(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("is larger than %d bytes", limit)
	}
	return data, err
}

// Digest is the MD5 of all of src, in hex.
func Digest(ctx context.Context, src io.Reader) (string, error) {
	found, err := copyDigest(ctx, io.Discard, src)
	return found.md5, err
}

// copyDigest copies all of src and hashes it on the way.
func copyDigest(ctx context.Context, dst io.Writer, src io.Reader) (digest, error) {
	hash := md5.New() //nolint:gosec // G401: see the import
	n, err := io.Copy(io.MultiWriter(hash, dst), &contextReader{ctx, src})
	return digest{md5: hex.EncodeToString(hash.Sum(nil)), size: n}, err
}

// overlong is how much more than its pointer says is read of an object, to tell its
// digest: a stream without end has none.
const overlong = 16 << 20

// install copies an object to a place, verified, in one step: what stands there is
// replaced by the whole right content or left alone.
func (r *Repo) install(ctx context.Context, from Remote, p Pointer, to place, mode fs.FileMode) (size int64, err error) {
	src, err := from.Open(ctx, p.MD5)
	if err != nil {
		return 0, err
	}
	defer src.Close() //nolint:errcheck // only read from
	root, tmp, err := to.create(mode)
	if err != nil {
		return 0, err
	}
	defer root.Close() //nolint:errcheck // only worked in
	defer tmp.Discard()

	// What is longer than it should be is hashed for the message, and not stored.
	most, limit := r.limit, r.limit
	if p.Size >= 0 {
		limit = min(limit, p.Size)
		most = min(r.limit, max(p.Size, p.Size+overlong)) // no overflow
	}
	found, err := copyDigest(ctx, &cappedWriter{w: tmp, left: limit}, io.LimitReader(src, most+1))
	if err != nil {
		return 0, fmt.Errorf("copy from %s: %w", from, err)
	}
	if found.size > most {
		return 0, fmt.Errorf("the object in %s is larger than %d bytes", from, most)
	}
	if err := found.check(p, from); err != nil {
		return 0, err
	}
	return found.size, tmp.Commit()
}

// check tells how an object differs from what its pointer says.
func (d digest) check(p Pointer, from Remote) error {
	switch {
	case d.matches(p):
		return nil
	case d.md5 == p.MD5:
		return &Error{
			File: p.Path, Problem: fmt.Sprintf("has %d bytes by its .dvc file, while the object of that MD5 in %s has %d", p.Size, from, d.size),
			Remedy: "correct the size in the .dvc file, or write it anew by dvc add", Kind: ErrPointer,
		}
	}
	expected := p.MD5
	if p.Size >= 0 {
		expected = digest{p.MD5, p.Size}.String()
	}
	return &Error{
		File: p.Path, Problem: fmt.Sprintf("the object in %s is corrupted: expected MD5 %s, found %s", from, expected, d),
		Remedy: "delete the object there and restore it by dvc push from a machine that has the file", Kind: ErrCorrupt,
	}
}

// create opens a file that is to stand in its place, and makes its folder. Whoever
// is done with the file closes the root.
func (p place) create(mode fs.FileMode) (*os.Root, *atomicfile.File, error) {
	root, err := os.OpenRoot(p.dir)
	if err != nil {
		return nil, nil, err
	}
	if err = root.MkdirAll(filepath.Dir(p.name), 0o777); err == nil { // as DVC makes it, subject to the umask
		var f *atomicfile.File
		if f, err = atomicfile.CreateIn(root, p.name, mode); err == nil {
			return root, f, nil
		}
	}
	return nil, nil, errors.Join(named(err, p.String()), root.Close())
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
