// Package mlflowregistry is the registry that an MLflow server keeps.
package mlflowregistry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/petal-ml/petal/internal/atomicfile"
	"github.com/petal-ml/petal/internal/mlflow"
	"github.com/petal-ml/petal/internal/registry"
)

// Options say which server and which experiment.
type Options struct {
	Client mlflow.Options
	// Experiment is where runs go.
	Experiment string
	// ArtifactLocation is where a new experiment keeps its files: a URI such
	// as s3://bucket/path or mlflow-artifacts:/path. A local path means
	// nothing to a server and is left out.
	ArtifactLocation string
	// LockDir is where the processes of this machine that write to the registry
	// keep their locks; it is made when needed. Empty is for those who only read.
	LockDir string
	Logger  *slog.Logger
}

// A Store is the registry of one MLflow server.
type Store struct {
	client     *mlflow.Client
	experiment string
	location   string
	lockDir    string
	log        *slog.Logger
}

var _ registry.Registry = (*Store)(nil)

// Open checks the options. It does not call the server.
func Open(o Options) (*Store, error) {
	s := &Store{experiment: o.Experiment, location: o.ArtifactLocation, lockDir: o.LockDir, log: o.Logger}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if o.Client.Logger == nil {
		o.Client.Logger = s.log
	}
	var err error
	if s.client, err = mlflow.NewClient(o.Client); err != nil {
		return nil, registry.Invalid(err)
	}
	if s.location != "" && !isRemote(s.location) {
		s.log.Info("the server chooses where files go: the local artifact_location is left out",
			"artifact_location", s.location, "server", s.client.Server())
		s.location = ""
	}
	return s, nil
}

// isRemote tells s3://… and mlflow-artifacts:/… from a path or file:/….
func isRemote(location string) bool {
	u, err := url.Parse(location)
	return err == nil && len(u.Scheme) > 1 && u.Scheme != "file"
}

// Resolve implements [registry.Reader].
func (s *Store) Resolve(ctx context.Context, name, alias string) (registry.Version, error) {
	if alias != registry.LatestAlias {
		v, err := s.client.VersionByAlias(ctx, name, alias)
		return s.version(v, err)
	}
	versions, err := s.client.Versions(ctx, name, 1)
	if err != nil {
		return registry.Version{}, translate(err)
	}
	if len(versions) == 0 {
		return registry.Version{}, fmt.Errorf("versions of model %q on %s: %w", name, s.client.Server(), registry.ErrNotFound)
	}
	// A search tells no aliases.
	return s.Get(ctx, name, versions[0].Number)
}

// Get implements [registry.Reader].
func (s *Store) Get(ctx context.Context, name, number string) (registry.Version, error) {
	v, err := s.client.GetVersion(ctx, name, number)
	return s.version(v, err)
}

func (s *Store) version(v mlflow.Version, err error) (registry.Version, error) {
	if err != nil {
		return registry.Version{}, translate(err)
	}
	slices.Sort(v.Aliases)
	return registry.Version{
		Name: v.Name, Number: v.Number, RunID: v.RunID, Source: v.Source, Description: v.Description,
		Created: v.Created, Aliases: v.Aliases, Tags: v.Tags,
	}, nil
}

// Versions implements [registry.Reader].
func (s *Store) Versions(ctx context.Context, name string) ([]registry.Version, error) {
	found, err := s.client.Versions(ctx, name, 0)
	if err != nil {
		return nil, translate(err)
	}
	slices.Reverse(found)
	versions := make([]registry.Version, len(found))
	for i, v := range found {
		if versions[i], err = s.version(v, nil); err != nil {
			return nil, err
		}
	}
	return versions, nil
}

// Files implements [registry.Reader].
func (s *Store) Files(ctx context.Context, v registry.Version) ([]registry.File, error) {
	files, err := s.files(ctx, v)
	if err != nil {
		return nil, translate(err)
	}
	if len(files) == 0 {
		// The server lists a directory that is not there as an empty one.
		return nil, fmt.Errorf("files of version %s of model %q on %s: %w", v.Number, v.Name, s.client.Server(), registry.ErrNotFound)
	}
	list := make([]registry.File, len(files))
	for i, f := range files {
		list[i] = registry.File(f)
	}
	return list, nil
}

func (s *Store) files(ctx context.Context, v registry.Version) ([]mlflow.Artifact, error) {
	uri, err := s.locate(ctx, v)
	if err != nil {
		return nil, err
	}
	switch id := mlflow.LoggedModelID(v.Source); {
	case mlflow.Proxied(uri):
		return s.client.ListArtifacts(ctx, uri)
	case id != "":
		return s.client.ListModelArtifacts(ctx, id)
	case v.RunID != "":
		run, err := s.client.GetRun(ctx, v.RunID)
		if err != nil {
			return nil, err
		}
		if dir, ok := strings.CutPrefix(uri, strings.TrimRight(run.ArtifactURI, "/")+"/"); ok {
			return s.client.ListRunArtifacts(ctx, v.RunID, dir)
		}
	}
	return s.client.ListArtifacts(ctx, uri) // says why it cannot
}

// Open implements [registry.Reader].
func (s *Store) Open(ctx context.Context, v registry.Version, name string) (io.ReadCloser, error) {
	uri, err := s.locate(ctx, v)
	if err != nil {
		return nil, translate(err)
	}
	var body io.ReadCloser
	if mlflow.Proxied(uri) {
		body, _, err = s.client.OpenArtifact(ctx, uri, name)
	} else {
		body, _, err = s.client.OpenVersionArtifact(ctx, v.Name, v.Number, name)
	}
	if err != nil {
		return nil, translate(err)
	}
	return body, nil
}

// locate returns the URI of a version's model directory. The server gives back
// a runs:/ source as it was registered.
func (s *Store) locate(ctx context.Context, v registry.Version) (string, error) {
	uri, err := s.client.DownloadURI(ctx, v.Name, v.Number)
	if err != nil {
		return "", err
	}
	rest, ok := strings.CutPrefix(uri, "runs:/")
	if !ok {
		return uri, nil
	}
	id, dir, _ := strings.Cut(strings.TrimLeft(rest, "/"), "/")
	run, err := s.client.GetRun(ctx, id)
	if err != nil {
		return "", err
	}
	return strings.TrimRight(run.ArtifactURI, "/") + "/" + dir, nil
}

// Register implements [registry.Registry].
func (s *Store) Register(ctx context.Context, r registry.Registration) (registry.Version, error) {
	v, err := s.register(ctx, r)
	if err != nil {
		return registry.Version{}, fmt.Errorf("register %q: %w", r.Name, translate(err))
	}
	return v, nil
}

func (s *Store) register(ctx context.Context, r registry.Registration) (registry.Version, error) {
	// The server takes any run ID, and answers 500 to an unknown model.
	model, err := s.client.GetLoggedModel(ctx, r.Model.ID)
	if err != nil {
		return registry.Version{}, err
	}
	if model.RunID != r.Model.RunID {
		return registry.Version{}, fmt.Errorf("%w: logged model %s belongs to run %q, not %q", registry.ErrInvalid, model.ID, model.RunID, r.Model.RunID)
	}
	if err := s.client.CreateRegisteredModel(ctx, r.Name, r.About); err != nil {
		return registry.Version{}, err
	}
	tags := r.AllTags()
	made, err := s.client.CreateVersion(ctx, mlflow.NewVersion{
		Name: r.Name, ModelID: r.Model.ID, RunID: r.Model.RunID, Description: r.Description, Tags: tags,
	})
	if err != nil {
		return registry.Version{}, err
	}
	found, err := s.client.GetVersion(ctx, r.Name, made.Number)
	if err != nil {
		return registry.Version{}, err
	}
	if found.Status != "READY" {
		return registry.Version{}, fmt.Errorf("%w: version %s is %s", registry.ErrUnavailable, found.Number, found.Status)
	}
	sent := registry.Record{Tags: withFields(tags, r.Description, r.Model.RunID)}
	if err := sent.Missing(registry.Record{Tags: withFields(found.Tags, found.Description, found.RunID)}); err != nil {
		return registry.Version{}, fmt.Errorf("version %s: %w", found.Number, err)
	}
	return s.version(found, nil)
}

// withFields puts a version's fields beside its tags, to be compared as one.
func withFields(tags map[string]string, description, runID string) map[string]string {
	all := map[string]string{"(description)": description, "(run_id)": runID}
	for key, value := range tags {
		all[key] = value
	}
	return all
}

// SetTags implements [registry.Registry].
func (s *Store) SetTags(ctx context.Context, v registry.Version, tags map[string]string) error {
	for key, value := range tags {
		if err := s.client.SetVersionTag(ctx, v.Name, v.Number, key, value); err != nil {
			return translate(err)
		}
	}
	found, err := s.client.GetVersion(ctx, v.Name, v.Number)
	if err != nil {
		return translate(err)
	}
	if err := (registry.Record{Tags: tags}).Missing(registry.Record{Tags: found.Tags}); err != nil {
		return fmt.Errorf("version %s of model %q: %w", v.Number, v.Name, err)
	}
	return nil
}

// SetAlias implements [registry.Registry].
func (s *Store) SetAlias(ctx context.Context, name, alias, number string) error {
	if err := s.client.SetAlias(ctx, name, alias, number); err != nil {
		return translate(err)
	}
	v, err := s.client.VersionByAlias(ctx, name, alias)
	if err != nil {
		return fmt.Errorf("read back alias %q of model %q: %w", alias, name, translate(err))
	}
	if v.Number != number { // somebody else moved it meanwhile
		return fmt.Errorf("%w: alias %q of model %q was set to version %s and points at %s", registry.ErrUnavailable, alias, name, number, v.Number)
	}
	return nil
}

// MoveAlias implements [registry.Registry]. MLflow has no compare-and-set. Those
// who move aliases on this machine take turns. Against others the alias is read
// directly before it is moved, and again afterwards: what moves it between one
// call and the next is not seen.
func (s *Store) MoveAlias(ctx context.Context, m registry.Move) error {
	if err := m.Check(); err != nil {
		return err
	}
	unlock, err := s.lock(ctx, aliasLock, aliasLockWait)
	if err != nil {
		return fmt.Errorf("%w: %w", registry.ErrUnavailable, err)
	}
	defer unlock()
	if err := s.expect(ctx, m, m.From); err != nil {
		return err
	}
	if m.Keep != "" && m.From != "" {
		if err := s.client.SetAlias(ctx, m.Name, m.Keep, m.From); err != nil {
			return translate(err)
		}
		v, err := s.Get(ctx, m.Name, m.From) // shows both aliases
		if err != nil {
			return err
		}
		if !slices.Contains(v.Aliases, m.Alias) || !slices.Contains(v.Aliases, m.Keep) {
			return cmp.Or(s.expect(ctx, m, m.From),
				fmt.Errorf("alias %q of model %q %w: it was set to version %s", m.Keep, m.Name, registry.ErrChanged, m.From))
		}
	}
	if m.To == "" {
		err = s.client.DeleteAlias(ctx, m.Name, m.Alias)
	} else {
		err = s.client.SetAlias(ctx, m.Name, m.Alias, m.To)
	}
	if err != nil {
		return translate(err)
	}
	return s.expect(ctx, m, m.To)
}

// expect makes sure that the alias of a move points at a version, "" for none.
func (s *Store) expect(ctx context.Context, m registry.Move, number string) error {
	v, err := s.Resolve(ctx, m.Name, m.Alias)
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		return err
	}
	if v.Number != number {
		return m.Changed(v.Number)
	}
	return nil
}

const (
	// aliasLock is held while an alias moves, aliasLockWait at most: that is a
	// few calls.
	aliasLock     = "aliases.lock"
	aliasLockWait = 30 * time.Second
)

// Lock implements [registry.Registry]: the processes of this machine see it that
// have the same LockDir. One that cannot be written keeps nobody from training.
func (s *Store) Lock(ctx context.Context, name string) (unlock func(), err error) {
	unlock, err = s.lock(ctx, registry.LockName(name), 0)
	switch {
	case errors.Is(err, atomicfile.ErrLocked):
		return nil, fmt.Errorf("%w: %w", registry.ErrLocked, err)
	case err != nil && ctx.Err() == nil:
		s.log.WarnContext(ctx, "a second training at the same time cannot be told", "error", err)
		return func() {}, nil
	}
	return unlock, err
}

func (s *Store) lock(ctx context.Context, name string, wait time.Duration) (unlock func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.lockDir == "" {
		return func() {}, nil
	}
	if err := os.MkdirAll(s.lockDir, 0o700); err != nil {
		return nil, err
	}
	return atomicfile.Lock(ctx, filepath.Join(s.lockDir, name), wait)
}

// StartRun implements [registry.Registry].
func (s *Store) StartRun(ctx context.Context, spec registry.RunSpec) (registry.Run, error) {
	r, err := s.startRun(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("start run %q: %w", spec.Name, translate(err))
	}
	return r, nil
}

func (s *Store) startRun(ctx context.Context, spec registry.RunSpec) (*run, error) {
	if err := s.checkVersion(ctx); err != nil {
		return nil, err
	}
	tags := s.cutTags(ctx, spec.MLflowTags())
	experiment, err := s.client.Experiment(ctx, s.experiment, s.location)
	if err != nil {
		return nil, err
	}
	made, err := s.client.CreateRun(ctx, mlflow.NewRun{
		Experiment: experiment, Name: spec.Name, User: spec.User, Start: time.Now(), Tags: tags,
	})
	if err != nil {
		return nil, err
	}
	if !mlflow.Proxied(made.ArtifactURI) {
		if err := s.client.UpdateRun(ctx, made.ID, mlflow.RunFailed, time.Now()); err != nil {
			s.log.WarnContext(ctx, "cannot mark the run as failed", "run_id", made.ID, "error", err)
		}
		return nil, fmt.Errorf("%w: experiment %q keeps its files at %s, which is not reached through the server: "+
			"use an experiment whose artifact_location is mlflow-artifacts:/…, on a server with --serve-artifacts",
			registry.ErrInvalid, s.experiment, made.ArtifactURI)
	}
	r := &run{
		store: s, experiment: experiment, id: made.ID, artifacts: made.ArtifactURI, spec: spec,
		sent: registry.NewRecord(),
	}
	r.sent.Tags = tags
	return r, nil
}

// checkVersion refuses a server that has no logged models. A proxy may hide what
// the server is: then the calls themselves show it.
func (s *Store) checkVersion(ctx context.Context) error {
	version, err := s.client.Version(ctx)
	major, _, _ := strings.Cut(version, ".")
	var e *mlflow.Error
	switch number, _ := strconv.Atoi(major); {
	case errors.As(err, &e) && e.Status == 0: // there was no answer at all
		return err
	case number > 0 && number < 3:
		return fmt.Errorf("%w: training needs MLflow 3, the server at %s runs %s: update it", registry.ErrInvalid, s.client.Server(), version)
	}
	return nil
}

// cutTags shortens values that MLflow would cut in silence.
func (s *Store) cutTags(ctx context.Context, tags map[string]string) map[string]string {
	kept := make(map[string]string, len(tags))
	for key, value := range tags {
		short, cut := mlflow.CutTag(value)
		if cut {
			s.log.WarnContext(ctx, "tag cut to what MLflow keeps", "tag", key, "bytes", len(value), "kept_bytes", len(short))
		}
		kept[key] = short
	}
	return kept
}

// translate marks an error of package mlflow as one of the registry's own.
// Others pass as they are.
func translate(err error) error {
	var e *mlflow.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Kind {
	case mlflow.NotFound:
		return fmt.Errorf("%w: %w", registry.ErrNotFound, err)
	case mlflow.Unavailable:
		return fmt.Errorf("%w: %w; see that the server that MLFLOW_TRACKING_URI names is up, and look into its log", registry.ErrUnavailable, err)
	default:
		return registry.Invalid(err)
	}
}
