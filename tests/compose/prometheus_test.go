package compose

import (
	"encoding/json"
	"net/http"
	"net/url"
	"path/filepath"
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
}

func testTargets(t *testing.T, prometheus promtest.Server) {
	var targets struct {
		ActiveTargets []struct {
			Health, LastError string
			Labels            map[string]string
		}
	}
	require.Eventually(t, func() bool {
		prometheus.Get(t, "/api/v1/targets", nil, &targets)
		for _, target := range targets.ActiveTargets {
			if target.Health != "up" {
				return false
			}
		}
		return len(targets.ActiveTargets) == 5
	}, healLimit, tick, "%v", &targets)
}

func testRules(t *testing.T, s *stack, prometheus promtest.Server) {
	var loaded struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	expected := len(ruleExpressions(t, s))
	require.Eventually(t, func() bool {
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
	}, healLimit, tick, "expected %d rules in good health: %v", expected, &loaded)
}

// ruleExpressions returns the expressions of the rules file.
func ruleExpressions(t *testing.T, s *stack) []string {
	t.Helper()
	var parsed struct {
		Groups []struct {
			Rules []struct{ Expr string }
		}
	}
	require.NoError(t, yaml.Unmarshal(readFile(t, filepath.Join(s.dir, "dashboards", "alert.rules.yml")), &parsed))
	var expressions []string
	for _, group := range parsed.Groups {
		for _, rule := range group.Rules {
			expressions = append(expressions, rule.Expr)
		}
	}
	require.NotEmpty(t, expressions)
	return expressions
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
	expressions := ruleExpressions(t, s)
	for _, query := range panelQueries(t, s) {
		expressions = append(expressions, query.expr)
	}
	for _, expression := range expressions {
		for _, selector := range prometheus.Parse(t, expression) {
			require.True(t, slices.Contains(existing, selector.Name), "%s: no such metric: %s", expression, selector.Name)
		}
		var result struct{ Result any }
		prometheus.Get(t, "/api/v1/query", url.Values{"query": {expression}}, &result)
	}
}
