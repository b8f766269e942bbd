package compose

import (
	"encoding/json"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/petal-ml/petal/tests/testenv/promtest"
)

// rightlyEmpty lists the queries of panels that may return nothing on a stack that
// is well, by panel title, each with the reason.
func rightlyEmpty() map[string]string {
	return map[string]string{}
}

func testPrometheus(t *testing.T, s *stack) {
	prometheus := promtest.Server{URL: s.url("prometheus", "")}
	t.Run("every target is up", func(t *testing.T) { testTargets(t, prometheus) })
	t.Run("every rule is loaded", func(t *testing.T) { testRules(t, s, prometheus) })
	s.sendTraffic(t)
	t.Run("every panel has data", func(t *testing.T) { testPanels(t, s, prometheus) })
	t.Run("every metric exists", func(t *testing.T) { testMetrics(t, s, prometheus) })
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
	time.Sleep(3 * time.Second) // for a scrape and an evaluation
}

// A panelQuery is a query of a dashboard.
type panelQuery struct{ dashboard, panel, expr string }

func panelQueries(t *testing.T, s *stack) []panelQuery {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "dashboards", "grafana", "dashboards", "*.json"))
	require.NoError(t, err)
	var queries []panelQuery
	for _, path := range files {
		var parsed struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		require.NoError(t, json.Unmarshal(readFile(t, path), &parsed))
		for _, panel := range parsed.Panels {
			for _, target := range panel.Targets {
				queries = append(queries, panelQuery{filepath.Base(path), panel.Title, grafana(target.Expr)})
			}
		}
	}
	require.NotEmpty(t, queries)
	return queries
}

// grafana puts values in the place of Grafana's variables.
func grafana(query string) string {
	return strings.NewReplacer("$__rate_interval", "1m", "$job", ".+", "$instance", ".+").Replace(query)
}

func testPanels(t *testing.T, s *stack, prometheus promtest.Server) {
	for _, query := range panelQueries(t, s) {
		t.Run(query.dashboard+"/"+query.panel, func(t *testing.T) {
			var result struct{ Result []any }
			prometheus.Get(t, "/api/v1/query", url.Values{"query": {query.expr}}, &result)
			if reason := rightlyEmpty()[query.panel]; reason != "" {
				t.Logf("may be empty: %s", reason)
				return
			}
			require.NotEmpty(t, result.Result, query.expr)
		})
	}
}

// Every metric that a rule or a panel names has come from a real scrape, or from a
// recording rule that had something to record.
func testMetrics(t *testing.T, s *stack, prometheus promtest.Server) {
	var existing []string
	prometheus.Get(t, "/api/v1/label/__name__/values", nil, &existing)
	var expressions []string
	for _, rule := range rules(t, s) {
		expressions = append(expressions, rule.Expr)
	}
	for _, query := range panelQueries(t, s) {
		expressions = append(expressions, query.expr)
	}
	for _, expression := range expressions {
		for _, selector := range prometheus.Parse(t, expression) {
			require.True(t, slices.Contains(existing, selector.Name), "%s: no such metric: %s", expression, selector.Name)
		}
	}
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
