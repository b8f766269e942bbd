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
	dvcDir  string
	config  *config
	cache   folder
	log     *slog.Logger
	limit   int64
	scratch string              // Options.Scratch
	getenv  func(string) string // Options.Getenv
	pause   time.Duration       // before a second try; it grows
	// writable tells whether files can be made in a folder; tests replace it.
	writable func(dir string) bool
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
	r := &Repo{root: root, dvcDir: filepath.Join(root, ".dvc"), log: opts.Logger, limit: opts.MaxBytes, scratch: scratch, getenv: opts.Getenv, pause: time.Second, writable: writable}
	if r.config, err = loadConfig(r.dvcDir, opts.Getenv); err != nil {
		return nil, err
	}
	r.cache = folder{name: "cache", dir: filepath.Join(r.dvcDir, "cache")}
	if dir := r.config.cache["dir"]; dir != "" {
		r.cache.dir = dir
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
			return "", &Error{File: dir, Problem: "there is no .dvc folder here or above", Remedy: "run dvc init, or remove the .dvc file to use the data as they are", Kind: ErrNoRepo}
		}
	}
}

// Root is the folder of the repository, absolute.
func (r *Repo) Root() string { return r.root }

// Pull puts the file that a pointer tracks in its place, verified: as it stands
// there already, from the cache, or from the remote. A file in place with other
// content is replaced only where the cache has that content, so that no work is
// lost. Whatever fails, the place holds either what it held or the whole right
// file.
func (r *Repo) Pull(ctx context.Context, pointer string) (Pulled, error) {
	p, err := ReadPointer(pointer)
	if err != nil {
		return Pulled{}, err
	}
	if p.Dir {
		return Pulled{}, &Error{File: pointer, Problem: "tracks a directory", Remedy: "name a file in it, such as " + filepath.Join(filepath.Dir(pointer), p.Path, "FILE.csv"), Kind: ErrPointer}
	}
	return r.pull(ctx, p, pointer)
}

// pull is Pull for one file; its path is relative to the pointer's folder.
func (r *Repo) pull(ctx context.Context, p Pointer, pointer string) (Pulled, error) {
	target, err := filepath.Abs(filepath.Join(filepath.Dir(pointer), filepath.FromSlash(p.Path)))
	if err != nil {
		return Pulled{}, fmt.Errorf("pull %s: %w", pointer, err)
	}
	tracked, err := filepath.Rel(r.root, target)
	if err != nil || !filepath.IsLocal(tracked) {
		return Pulled{}, &Error{File: pointer, Problem: "is not in the DVC repository " + r.root, Remedy: "name a .dvc file of this repository", Kind: ErrPointer}
	}
	p.Path = filepath.Join(filepath.Dir(pointer), filepath.FromSlash(p.Path)) // as the user would name it
	pulled := Pulled{Path: target, File: p.Path, Tracked: filepath.ToSlash(tracked), MD5: p.MD5, Remote: cmp.Or(p.Remote, r.config.core["remote"])}
	if r.misplaced(ctx, p, target) {
		r = r.inScratch()
		// Named by the digest, so that no other version stands in the way.
		p.Path = filepath.Join(r.scratch, p.MD5, filepath.Base(target))
		pulled.Path, pulled.File = p.Path, p.Path
	}
	pulled.From, pulled.Size, err = r.place(ctx, p, pulled.Path)
	if err != nil {
		return Pulled{}, err
	}
	return pulled, nil
}

// misplaced tells whether a file has to go to the scratch folder: it is missing in
// a place that cannot be written, or another recorded version stands there. What
// was changed by hand is left to the message of place.
func (r *Repo) misplaced(ctx context.Context, p Pointer, target string) bool {
	if r.scratch == "" || r.writable(filepath.Dir(target)) {
		return false
	}
	found, err := digestFile(ctx, target)
	return errors.Is(err, os.ErrNotExist) || err == nil && !found.matches(p) && r.cached(ctx, found)
}

// writable tries it: permissions, owners and read-only mounts all count.
func writable(dir string) bool {
	file, err := createBeside(filepath.Join(dir, "writable"), 0o600)
	if err != nil {
		return false
	}
	file.Discard()
	return true
}

// inScratch is the repository with its cache in the scratch folder: that of a
// repository that cannot be written is no use.
func (r *Repo) inScratch() *Repo {
	moved := *r
	moved.cache.dir = filepath.Join(r.scratch, "cache")
	return &moved
}

// place is Pull for a checked pointer, whose path is for messages only.
func (r *Repo) place(ctx context.Context, p Pointer, target string) (from string, size int64, err error) {
	switch found, err := digestFile(ctx, target); {
	case err == nil && found.matches(p):
		return "workspace", found.size, nil
	case err == nil && !r.cached(ctx, found):
		return "", 0, &Error{
			File: p.Path, Kind: ErrModified,
			Problem: fmt.Sprintf("has changes that DVC does not know: expected MD5 %s, found %s", p.MD5, found.md5),
			Remedy:  "record them by dvc add, or remove the file to get the recorded one back",
		}
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
	case errors.Is(err, ErrCorrupt):
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
	found, err := digestFile(ctx, r.cache.path(d.md5))
	return err == nil && found == d
}

// addToCache leaves a read-only copy of a verified file where DVC looks for it;
// without it "dvc status" reports the file as not in the cache. The training
// does not need it, so that a failure is only told.
func (r *Repo) addToCache(ctx context.Context, p Pointer, file string) {
	if _, err := r.install(ctx, single(file), p, r.cache.path(p.MD5), 0o444); err != nil {
		r.log.WarnContext(ctx, "cannot add the file to the DVC cache", "file", file, "error", err)
	}
}

// single is a remote of one file.
type single string

func (s single) Open(context.Context, string) (io.ReadCloser, error) { return os.Open(string(s)) }

func (s single) String() string { return string(s) }
