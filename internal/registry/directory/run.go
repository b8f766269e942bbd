package directory

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/petal-ml/petal/internal/atomicfile"
	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/internal/registry"
)

// maxRun bounds run.json, in bytes.
const maxRun = 256 << 20

// statusRunning is the status of a run that has not ended; one whose process
// was killed keeps it.
const statusRunning = "RUNNING"

// runJSON is the content of run.json.
type runJSON struct {
	ID         string            `json:"run_id"`
	Name       string            `json:"name"`
	Experiment string            `json:"experiment"`
	Status     string            `json:"status"`
	Start      time.Time         `json:"start"`
	End        *time.Time        `json:"end,omitempty"`
	Params     map[string]string `json:"params"`
	Tags       map[string]string `json:"tags"`
	Metrics    []metricJSON      `json:"metrics"` // as they were logged
	Datasets   []datasetJSON     `json:"datasets"`
	Models     []string          `json:"models"`
}

type metricJSON struct {
	Key     string            `json:"key"`
	Value   mlmodel.JSONFloat `json:"value"`
	Step    int64             `json:"step"`
	Time    time.Time         `json:"time"`
	Model   string            `json:"model_id,omitempty"`
	Dataset string            `json:"dataset,omitempty"`
}

type datasetJSON struct {
	Name    string   `json:"name"`
	Path    string   `json:"path"`
	Digest  string   `json:"digest"`
	Context string   `json:"context"`
	Columns []string `json:"columns"`
	Rows    int      `json:"rows"`
}

// A run is one run and the only writer of its folder. Each call writes run.json
// anew: log points together where there are many.
type run struct {
	store *Store
	dir   string // relative to the registry's folder

	mu   sync.Mutex
	doc  runJSON
	sent registry.Record
}

// StartRun implements [registry.Registry].
func (s *Store) StartRun(ctx context.Context, spec registry.RunSpec) (registry.Run, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	tags := spec.MLflowTags()
	if err := checkKeys(tags); err != nil {
		return nil, err
	}
	id := newID()
	r := &run{
		store: s,
		dir:   filepath.Join(runsDir, id),
		sent:  registry.NewRecord(),
		doc: runJSON{
			ID: id, Name: spec.Name, Experiment: s.experiment, Status: statusRunning, Start: time.Now().UTC(),
			Params: map[string]string{}, Tags: maps.Clone(tags),
			Metrics: []metricJSON{}, Datasets: []datasetJSON{}, Models: []string{},
		},
	}
	r.sent.Tags = tags
	if err := s.makeDir(r.dir); err != nil {
		return nil, err
	}
	if err := atomicfile.SyncDir(filepath.Join(s.root, runsDir)); err != nil {
		return nil, s.unwritable(err)
	}
	if err := r.save(); err != nil {
		return nil, err
	}
	return r, nil
}

// ReadRun reads back what a run has logged, and its status.
func (s *Store) ReadRun(id string) (registry.Record, registry.Status, error) {
	if !runID.MatchString(id) {
		return registry.Record{}, "", fmt.Errorf("%w: run ID %q", registry.ErrInvalid, id)
	}
	dir := filepath.Join(s.root, runsDir, id)
	data, err := s.readFile(filepath.Join(runsDir, id, runFile), maxRun)
	if err != nil {
		return registry.Record{}, "", fmt.Errorf("read run %s: %w", id, err)
	}
	var doc runJSON
	if err := json.Unmarshal(data, &doc); err != nil {
		return registry.Record{}, "", fmt.Errorf("%w: %s is damaged: %w", registry.ErrUnavailable, filepath.Join(dir, runFile), err)
	}
	record := doc.record()
	if _, err := os.Stat(filepath.Join(dir, filesDir)); err == nil {
		files, err := listFiles(os.DirFS(filepath.Join(dir, filesDir)))
		if err != nil {
			return registry.Record{}, "", fmt.Errorf("%w: list the files of run %s: %w", registry.ErrUnavailable, id, err)
		}
		for _, f := range files {
			record.Files[f.Path] = f.Size
		}
	}
	return record, registry.Status(doc.Status), nil
}

var runID = regexp.MustCompile(`^[0-9a-f]{32}$`)

func (d runJSON) record() registry.Record {
	r := registry.NewRecord()
	maps.Copy(r.Params, d.Params)
	maps.Copy(r.Tags, d.Tags)
	for _, m := range d.Metrics {
		r.Metrics[m.Key] = append(r.Metrics[m.Key], registry.Point{Step: m.Step, Time: m.Time, Value: float64(m.Value)})
	}
	for _, d := range d.Datasets {
		r.Datasets = append(r.Datasets, registry.Dataset{
			Name: d.Name, Path: d.Path, Digest: d.Digest, Context: d.Context, Rows: d.Rows,
		})
	}
	r.Models = slices.Clone(d.Models)
	return r
}

// ID implements [registry.Run].
func (r *run) ID() string { return r.doc.ID }

// LogParams implements [registry.Run].
func (r *run) LogParams(ctx context.Context, params []registry.Param) error {
	for _, p := range params {
		if err := mlmodel.CheckKey(p.Key); err != nil {
			return registry.Invalid(err)
		}
	}
	return r.change(ctx, func(doc *runJSON, sent *registry.Record) error {
		for _, p := range params {
			if old, ok := doc.Params[p.Key]; ok && old != p.Value {
				return fmt.Errorf("%w: param %q is %.100q already and cannot become %.100q", registry.ErrInvalid, p.Key, old, p.Value)
			}
			doc.Params[p.Key], sent.Params[p.Key] = p.Value, p.Value
		}
		return nil
	})
}

// LogMetrics implements [registry.Run].
func (r *run) LogMetrics(ctx context.Context, metrics []registry.Metric) error {
	now := time.Now()
	for _, m := range metrics {
		if err := mlmodel.CheckKey(m.Key); err != nil {
			return registry.Invalid(err)
		}
	}
	return r.change(ctx, func(doc *runJSON, sent *registry.Record) error {
		for _, m := range metrics {
			at := m.Time
			if at.IsZero() {
				at = now
			}
			w := metricJSON{Key: m.Key, Value: mlmodel.JSONFloat(m.Value), Step: m.Step, Time: at.UTC(), Model: m.Model}
			if m.Dataset != nil {
				w.Dataset = m.Dataset.Digest
			}
			doc.Metrics = append(doc.Metrics, w)
			sent.Metrics[m.Key] = append(sent.Metrics[m.Key], registry.Point{Step: m.Step, Time: at, Value: m.Value})
		}
		return nil
	})
}

// LogDataset implements [registry.Run].
func (r *run) LogDataset(ctx context.Context, d registry.Dataset) error {
	if err := mlmodel.CheckDataset(d.Name, d.Digest); err != nil {
		return registry.Invalid(err)
	}
	return r.change(ctx, func(doc *runJSON, sent *registry.Record) error {
		w := datasetJSON{Name: d.Name, Path: d.Path, Digest: d.Digest, Context: d.Context, Rows: d.Rows, Columns: []string{}}
		for _, c := range d.Columns {
			w.Columns = append(w.Columns, c.Name)
		}
		doc.Datasets = append(doc.Datasets, w)
		sent.Datasets = append(sent.Datasets, d)
		return nil
	})
}

// SetTags implements [registry.Run].
func (r *run) SetTags(ctx context.Context, tags map[string]string) error {
	if err := checkKeys(tags); err != nil {
		return err
	}
	return r.change(ctx, func(doc *runJSON, sent *registry.Record) error {
		maps.Copy(doc.Tags, tags)
		maps.Copy(sent.Tags, tags)
		return nil
	})
}

// LogFile implements [registry.Run].
func (r *run) LogFile(ctx context.Context, path string, content []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := mlmodel.CheckPath(path); err != nil {
		return registry.Invalid(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	target := filepath.Join(r.dir, filesDir, filepath.FromSlash(path))
	if err := r.store.makeDir(filepath.Dir(target)); err != nil {
		return err
	}
	if err := r.store.write(target, content); err != nil {
		return err
	}
	r.sent.Files[filepath.ToSlash(filepath.Clean(path))] = int64(len(content))
	return nil
}

// LogModel implements [registry.Run].
func (r *run) LogModel(ctx context.Context, m mlmodel.Dir) (registry.LoggedModel, error) {
	if err := ctx.Err(); err != nil {
		return registry.LoggedModel{}, err
	}
	id := "m-" + newID()
	files, err := m.Files(mlmodel.IDs{ModelID: id, RunID: r.ID(), ArtifactPath: modelsDir + "/" + id})
	if err != nil {
		return registry.LoggedModel{}, registry.Invalid(err)
	}
	if err := r.store.writeModel(id, files); err != nil {
		return registry.LoggedModel{}, err
	}
	err = r.change(ctx, func(doc *runJSON, sent *registry.Record) error {
		doc.Models, sent.Models = append(doc.Models, id), append(sent.Models, id)
		return nil
	})
	if err != nil {
		return registry.LoggedModel{}, err
	}
	sum := sha256.Sum256(m.ONNX)
	return registry.LoggedModel{ID: id, RunID: r.ID(), SHA256: hex.EncodeToString(sum[:]), Size: int64(len(m.ONNX))}, nil
}

// Finish implements [registry.Run].
func (r *run) Finish(ctx context.Context, status registry.Status) error {
	if !slices.Contains([]registry.Status{registry.Finished, registry.Failed, registry.Killed}, status) {
		return fmt.Errorf("%w: run status %q", registry.ErrInvalid, status)
	}
	if status == registry.Finished {
		if err := r.verify(); err != nil {
			return fmt.Errorf("run %s: %w", r.ID(), err)
		}
	}
	return r.change(ctx, func(doc *runJSON, _ *registry.Record) error {
		now := time.Now().UTC()
		doc.Status, doc.End = string(status), &now
		return nil
	})
}

// verify reads back what was written: another program may have been at it.
func (r *run) verify() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	found, _, err := r.store.ReadRun(r.doc.ID)
	if err != nil {
		return err
	}
	return r.sent.Missing(found)
}

// change edits copies of the run's state, writes them, and keeps them only when
// that worked.
func (r *run) change(ctx context.Context, fn func(*runJSON, *registry.Record) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	doc, sent := r.doc, r.sent
	doc.Params, doc.Tags = maps.Clone(doc.Params), maps.Clone(doc.Tags)
	sent.Params, sent.Tags, sent.Metrics = maps.Clone(sent.Params), maps.Clone(sent.Tags), maps.Clone(sent.Metrics)
	if err := fn(&doc, &sent); err != nil {
		return err
	}
	oldDoc, oldSent := r.doc, r.sent
	r.doc, r.sent = doc, sent
	if err := r.save(); err != nil {
		r.doc, r.sent = oldDoc, oldSent
		return err
	}
	return nil
}

func (r *run) save() error {
	data, err := json.MarshalIndent(r.doc, "", "  ")
	if err != nil {
		return fmt.Errorf("encode run %s: %w", r.doc.ID, err)
	}
	return r.store.write(filepath.Join(r.dir, runFile), append(data, '\n'))
}

func checkKeys(tags map[string]string) error {
	var err error
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		err = cmp.Or(err, mlmodel.CheckKey(key))
	}
	return registry.Invalid(err)
}
