package dashboards

import (
	"encoding/json"
	"os"
	"path/filepath"
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
	html := succeed(t, "amtool", "template", "render", "--template.glob="+file(t, "templates", "*.tmpl"),
		"--template.type=html", `--template.text={{ template "petal.html" . }}`, "--template.data="+path)
	require.Contains(t, html, "&lt;i&gt;one&lt;/i&gt;")
	require.Contains(t, html, "1. See &lt;i&gt;two&lt;/i&gt; &amp; more:<code")
	require.Contains(t, html, ">docker compose ps -a api</code>2. Then look.")
	require.Contains(t, html, "/#/silences/new?filter=%7Balertname%3D%22ApiDown%22%2Cservice%3D%22api%22%7D")
}
