package dvc

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5" //nolint:gosec // G501: DVC names objects by their MD5
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

// maxListingBytes has room for about a million files.
const maxListingBytes = 128 << 20

// A listed file is an entry of a directory's listing, the object that DVC names
// by the listing's MD5 and ".dir".
type listedFile struct {
	MD5  string `json:"md5"`
	Path string `json:"relpath"` // slash-separated, relative to the directory
}

// maxListedFiles bounds what a listing makes in memory, some 200 bytes a file.
const maxListedFiles = 1 << 20

// parseListing reads and checks a listing of at most so many files, an entry at a time:
// a hostile one is refused at its first fault. Its faults are [ErrPointer].
func parseListing(data []byte, most int) ([]listedFile, error) {
	const remedy = "add the directory again by dvc add"
	broken := func(err error) ([]listedFile, error) {
		return nil, refuse("the listing of the directory is not DVC's: "+err.Error(), remedy)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	if token, err := decoder.Token(); err != nil || token != json.Delim('[') {
		return broken(cmp.Or(err, errors.New("it is no list")))
	}
	var files []listedFile
	known := map[string]bool{}
	for decoder.More() {
		var file listedFile
		if err := decoder.Decode(&file); err != nil {
			return broken(err)
		}
		if !hexMD5.MatchString(file.MD5) {
			return nil, refuse(fmt.Sprintf("the listing of the directory has %q, which is not an MD5 of 32 lower-case hex digits", file.MD5), remedy)
		}
		if err := checkPath(file.Path); err != nil {
			return nil, fmt.Errorf("the listing of the directory: %w", err)
		}
		if name := path.Clean(file.Path); name != file.Path || known[name] {
			return nil, refuse(fmt.Sprintf("the listing of the directory has the path %q twice, or not in its shortest form", file.Path), remedy)
		}
		if len(files) == most {
			return nil, refuse(fmt.Sprintf("the listing of the directory has more than %d files", most), remedy)
		}
		known[file.Path] = true
		files = append(files, file)
	}
	if _, err := decoder.Token(); err != nil { // the closing bracket
		return broken(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return broken(cmp.Or(err, errors.New("something follows it")))
	}
	return files, nil
}

// PullFile pulls the directory that a pointer tracks, every file verified, and
// tells of one of them; file is its name, slash-separated, relative to the
// directory. Each file appears whole or not at all; one that is not in the listing
// is left alone. See Pull.
func (r *Repo) PullFile(ctx context.Context, pointer, file string) (Pulled, error) {
	dir, err := r.ReadPointer(pointer)
	if err != nil {
		return Pulled{}, err
	}
	if !dir.Dir {
		return Pulled{}, &Error{File: pointer, Problem: "tracks a file, not a directory", Remedy: "name " + dir.Path + " itself", Kind: ErrPointer}
	}
	files, err := r.listing(ctx, dir, pointer)
	if err != nil {
		return Pulled{}, err
	}
	named := -1
	for i := range files {
		if files[i].Path == file {
			named = i
		}
	}
	if named < 0 {
		return Pulled{}, &Error{File: pointer, Problem: fmt.Sprintf("there is no %q in the directory %s", file, dir.Path), Remedy: "name a file of it: " + someOf(files), Kind: ErrPointer}
	}
	var found Pulled
	var size int64
	for i, entry := range files {
		pulled, err := r.pull(ctx, Pointer{MD5: entry.MD5, Size: -1, Path: path.Join(dir.Path, entry.Path), Remote: dir.Remote}, pointer)
		if err != nil {
			return Pulled{}, err
		}
		size += pulled.Size
		if i == named {
			found = pulled
		}
	}
	if dir.Size >= 0 && size != dir.Size {
		return Pulled{}, &Error{File: pointer, Problem: fmt.Sprintf("gives %d bytes to the directory, whose files have %d", dir.Size, size), Remedy: "write it anew by dvc add", Kind: ErrPointer}
	}
	return found, nil
}

// someOf names files for a message.
func someOf(files []listedFile) string {
	const most = 5
	var names []string
	for _, file := range files[:min(len(files), most)] {
		names = append(names, file.Path)
	}
	if len(files) > most {
		names = append(names, "…")
	}
	return strings.Join(names, ", ")
}

// listing is that of a directory, verified, from the cache or the remote. The
// cache gets it, as dvc pull would leave it.
func (r *Repo) listing(ctx context.Context, dir Pointer, pointer string) ([]listedFile, error) {
	object := dir.MD5 + ".dir"
	f, err := r.cache.object(object).open()
	data, err := read(f, err, maxListingBytes)
	if err != nil || digestOf(data) != dir.MD5 {
		if data, err = r.fetchListing(ctx, dir, pointer); err != nil {
			return nil, err
		}
		if err := r.cacheListing(object, data); err != nil {
			r.log.WarnContext(ctx, "cannot add the listing to the DVC cache", "error", err)
		}
	}
	most := maxListedFiles
	if dir.Files > 0 {
		most = min(most, dir.Files)
	}
	files, err := parseListing(data, most)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", pointer, err)
	}
	if dir.Files > 0 && dir.Files != len(files) {
		return nil, &Error{File: pointer, Problem: fmt.Sprintf("gives %d files to the directory, whose listing has %d", dir.Files, len(files)), Remedy: "write it anew by dvc add", Kind: ErrPointer}
	}
	return files, nil
}

func (r *Repo) fetchListing(ctx context.Context, dir Pointer, pointer string) ([]byte, error) {
	remote, err := r.remote(dir.Remote)
	if err != nil {
		return nil, err
	}
	data, err := persist(ctx, r.pause, func() ([]byte, error) {
		object, err := remote.Open(ctx, dir.MD5+".dir")
		if err != nil {
			return nil, err
		}
		defer object.Close() //nolint:errcheck // only read from
		return readAll(&contextReader{ctx, object}, maxListingBytes)
	})
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, &Error{
			File: pointer, Problem: fmt.Sprintf("the directory's listing %s.dir is neither in the cache nor in %s", dir.MD5, remote), Kind: ErrMissing,
			Remedy: "run dvc push on the machine that added it",
		}
	case err != nil:
		return nil, fmt.Errorf("pull %s: %w", pointer, err)
	case digestOf(data) != dir.MD5:
		return nil, &Error{
			File: pointer, Problem: fmt.Sprintf("the directory's listing in %s is corrupted: expected MD5 %s, found %s", remote, dir.MD5, digestOf(data)), Kind: ErrCorrupt,
			Remedy: "delete the object there and restore it by dvc push from a machine that has the directory",
		}
	}
	return data, nil
}

func (r *Repo) cacheListing(object string, data []byte) error {
	root, f, err := r.cacheObject(object).create(0o444)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // only worked in
	defer f.Discard()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Commit()
}

func digestOf(data []byte) string {
	sum := md5.Sum(data) //nolint:gosec // G401: see the import
	return hex.EncodeToString(sum[:])
}
