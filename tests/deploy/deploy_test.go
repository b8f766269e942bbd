package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/petal-ml/petal/tests/testenv"
)

// fakeCompose answers as `docker compose` does where .env has these settings.
const fakeCompose = `#!/bin/sh
case "$*" in
"compose version"|"compose up -d --wait --build") ;;
"compose config") cat <<'END'
name: petal
services:
  api:
    environment:
      API_PASSWORD: %q
      API_USERNAME: %q
  grafana:
    environment:
      GF_SECURITY_ADMIN_PASSWORD: %s
      GF_SECURITY_ADMIN_USER: %s
END
;;
"compose port grafana 3000") echo 127.0.0.1:3300 ;;
"compose port "*) echo "127.0.0.1:1$4" ;;
*) echo "unexpected: $*" >&2; exit 1 ;;
esac
`

// `make up` says what holds, not what .env.example says; and no password.
func TestUpSaysWhatIsSet(t *testing.T) {
	for name, test := range map[string]struct {
		settings []any
		lines    []string
	}{
		"as it comes": {
			settings: []any{"", "student", "admin", "admin"},
			lines: []string{
				"http://localhost:18000     user student, password: docker compose exec api /app user initial-password\n",
				"http://localhost:3300     user admin, password: admin\n",
			},
		},
		"changed": {
			settings: []any{"correct horse battery", "alice", `"12345"`, "'o''brien'"},
			lines: []string{
				"http://localhost:18000     user alice, password: API_PASSWORD of .env\n",
				"http://localhost:3300     user o'brien, password: GRAFANA_PASSWORD of .env\n",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			bin := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(bin, "docker"), fmt.Appendf(nil, fakeCompose, test.settings...), 0o700))
			result := testenv.Run(t, testenv.Command{
				Path: filepath.Join(testenv.Root(t), "deploy", "up"),
				Env:  []string{"PATH=" + bin + ":/usr/bin:/bin", "API_USERNAME=of-the-shell-alone"},
			}, time.Minute)
			require.Zero(t, result.Code, result.Output)
			for _, line := range test.lines {
				require.Contains(t, result.Output, line)
			}
			require.NotContains(t, result.Output, "correct horse")
			require.NotContains(t, result.Output, "12345")
		})
	}
}

// A checkout where Git turns line ends into CRLF has scripts that run, files that
// containers can read, and nothing to commit.
func TestCheckoutWithCRLF(t *testing.T) {
	root, dir := testenv.Root(t), filepath.Join(t.TempDir(), "clone")
	git := func(in string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir, cmd.Env = in, testenv.Environ("GIT_CONFIG_GLOBAL=/dev/null")
		output, err := cmd.CombinedOutput()
		require.NoError(t, err, "git %v: %s", args, output)
		return string(output)
	}
	// What is checked out is the work tree, committed or not.
	require.NoError(t, os.Mkdir(dir, 0o750))
	git(dir, "init", "--quiet")
	names := strings.Split(strings.TrimRight(git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"), "\x00"), "\x00")
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // removed, and not committed yet
		}
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o750))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	git(dir, "config", "core.autocrlf", "true")
	git(dir, "-c", "core.safecrlf=false", "add", "--force", "--all")
	git(dir, "-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "--quiet", "-m", "all")
	git(dir, "rm", "-r", "--quiet", ".")
	git(dir, "reset", "--quiet", "--hard")

	for line := range strings.Lines(git(dir, "ls-files", "--eol")) {
		require.NotContains(t, strings.Fields(line)[1], "crlf", line)
	}
	require.Empty(t, git(dir, "status", "--porcelain"))
	result := testenv.Run(t, testenv.Command{Path: "/bin/sh", Args: []string{"-n", filepath.Join(dir, "deploy", "up")}}, time.Minute)
	require.Zero(t, result.Code, result.Output)
	object := filepath.Join("data", "remote")
	require.NoError(t, filepath.WalkDir(filepath.Join(root, object), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		require.NoError(t, err)
		before, err := os.ReadFile(path)
		require.NoError(t, err)
		after, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, before, after, "%s: DVC finds it by its MD5", name)
		return nil
	}))
}

// A proxy of Docker's client is given to every container. None of what the services
// ask each other, and themselves, may go there.
func TestServicesReachEachOtherBesideAProxy(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(testenv.Root(t), "docker-compose.yml"))
	require.NoError(t, err)
	var file struct {
		Services map[string]struct {
			NetworkMode string            `yaml:"network_mode"`
			Environment map[string]string `yaml:"environment"`
		} `yaml:"services"`
	}
	require.NoError(t, yaml.Unmarshal(data, &file))
	require.Len(t, file.Services, 9)
	for name, service := range file.Services {
		if service.NetworkMode == "none" {
			continue
		}
		for _, variable := range []string{"NO_PROXY", "no_proxy"} { // Go reads the one first, Python the other
			direct := strings.Split(service.Environment[variable], ",")
			for other := range file.Services {
				if other != "tests" && other != "backup" {
					require.Contains(t, direct, other, "%s of %s", variable, name)
				}
			}
			for _, self := range []string{"localhost", "127.0.0.1", "::1"} {
				require.Contains(t, direct, self, "%s of %s: its health check", variable, name)
			}
			require.Contains(t, direct, "${NO_PROXY:-}", "%s of %s: those of the user", variable, name)
		}
	}
}
