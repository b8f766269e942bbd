// Package registry says what Petal needs of a model registry: versions of
// models under names, aliases that point at one version, and the runs that
// made them.
//
// Each package below this one is a backend, such as an MLflow server or a directory
// on disk (package open chooses one), and one conformance suite
// (tests/conformance/registrytest) tests all of them against the comments below. The
// trainer writes, the API reads, and neither ever speaks to the other.
package registry

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/petal-ml/petal/internal/mlmodel"
)

// Errors that callers tell apart with [errors.Is]. Backends wrap them with the
// name of what was asked for.
var (
	// ErrNotFound means that the model, version, alias or file does not exist.
	ErrNotFound = errors.New("not found")
	// ErrUnavailable means that the registry could not be reached or answered
	// with a fault of its own: the same call may succeed later.
	ErrUnavailable = errors.New("registry unavailable")
	// ErrInvalid means that the registry refused what was asked of it.
	ErrInvalid = errors.New("invalid")
	// ErrChanged means that an alias does not point where a [Move] expects it:
	// somebody else has moved it.
	ErrChanged = errors.New("was moved by another")
	// ErrLocked means that another process has the lock.
	ErrLocked = errors.New("another process has the lock")
)

// LatestAlias is the alias that no registry stores: it always means the version
// with the highest number.
const LatestAlias = "latest"

// Tags that Petal writes on every model version it registers.
const (
	// TagSHA256 is the SHA-256 of model.onnx in lower-case hex. MLflow keeps no
	// checksum of its own.
	TagSHA256 = "petal.model.sha256"
	// TagSize is the size of model.onnx in bytes, in decimal.
	TagSize = "petal.model.size"
	// TagFingerprint identifies data, parameters and training version: equal
	// fingerprints mean that there is nothing to train.
	TagFingerprint = "petal.fingerprint"
)

// ModelFile is the name of the ONNX file in a model directory.
const ModelFile = "model.onnx"

// A Version is one registered version of a model.
type Version struct {
	Name        string
	Number      string // as MLflow gives it: "1", "2", …
	RunID       string
	Source      string // where the backend keeps the files, in its own notation; the logged model's ID is a part of it
	Description string
	Created     time.Time
	Aliases     []string // filled by Get and Resolve, sorted
	Tags        map[string]string
}

// A File is one file of a version's model directory.
type File struct {
	Path string // slash-separated, relative to the model directory
	Size int64
}

// A Reader is the half of a registry that serving needs. All methods are safe
// for concurrent use.
type Reader interface {
	// Resolve returns the version that the alias points at; [LatestAlias] is
	// the highest number. A missing model or alias is [ErrNotFound].
	Resolve(ctx context.Context, name, alias string) (Version, error)
	// Get returns one version by its number.
	Get(ctx context.Context, name, number string) (Version, error)
	// Versions lists all versions of a model, oldest first. An unknown model
	// has none: no error.
	Versions(ctx context.Context, name string) ([]Version, error)
	// Files lists the files of a version's model directory, sorted by path. A
	// directory that holds nothing is [ErrNotFound].
	Files(ctx context.Context, v Version) ([]File, error)
	// Open streams one file of a version's model directory. The context bounds
	// the whole transfer; how much to read is up to the caller.
	Open(ctx context.Context, v Version, path string) (io.ReadCloser, error)
}

// A Registry is where training leaves its runs and models.
type Registry interface {
	Reader

	// StartRun opens a run in the configured experiment, which is made (or
	// restored) when it is not there.
	StartRun(ctx context.Context, spec RunSpec) (Run, error)
	// Register makes the next version of the named model from a logged one,
	// and reads it back.
	Register(ctx context.Context, r Registration) (Version, error)
	// SetTags sets tags of a version, leaving others as they are.
	SetTags(ctx context.Context, v Version, tags map[string]string) error
	// SetAlias points the alias at a version, wherever it pointed, and reads it
	// back.
	SetAlias(ctx context.Context, name, alias, number string) error
	// MoveAlias moves an alias from one version to another by compare-and-set,
	// and reads it back. Where it does not point at m.From, it stays:
	// [ErrChanged]. m.Alias is the last that is written: whoever is killed
	// before it leaves the alias whole.
	MoveAlias(ctx context.Context, m Move) error
	// Lock keeps others from training the model, as far as the backend sees
	// them, until unlock is called or the process dies. Where another has the
	// lock it fails at once: [ErrLocked].
	Lock(ctx context.Context, name string) (unlock func(), err error)
}

// A Move says where an alias points and where it is to point: numbers of
// versions, "" for none.
type Move struct {
	Name, Alias string
	From, To    string
	// Keep is another alias, which gets From in the same step; "" is none. Where
	// From is none it stays as it is.
	Keep string
}

// A Run records one training: parameters, metrics, data, files, models. All
// methods are safe for concurrent use. Keys of parameters, metrics and tags
// hold letters and digits of any script and _ - . : / and spaces; others are
// [ErrInvalid].
type Run interface {
	ID() string
	// Parameters are immutable: a second, different value is [ErrInvalid].
	LogParams(ctx context.Context, params []Param) error
	// LogMetrics appends points; NaN and infinities are kept as such.
	LogMetrics(ctx context.Context, metrics []Metric) error
	LogDataset(ctx context.Context, d Dataset) error
	SetTags(ctx context.Context, tags map[string]string) error
	// LogFile stores content under a slash-separated path of the run.
	LogFile(ctx context.Context, path string, content []byte) error
	// LogModel stores a model directory and returns the logged model.
	LogModel(ctx context.Context, m mlmodel.Dir) (LoggedModel, error)
	// Finish ends the run with the status given. For [Finished] everything logged,
	// of files the size, is read back and compared first: servers have answered 200
	// to what they dropped. What is missing is [ErrUnavailable]; see [Record.Missing].
	Finish(ctx context.Context, s Status) error
}

// A RunSpec names a run and says where it comes from.
type RunSpec struct {
	Name        string
	Description string
	ParentID    string // run ID of the parent run; empty for a run of its own
	User        string
	Source      string // the program, such as "trainer train"
	Commit      string // Git commit of the code, empty when unknown
	Tags        map[string]string
}

// A Param is one parameter; MLflow keeps all of them as text.
type Param struct{ Key, Value string }

// A Metric is one point of a metric's history.
type Metric struct {
	Key   string
	Value float64
	Step  int64
	Time  time.Time
	// Model and Dataset tie the point to a logged model and a data set when
	// they are set.
	Model   string
	Dataset *Dataset
}

// A Dataset describes the data that a run read.
type Dataset struct {
	Name    string
	Path    string // as the user named it
	Digest  string // the MD5 of the file in hex, DVC's own digest
	Context string // "training", "test", …
	Columns []mlmodel.Column
	Rows    int
}

// A LoggedModel is a model directory that a run has stored.
type LoggedModel struct {
	ID    string
	RunID string
	// SHA256 and Size are those of model.onnx. Register writes them as
	// [TagSHA256] and [TagSize].
	SHA256 string
	Size   int64
}

// A Registration asks for a new version.
type Registration struct {
	Name        string
	Model       LoggedModel
	Description string
	// About describes the model, for a registry that shows models: it is written
	// where there is nothing yet.
	About string
	Tags  map[string]string
}

// Status is how a run stands.
type Status string

// The ends of a run, in MLflow's spelling.
const (
	Finished Status = "FINISHED"
	Failed   Status = "FAILED"
	Killed   Status = "KILLED"
)
