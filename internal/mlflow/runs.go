package mlflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/petal-ml/petal/internal/mlmodel"
)

// Run statuses in MLflow's spelling. The server answers 200 to any other and
// leaves the status as it was.
const (
	RunFinished = "FINISHED"
	RunFailed   = "FAILED"
	RunKilled   = "KILLED"
)

// A Run is a run as the server knows it.
type Run struct {
	ID          string
	Name        string
	Experiment  string // ID
	Status      string
	ArtifactURI string
	Start, End  time.Time
	Params      map[string]string
	Tags        map[string]string
	// Metrics holds the last point of each metric; see [Client.MetricHistory].
	Metrics  map[string]Metric
	Datasets []Dataset
	ModelIDs []string // the logged models that came out of it
}

// A Metric is one point.
type Metric struct {
	Key   string
	Value float64
	Step  int64
	Time  time.Time // the server keeps milliseconds
	// ModelID and the data set's name and digest are not read back.
	ModelID, DatasetName, DatasetDigest string
}

// A Dataset is an input of a run.
type Dataset struct {
	Name, Digest, Context string
	Path                  string
	Columns               []mlmodel.Column
	Rows                  int
}

// NewRun says what a run begins with.
type NewRun struct {
	Experiment string // ID
	Name, User string
	Start      time.Time
	Tags       map[string]string
}

// Experiment returns the ID of the named experiment. It is made when it is not
// there, and restored when it was deleted. The location is where the files of
// a new one go; empty leaves that to the server.
func (c *Client) Experiment(ctx context.Context, name, location string) (string, error) {
	if strings.TrimSpace(name) == "" {
		return "", invalidf("the experiment's name is empty")
	}
	id, deleted, err := c.findExperiment(ctx, name)
	var e *Error
	if errors.As(err, &e) && e.Kind == NotFound {
		id, err = c.createExperiment(ctx, name, location)
		if hasCode(err, codeExists) { // another program was quicker
			id, deleted, err = c.findExperiment(ctx, name)
		}
	}
	if err != nil {
		return "", err
	}
	if deleted {
		c.log.InfoContext(ctx, "restoring the deleted experiment", "experiment", name)
		body := map[string]string{"experiment_id": id}
		if err := c.post(ctx, "mlflow/experiments/restore", body, nil); err != nil {
			return "", err
		}
	}
	return id, nil
}

func (c *Client) findExperiment(ctx context.Context, name string) (id string, deleted bool, err error) {
	var answer struct {
		Experiment struct {
			ID    string `json:"experiment_id"`
			Stage string `json:"lifecycle_stage"`
		} `json:"experiment"`
	}
	err = c.get(ctx, "mlflow/experiments/get-by-name", url.Values{"experiment_name": {name}}, &answer)
	return answer.Experiment.ID, answer.Experiment.Stage == "deleted", err
}

func (c *Client) createExperiment(ctx context.Context, name, location string) (string, error) {
	body := map[string]any{"name": name}
	if location != "" {
		body["artifact_location"] = location
	}
	var answer struct {
		ID string `json:"experiment_id"`
	}
	// A repetition finds the experiment that the first attempt made.
	err := c.post(ctx, "mlflow/experiments/create", body, &answer)
	return answer.ID, err
}

// CreateRun opens a run. It is not repeated after an unclear failure, which
// may leave a run that nobody ends.
func (c *Client) CreateRun(ctx context.Context, n NewRun) (Run, error) {
	if err := invalid(checkTags(n.Tags, maxTag)); err != nil {
		return Run{}, err
	}
	body := map[string]any{
		"experiment_id": n.Experiment,
		"user_id":       n.User,
		"run_name":      n.Name,
		"start_time":    millis(n.Start),
		"tags":          keyValues(n.Tags),
	}
	var answer runJSON
	if err := c.create(ctx, "mlflow/runs/create", body, &answer); err != nil {
		return Run{}, err
	}
	return answer.run(), nil
}

// GetRun returns a run.
func (c *Client) GetRun(ctx context.Context, id string) (Run, error) {
	var answer runJSON
	if err := c.get(ctx, "mlflow/runs/get", url.Values{"run_id": {id}}, &answer); err != nil {
		return Run{}, err
	}
	return answer.run(), nil
}

// UpdateRun sets the status and end of a run.
func (c *Client) UpdateRun(ctx context.Context, id, status string, end time.Time) error {
	if !slices.Contains([]string{RunFinished, RunFailed, RunKilled}, status) {
		return invalidf("run status %q is none of MLflow's", status)
	}
	body := map[string]any{"run_id": id, "status": status, "end_time": millis(end)}
	return c.post(ctx, "mlflow/runs/update", body, nil)
}

// LogParams stores parameters. Values longer than MLflow keeps are refused:
// see [CutParam].
func (c *Client) LogParams(ctx context.Context, run string, params map[string]string) error {
	if err := invalid(checkTags(params, maxParam)); err != nil {
		return err
	}
	for _, group := range chunks(keyValues(params), maxBatchParams, maxBatchBytes, keyValue.size) {
		if err := c.logBatch(ctx, batch{Params: group, RunID: run}); err != nil {
			return err
		}
	}
	return nil
}

// LogTags sets tags of a run. Values longer than MLflow keeps are refused: see
// [CutTag].
func (c *Client) LogTags(ctx context.Context, run string, tags map[string]string) error {
	if err := invalid(checkTags(tags, maxTag)); err != nil {
		return err
	}
	for _, group := range chunks(keyValues(tags), maxBatchTags, maxBatchBytes, keyValue.size) {
		if err := c.logBatch(ctx, batch{Tags: group, RunID: run}); err != nil {
			return err
		}
	}
	return nil
}

// A batch is the body of runs/log-batch. The run comes last on purpose: at a
// value that the server cannot read it drops the rest of the body, and without
// a run it has to say so.
type batch struct {
	Params  []keyValue   `json:"params,omitempty"`
	Tags    []keyValue   `json:"tags,omitempty"`
	Metrics []metricJSON `json:"metrics,omitempty"`
	RunID   string       `json:"run_id"`
}

func (c *Client) logBatch(ctx context.Context, b batch) error {
	return c.post(ctx, "mlflow/runs/log-batch", b, nil)
}

type metricJSON struct {
	Key           string            `json:"key"`
	Value         mlmodel.JSONFloat `json:"value"`
	Timestamp     number            `json:"timestamp"`
	Step          number            `json:"step"`
	ModelID       string            `json:"model_id,omitempty"`
	DatasetName   string            `json:"dataset_name,omitempty"`
	DatasetDigest string            `json:"dataset_digest,omitempty"`
}

// size bounds the bytes on the wire.
func (m metricJSON) size() int {
	return 128 + wireSize(m.Key, m.ModelID, m.DatasetName, m.DatasetDigest)
}

func (m metricJSON) metric() Metric {
	return Metric{Key: m.Key, Value: float64(m.Value), Step: int64(m.Step), Time: m.Timestamp.time()}
}

// LogMetrics appends points. The server keeps one of several equal points, so
// that a repetition does no harm.
func (c *Client) LogMetrics(ctx context.Context, run string, metrics []Metric) error {
	list := make([]metricJSON, len(metrics))
	for i, m := range metrics {
		if err := invalid(mlmodel.CheckKey(m.Key)); err != nil {
			return err
		}
		list[i] = metricJSON{
			Key: m.Key, Value: mlmodel.JSONFloat(m.Value), Timestamp: number(millis(m.Time)), Step: number(m.Step),
			ModelID: m.ModelID, DatasetName: m.DatasetName, DatasetDigest: m.DatasetDigest,
		}
	}
	for _, group := range chunks(list, maxBatchMetrics, maxBatchBytes, metricJSON.size) {
		if err := c.logBatch(ctx, batch{Metrics: group, RunID: run}); err != nil {
			return err
		}
	}
	return nil
}

// MetricHistory returns all points of a metric.
func (c *Client) MetricHistory(ctx context.Context, run, key string) ([]Metric, error) {
	query := url.Values{"run_id": {run}, "metric_key": {key}, "max_results": {"10000"}}
	var metrics []Metric
	for range maxPages {
		var answer struct {
			Metrics []metricJSON `json:"metrics"`
			Next    string       `json:"next_page_token"`
		}
		if err := c.get(ctx, "mlflow/metrics/get-history", query, &answer); err != nil {
			return nil, err
		}
		for _, m := range answer.Metrics {
			metrics = append(metrics, m.metric())
		}
		if answer.Next == "" {
			return metrics, nil
		}
		query.Set("page_token", answer.Next)
	}
	return nil, c.misled("GET mlflow/metrics/get-history", "more than %d pages of metric %q", maxPages, key)
}

// datasetJSON is an input of a run on the wire. Source, schema and profile are
// JSON inside JSON.
type datasetJSON struct {
	Tags    []keyValue `json:"tags"`
	Dataset struct {
		Name       string `json:"name"`
		Digest     string `json:"digest"`
		SourceType string `json:"source_type"`
		Source     string `json:"source"`
		Schema     string `json:"schema,omitempty"`
		Profile    string `json:"profile,omitempty"`
	} `json:"dataset"`
}

const tagDataContext = "mlflow.data.context"

// LogDataset names the data that a run read.
func (c *Client) LogDataset(ctx context.Context, run string, d Dataset) error {
	wire, err := d.wire()
	if err != nil {
		return err
	}
	return c.post(ctx, "mlflow/runs/log-inputs", map[string]any{"run_id": run, "datasets": []datasetJSON{wire}}, nil)
}

func (d Dataset) wire() (datasetJSON, error) {
	var wire datasetJSON
	if err := invalid(mlmodel.CheckDataset(d.Name, d.Digest)); err != nil {
		return wire, err
	}
	columns, err := mlmodel.EncodeColumns(d.Columns)
	if err != nil {
		return wire, invalidf("data set %q: %v", d.Name, err)
	}
	source, err := json.Marshal(map[string]string{"uri": d.Path})
	if err != nil {
		return wire, err
	}
	wire.Tags = []keyValue{{tagDataContext, d.Context}}
	wire.Dataset.Name, wire.Dataset.Digest = d.Name, d.Digest
	wire.Dataset.SourceType, wire.Dataset.Source = "local", string(source)
	wire.Dataset.Schema = `{"mlflow_colspec":` + columns + `}`
	wire.Dataset.Profile = fmt.Sprintf(`{"num_rows":%d,"num_elements":%d}`, d.Rows, d.Rows*len(d.Columns))
	if len(wire.Dataset.Schema) > 1<<20-1 {
		// The list of columns is for display; thousands of them do not fit.
		wire.Dataset.Schema = ""
	}
	return wire, nil
}

func (w datasetJSON) dataset() Dataset {
	d := Dataset{Name: w.Dataset.Name, Digest: w.Dataset.Digest}
	d.Context = toMap(w.Tags)[tagDataContext]
	// What others wrote here may have any shape: read what can be read.
	var source struct {
		URI string `json:"uri"`
	}
	if json.Unmarshal([]byte(w.Dataset.Source), &source) == nil {
		d.Path = source.URI
	}
	var profile struct {
		Rows number `json:"num_rows"`
	}
	if json.Unmarshal([]byte(w.Dataset.Profile), &profile) == nil {
		d.Rows = int(profile.Rows)
	}
	var schema struct {
		Columns json.RawMessage `json:"mlflow_colspec"`
	}
	if json.Unmarshal([]byte(w.Dataset.Schema), &schema) == nil && len(schema.Columns) > 0 {
		d.Columns, _ = mlmodel.DecodeColumns(string(schema.Columns))
	}
	return d
}

// runJSON is the answer that holds a run.
type runJSON struct {
	Run struct {
		Info struct {
			ID          string `json:"run_id"`
			Name        string `json:"run_name"`
			Experiment  string `json:"experiment_id"`
			Status      string `json:"status"`
			ArtifactURI string `json:"artifact_uri"`
			Start       number `json:"start_time"`
			End         number `json:"end_time"`
		} `json:"info"`
		Data struct {
			Metrics []metricJSON `json:"metrics"`
			Params  []keyValue   `json:"params"`
			Tags    []keyValue   `json:"tags"`
		} `json:"data"`
		Inputs struct {
			Datasets []datasetJSON `json:"dataset_inputs"`
		} `json:"inputs"`
		Outputs struct {
			Models []struct {
				ID string `json:"model_id"`
			} `json:"model_outputs"`
		} `json:"outputs"`
	} `json:"run"`
}

func (a runJSON) run() Run {
	w := a.Run
	r := Run{
		ID: w.Info.ID, Name: w.Info.Name, Experiment: w.Info.Experiment,
		Status: w.Info.Status, ArtifactURI: w.Info.ArtifactURI,
		Start: w.Info.Start.time(), End: w.Info.End.time(),
		Params: toMap(w.Data.Params), Tags: toMap(w.Data.Tags),
		Metrics: make(map[string]Metric, len(w.Data.Metrics)),
	}
	for _, m := range w.Data.Metrics {
		r.Metrics[m.Key] = m.metric()
	}
	for _, d := range w.Inputs.Datasets {
		r.Datasets = append(r.Datasets, d.dataset())
	}
	for _, m := range w.Outputs.Models {
		r.ModelIDs = append(r.ModelIDs, m.ID)
	}
	return r
}

func checkTags(tags map[string]string, limit int) error {
	for _, key := range sortedKeys(tags) {
		if err := mlmodel.CheckKey(key); err != nil {
			return err
		}
		if err := checkLength(fmt.Sprintf("the value of %q", key), tags[key], limit); err != nil {
			return err
		}
	}
	return nil
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
