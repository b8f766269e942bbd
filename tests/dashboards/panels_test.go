package dashboards

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Where values have names, as in "up" for 1, the value of two replicas that agree has
// one too: it is not 2. And what two replicas say alike is said once.
func TestReplicasAreNotCounted(t *testing.T) {
	seen := 0
	for name, dashboard := range dashboards(t) {
		for _, panel := range dashboard.Panels {
			for _, target := range panel.Targets {
				info := strings.Contains(target.Expr, "_info{") && panel.Type != "table"
				if len(panel.FieldConfig.Defaults.Mappings) == 0 && !info {
					continue
				}
				seen++
				t.Run(name+"/"+panel.Title, func(t *testing.T) {
					query := dashboard.all(t, target.Expr)
					metric := regexp.MustCompile(`(\w+)\{`).FindStringSubmatch(query)
					require.NotNil(t, metric, query)
					questions := []question{{Expr: "max(" + query + ")", Samples: []sample{{"{}", 1}}}}
					if info {
						questions = append(questions, question{Expr: "count(" + query + ")", Samples: []sample{{"{}", 1}}})
					}
					requireAnswers(t, scraped(metric[1]), questions...)
				})
			}
		}
	}
	require.Greater(t, seen, 8)
}

// An axis does not end at 100 where all is 0, and series that are 0 all the time do
// not crowd out the others in the legend.
func TestCurvesCanBeRead(t *testing.T) {
	for name, dashboard := range dashboards(t) {
		for _, panel := range dashboard.Panels {
			if panel.Type != "timeseries" {
				continue
			}
			t.Run(name+"/"+panel.Title, func(t *testing.T) {
				defaults := panel.FieldConfig.Defaults
				require.True(t, defaults.Max != nil || defaults.Custom.AxisSoftMax != nil, "an axis for 0 alone")
				hidden := false
				for _, override := range panel.FieldConfig.Overrides {
					options, err := json.Marshal(override.Matcher.Options)
					require.NoError(t, err)
					hidden = hidden || override.Matcher.ID == "byValue" && strings.Contains(string(options), `"allIsZero"`) &&
						override.Properties[0].ID == "custom.hideFrom"
				}
				require.True(t, hidden, "the legend shows series of zeros")
			})
		}
	}
}

// A caller's fault and ours are told apart by their colours.
func TestStatusCodesHaveTheirColours(t *testing.T) {
	panels := 0
	for _, dashboard := range dashboards(t) {
		for _, panel := range dashboard.Panels {
			if len(panel.Targets) == 0 || panel.Targets[0].LegendFormat != "{{code}}" {
				continue
			}
			panels++
			colours := make(map[string]bool)
			for _, code := range []string{"200", "400", "503"} {
				colours[panel.colour(t, code)] = true
			}
			require.Len(t, colours, 3, panel.Title)
			require.Equal(t, panel.colour(t, "401"), panel.colour(t, "422"), "shades of one colour")
		}
	}
	require.Positive(t, panels)
}

// colour is the fixed colour of a series, or that of which it has a shade.
func (p panel) colour(t *testing.T, series string) string {
	t.Helper()
	for _, override := range p.FieldConfig.Overrides {
		if override.Matcher.ID != "byRegexp" {
			continue
		}
		text, ok := override.Matcher.Options.(string)
		require.True(t, ok)
		if !regexp.MustCompile(strings.Trim(text, "/")).MatchString(series) {
			continue
		}
		var colour struct{ FixedColor string }
		require.NoError(t, json.Unmarshal(override.Properties[0].Value, &colour))
		return colour.FixedColor
	}
	require.Fail(t, "no colour", "%s: %s", p.Title, series)
	return ""
}

// A unit fits what is measured.
func TestUnitsFitTheMetrics(t *testing.T) {
	units := []struct{ metric, units string }{
		{`process_cpu_seconds_total`, `^(percentunit|suffix:processors)$`},
		{`_bytes\b`, `^bytes$`},
		{`_timestamp_seconds\b|_duration_seconds(_bucket)?\{`, `^(s|percentunit)$`},
		{`http_requests_total`, `^(reqps|percentunit)$`},
		{`dataset_rows`, `^count:rows$`},
	}
	seen := make(map[string]bool)
	for name, dashboard := range dashboards(t) {
		for _, panel := range dashboard.Panels {
			for _, target := range panel.Targets {
				for _, rule := range units {
					if regexp.MustCompile(rule.metric).MatchString(target.Expr) {
						require.Regexp(t, rule.units, panel.FieldConfig.Defaults.Unit, "%s/%s", name, panel.Title)
						seen[rule.metric] = true
					}
				}
			}
		}
	}
	require.Len(t, seen, len(units))
}

// A table says which column is first, and has room for all of them: two columns of
// the grid each.
func TestTablesShowTheirColumns(t *testing.T) {
	tables := 0
	for name, dashboard := range dashboards(t) {
		for _, panel := range dashboard.Panels {
			if panel.Type != "table" {
				continue
			}
			tables++
			require.Len(t, panel.Transformations, 1, "%s/%s", name, panel.Title)
			columns := panel.Transformations[0].Options.IndexByName
			require.NotEmpty(t, columns, "%s/%s: columns by the alphabet", name, panel.Title)
			require.GreaterOrEqual(t, panel.GridPos.W, 2*len(columns), "%s/%s", name, panel.Title)
			for _, hidden := range []string{"Time", "Value"} {
				require.True(t, panel.Transformations[0].Options.ExcludeByName[hidden], "%s/%s: %s", name, panel.Title, hidden)
			}
		}
	}
	require.Equal(t, 3, tables)
}
