package compose

import (
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
)

// blocks returns the blocks of shell commands of a page.
func blocks(t *testing.T, path string) []string {
	t.Helper()
	var found []string
	for _, match := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllSubmatch(readFile(t, path), -1) {
		found = append(found, string(match[1]))
	}
	require.NotEmpty(t, found, path)
	return found
}

func TestGuidesHaveTheSameCommands(t *testing.T) {
	docs := filepath.Join(testenv.Root(t), "docs")
	require.Equal(t, blocks(t, filepath.Join(docs, "guide.md")), blocks(t, filepath.Join(docs, "guide.fr.md")))
}

// The guide is followed word for word in a fresh clone, with the real durations of
// the alerts. Ports that something else has are changed in .env, as a user would,
// and in the addresses.
func TestGuide(t *testing.T) {
	engine := startEngine(t)
	if engine.private {
		buildStandins(t, engine, publishedImages(t))
	}
	s := newStack(t, engine, "petal-guide")
	engine.run(t, s.dir, nil, "git", "init", "--quiet") // a clone is a Git repository
	s.env = append(s.env, "PATH="+filepath.Dir(testenv.Tool(t, "dvc"))+":"+enginePath(engine))
	script := "set -eu\n"
	for i, block := range blocks(t, filepath.Join(s.dir, "docs", "guide.md")) {
		script += fmt.Sprintf("echo \"+ block %d: $(date +%%s)\"\n", i+1) + block
	}
	for service, port := range defaultPorts() {
		if free(port) {
			s.env = append(s.env, fmt.Sprintf("%s_PORT=%d", strings.ToUpper(service), port))
			continue
		}
		t.Logf("port %d is taken: the guide runs with %d", port, s.ports[service])
		script = strings.ReplaceAll(script, fmt.Sprintf("localhost:%d", port), fmt.Sprintf("localhost:%d", s.ports[service]))
	}
	path := filepath.Join(t.TempDir(), "guide.sh")
	writeFile(t, path, script)
	started := time.Now()
	output, err := s.engine.try(t.Context(), s.dir, s.env, "bash", path)
	t.Log(output)
	require.NoError(t, err)
	t.Logf("the guide took %s", time.Since(started).Round(time.Second))
	require.Contains(t, output, `"label":"setosa"`)
	require.Contains(t, output, `"label":"virginica"`)
}

// enginePath is the PATH in which docker and docker-compose are found.
func enginePath(engine *engine) string {
	path := ""
	for _, variable := range engine.env {
		if value, found := strings.CutPrefix(variable, "PATH="); found {
			path = value
		}
	}
	return path
}

func defaultPorts() map[string]int {
	return map[string]int{"api": 8000, "mlflow": 5000, "prometheus": 9090, "grafana": 3000, "alertmanager": 9093, "mailpit": 8025}
}

func free(port int) bool {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	return listener.Close() == nil
}
