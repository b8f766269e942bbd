package dashboards

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv/promtest"
)

// A dashboard is what the rules look at of Grafana's classic form.
type dashboard struct {
	UID           string  `json:"uid"`
	Title         string  `json:"title"`
	Description   string  `json:"description"`
	SchemaVersion int     `json:"schemaVersion"`
	Editable      *bool   `json:"editable"`
	Panels        []panel `json:"panels"`
	Templating    struct {
		List []variable `json:"list"`
	} `json:"templating"`
	Annotations struct {
		List []struct {
			Name       string     `json:"name"`
			Expr       string     `json:"expr"`
			Datasource datasource `json:"datasource"`
		} `json:"list"`
	} `json:"annotations"`
}

type variable struct {
	Name       string  `json:"name"`
	Type       string  `json:"type"`
	Definition string  `json:"definition"`
	IncludeAll bool    `json:"includeAll"`
	AllValue   *string `json:"allValue"`
}

type datasource struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

type panel struct {
	ID          int        `json:"id"`
	Type        string     `json:"type"`
	Title       string     `json:"title"`
	Description string     `json:"description"`
	Datasource  datasource `json:"datasource"`
	GridPos     struct {
		H, W, X, Y int
	} `json:"gridPos"`
	Panels  []any `json:"panels"` // of a row that is folded
	Targets []struct {
		Expr         string     `json:"expr"`
		LegendFormat string     `json:"legendFormat"`
		Datasource   datasource `json:"datasource"`
	} `json:"targets"`
	FieldConfig struct {
		Defaults struct {
			Unit       string   `json:"unit"`
			Max        *float64 `json:"max"`
			Mappings   []any    `json:"mappings"`
			Thresholds struct {
				Steps []any `json:"steps"`
			} `json:"thresholds"`
			Custom struct {
				AxisSoftMax *float64 `json:"axisSoftMax"`
			} `json:"custom"`
		} `json:"defaults"`
		Overrides []override `json:"overrides"`
	} `json:"fieldConfig"`
	Transformations []struct {
		ID      string `json:"id"`
		Options struct {
			ExcludeByName map[string]bool `json:"excludeByName"`
			IndexByName   map[string]int  `json:"indexByName"`
		} `json:"options"`
	} `json:"transformations"`
}

// An override changes the fields that its matcher finds.
type override struct {
	Matcher struct {
		ID      string `json:"id"`
		Options any    `json:"options"`
	} `json:"matcher"`
	Properties []struct {
		ID    string          `json:"id"`
		Value json.RawMessage `json:"value"`
	} `json:"properties"`
}

// dashboards returns the provisioned dashboards by file name.
func dashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	files, err := filepath.Glob(file(t, "grafana", "dashboards", "*.json"))
	require.NoError(t, err)
	found := make(map[string]dashboard)
	for _, path := range files {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		var parsed dashboard
		require.NoError(t, json.Unmarshal(data, &parsed), path)
		found[filepath.Base(path)] = parsed
	}
	for _, name := range []string{"api_metrics.json", "model.json", "training.json", "stack.json"} {
		require.Contains(t, found, name)
	}
	return found
}

func TestDashboardsKeepTheRules(t *testing.T) {
	uids := make(map[string]string)
	for name, dashboard := range dashboards(t) {
		t.Run(name, func(t *testing.T) {
			require.Regexp(t, `^petal-[a-z]+$`, dashboard.UID, "a changed uid is silently not saved")
			require.Empty(t, uids[dashboard.UID], "two dashboards with one uid")
			uids[dashboard.UID] = name
			require.NotEmpty(t, dashboard.Title)
			require.NotEmpty(t, dashboard.Description)
			require.LessOrEqual(t, dashboard.SchemaVersion, 42, "the newer form is refused")
			require.NotNil(t, dashboard.Editable)
			require.False(t, *dashboard.Editable, "the file is the one source of truth")
			require.Equal(t, []string{"datasource", "job", "instance"}, variables(dashboard))
			requirePanels(t, dashboard)
			for _, annotation := range dashboard.Annotations.List {
				require.Equal(t, datasource{"prometheus", "${datasource}"}, annotation.Datasource)
			}
		})
	}
}

func variables(dashboard dashboard) []string {
	var names []string
	for _, variable := range dashboard.Templating.List {
		names = append(names, variable.Name)
	}
	return names
}

func requirePanels(t *testing.T, dashboard dashboard) {
	t.Helper()
	require.NotEmpty(t, dashboard.Panels)
	require.Equal(t, "row", dashboard.Panels[0].Type)
	ids, taken := make(map[int]bool), make(map[[2]int]string)
	for _, panel := range dashboard.Panels {
		require.False(t, ids[panel.ID], "%s: id %d twice", panel.Title, panel.ID)
		ids[panel.ID] = true
		require.NotEmpty(t, panel.Title)
		requirePlace(t, panel, taken)
		if panel.Type == "row" {
			require.Empty(t, panel.Panels, "%s: what is folded into a row would be seen by no rule", panel.Title)
			continue
		}
		require.Equal(t, datasource{"prometheus", "${datasource}"}, panel.Datasource, panel.Title)
		require.NotEmpty(t, panel.Description, panel.Title)
		require.NotEmpty(t, panel.FieldConfig.Defaults.Unit, panel.Title)
		require.NotEmpty(t, panel.FieldConfig.Defaults.Thresholds.Steps, panel.Title)
		require.NotEmpty(t, panel.Targets, panel.Title)
		for _, target := range panel.Targets {
			require.Equal(t, panel.Datasource, target.Datasource, panel.Title)
		}
	}
}

// requirePlace requires that a panel lies on the grid of 24 columns and on no
// other panel.
func requirePlace(t *testing.T, panel panel, taken map[[2]int]string) {
	t.Helper()
	at := panel.GridPos
	require.Positive(t, at.W, panel.Title)
	require.Positive(t, at.H, panel.Title)
	require.LessOrEqual(t, at.X+at.W, 24, panel.Title)
	for x := at.X; x < at.X+at.W; x++ {
		for y := at.Y; y < at.Y+at.H; y++ {
			require.Empty(t, taken[[2]int{x, y}], "%s lies on it", panel.Title)
			taken[[2]int{x, y}] = panel.Title
		}
	}
}

// Prometheus's own parser reads each query; counters stand under a rate whose
// window follows the resolution, and each metric is chosen by job and instance.
func TestQueriesOfDashboardsKeepTheRules(t *testing.T) {
	prometheus := promtest.Start(t)
	recorded := recordedNames(t)
	for name, dashboard := range dashboards(t) {
		for _, panel := range dashboard.Panels {
			for _, target := range panel.Targets {
				t.Run(name+"/"+panel.Title, func(t *testing.T) {
					requireQuery(t, prometheus, dashboard, target.Expr, recorded)
				})
			}
		}
		for _, annotation := range dashboard.Annotations.List {
			t.Run(name+"/annotation "+annotation.Name, func(t *testing.T) {
				requireQuery(t, prometheus, dashboard, annotation.Expr, recorded)
			})
		}
	}
}

func requireQuery(t *testing.T, prometheus promtest.Server, dashboard dashboard, query string, recorded map[string]bool) {
	t.Helper()
	jobs, instances := unquoted(dashboard.all(t, "$job")), unquoted(dashboard.all(t, "$instance"))
	selectors := prometheus.Parse(t, dashboard.all(t, query))
	require.NotEmpty(t, selectors, query)
	for _, selector := range selectors {
		if selector.Name == "ALERTS" {
			continue // alerts have the labels of their rules
		}
		require.Equal(t, jobs, selector.Matchers["job"], "%s: %s is not chosen by $job", query, selector.Name)
		if recorded[selector.Name] {
			continue // aggregated to the job, and already a rate
		}
		require.Equal(t, instances, selector.Matchers["instance"], "%s: %s is not chosen by $instance", query, selector.Name)
		if isCounter(selector.Name) {
			require.Contains(t, []string{"rate", "increase"}, selector.Function, "%s: %s is a counter", query, selector.Name)
		}
		if selector.Function == "rate" {
			require.Contains(t, query, "[$__rate_interval]", "%s: the window does not follow the resolution", query)
		}
	}
}

// isCounter goes by the names that Prometheus's conventions give.
func isCounter(name string) bool {
	return slices.ContainsFunc([]string{"_total", "_bucket", "_count", "_sum"}, func(suffix string) bool {
		return strings.HasSuffix(name, suffix)
	})
}

func recordedNames(t *testing.T) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	for _, rule := range rules(t) {
		if rule.Record != "" {
			names[rule.Record] = true
		}
	}
	return names
}
