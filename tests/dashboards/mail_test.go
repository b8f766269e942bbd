package dashboards

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The mail's page sets commands apart, and shows as text whatever looks like markup
// in an alert's labels.
func TestMailShowsStepsAsTextAndCommands(t *testing.T) {
	data, err := json.Marshal(map[string]any{
		"status":      "firing",
		"externalURL": "http://localhost:9093",
		"groupLabels": map[string]string{"alertname": "ApiDown", "service": "api"},
		"alerts": []map[string]any{{
			"status": "firing", "startsAt": "2026-11-25T03:46:56Z", "endsAt": "0001-01-01T00:00:00Z",
			"annotations": map[string]string{
				"description": "<i>one</i>",
				"first_steps": "1. See <i>two</i> & more: docker compose ps -a api\n2. Then look.\n",
			},
		}},
	})
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "data.json")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	html := render(t, "html", path)
	require.Contains(t, html, "&lt;i&gt;one&lt;/i&gt;")
	require.Contains(t, html, "1. See &lt;i&gt;two&lt;/i&gt; &amp; more:<code")
	require.Contains(t, html, ">docker compose ps -a api</code>2. Then look.")
	require.Contains(t, html, "/#/silences/new?filter=%7Balertname%3D%22ApiDown%22%2Cservice%3D%22api%22%7D")
}

// render renders one of the mail's templates as Alertmanager does.
func render(t *testing.T, part, data string) string {
	t.Helper()
	kind := "text"
	if part == "html" {
		kind = "html"
	}
	return succeed(t, "amtool", "template", "render", "--template.glob="+file(t, "templates", "*.tmpl"),
		"--template.type="+kind, `--template.text={{ template "petal.`+part+`" . }}`, "--template.data="+data)
}

// A group may hold alerts that have ended and others that go on, of several
// severities: the mail is about what goes on, the worst of it first named.
func TestMailIsAboutWhatFires(t *testing.T) {
	for name, test := range map[string]struct{ subject, colour string }{
		"two-windows": {"[CRITICAL] burns 6 times (ApiErrorBudgetBurn)", "#c62828"},
		"severities":  {"[CRITICAL] burns 6 times (ApiErrorBudgetBurn)", "#c62828"},
		"warning":     {"[WARNING] burns 1 times (ApiErrorBudgetBurn)", "#b45309"},
		"over":        {"[RESOLVED] burns 14.4 times (ApiErrorBudgetBurn)", "#2e7d32"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, err := filepath.Abs(filepath.Join("testdata", "mail", name+".json"))
			require.NoError(t, err)
			require.Equal(t, test.subject, strings.TrimSpace(render(t, "subject", path)))
			html, text := render(t, "html", path), render(t, "text", path)
			require.Contains(t, html, "<div style=\"background:"+test.colour)
			require.Contains(t, html, "<title>"+test.subject+"</title>")
			require.Contains(t, text, test.subject)
			for _, body := range []string{html, text} {
				require.NotContains(t, body, "no value")
				last, over := strings.LastIndex(body, "First steps"), strings.Index(body, "It is over.")
				if name == "over" {
					require.Equal(t, -1, last)
				} else if over != -1 {
					require.Less(t, last, over, "what is over comes last")
				}
			}
		})
	}
}
