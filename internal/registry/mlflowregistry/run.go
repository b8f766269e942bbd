package mlflowregistry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/petal-ml/petal/internal/mlflow"
	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/internal/registry"
)

// A run is one run on the server. It remembers what it sent.
type run struct {
	store      *Store
	experiment string // ID
	id         string
	artifacts  string // URI
	spec       registry.RunSpec

	mu   sync.Mutex // one call at a time: the record follows what was sent
	sent registry.Record
}

// ID implements [registry.Run].
func (r *run) ID() string { return r.id }

// LogParams implements [registry.Run].
func (r *run) LogParams(ctx context.Context, params []registry.Param) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	values := make(map[string]string, len(params))
	for _, p := range params {
		value, cut := mlflow.CutParam(p.Value)
		if cut {
			r.store.log.WarnContext(ctx, "parameter cut to what MLflow keeps", "param", p.Key, "bytes", len(p.Value), "kept_bytes", len(value))
		}
		old, again := values[p.Key]
		if !again {
			old, again = r.sent.Params[p.Key]
		}
		if again && old != value {
			return r.wrap("log params", fmt.Errorf("%w: param %q is %.100q already and cannot become %.100q", registry.ErrInvalid, p.Key, old, value))
		}
		values[p.Key] = value
	}
	if err := r.store.client.LogParams(ctx, r.id, values); err != nil {
		return r.wrap("log params", err)
	}
	maps.Copy(r.sent.Params, values)
	return nil
}

// LogMetrics implements [registry.Run].
func (r *run) LogMetrics(ctx context.Context, metrics []registry.Metric) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	points := make([]mlflow.Metric, len(metrics))
	for i, m := range metrics {
		points[i] = mlflow.Metric{Key: m.Key, Value: m.Value, Step: m.Step, Time: m.Time, ModelID: m.Model}
		if m.Time.IsZero() {
			points[i].Time = now
		}
		if m.Dataset != nil {
			points[i].DatasetName, points[i].DatasetDigest = m.Dataset.Name, m.Dataset.Digest
		}
	}
	if err := r.store.client.LogMetrics(ctx, r.id, points); err != nil {
		return r.wrap("log metrics", err)
	}
	for _, p := range points {
		r.sent.Metrics[p.Key] = append(r.sent.Metrics[p.Key], registry.Point{Step: p.Step, Time: p.Time, Value: p.Value})
	}
	return nil
}

// LogDataset implements [registry.Run].
func (r *run) LogDataset(ctx context.Context, d registry.Dataset) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.store.client.LogDataset(ctx, r.id, mlflow.Dataset{
		Name: d.Name, Digest: d.Digest, Context: d.Context, Path: d.Path, Columns: d.Columns, Rows: d.Rows,
	})
	if err != nil {
		return r.wrap("log data set", err)
	}
	r.sent.Datasets = append(r.sent.Datasets, d)
	return nil
}

// SetTags implements [registry.Run].
func (r *run) SetTags(ctx context.Context, tags map[string]string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	tags = r.store.cutTags(ctx, tags)
	if err := r.store.client.LogTags(ctx, r.id, tags); err != nil {
		return r.wrap("set tags", err)
	}
	maps.Copy(r.sent.Tags, tags)
	return nil
}

// LogFile implements [registry.Run].
func (r *run) LogFile(ctx context.Context, name string, content []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.store.client.PutArtifact(ctx, r.artifacts, name, content); err != nil {
		return r.wrap("log file", err)
	}
	r.sent.Files[path.Clean(name)] = int64(len(content))
	return nil
}

// LogModel implements [registry.Run].
func (r *run) LogModel(ctx context.Context, m mlmodel.Dir) (registry.LoggedModel, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// Find out before the server is left with half a model.
	if _, err := m.Files(mlmodel.IDs{}); err != nil {
		return registry.LoggedModel{}, r.wrap("log model", registry.Invalid(err))
	}
	model, err := r.createModel(ctx, m)
	if err != nil {
		return registry.LoggedModel{}, r.wrap("log model", err)
	}
	if err := r.fillModel(ctx, m, model); err != nil {
		r.giveUpModel(ctx, model.ID)
		return registry.LoggedModel{}, r.wrap("log model", err)
	}
	r.sent.Models = append(r.sent.Models, model.ID)
	sum := sha256.Sum256(m.ONNX)
	return registry.LoggedModel{ID: model.ID, RunID: r.id, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(m.ONNX))}, nil
}

func (r *run) createModel(ctx context.Context, m mlmodel.Dir) (mlflow.LoggedModel, error) {
	params := make(map[string]string, len(m.Params))
	for key, value := range m.Params {
		params[key], _ = mlflow.CutParam(value) // the run's own params say so in the log
	}
	// MLflow's own client sets these on the model, too.
	tags := map[string]string{mlmodel.TagSourceType: "LOCAL"}
	if r.spec.User != "" {
		tags[mlmodel.TagUser] = r.spec.User
	}
	if r.spec.Source != "" {
		tags[mlmodel.TagSourceName] = r.spec.Source
	}
	maps.Copy(tags, m.Tags)
	return r.store.client.CreateLoggedModel(ctx, mlflow.NewLoggedModel{
		Experiment: r.experiment, RunID: r.id, Name: m.Name, Params: params, Tags: r.store.cutTags(ctx, tags),
	})
}

// fillModel uploads the model directory, looks whether it arrived, and ties the
// model to the run.
func (r *run) fillModel(ctx context.Context, m mlmodel.Dir, model mlflow.LoggedModel) error {
	files, err := m.Files(mlmodel.IDs{ModelID: model.ID, RunID: r.id, ArtifactPath: model.ArtifactURI})
	if err != nil {
		return err
	}
	sent := registry.NewRecord()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := r.store.client.PutArtifact(ctx, model.ArtifactURI, name, files[name]); err != nil {
			return err
		}
		sent.Files[name] = int64(len(files[name]))
	}
	found, err := r.store.sizes(ctx, model.ArtifactURI)
	if err != nil {
		return err
	}
	if err := sent.Missing(registry.Record{Files: found}); err != nil {
		return err
	}
	if err := r.store.client.EndLoggedModel(ctx, model.ID, mlflow.ModelReady); err != nil {
		return err
	}
	ready, err := r.store.client.GetLoggedModel(ctx, model.ID)
	if err != nil {
		return err
	}
	if ready.Status != mlflow.ModelReady {
		return fmt.Errorf("%w: logged model %s: sent status %s, found %s", registry.ErrUnavailable, model.ID, mlflow.ModelReady, ready.Status)
	}
	return r.store.client.LogOutput(ctx, r.id, model.ID)
}

// giveUpModel marks a model whose upload failed. It is tried even when the
// caller's context has ended.
func (r *run) giveUpModel(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := r.store.client.EndLoggedModel(ctx, id, mlflow.ModelFailed); err != nil {
		r.store.log.WarnContext(ctx, "cannot mark the logged model as failed", "model_id", id, "error", err)
	}
}

// Finish implements [registry.Run].
func (r *run) Finish(ctx context.Context, status registry.Status) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if status == registry.Finished {
		// The history of a metric is a call of its own: ask where it matters.
		found, _, err := r.store.readRun(ctx, r.id, func(key string) bool { return len(r.sent.Metrics[key]) > 1 })
		if err == nil {
			err = r.sent.Missing(found)
		}
		if err != nil {
			return r.wrap("read back", err)
		}
	}
	if err := r.store.client.UpdateRun(ctx, r.id, string(status), time.Now()); err != nil {
		return r.wrap("finish", err)
	}
	ended, err := r.store.client.GetRun(ctx, r.id)
	if err != nil {
		return r.wrap("read back", err)
	}
	if ended.Status != string(status) {
		return r.wrap("finish", fmt.Errorf("%w: sent status %s, found %s", registry.ErrUnavailable, status, ended.Status))
	}
	return nil
}

// readRun reads a run; of a metric the last point, or all where history says
// so.
func (s *Store) readRun(ctx context.Context, id string, history func(key string) bool) (registry.Record, registry.Status, error) {
	run, err := s.client.GetRun(ctx, id)
	if err != nil {
		return registry.Record{}, "", err
	}
	record := registry.NewRecord()
	record.Params, record.Tags, record.Models = run.Params, run.Tags, run.ModelIDs
	for _, d := range run.Datasets {
		record.Datasets = append(record.Datasets, registry.Dataset{
			Name: d.Name, Path: d.Path, Digest: d.Digest, Context: d.Context, Columns: d.Columns, Rows: d.Rows,
		})
	}
	for key, last := range run.Metrics {
		points := []mlflow.Metric{last}
		if history(key) {
			if points, err = s.client.MetricHistory(ctx, id, key); err != nil {
				return registry.Record{}, "", err
			}
		}
		for _, p := range points {
			record.Metrics[key] = append(record.Metrics[key], registry.Point{Step: p.Step, Time: p.Time, Value: p.Value})
		}
	}
	record.Files, err = s.sizes(ctx, run.ArtifactURI)
	return record, registry.Status(run.Status), err
}

func (s *Store) sizes(ctx context.Context, uri string) (map[string]int64, error) {
	files, err := s.client.ListArtifacts(ctx, uri)
	if err != nil {
		return nil, err
	}
	sizes := make(map[string]int64, len(files))
	for _, f := range files {
		sizes[f.Path] = f.Size
	}
	return sizes, nil
}

func (r *run) wrap(action string, err error) error {
	return fmt.Errorf("run %s: %s: %w", r.id, action, translate(err))
}
