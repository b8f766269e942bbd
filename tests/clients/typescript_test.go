package clients

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
)

// Types that openapi-typescript makes of the specification fit what a client in
// TypeScript does, and what the API then answers.
func TestTypeScriptClient(t *testing.T) {
	project := filepath.Join(testenv.Root(t), "tests", "clients", "typescript")
	modules := testenv.NodeModules(t, project)
	petal, api := start(t)
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(project)))
	require.NoError(t, os.Symlink(modules, filepath.Join(dir, "node_modules")))
	node := func(args ...string) string {
		result := testenv.Run(t, testenv.Command{Path: "node", Args: args, Dir: dir}, time.Minute)
		require.Zero(t, result.Code, result.Output)
		return result.Output
	}
	spec := api.Do("GET", "/openapi.json", "", "", "")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "openapi.json"), spec.Body, 0o600))
	node("node_modules/openapi-typescript/bin/cli.js", "openapi.json", "--output", "petal.d.ts")
	node("node_modules/typescript/bin/tsc", "--project", ".")

	var got map[string]any
	output := node("built/client.js", api.URL, strings.TrimSpace(petal.Read("var/initial_password")))
	require.NoError(t, json.Unmarshal([]byte(output), &got), output)
	require.Equal(t, map[string]any{
		"scope": "predict", "label": "setosa", "secondLabel": "virginica", "method": "linear", "tensors": 2.0,
		"wrongPassword": "invalid_grant", "wrongWidth": "body.features", "nobody": 401.0, "denied": "urn:petal:problem:insufficient-scope",
	}, got)
}
