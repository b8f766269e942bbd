package httpapi

import (
	"net/http"
	"time"
)

// index is GET /: what there is.
func (a *api) index(w http.ResponseWriter, _ *http.Request) {
	type endpoint struct {
		Method string `json:"method"`
		Path   string `json:"path"`
		Does   string `json:"does"`
	}
	writeJSON(w, http.StatusOK, struct {
		Name      string     `json:"name"`
		Endpoints []endpoint `json:"endpoints"`
	}{"petal", []endpoint{
		{http.MethodPost, tokenPath, "log in: username and password as a form, a bearer token back"},
		{http.MethodPost, predictPath, "predict: features of one row, or instances of many"},
		{http.MethodGet, modelInfoPath, "what the model is and takes"},
		{http.MethodGet, "/health", "whether the process is alive"},
		{http.MethodGet, "/ready", "whether a model is loaded"},
		{http.MethodGet, "/metrics", "metrics for Prometheus"},
	}})
}

// health is GET /health: the process answers.
func (a *api) health(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, struct {
		Status string `json:"status"`
	}{"ok"})
}

// ready is GET /ready: a model serves. It does not ask the registry.
func (a *api) ready(w http.ResponseWriter, r *http.Request) {
	model := a.cfg.Models.Current()
	if model == nil {
		fail(w, r, errNotReady)
		return
	}
	writeJSON(w, http.StatusOK, struct {
		Status string   `json:"status"`
		Model  modelRef `json:"model"`
	}{"ready", modelRef{model.Info().Name, model.Info().Version}})
}

// modelInfoAnswer is the answer of GET /model-info. What a model from elsewhere
// does not tell is null, or empty.
type modelInfoAnswer struct {
	Name      string             `json:"name"`
	Version   string             `json:"version"`
	Alias     string             `json:"alias"`
	RunID     *string            `json:"run_id"`
	TrainedAt *time.Time         `json:"trained_at"`
	LoadedAt  time.Time          `json:"loaded_at"`
	Estimator *string            `json:"estimator"`
	Features  []featureAnswer    `json:"features"`
	Classes   []any              `json:"classes"`
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
		Estimator: orNull(i.Estimator), Features: []featureAnswer{}, Classes: []any{}, Metrics: map[string]float64{}, SHA256: i.SHA256,
	}
	if !i.TrainedAt.IsZero() {
		answer.TrainedAt = &i.TrainedAt
	}
	for _, f := range i.Features {
		answer.Features = append(answer.Features, featureAnswer{f.Name, f.Type})
	}
	for c := range model.Labels().Len() {
		answer.Classes = append(answer.Classes, model.Labels().Value(c))
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
