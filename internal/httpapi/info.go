package httpapi

import (
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// indexAnswer is the answer of GET /.
type indexAnswer struct {
	Name      string          `json:"name"`
	Endpoints []indexEndpoint `json:"endpoints" nullable:"false"`
}

type indexEndpoint struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Does   string `json:"does"`
}

// index is GET /: what there is.
func (a *api) index(w http.ResponseWriter, _ *http.Request) {
	answer := indexAnswer{Name: "petal"}
	for _, r := range a.table {
		answer.Endpoints = append(answer.Endpoints, indexEndpoint{r.method, r.path, r.summary})
	}
	writeJSON(w, http.StatusOK, answer)
}

type healthAnswer struct {
	Status string `json:"status" enum:"ok"`
}

// health is GET /health: the process answers.
func (a *api) health(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, healthAnswer{"ok"})
}

type readyAnswer struct {
	Status string   `json:"status" enum:"ready"`
	Model  modelRef `json:"model"`
}

// ready is GET /ready: a model serves. It does not ask the registry.
func (a *api) ready(w http.ResponseWriter, r *http.Request) {
	model := a.cfg.Models.Current()
	if model == nil {
		fail(w, r, errNotReady)
		return
	}
	if a.isDraining() {
		fail(w, r, errStopping)
		return
	}
	writeJSON(w, http.StatusOK, readyAnswer{"ready", modelRef{model.Info().Name, model.Info().Version}})
}

// modelInfoAnswer is the answer of GET /model-info. What a model from elsewhere
// does not tell is null, or empty.
type modelInfoAnswer struct {
	Name      string             `json:"name"`
	Version   string             `json:"version"`
	Alias     string             `json:"alias"`
	RunID     *string            `json:"run_id" nullable:"true"`
	TrainedAt *time.Time         `json:"trained_at"`
	LoadedAt  time.Time          `json:"loaded_at"`
	Estimator *string            `json:"estimator"`
	Features  []featureAnswer    `json:"features" nullable:"false"`
	Classes   []label            `json:"classes" nullable:"false"`
	Metrics   map[string]float64 `json:"metrics"`
	Data      *dataAnswer        `json:"data"`
	SHA256    string             `json:"sha256"`
}

type featureAnswer struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

type dataAnswer struct {
	Path string `json:"path"`
	MD5  string `json:"md5"`
}

// Schema is that of an object that may be null.
func (dataAnswer) Schema(huma.Registry) *huma.Schema {
	text := &huma.Schema{Type: huma.TypeString}
	return &huma.Schema{
		Type: huma.TypeObject, Nullable: true, Required: []string{"path", "md5"},
		Properties: map[string]*huma.Schema{"path": text, "md5": text}, AdditionalProperties: false,
	}
}

// modelInfo is GET /model-info.
func (a *api) modelInfo(w http.ResponseWriter, r *http.Request) {
	model := a.cfg.Models.Current()
	if model == nil {
		fail(w, r, errNotReady)
		return
	}
	i := model.Info()
	answer := modelInfoAnswer{
		Name: i.Name, Version: i.Version, Alias: i.Alias, RunID: orNull(i.RunID), LoadedAt: i.LoadedAt,
		Estimator: orNull(i.Estimator), Features: []featureAnswer{}, Classes: []label{}, Metrics: map[string]float64{}, SHA256: i.SHA256,
	}
	if !i.TrainedAt.IsZero() {
		answer.TrainedAt = &i.TrainedAt
	}
	for _, f := range i.Features {
		answer.Features = append(answer.Features, featureAnswer{f.Name, f.Type})
	}
	for c := range model.Labels().Len() {
		answer.Classes = append(answer.Classes, label{model.Labels().Value(c)})
	}
	for name, v := range i.Metrics {
		if !isFinite(v) {
			continue // JSON cannot write it
		}
		answer.Metrics[name] = v
	}
	if i.DataPath != "" || i.DataMD5 != "" {
		answer.Data = &dataAnswer{i.DataPath, i.DataMD5}
	}
	writeJSON(w, http.StatusOK, answer)
}

func isFinite(v float64) bool { return v-v == 0 }

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
