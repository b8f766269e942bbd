package dashboards

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A series is what Prometheus has of one scraped target.
type series struct {
	name   string
	labels map[string]string
}

func (s series) String() string {
	var labels []string
	for name, value := range s.labels {
		labels = append(labels, name+"="+strconv.Quote(value))
	}
	slices.Sort(labels)
	return s.name + "{" + strings.Join(labels, ",") + "}"
}

// scraped are series of a small stack that has two replicas of everything, so that a
// query that counts replicas is seen.
func scraped(names ...string) []series {
	own := map[string][]string{
		"api":          {"model_loaded", "model_info", "model_reload_failing", "registry_up"},
		"trainer":      {"training_in_progress", "training_last_failed", "registry_up"},
		"prometheus":   {"prometheus_config_last_reload_successful"},
		"alertmanager": {"alertmanager_config_last_reload_successful"},
	}
	var all []series
	for job, metrics := range own {
		for _, instance := range []string{job + "-1.example:80", job + "-2.example:80"} {
			for _, name := range append([]string{"up", "process_resident_memory_bytes", "petal_build_info"}, metrics...) {
				if len(names) > 0 && !slices.Contains(names, name) {
					continue
				}
				labels := map[string]string{"job": job, "instance": instance}
				if name == "model_info" {
					labels["name"], labels["version"] = "iris", "3"
				}
				all = append(all, series{name, labels})
			}
		}
	}
	return all
}

// all substitutes variables as Grafana does where "All" is chosen: by allValue where
// the variable has one, else by all that the variable's own query finds.
func (d dashboard) all(t *testing.T, query string) string {
	t.Helper()
	query = strings.NewReplacer("$__rate_interval", "1m", "$__interval", "15s", "$__range", "1h").Replace(query)
	for _, variable := range d.Templating.List {
		if variable.Type == "query" {
			query = strings.ReplaceAll(query, "$"+variable.Name, variable.all(t))
		}
	}
	return query
}

func (v variable) all(t *testing.T) string {
	t.Helper()
	if v.AllValue != nil {
		return *v.AllValue
	}
	asked := regexp.MustCompile(`^label_values\((\w+)(?:\{job=~"\$job"\})?, (\w+)\)$`).FindStringSubmatch(v.Definition)
	require.NotNil(t, asked, v.Definition)
	var found []string
	for _, s := range scraped(asked[1]) {
		if value := s.labels[asked[2]]; !slices.Contains(found, value) {
			found = append(found, value)
		}
	}
	require.NotEmpty(t, found, "%s: no such series", v.Definition)
	slices.Sort(found)
	for i, value := range found {
		// Escaped once for the expression and once for the string that holds it.
		found[i] = regexp.MustCompile(`[\\$^*{}\[\]'+?.()|]`).ReplaceAllString(value, `\\$0`)
	}
	if len(found) == 1 {
		return found[0]
	}
	return "(" + strings.Join(found, "|") + ")"
}

// unquoted is what a string in a query stands for.
func unquoted(text string) string { return strings.ReplaceAll(text, `\\`, `\`) }

// A question is a query and the samples that it must give.
type question struct {
	Expr    string   `json:"expr"`
	Time    string   `json:"eval_time"`
	Samples []sample `json:"exp_samples"`
}

type sample struct {
	Labels string  `json:"labels"`
	Value  float64 `json:"value"`
}

// requireAnswers lets promtool evaluate queries over series that are 1 all the time.
func requireAnswers(t *testing.T, scraped []series, questions ...question) {
	t.Helper()
	type input struct {
		Series string `json:"series"`
		Values string `json:"values"`
	}
	var inputs []input
	for _, s := range scraped {
		inputs = append(inputs, input{s.String(), "1x10"})
	}
	for i := range questions {
		questions[i].Time = "5m"
	}
	data, err := json.Marshal(map[string]any{"tests": []any{map[string]any{
		"interval": "1m", "input_series": inputs, "promql_expr_test": questions,
	}}})
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "questions.yml") // YAML holds JSON
	require.NoError(t, os.WriteFile(path, data, 0o600))
	succeed(t, "promtool", "test", "rules", path)
}

// "All" means all that a dashboard is about: the memory of Prometheus and of the
// trainer has no place among that of the API.
func TestAllMeansWhatTheDashboardIsAbout(t *testing.T) {
	about := map[string][]string{
		"petal-api": {"api"}, "petal-model": {"api"}, "petal-training": {"trainer"},
		"petal-stack": {"alertmanager", "api", "prometheus", "trainer"},
	}
	for name, dashboard := range dashboards(t) {
		t.Run(name, func(t *testing.T) {
			require.NotEmpty(t, about[dashboard.UID])
			var expected []sample
			for _, job := range about[dashboard.UID] {
				expected = append(expected, sample{`{job="` + job + `"}`, 2})
			}
			requireAnswers(t, scraped(), question{
				Expr:    dashboard.all(t, `count by (job) (process_resident_memory_bytes{job=~"$job", instance=~"$instance"})`),
				Samples: expected,
			})
			for _, variable := range dashboard.Templating.List {
				require.Nil(t, variable.AllValue, "%s: it finds more than the variable does", variable.Name)
			}
		})
	}
}
