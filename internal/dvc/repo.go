package dvc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// DefaultMaxBytes is the largest object that is fetched when Options say
// nothing.
const DefaultMaxBytes = 16 << 30

// Options say how a repository is to be used.
type Options struct {
	// Getenv looks up environment variables; nil means [os.Getenv].
	Getenv func(string) string
	// Logger is told what is unusual and no failure; nil means nowhere.
	Logger *slog.Logger
	// MaxBytes is the largest object that is fetched; 0 means DefaultMaxBytes.
	MaxBytes int64
	// Scratch is the folder that takes a file whose place cannot be written, as
	// in a container that sees the repository read-only. Empty means that this
	// is a failure.
	Scratch string
}

// A Repo is a DVC repository: a folder with .dvc in it.
type Repo struct {
	root    string
	config  *config
	cache   folder
	log     *slog.Logger
	limit   int64
	scratch string              // Options.Scratch
	getenv  func(string) string // Options.Getenv
	pause   time.Duration       // before a second try; it grows
	// writable tells whether files can be made in a folder; tests replace it.
	writable func(at place) bool
}

// A Pulled file stands in place and has been verified.
type Pulled struct {
	Path    string // of the file, absolute
	File    string // the same, as relative as the pointer's name was
	Tracked string // of the file, slash-separated, relative to the repository
	MD5     string
	Size    int64
	// From says where its bytes came from: "workspace" where they were already
	// in place, "cache", or "remote".
	From string
	// Remote names the remote that the file is kept in; "" where none is
	// configured.
	Remote string
}

// Open finds the repository at or above a folder and reads its configuration.
// Its faults are [ErrNoRepo] and [ErrConfig].
func Open(dir string, opts Options) (*Repo, error) {
	if opts.Getenv == nil {
		opts.Getenv = os.Getenv
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.MaxBytes <= 0 {
		opts.MaxBytes = DefaultMaxBytes
	}
	root, err := findRoot(dir)
	if err != nil {
		return nil, err
	}
	scratch := opts.Scratch
	if scratch != "" {
		if scratch, err = filepath.Abs(scratch); err != nil {
			return nil, fmt.Errorf("open DVC repository: %w", err)
		}
	}
	r := &Repo{root: root, log: opts.Logger, limit: opts.MaxBytes, scratch: scratch, getenv: opts.Getenv, pause: time.Second, writable: writable}
	if r.config, err = loadConfig(root, opts.Getenv); err != nil {
		return nil, err
	}
	// A cache that the configuration names may be anywhere. The repository's own is in it.
	r.cache = folder{name: "cache", dir: root, below: filepath.Join(".dvc", "cache")}
	if dir := r.config.cache["dir"]; dir != "" {
		r.cache = folder{name: "cache", dir: dir}
	}
	return r, nil
}

func findRoot(dir string) (string, error) {
	start, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find DVC repository: %w", err)
	}
	for at := start; ; at = filepath.Dir(at) {
		if info, err := os.Stat(filepath.Join(at, ".dvc")); err == nil && info.IsDir() {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", &Error{File: dir, Problem: "there is no .dvc folder here or above", Remedy: "run dvc init, or remove the .dvc file to use the data as it is", Kind: ErrNoRepo}
		}
	}
}

// Pull puts the file that a pointer tracks in its place, verified: as it stands
// there already, from the cache, or from the remote. A file in place with other
// content is replaced only where the cache has that content, so that no work is
// lost. Whatever fails, the place holds either what it held or the whole right
// file.
func (r *Repo) Pull(ctx context.Context, pointer string) (Pulled, error) {
	p, err := r.ReadPointer(pointer)
	if err != nil {
		return Pulled{}, err
	}
	if p.Dir {
		return Pulled{}, &Error{File: pointer, Problem: "tracks a directory", Remedy: "name a file in it, such as " + filepath.Join(filepath.Dir(pointer), p.Path, "FILE.csv"), Kind: ErrPointer}
	}
	return r.pull(ctx, p, pointer)
}

// inside is the place of a file of the repository, whose name comes with a pointer's.
func (r *Repo) inside(name, pointer string) (place, error) {
	path, err := filepath.Abs(name)
	if err != nil {
		return place{}, fmt.Errorf("pull %s: %w", pointer, err)
	}
	below, err := filepath.Rel(r.root, path)
	if err != nil || !filepath.IsLocal(below) {
		return place{}, &Error{File: pointer, Problem: "is not in the DVC repository " + r.root, Remedy: "name a .dvc file of this repository", Kind: ErrPointer}
	}
	return place{r.root, below}, nil
}

// pull is Pull for one file; its path is relative to the pointer's folder.
func (r *Repo) pull(ctx context.Context, p Pointer, pointer string) (Pulled, error) {
	p.Path = filepath.Join(filepath.Dir(pointer), filepath.FromSlash(p.Path)) // as the user would name it
	target, err := r.inside(p.Path, pointer)
	if err != nil {
		return Pulled{}, err
	}
	pulled := Pulled{Path: target.String(), File: p.Path, Tracked: filepath.ToSlash(target.name), MD5: p.MD5, Remote: cmp.Or(p.Remote, r.config.core["remote"])}
	if r.misplaced(ctx, p, target) {
		if err := os.MkdirAll(r.scratch, 0o777); err != nil { //nolint:gosec // G301: as DVC makes its folders, subject to the umask
			return Pulled{}, fmt.Errorf("pull %s: %w", pointer, err)
		}
		r = r.inScratch()
		// Named by the digest, so that no other version stands in the way.
		target = place{r.scratch, filepath.Join(p.MD5, filepath.Base(target.name))}
		p.Path = target.String()
		pulled.Path, pulled.File = p.Path, p.Path
	}
	pulled.From, pulled.Size, err = r.place(ctx, p, target)
	if err != nil {
		return Pulled{}, err
	}
	return pulled, nil
}

// misplaced tells whether a file has to go to the scratch folder: it is missing in
// a place that cannot be written, or another recorded version stands there. What
// was changed by hand is left to the message of place.
func (r *Repo) misplaced(ctx context.Context, p Pointer, target place) bool {
	if r.scratch == "" || r.writable(target) {
		return false
	}
	found, err := r.digest(ctx, target)
	return errors.Is(err, os.ErrNotExist) || err == nil && !found.matches(p) && r.cached(ctx, found)
}

// writable tries it: permissions, owners and read-only mounts all count.
func writable(at place) bool {
	root, file, err := place{at.dir, filepath.Join(filepath.Dir(at.name), "writable")}.create(0o600)
	if err != nil {
		return false
	}
	file.Discard()
	return root.Close() == nil
}

// inScratch is the repository with its cache in the scratch folder: that of a
// repository that cannot be written is no use.
func (r *Repo) inScratch() *Repo {
	moved := *r
	moved.cache = folder{name: "cache", dir: r.scratch, below: "cache"}
	return &moved
}

// digest hashes the file in a place. DVC may have put an absolute link to its cache
// there, which is followed as far as the cache and the repository reach.
func (r *Repo) digest(ctx context.Context, at place) (digest, error) {
	f, err := at.open()
	if leadsOut(err) {
		if link, failed := os.Readlink(at.String()); failed == nil && filepath.IsAbs(link) {
			for _, dir := range []string{r.root, r.cache.dir} {
				if below, failed := filepath.Rel(dir, link); failed == nil && filepath.IsLocal(below) {
					f, err = place{dir, below}.open()
					break
				}
			}
		}
	}
	return digestFile(ctx, f, err, r.limit)
}

// place is Pull for a checked pointer, whose path is for messages only.
func (r *Repo) place(ctx context.Context, p Pointer, target place) (from string, size int64, err error) {
	switch found, err := r.digest(ctx, target); {
	case err == nil && found.matches(p):
		return "workspace", found.size, nil
	case err == nil && !r.cached(ctx, found):
		return "", 0, &Error{
			File: p.Path, Kind: ErrModified,
			Problem: fmt.Sprintf("has changes that DVC does not know: expected MD5 %s, found %s", p.MD5, found.md5),
			Remedy:  "record them by dvc add, or remove the file to get the recorded one back",
		}
	case leadsOut(err):
		return "", 0, &Error{File: p.Path, Problem: "has a link on its way that leads out of " + target.dir, Remedy: "put a folder or a file in the link's place", Kind: ErrPointer}
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return "", 0, fmt.Errorf("verify %s: %w", p.Path, err)
	}

	size, err = r.install(ctx, r.cache, p, target, 0o666)
	switch {
	case err == nil:
		return "cache", size, nil
	case ctx.Err() != nil:
		return "", 0, fmt.Errorf("pull %s: %w", p.Path, context.Cause(ctx))
	case !errors.Is(err, os.ErrNotExist):
		r.log.WarnContext(ctx, "cannot use the DVC cache, taking the remote's object", "error", err)
	}

	remote, err := r.remote(p.Remote)
	if err != nil {
		return "", 0, err
	}
	size, err = persist(ctx, r.pause, func() (int64, error) { return r.install(ctx, remote, p, target, 0o666) })
	switch {
	case errors.Is(err, ErrCorrupt), errors.Is(err, ErrPointer): // they name the file
		return "", 0, err
	case errors.Is(err, os.ErrNotExist):
		return "", 0, &Error{
			File: p.Path, Problem: fmt.Sprintf("MD5 %s is neither in the cache nor in %s", p.MD5, remote), Kind: ErrMissing,
			Remedy: "run dvc push on the machine that added it",
		}
	case err != nil:
		return "", 0, fmt.Errorf("pull %s: %w", p.Path, err)
	}
	r.addToCache(ctx, p, target)
	return "remote", size, nil
}

// cached tells whether the cache holds intact content with that digest.
func (r *Repo) cached(ctx context.Context, d digest) bool {
	f, err := r.cache.object(d.md5).open()
	found, err := digestFile(ctx, f, err, d.size)
	return err == nil && found == d
}

// addToCache leaves a read-only copy of a verified file where DVC looks for it;
// without it "dvc status" reports the file as not in the cache. The training
// does not need it, so that a failure is only told.
func (r *Repo) addToCache(ctx context.Context, p Pointer, file place) {
	if _, err := r.install(ctx, single(file), p, r.cacheObject(p.MD5), 0o444); err != nil {
		r.log.WarnContext(ctx, "cannot add the file to the DVC cache", "file", file.String(), "error", err)
	}
}

// cacheObject is where the cache keeps an object; a folder that the configuration
// names is made.
func (r *Repo) cacheObject(md5 string) place {
	if r.cache.below == "" {
		_ = os.MkdirAll(r.cache.dir, 0o777) //nolint:gosec // G301: as DVC makes it; what fails shows where the object is written
	}
	return r.cache.object(md5)
}

// single is a remote of one file.
type single place

func (s single) Open(context.Context, string) (io.ReadCloser, error) { return place(s).open() }

func (s single) String() string { return place(s).String() }
