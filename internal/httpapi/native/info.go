package native

import (
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/petal-ml/petal/internal/httpapi/route"
	"github.com/petal-ml/petal/internal/httpapi/web"
)

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
	Classes   []route.Label      `json:"classes" nullable:"false"`
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
func (a *api) modelInfo(w http.ResponseWriter, _ *http.Request) error {
	model, err := a.cfg.Predict.Current()
	if err != nil {
		return err
	}
	i := model.Info()
	answer := modelInfoAnswer{
		Name: i.Name, Version: i.Version, Alias: i.Alias, RunID: orNull(i.RunID), LoadedAt: i.LoadedAt,
		Estimator: orNull(i.Estimator), Features: []featureAnswer{}, Classes: []route.Label{}, Metrics: map[string]float64{}, SHA256: i.SHA256,
	}
	if !i.TrainedAt.IsZero() {
		answer.TrainedAt = &i.TrainedAt
	}
	for _, f := range i.Features {
		answer.Features = append(answer.Features, featureAnswer{f.Name, f.Type})
	}
	for c := range model.Labels().Len() {
		answer.Classes = append(answer.Classes, route.Label{Value: model.Labels().Value(c)})
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
	web.WriteJSON(w, http.StatusOK, answer)
	return nil
}

func isFinite(v float64) bool { return v-v == 0 }

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
