package compose

import (
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
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
func testGuide(t *testing.T, engine *engine) {
	s := newStack(t, engine, "petal-guide")
	engine.run(t, s.dir, nil, "git", "init", "--quiet") // a clone is a Git repository
	s.env = append(s.env, "PATH="+filepath.Dir(testenv.Tool(t, "dvc"))+":"+enginePath(engine))
	script := "set -eu\n"
	commands := blocks(t, filepath.Join(s.dir, "docs", "guide.md"))
	for i, block := range commands {
		script += fmt.Sprintf("echo \"+ block %d: $(date +%%s)\"\n", i) + block
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
	t.Attr("api_stop_to_mail", blockTime(t, commands, output, "docker compose stop api\n").String())
	t.Attr("api_start_to_resolved_mail", blockTime(t, commands, output, "docker compose up -d --wait api\n").String())
	require.Contains(t, output, `"label":"setosa"`)
	require.Contains(t, output, `"label":"virginica"`)
}

// blockTime is how long the block took that begins with a command: until the next one.
func blockTime(t *testing.T, commands []string, output, command string) time.Duration {
	t.Helper()
	at := slices.IndexFunc(commands, func(block string) bool { return strings.HasPrefix(block, command) })
	require.NotEqual(t, -1, at, "no block begins with %q", command)
	stamp := func(block int) int {
		match := regexp.MustCompile(fmt.Sprintf(`\+ block %d: (\d+)\n`, block)).FindStringSubmatch(output)
		require.NotNil(t, match, "block %d", block)
		seconds, err := strconv.Atoi(match[1])
		require.NoError(t, err)
		return seconds
	}
	return time.Duration(stamp(at+1)-stamp(at)) * time.Second
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
