package clients

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
)

// What docs/api.md says that its lines print, they print; and it names every
// endpoint of the specification.
func TestAPIDocument(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		testenv.Missing(t, "curl is not installed")
	}
	content, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs", "api.md"))
	require.NoError(t, err)
	document := string(content)
	petal, api := start(t)

	var spec struct {
		Paths map[string]any
	}
	api.Do(http.MethodGet, "/openapi.json", "", "", "").Decode(t, &spec)
	require.Greater(t, len(spec.Paths), 20)
	for path := range spec.Paths {
		named := strings.NewReplacer("{model}", "iris", "{version}", "1").Replace(path)
		require.True(t, strings.Contains(document, "$URL"+named) || strings.Contains(document, path+"`"), "docs/api.md does not show %s", path)
	}

	examples := examplesOf(document)
	require.Greater(t, len(examples), 25)
	environment := append(os.Environ(), "URL="+api.URL, "PASSWORD="+strings.TrimSpace(petal.Read("var/initial_password")), "TOKEN="+api.Token())
	for _, e := range examples {
		command := exec.CommandContext(t.Context(), "sh", "-c", e.command)
		command.Env = environment
		output, err := command.Output()
		require.NoError(t, err, e.command)
		require.Regexp(t, pattern(e.prints), strings.TrimSpace(string(output)), e.command)
	}
}

type example struct{ command, prints string }

// examplesOf finds the lines behind "$ " in console blocks, with what follows
// each.
func examplesOf(document string) []example {
	var all []example
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(document, -1) {
		for _, part := range strings.Split("\n"+block[1], "\n$ ")[1:] {
			command, prints, _ := strings.Cut(part, "\n")
			all = append(all, example{command, strings.TrimSpace(prints)})
		}
	}
	return all
}

// pattern makes a regular expression in which … stands for anything.
func pattern(prints string) string {
	return "^" + strings.ReplaceAll(regexp.QuoteMeta(prints), "…", "(?s:.*)") + "$"
}

func TestPatternIsExact(t *testing.T) {
	require.Regexp(t, pattern(`{"a":…}`), `{"a":1}`)
	require.NotRegexp(t, pattern(`{"a":…}`), `{"b":1}`)
	require.NotRegexp(t, pattern(`{"a":1}`), `{"a":1}x`)
	require.Equal(t, []example{{"a", "b"}, {"c", ""}}, examplesOf("```console\n$ a\nb\n$ c\n```"))
}
