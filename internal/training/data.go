package training

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/petal-ml/petal/internal/dataset"
	"github.com/petal-ml/petal/internal/dvc"
)

// A source is the data file of a training, in place and verified.
type source struct {
	path string // as the user named it
	file string // what is read: path, or a copy in the scratch folder
	md5  string
	info os.FileInfo // of file, as it was when it was hashed
	from string      // where the bytes came from: "workspace", "cache", "remote"
	// dvcPath is the file in its DVC repository, slash-separated, and dvcRemote
	// the remote that keeps it; empty for a file that DVC does not track.
	dvcPath, dvcRemote string
}

// tags say on runs and versions where a file that DVC tracks comes from.
func (s source) tags() map[string]string {
	if s.dvcPath == "" {
		return nil
	}
	return map[string]string{"dvc.path": s.dvcPath, "dvc.md5": s.md5, "dvc.remote": s.dvcRemote}
}

// locate brings the data into place. name is a CSV file or a .dvc pointer to one; a
// CSV with a pointer beside it, or in a directory with one, is pulled by that.
func locate(ctx context.Context, name string, opts dvc.Options) (source, error) {
	pointer, inside := pointerOf(name)
	if pointer == "" {
		return untracked(ctx, name)
	}
	repo, err := dvc.Open(filepath.Dir(pointer), opts)
	if err != nil {
		return source{}, err
	}
	path := strings.TrimSuffix(name, ".dvc")
	before, _ := os.Stat(path)
	if err := checkSize(path, before); err != nil {
		return source{}, err
	}
	var pulled dvc.Pulled
	if inside != "" {
		pulled, err = repo.PullFile(ctx, pointer, inside)
	} else {
		pulled, err = repo.Pull(ctx, pointer)
	}
	if err != nil {
		return source{}, err
	}
	info, err := os.Stat(pulled.File)
	if err != nil {
		return source{}, fmt.Errorf("look at %s: %w", path, err)
	}
	if os.SameFile(before, info) { // it was hashed in place
		info = before
	}
	return source{
		path: path, file: pulled.File, info: info,
		md5: pulled.MD5, from: pulled.From, dvcPath: pulled.Tracked, dvcRemote: pulled.Remote,
	}, nil
}

// checkSize refuses a file that is too large to be read before its bytes are
// hashed. info is nil where there is none.
func checkSize(path string, info os.FileInfo) error {
	if info == nil || info.Size() <= dataset.DefaultMaxBytes {
		return nil
	}
	return dataset.TooLarge(path, dataset.DefaultMaxBytes)
}

// pointerOf finds the pointer that tracks a file: the file's own, or that of a
// directory above it; then inside is the file's name in there.
func pointerOf(name string) (pointer, inside string) {
	if strings.HasSuffix(name, ".dvc") {
		return name, ""
	}
	for at := filepath.Clean(name); ; at = filepath.Dir(at) {
		if at == filepath.Dir(at) || filepath.Base(at) == ".." {
			return "", ""
		}
		// Whatever has that name: what is no pointer is refused as such.
		if info, err := os.Stat(at + ".dvc"); err != nil || info.IsDir() {
			continue
		}
		if at == filepath.Clean(name) {
			return name + ".dvc", ""
		}
		inside, _ = filepath.Rel(at, name) // below it
		return at + ".dvc", filepath.ToSlash(inside)
	}
}

// untracked hashes a file that no pointer describes.
func untracked(ctx context.Context, path string) (source, error) {
	// Opening a named pipe would wait for its writer, beyond the end of ctx.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return source{}, dataset.OpenError(path, err)
	}
	defer f.Close() //nolint:errcheck // only read from
	info, err := f.Stat()
	if err != nil {
		return source{}, fmt.Errorf("look at %s: %w", path, err)
	}
	if err := checkSize(path, info); err != nil {
		return source{}, err
	}
	found := source{path: path, file: path, info: info, from: "workspace"}
	if !info.Mode().IsRegular() {
		return found, nil // dataset.Read refuses it
	}
	if found.md5, err = dvc.Digest(ctx, f); err != nil {
		return found, fmt.Errorf("read %s: %w", path, err)
	}
	return found, nil
}

// read parses the data and makes sure that they are those that were verified.
// They are not hashed again: a file that is written to gets another time. The
// table is nil for one of numbers.
func (s source) read(ctx context.Context, p Params, allFaults bool) (*dataset.Dataset, *dataset.Table, error) {
	d, t, err := s.readTable(ctx, p, allFaults)
	if err != nil {
		return nil, t, err
	}
	info, err := os.Stat(s.file)
	if err != nil || !os.SameFile(info, s.info) || info.Size() != s.info.Size() || !info.ModTime().Equal(s.info.ModTime()) {
		return nil, t, &InputError{Where: s.path, Problem: "changed while it was read", Remedy: "train again once nobody writes to it"}
	}
	return d, t, nil
}
