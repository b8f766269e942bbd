package compose

import (
	"encoding/json"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/petal-ml/petal/tests/testenv/promtest"
)

// rightlyEmpty lists what a query may look for and not find on a stack that is well,
// by label and value, each with the reason.
func rightlyEmpty() map[[2]string]string {
	return map[[2]string]string{{"code", "5.."}: "no request fails"}
}

func testPrometheus(t *testing.T, s *stack) {
	prometheus := promtest.Server{URL: s.url("prometheus", "")}
	t.Run("every target is up", func(t *testing.T) { testTargets(t, prometheus) })
	t.Run("every rule is loaded", func(t *testing.T) { testRules(t, s, prometheus) })
	s.sendTraffic(t)
	t.Run("every panel has data", func(t *testing.T) { testPanels(t, s, prometheus) })
	t.Run("every selector finds something", func(t *testing.T) { testSelectors(t, s, prometheus) })
	t.Run("every rule has data or is rightly still", func(t *testing.T) { testExpressions(t, s, prometheus) })
}

func testTargets(t *testing.T, prometheus promtest.Server) {
	var targets struct {
		ActiveTargets []struct {
			Health, LastError string
			Labels            map[string]string
		}
	}
	eventually(t, func() bool {
		prometheus.Get(t, "/api/v1/targets", nil, &targets)
		for _, target := range targets.ActiveTargets {
			if target.Health != "up" {
				return false
			}
		}
		return len(targets.ActiveTargets) == 5
	}, healLimit, tick, "every target up: %v", &targets)
}

func testRules(t *testing.T, s *stack, prometheus promtest.Server) {
	var loaded struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	expected := len(rules(t, s))
	eventually(t, func() bool {
		prometheus.Get(t, "/api/v1/rules", nil, &loaded)
		count := 0
		for _, group := range loaded.Groups {
			for _, rule := range group.Rules {
				if rule.Health != "ok" {
					return false
				}
				count++
			}
		}
		return count == expected
	}, healLimit, tick, "%d rules in good health: %v", expected, &loaded)
}

// A rule is one of the rules file: recording or alerting.
type rule struct {
	Record, Alert, Expr string
	Annotations         map[string]string
}

func rules(t *testing.T, s *stack) []rule {
	t.Helper()
	var parsed struct{ Groups []struct{ Rules []rule } }
	require.NoError(t, yaml.Unmarshal(readFile(t, filepath.Join(s.dir, "dashboards", "alert.rules.yml")), &parsed))
	var all []rule
	for _, group := range parsed.Groups {
		all = append(all, group.Rules...)
	}
	require.NotEmpty(t, all)
	return all
}

// sendTraffic sends some of everything that has a metric: right and wrong
// predictions, logins and tokens.
func (s *stack) sendTraffic(t *testing.T) {
	t.Helper()
	token := s.token(t)
	for range 40 {
		s.requireFlowers(t, token)
		require.Equal(t, http.StatusUnprocessableEntity, s.predict(t, token, `{"features":[1,2]}`).Status)
		require.Equal(t, http.StatusUnauthorized, s.predict(t, "no token", `{"features":[5.1,3.5,1.4,0.2]}`).Status)
		time.Sleep(100 * time.Millisecond)
	}
	wrong := []byte(url.Values{"username": {"student"}, "password": {"wrong"}}.Encode())
	require.NotEqual(t, http.StatusOK, s.send(t, http.MethodPost, "api", "/token", "", "application/x-www-form-urlencoded", wrong).Status)
	s.token(t)
	time.Sleep(5 * time.Second) // for a scrape and an evaluation
}

// A panelQuery is a query of a panel.
type panelQuery struct{ dashboard, panel, expr string }

// dashboardQueries returns the queries of panels, and those of annotations and
// variables, which may find nothing.
func dashboardQueries(t *testing.T, s *stack) (panels []panelQuery, others []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "dashboards", "grafana", "dashboards", "*.json"))
	require.NoError(t, err)
	for _, path := range files {
		var parsed struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
			Annotations struct{ List []struct{ Expr string } }
			Templating  struct{ List []struct{ Definition string } }
		}
		require.NoError(t, json.Unmarshal(readFile(t, path), &parsed))
		for _, panel := range parsed.Panels {
			for _, target := range panel.Targets {
				panels = append(panels, panelQuery{filepath.Base(path), panel.Title, grafana(target.Expr)})
			}
		}
		for _, annotation := range parsed.Annotations.List {
			others = append(others, grafana(annotation.Expr))
		}
		for _, variable := range parsed.Templating.List {
			if match := regexp.MustCompile(`^label_values\((.+), \w+\)$`).FindStringSubmatch(variable.Definition); match != nil {
				others = append(others, grafana(match[1]))
			}
		}
	}
	require.NotEmpty(t, panels)
	require.NotEmpty(t, others)
	return panels, others
}

// grafana puts values in the place of Grafana's variables.
func grafana(query string) string {
	return strings.NewReplacer("$__rate_interval", "1m", "$job", ".+", "$instance", ".+").Replace(query)
}

// Every query of a panel returns a number, or a native histogram.
func testPanels(t *testing.T, s *stack, prometheus promtest.Server) {
	panels, _ := dashboardQueries(t, s)
	for _, query := range panels {
		t.Run(query.dashboard+"/"+query.panel, func(t *testing.T) {
			var result struct {
				Result []struct {
					Value     []any
					Histogram []any
				}
			}
			prometheus.Get(t, "/api/v1/query", url.Values{"query": {query.expr}}, &result)
			found := false
			for _, series := range result.Result {
				found = found || len(series.Histogram) == 2 || len(series.Value) == 2 && series.Value[1] != "NaN"
			}
			require.True(t, found, "%s: %v", query.expr, result.Result)
		})
	}
}

// Every selector of a rule or a dashboard, with all that it asks of labels, finds
// something that came from a real scrape, or from a recording rule that had something
// to record. So an alert that keeps still does not do so because of a wrong name.
func testSelectors(t *testing.T, s *stack, prometheus promtest.Server) {
	panels, expressions := dashboardQueries(t, s)
	for _, query := range panels {
		expressions = append(expressions, query.expr)
	}
	for _, rule := range rules(t, s) {
		expressions = append(expressions, rule.Expr)
	}
	seen := make(map[string]bool)
	for _, expression := range expressions {
		for _, selector := range prometheus.Parse(t, expression) {
			if seen[selector.Text] {
				continue
			}
			seen[selector.Text] = true
			var found struct{ Result []any }
			prometheus.Get(t, "/api/v1/query", url.Values{"query": {selector.Text}}, &found)
			if len(found.Result) == 0 {
				requireRightlyEmpty(t, prometheus, selector, expression)
			}
		}
	}
	t.Logf("%d selectors", len(seen))
}

func requireRightlyEmpty(t *testing.T, prometheus promtest.Server, selector promtest.Selector, expression string) {
	t.Helper()
	for matcher, reason := range rightlyEmpty() {
		if selector.Matchers[matcher[0]] != matcher[1] {
			continue
		}
		var found struct{ Result []any }
		prometheus.Get(t, "/api/v1/query", url.Values{"query": {selector.Name}}, &found)
		require.NotEmpty(t, found.Result, "%s: no such metric: %s", expression, selector.Name)
		t.Logf("rightly empty, %s: %s", reason, selector.Text)
		return
	}
	require.Fail(t, "nothing is found", "%s: %s", expression, selector.Text)
}

// What is recorded has data. An alert rightly has none on a stack that is well.
func testExpressions(t *testing.T, s *stack, prometheus promtest.Server) {
	for _, rule := range rules(t, s) {
		var result struct{ Result []any }
		prometheus.Get(t, "/api/v1/query", url.Values{"query": {rule.Expr}}, &result)
		if rule.Record != "" || rule.Alert == "Watchdog" {
			require.NotEmpty(t, result.Result, rule.Expr)
		} else {
			require.Empty(t, result.Result, "%s would fire: %s", rule.Alert, rule.Expr)
		}
	}
}

// testFirstSteps types what the mails say, except what would change something.
func testFirstSteps(t *testing.T, s *stack) {
	changes := regexp.MustCompile(`docker compose (up|restart)|/app (train|rollback)`)
	typed := make(map[string]bool)
	for _, rule := range rules(t, s) {
		steps := strings.ReplaceAll(rule.Annotations["first_steps"], "{{ $labels.job }}", "grafana")
		for _, command := range regexp.MustCompile(`docker .*`).FindAllString(steps, -1) {
			if !typed[command] && !changes.MatchString(command) {
				s.engine.run(t, s.dir, s.env, "sh", "-c", command)
			}
			typed[command] = true
		}
	}
	require.Greater(t, len(typed), 20)
}
