// Package directory is the registry that needs no server: a folder with
// ordinary MLflow model directories, an index of their versions and aliases,
// and the runs that made them, all readable with a text editor.
//
//	mlruns/
//	  index.json            versions and aliases of all models
//	  index.lock            held while the index changes
//	  train-<id>.lock       held while a model is trained
//	  models/m-<id>/        MLmodel, model.onnx, …: loadable by MLflow's pyfunc
//	  runs/<id>/run.json    parameters, metrics, tags, data sets of a run
//	  runs/<id>/files/      its files
//
// Every file appears whole or not at all, so that a writer may be killed at
// any moment. Writers of the index take turns by a lock that the system lets
// go of when its holder dies; readers need none.
package directory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/petal-ml/petal/internal/atomicfile"
	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/internal/registry"
	"github.com/petal-ml/petal/internal/regularfile"
)

const (
	modelsDir = "models"
	runsDir   = "runs"
	filesDir  = "files"
	runFile   = "run.json"

	// lockWait bounds the wait for another writer of the index, who holds the
	// lock for milliseconds.
	lockWait = 30 * time.Second
	// leftoverAge is when what a killed writer left behind is swept away.
	leftoverAge = 24 * time.Hour
)

// Options say where the registry is.
type Options struct {
	// Root is the folder; it is made by the first write.
	Root string
	// Experiment is noted with each run.
	Experiment string
	Logger     *slog.Logger
}

// A Store is the registry in one folder. Several of them, in several
// processes, may use the folder at once.
type Store struct {
	root       string
	experiment string
	log        *slog.Logger
}

var _ registry.Registry = (*Store)(nil)

// Open returns the registry in a folder. It neither reads nor makes the folder:
// a registry that nobody has written to yet is an empty one.
func Open(o Options) (*Store, error) {
	if o.Root == "" {
		return nil, fmt.Errorf("%w: the registry's folder is not named: set artifact_location in mlflow.yaml", registry.ErrInvalid)
	}
	root, err := filepath.Abs(o.Root)
	if err != nil {
		return nil, fmt.Errorf("registry folder %q: %w", o.Root, err)
	}
	s := &Store{root: root, experiment: o.Experiment, log: o.Logger}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s, nil
}

// Root is the absolute path of the registry's folder.
func (s *Store) Root() string { return s.root }

// Resolve implements [registry.Reader].
func (s *Store) Resolve(ctx context.Context, name, alias string) (registry.Version, error) {
	ix, m, err := s.model(ctx, name)
	if err != nil {
		return registry.Version{}, err
	}
	number, ok := m.Aliases[alias]
	if alias == registry.LatestAlias && len(m.Versions) > 0 {
		number, ok = m.Versions[len(m.Versions)-1].Number, true
	}
	if !ok {
		return registry.Version{}, fmt.Errorf("alias %q of model %q in %s: %w", alias, name, s.root, registry.ErrNotFound)
	}
	return ix.version(name, number)
}

// Get implements [registry.Reader].
func (s *Store) Get(ctx context.Context, name, number string) (registry.Version, error) {
	n, err := parseNumber(number)
	if err != nil {
		return registry.Version{}, err
	}
	ix, _, err := s.model(ctx, name)
	if err != nil {
		return registry.Version{}, err
	}
	return ix.version(name, n)
}

// Versions implements [registry.Reader].
func (s *Store) Versions(ctx context.Context, name string) ([]registry.Version, error) {
	ix, m, err := s.model(ctx, name)
	if errors.Is(err, registry.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	versions := make([]registry.Version, len(m.Versions))
	for i, v := range m.Versions {
		if versions[i], err = ix.version(name, v.Number); err != nil {
			return nil, err
		}
	}
	return versions, nil
}

// model reads the index and returns it with one model's part.
func (s *Store) model(ctx context.Context, name string) (*index, *indexModel, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if err := mlmodel.CheckModelName(name); err != nil {
		return nil, nil, registry.Invalid(err)
	}
	ix, err := s.readIndex()
	if err != nil {
		return nil, nil, err
	}
	m, ok := ix.Models[name]
	if !ok {
		return nil, nil, fmt.Errorf("model %q in %s: %w", name, s.root, registry.ErrNotFound)
	}
	return ix, m, nil
}

// Files implements [registry.Reader].
func (s *Store) Files(ctx context.Context, v registry.Version) ([]registry.File, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	root, err := s.openModel(v)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	files, err := listFiles(root.FS())
	if err != nil {
		return nil, fmt.Errorf("%w: list %s: %w", registry.ErrUnavailable, root.Name(), err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("files of %s: %w", root.Name(), registry.ErrNotFound)
	}
	return files, nil
}

// Open implements [registry.Reader].
func (s *Store) Open(ctx context.Context, v registry.Version, path string) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := mlmodel.CheckPath(path); err != nil {
		return nil, registry.Invalid(err)
	}
	root, err := s.openModel(v)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	f, err := openFile(root, path)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// openFile opens a regular file of the registry.
func openFile(root *os.Root, path string) (*os.File, error) {
	f, err := regularfile.OpenIn(root, path)
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, regularfile.ErrNotRegular):
		return nil, fmt.Errorf("%w: %s is not a file", registry.ErrInvalid, filepath.Join(root.Name(), path))
	}
	return nil, openError(root, path, err)
}

// readFile reads one of the registry's own files. A file that is larger than
// any writer leaves is refused before it fills the memory.
func (s *Store) readFile(path string, limit int64) ([]byte, error) {
	root, err := os.OpenRoot(s.root)
	if err != nil {
		return nil, readError("open the registry's folder", err)
	}
	defer func() { _ = root.Close() }()
	f, err := openFile(root, filepath.ToSlash(path))
	if err != nil {
		return nil, err
	}
	data, err := regularfile.ReadAll(f, limit)
	if errors.Is(err, regularfile.ErrTooLarge) {
		return nil, fmt.Errorf("%w: %s is larger than %d bytes", registry.ErrInvalid, f.Name(), limit)
	}
	if err != nil {
		return nil, readError("read "+f.Name(), err)
	}
	return data, nil
}

// openError tells a link that leads out of the folder, which no waiting mends,
// from a folder that cannot be read.
func openError(root *os.Root, path string, err error) error {
	full := filepath.Join(root.Name(), filepath.FromSlash(path))
	_, inside := root.Stat(filepath.FromSlash(path))
	if _, anywhere := os.Stat(full); inside != nil && anywhere == nil { //nolint:gosec // G703: nothing is read
		return fmt.Errorf("%w: %s is a symbolic link out of its folder; put the file itself there", registry.ErrInvalid, full)
	}
	return readError("open "+full, err)
}

// modelSource is the notation of [registry.Version.Source] in this backend.
var modelSource = regexp.MustCompile(`^` + modelsDir + `/(m-[0-9a-f]{32})$`)

func (s *Store) openModel(v registry.Version) (*os.Root, error) {
	if !modelSource.MatchString(v.Source) {
		return nil, fmt.Errorf("%w: source %q of model %q is not of a directory registry", registry.ErrInvalid, v.Source, v.Name)
	}
	root, err := os.OpenRoot(filepath.Join(s.root, filepath.FromSlash(v.Source)))
	if err != nil {
		return nil, readError(fmt.Sprintf("open version %s of model %q", v.Number, v.Name), err)
	}
	return root, nil
}

// Register implements [registry.Registry].
func (s *Store) Register(ctx context.Context, r registry.Registration) (registry.Version, error) {
	if err := cmp.Or(ctx.Err(), checkRegistration(r)); err != nil {
		return registry.Version{}, err
	}
	if !s.hasModel(r.Model.ID) {
		return registry.Version{}, fmt.Errorf("register %q: logged model %q in %s: %w", r.Name, r.Model.ID, s.root, registry.ErrNotFound)
	}
	var made registry.Version
	err := s.change(ctx, func(ix *index) error {
		m := ix.Models[r.Name]
		if m == nil {
			m = &indexModel{Aliases: map[string]int{}}
			ix.Models[r.Name] = m
		}
		number := 1
		if len(m.Versions) > 0 {
			number = m.Versions[len(m.Versions)-1].Number + 1
		}
		m.Versions = append(m.Versions, &indexVersion{
			Number: number, Model: r.Model.ID, Run: r.Model.RunID, Description: r.Description,
			Created: time.Now().UTC(), Tags: r.AllTags(),
		})
		var err error
		made, err = ix.version(r.Name, number)
		return err
	})
	if err != nil {
		return registry.Version{}, fmt.Errorf("register %q: %w", r.Name, err)
	}
	return made, nil
}

func (s *Store) hasModel(id string) bool {
	if !modelSource.MatchString(modelsDir + "/" + id) {
		return false
	}
	_, err := os.Stat(filepath.Join(s.root, modelsDir, id, mlmodel.ModelFile)) //nolint:gosec // the ID is checked
	return err == nil
}

func checkRegistration(r registry.Registration) error {
	err := mlmodel.CheckModelName(r.Name)
	for key := range r.Tags {
		err = cmp.Or(err, mlmodel.CheckKey(key))
	}
	return registry.Invalid(err)
}

// SetTags implements [registry.Registry].
func (s *Store) SetTags(ctx context.Context, v registry.Version, tags map[string]string) error {
	number, err := parseNumber(v.Number)
	if err != nil {
		return err
	}
	for key := range tags {
		if err := mlmodel.CheckKey(key); err != nil {
			return registry.Invalid(err)
		}
	}
	return s.change(ctx, func(ix *index) error {
		found, err := ix.find(v.Name, number)
		if err != nil {
			return err
		}
		for key, value := range tags {
			found.Tags[key] = value
		}
		return nil
	})
}

// SetAlias implements [registry.Registry].
func (s *Store) SetAlias(ctx context.Context, name, alias, number string) error {
	if err := cmp.Or(mlmodel.CheckModelName(name), mlmodel.CheckAlias(alias)); err != nil {
		return registry.Invalid(err)
	}
	n, err := parseNumber(number)
	if err != nil {
		return err
	}
	return s.change(ctx, func(ix *index) error {
		if _, err := ix.find(name, n); err != nil {
			return err
		}
		ix.Models[name].Aliases[alias] = n
		return nil
	})
}

// MoveAlias implements [registry.Registry]. All of it happens under the lock of
// the index, in one write.
func (s *Store) MoveAlias(ctx context.Context, m registry.Move) error {
	from, fromErr := parseNone(m.From)
	to, toErr := parseNone(m.To)
	if err := cmp.Or(m.Check(), fromErr, toErr); err != nil {
		return err
	}
	return s.change(ctx, func(ix *index) error {
		model, ok := ix.Models[m.Name]
		if !ok {
			return fmt.Errorf("model %q in %s: %w", m.Name, s.root, registry.ErrNotFound)
		}
		if at := model.Aliases[m.Alias]; at != from {
			return m.Changed(showNone(at))
		}
		if to == 0 {
			delete(model.Aliases, m.Alias)
			return nil
		}
		if _, err := ix.find(m.Name, to); err != nil {
			return err
		}
		if m.Keep != "" && from != 0 {
			model.Aliases[m.Keep] = from
		}
		model.Aliases[m.Alias] = to
		return nil
	})
}

// Lock implements [registry.Registry]: all who use the folder see it.
func (s *Store) Lock(ctx context.Context, name string) (unlock func(), err error) {
	if err := cmp.Or(ctx.Err(), s.makeDir("")); err != nil {
		return nil, err
	}
	unlock, err = atomicfile.Lock(ctx, filepath.Join(s.root, registry.LockName(name)), 0)
	switch {
	case err == nil:
		return unlock, nil
	case errors.Is(err, atomicfile.ErrLocked):
		return nil, fmt.Errorf("%w: %w", registry.ErrLocked, err)
	default:
		return nil, s.unwritable(err)
	}
}

// listFiles lists the regular files below a root, sorted by path.
func listFiles(root fs.FS) ([]registry.File, error) {
	var files []registry.File
	err := fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || atomicfile.IsTemporary(entry.Name()) {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		files = append(files, registry.File{Path: path, Size: info.Size()})
		return nil
	})
	slices.SortFunc(files, func(a, b registry.File) int { return strings.Compare(a.Path, b.Path) })
	return files, err
}

func parseNumber(number string) (int, error) {
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || strconv.Itoa(n) != number {
		return 0, fmt.Errorf("%w: version %q is no number", registry.ErrInvalid, number)
	}
	return n, nil
}

// parseNone is parseNumber, with 0 for no version.
func parseNone(number string) (int, error) {
	if number == "" {
		return 0, nil
	}
	return parseNumber(number)
}

func showNone(number int) string {
	if number == 0 {
		return ""
	}
	return strconv.Itoa(number)
}

// readError tells what is not there from what cannot be read.
func readError(action string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", action, registry.ErrNotFound)
	}
	return fmt.Errorf("%w: %s: %w", registry.ErrUnavailable, action, err)
}
