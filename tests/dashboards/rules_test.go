package dashboards

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/petal-ml/petal/tests/testenv"
)

// toolLimit is generous: machines that build and test at once are slow.
const toolLimit = 2 * time.Minute

// runbookBase is where every runbook_url points: pages that open while the API
// is down. It is the one place to change for a fork.
const runbookBase = "https://github.com/petal-ml/petal/blob/main/docs/runbooks/"

// A rule is one entry of the rules file.
type rule struct {
	Record      string            `yaml:"record"`
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// file returns the path of a file of the folder dashboards.
func file(t *testing.T, elements ...string) string {
	t.Helper()
	return filepath.Join(append([]string{testenv.Root(t), "dashboards"}, elements...)...)
}

// rules returns all rules, recording and alerting, in their order.
func rules(t *testing.T) []rule {
	t.Helper()
	data, err := os.ReadFile(file(t, "alert.rules.yml"))
	require.NoError(t, err)
	var parsed struct {
		Groups []struct {
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	require.NoError(t, yaml.Unmarshal(data, &parsed))
	var all []rule
	for _, group := range parsed.Groups {
		all = append(all, group.Rules...)
	}
	require.NotEmpty(t, all)
	return all
}

// alerts returns the alerting rules.
func alerts(t *testing.T) []rule {
	t.Helper()
	var found []rule
	for _, rule := range rules(t) {
		if rule.Alert != "" {
			found = append(found, rule)
		}
	}
	require.NotEmpty(t, found)
	return found
}

// succeed runs a pinned tool and requires that it finds nothing wrong.
func succeed(t *testing.T, tool string, args ...string) string {
	t.Helper()
	result := testenv.Run(t, testenv.Command{Path: testenv.GoTool(t, tool), Args: args}, toolLimit)
	require.Zero(t, result.Code, "%s %v\n%s", tool, args, result.Output)
	return result.Output
}

func TestPrometheusAcceptsItsConfiguration(t *testing.T) {
	succeed(t, "promtool", "check", "config", "--lint=all", "--lint-fatal", file(t, "prometheus.yml"))
	succeed(t, "promtool", "check", "rules", "--lint=all", "--lint-fatal", file(t, "alert.rules.yml"))
}

// Each alert has a file of cases, with a time at which it fires and one at which
// it must not; a file without an alert is a leftover.
func TestEachAlertFiresAndKeepsStill(t *testing.T) {
	files, err := filepath.Glob("rules/*.yml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	named := make(map[string]bool)
	for _, rule := range alerts(t) {
		named[rule.Alert] = true
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".yml")
		require.Contains(t, named, name, "cases without an alert")
		delete(named, name)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireCases(t, path, name)
			absolute, err := filepath.Abs(path)
			require.NoError(t, err)
			succeed(t, "promtool", "test", "rules", absolute)
		})
	}
	require.Empty(t, named, "alerts without cases")
}

// requireCases requires that the cases tell when the alert fires and when not.
// Watchdog has no such time.
func requireCases(t *testing.T, path, alert string) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var parsed struct {
		Tests []struct {
			Expected []struct {
				Expr    string `yaml:"expr"`
				Samples []any  `yaml:"exp_samples"`
			} `yaml:"promql_expr_test"`
		} `yaml:"tests"`
	}
	require.NoError(t, yaml.Unmarshal(data, &parsed))
	fires, still := 0, 0
	for _, test := range parsed.Tests {
		for _, expected := range test.Expected {
			require.Contains(t, expected.Expr, fmt.Sprintf("alertname=%q", alert))
			if len(expected.Samples) > 0 {
				fires++
			} else {
				still++
			}
		}
	}
	require.NotZero(t, fires, "%s: no time at which it fires", path)
	if alert != "Watchdog" {
		require.NotZero(t, still, "%s: no time at which it keeps still", path)
	}
}

func TestEachAlertSaysWhatToDo(t *testing.T) {
	for _, rule := range alerts(t) {
		t.Run(rule.Alert+rule.Labels["window"], func(t *testing.T) {
			require.Contains(t, []string{"critical", "warning", "info", "none"}, rule.Labels["severity"])
			require.NotEmpty(t, rule.Labels["service"], "inhibition compares it")
			for _, annotation := range []string{"summary", "description"} {
				require.NotEmpty(t, rule.Annotations[annotation])
			}
			require.LessOrEqual(t, len(rule.Annotations["summary"]), 80, "it is the subject of a mail")
			require.Equal(t, runbookBase+rule.Alert+".md", rule.Annotations["runbook_url"])

			page, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs", "runbooks", rule.Alert+".md"))
			require.NoError(t, err)
			steps := rule.Annotations["first_steps"]
			for _, number := range []string{"1. ", "\n2. ", "\n3. "} {
				require.Contains(t, steps, number)
			}
			require.NotContains(t, steps, "localhost", "ports are those of .env")
			require.Contains(t, string(page), "## First steps\n\n"+addresses().Replace(steps), "mail and runbook say the same")
			for _, heading := range []string{"# " + rule.Alert + "\n", "## What to look at", "## What to do", "## When it is over"} {
				require.Contains(t, string(page), heading)
			}
		})
	}
}

// addresses are those that alerts name where .env moves no port.
func addresses() *strings.Replacer {
	return strings.NewReplacer(
		"{{ externalURL }}", "http://localhost:9090",
		"{{ $externalLabels.grafana_url }}", "http://localhost:3000",
		"{{ $externalLabels.mlflow_url }}", "http://localhost:5000",
		"{{ $externalLabels.alertmanager_url }}", "http://localhost:9093",
	)
}

// The dashboards that mails and runbooks lead to exist.
func TestStepsLeadToDashboards(t *testing.T) {
	known := make(map[string]bool)
	for _, dashboard := range dashboards(t) {
		known[dashboard.UID] = true
	}
	pages, err := filepath.Glob(filepath.Join(testenv.Root(t), "docs", "runbooks", "*.md"))
	require.NoError(t, err)
	count := 0
	for _, page := range append(pages, file(t, "alert.rules.yml")) {
		data, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, match := range regexp.MustCompile(`/d/([\w-]+)`).FindAllSubmatch(data, -1) {
			require.True(t, known[string(match[1])], "%s: no dashboard %s", page, match[1])
			count++
		}
	}
	require.Positive(t, count)
}

func TestEachRunbookBelongsToAnAlert(t *testing.T) {
	known := map[string]bool{"README": true}
	for _, rule := range alerts(t) {
		known[rule.Alert] = true
	}
	pages, err := filepath.Glob(filepath.Join(testenv.Root(t), "docs", "runbooks", "*.md"))
	require.NoError(t, err)
	for _, page := range pages {
		require.True(t, known[strings.TrimSuffix(filepath.Base(page), ".md")], page)
	}
}

func TestAlertmanagerAcceptsItsConfiguration(t *testing.T) {
	succeed(t, "amtool", "check-config", file(t, "alertmanager.yml"))
}

func TestAlertsTakeTheirRoutes(t *testing.T) {
	for _, rule := range alerts(t) {
		receiver := "email"
		if rule.Alert == "Watchdog" {
			receiver = "silent"
		}
		t.Run(rule.Alert+rule.Labels["window"], func(t *testing.T) {
			t.Parallel()
			succeed(t, "amtool", "config", "routes", "test", "--config.file="+file(t, "alertmanager.yml"),
				"--verify.receivers="+receiver,
				"alertname="+rule.Alert, "severity="+rule.Labels["severity"], "service="+rule.Labels["service"])
		})
	}
	t.Run("an alert of a stranger", func(t *testing.T) {
		succeed(t, "amtool", "config", "routes", "test", "--config.file="+file(t, "alertmanager.yml"),
			"--verify.receivers=email", "alertname=Unknown")
	})
}
