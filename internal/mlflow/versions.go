package mlflow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/petal-ml/petal/internal/mlmodel"
)

// A LoggedModel is a model that a run has stored, before and after it gets a
// version.
type LoggedModel struct {
	ID          string // m- and 32 hex digits
	RunID       string
	Status      string
	ArtifactURI string
}

// ModelReady and ModelFailed are the ends of a logged model's upload. The
// server turns any other spelling into "unspecified".
const (
	ModelReady  = "LOGGED_MODEL_READY"
	ModelFailed = "LOGGED_MODEL_UPLOAD_FAILED"
)

// NewLoggedModel says what a logged model begins with.
type NewLoggedModel struct {
	Experiment, RunID string
	Name              string
	Params, Tags      map[string]string
}

// A Version is a version of a registered model.
type Version struct {
	Name, Number string
	RunID        string
	// Source is where the files are, as whoever registered it wrote: models:/
	// and the ID of a logged model, or an artifact URI.
	Source      string
	Description string
	Status      string // "READY" when it can be read
	Created     time.Time
	Tags        map[string]string
	// Aliases are given by GetVersion and VersionByAlias only.
	Aliases []string
}

// NewVersion says what a version is made from.
type NewVersion struct {
	Name, ModelID, RunID string
	Description          string
	Tags                 map[string]string
}

type loggedModelJSON struct {
	Model struct {
		Info struct {
			ID          string `json:"model_id"`
			RunID       string `json:"source_run_id"`
			Status      string `json:"status"`
			ArtifactURI string `json:"artifact_uri"`
		} `json:"info"`
	} `json:"model"`
}

func (a loggedModelJSON) model() LoggedModel { return LoggedModel(a.Model.Info) }

// CreateLoggedModel opens a logged model; its files go below ArtifactURI.
func (c *Client) CreateLoggedModel(ctx context.Context, n NewLoggedModel) (LoggedModel, error) {
	name := n.Name
	if name == "" {
		name = "model" // the server would make a random one up
	}
	if strings.ContainsAny(name, `/:.%"'`) {
		return LoggedModel{}, invalidf(`logged model name %q: none of / : . %% " ' is allowed`, name)
	}
	if err := invalid(cmp.Or(checkTags(n.Params, maxParam), checkTags(n.Tags, maxTag))); err != nil {
		return LoggedModel{}, err
	}
	body := map[string]any{
		"experiment_id": n.Experiment, "source_run_id": n.RunID, "name": name, "model_type": "",
		"params": keyValues(n.Params), "tags": keyValues(n.Tags),
	}
	var answer loggedModelJSON
	if err := c.create(ctx, "mlflow/logged-models", body, &answer); err != nil {
		return LoggedModel{}, err
	}
	return answer.model(), nil
}

// GetLoggedModel returns a logged model.
func (c *Client) GetLoggedModel(ctx context.Context, id string) (LoggedModel, error) {
	if err := invalid(checkModelID(id)); err != nil {
		return LoggedModel{}, err
	}
	var answer loggedModelJSON
	err := c.get(ctx, "mlflow/logged-models/"+id, nil, &answer)
	return answer.model(), err
}

// EndLoggedModel sets the status of a logged model: [ModelReady] or
// [ModelFailed].
func (c *Client) EndLoggedModel(ctx context.Context, id, status string) error {
	if err := invalid(checkModelID(id)); err != nil {
		return err
	}
	return c.do(ctx, call{
		method: http.MethodPatch, path: "mlflow/logged-models/" + id, repeatable: true,
		body: map[string]string{"model_id": id, "status": status},
	})
}

// LogOutput ties a logged model to the run it came out of.
func (c *Client) LogOutput(ctx context.Context, run, modelID string) error {
	models := []map[string]any{{"model_id": modelID, "step": 0}}
	return c.create(ctx, "mlflow/runs/outputs", map[string]any{"run_id": run, "models": models}, nil)
}

// CreateRegisteredModel makes the name under which versions are kept. One that
// is there already is left as it is, but gets the description where it has none.
func (c *Client) CreateRegisteredModel(ctx context.Context, name, description string) error {
	if err := invalid(mlmodel.CheckModelName(name)); err != nil {
		return err
	}
	body := map[string]string{"name": name}
	if description != "" {
		body["description"] = description
	}
	err := c.post(ctx, "mlflow/registered-models/create", body, nil)
	switch {
	case !hasCode(err, codeExists):
		return err
	case description == "":
		return nil
	}
	var answer struct {
		Model struct {
			Description string `json:"description"`
		} `json:"registered_model"`
	}
	if err := c.get(ctx, "mlflow/registered-models/get", url.Values{"name": {name}}, &answer); err != nil || answer.Model.Description != "" {
		return err
	}
	return c.do(ctx, call{method: http.MethodPatch, path: "mlflow/registered-models/update", repeatable: true, body: body})
}

type versionJSON struct {
	Name        string     `json:"name"`
	Version     string     `json:"version"`
	RunID       string     `json:"run_id"`
	Source      string     `json:"source"`
	Description string     `json:"description"`
	Status      string     `json:"status"`
	Created     number     `json:"creation_timestamp"`
	Tags        []keyValue `json:"tags"`
	Aliases     []string   `json:"aliases"`
}

func (w versionJSON) version() Version {
	return Version{
		Name: w.Name, Number: w.Version, RunID: w.RunID, Source: w.Source, Description: w.Description,
		Status: w.Status, Created: w.Created.time(), Tags: toMap(w.Tags), Aliases: w.Aliases,
	}
}

// CreateVersion makes the next version from a logged model. It is not repeated
// after an unclear failure, which may leave a version that no alias names.
func (c *Client) CreateVersion(ctx context.Context, n NewVersion) (Version, error) {
	if err := invalid(cmp.Or(mlmodel.CheckModelName(n.Name), checkModelID(n.ModelID), checkTags(n.Tags, maxVersionTag))); err != nil {
		return Version{}, err
	}
	body := map[string]any{
		"name": n.Name, "source": "models:/" + n.ModelID, "model_id": n.ModelID, "run_id": n.RunID,
		"description": n.Description, "tags": keyValues(n.Tags),
	}
	return c.version(n.Name, func(out any) error { return c.create(ctx, "mlflow/model-versions/create", body, out) })
}

// GetVersion returns one version.
func (c *Client) GetVersion(ctx context.Context, name, number string) (Version, error) {
	if err := invalid(cmp.Or(mlmodel.CheckModelName(name), checkNumber(number))); err != nil {
		return Version{}, err
	}
	query := url.Values{"name": {name}, "version": {number}}
	return c.version(name, func(out any) error { return c.get(ctx, "mlflow/model-versions/get", query, out) })
}

// VersionByAlias returns the version that an alias points at.
func (c *Client) VersionByAlias(ctx context.Context, name, alias string) (Version, error) {
	if err := invalid(mlmodel.CheckModelName(name)); err != nil {
		return Version{}, err
	}
	query := url.Values{"name": {name}, "alias": {alias}}
	v, err := c.version(name, func(out any) error { return c.get(ctx, "mlflow/registered-models/alias", query, out) })
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusBadRequest && strings.Contains(e.Message, "not found") {
		// Only here does MLflow call a missing thing an invalid parameter.
		e.Kind = NotFound
	}
	if e != nil && e.Status == http.StatusForbidden {
		// A server with users forbids to ask for the aliases of a model that is
		// not there, but not whether it is.
		absent := c.get(ctx, "mlflow/registered-models/get", url.Values{"name": {name}}, nil)
		if hasCode(absent, codeNotFound) {
			return Version{}, absent
		}
	}
	return v, err
}

// version makes a call whose answer is a version of the named model.
func (c *Client) version(name string, call func(out any) error) (Version, error) {
	var answer struct {
		Version versionJSON `json:"model_version"`
	}
	if err := call(&answer); err != nil {
		return Version{}, err
	}
	if answer.Version.Name != name {
		return Version{}, c.misled("model version", "asked for model %q, the server answers with %q", name, answer.Version.Name)
	}
	return answer.Version.version(), nil
}

// Versions returns the versions of a model, the highest number first, at most
// limit of them; 0 for all. An unknown model has none.
func (c *Client) Versions(ctx context.Context, name string, limit int) ([]Version, error) {
	if err := invalid(mlmodel.CheckModelName(name)); err != nil {
		return nil, err
	}
	filter, err := nameFilter(name)
	if err != nil {
		return nil, err
	}
	page := 1000
	if limit > 0 {
		page = min(page, limit)
	}
	query := url.Values{
		"filter":      {filter},
		"order_by":    {"version_number DESC"},
		"max_results": {strconv.Itoa(page)},
	}
	var versions []Version
	for range maxPages {
		var answer struct {
			Versions []versionJSON `json:"model_versions"`
			Next     string        `json:"next_page_token"`
		}
		if err := c.get(ctx, "mlflow/model-versions/search", query, &answer); err != nil {
			return nil, err
		}
		for _, v := range answer.Versions {
			if v.Name != name {
				return nil, c.misled("model version", "asked for model %q, the server answers with %q", name, v.Name)
			}
			versions = append(versions, v.version())
		}
		if answer.Next == "" || limit > 0 && len(versions) >= limit {
			return versions, nil
		}
		query.Set("page_token", answer.Next)
	}
	return nil, c.misled("GET mlflow/model-versions/search", "more than %d pages of versions", maxPages)
}

// nameFilter quotes a name for MLflow's search language, which has no escapes.
func nameFilter(name string) (string, error) {
	switch {
	case !strings.Contains(name, "'"):
		return "name = '" + name + "'", nil
	case !strings.Contains(name, `"`):
		return `name = "` + name + `"`, nil
	default:
		return "", invalidf("model name %q has both kinds of quotes: MLflow cannot search for it", name)
	}
}

// DownloadURI returns where the files of a version are.
func (c *Client) DownloadURI(ctx context.Context, name, number string) (string, error) {
	if err := invalid(cmp.Or(mlmodel.CheckModelName(name), checkNumber(number))); err != nil {
		return "", err
	}
	var answer struct {
		URI string `json:"artifact_uri"`
	}
	query := url.Values{"name": {name}, "version": {number}}
	err := c.get(ctx, "mlflow/model-versions/get-download-uri", query, &answer)
	return answer.URI, err
}

// SetVersionTag sets one tag of a version.
func (c *Client) SetVersionTag(ctx context.Context, name, number, key, value string) error {
	err := invalid(cmp.Or(mlmodel.CheckModelName(name), checkNumber(number), checkTags(map[string]string{key: value}, maxVersionTag)))
	if err != nil {
		return err
	}
	body := map[string]string{"name": name, "version": number, "key": key, "value": value}
	return c.post(ctx, "mlflow/model-versions/set-tag", body, nil)
}

// SetAlias points an alias at a version. The last writer wins.
func (c *Client) SetAlias(ctx context.Context, name, alias, number string) error {
	if err := invalid(cmp.Or(mlmodel.CheckModelName(name), mlmodel.CheckAlias(alias), checkNumber(number))); err != nil {
		return err
	}
	body := map[string]string{"name": name, "alias": alias, "version": number}
	return c.post(ctx, "mlflow/registered-models/alias", body, nil)
}

// DeleteAlias removes an alias.
func (c *Client) DeleteAlias(ctx context.Context, name, alias string) error {
	if err := invalid(cmp.Or(mlmodel.CheckModelName(name), mlmodel.CheckAlias(alias))); err != nil {
		return err
	}
	return c.do(ctx, call{
		method: http.MethodDelete, path: "mlflow/registered-models/alias", repeatable: true,
		body: map[string]string{"name": name, "alias": alias},
	})
}

var (
	modelID       = regexp.MustCompile(`^m-[A-Za-z0-9_-]+$`)
	versionNumber = regexp.MustCompile(`^[0-9]{1,9}$`)
)

func checkModelID(id string) error {
	if !modelID.MatchString(id) {
		return fmt.Errorf("logged model ID %q: not m- and letters or digits", id)
	}
	return nil
}

func checkNumber(number string) error {
	if !versionNumber.MatchString(number) {
		return fmt.Errorf("version %q is no number", number)
	}
	return nil
}

// LoggedModelID returns the ID in a source such as models:/m-0123…, or "".
func LoggedModelID(source string) string {
	id, ok := strings.CutPrefix(source, "models:/")
	if !ok || !modelID.MatchString(id) {
		return ""
	}
	return id
}
