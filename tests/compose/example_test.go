package compose

import (
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
)

// What the Compose file takes from the environment stands in .env.example, with the
// same default where Compose has the only say in it.
func TestExampleHasEveryVariableOfCompose(t *testing.T) {
	root := testenv.Root(t)
	shown := make(map[string]string)
	for _, match := range regexp.MustCompile(`(?m)^(#?|# )([A-Z_]+)=(.*)$`).FindAllStringSubmatch(string(readFile(t, filepath.Join(root, ".env.example"))), -1) {
		if match[1] == "#" {
			shown[match[2]] = match[3]
			continue
		}
		shown[match[2]] = "a setting of the programs"
	}
	used := make(map[string]bool)
	for _, match := range regexp.MustCompile(`\$\{([A-Z_]+):-([^}]*)\}`).FindAllStringSubmatch(string(readFile(t, filepath.Join(root, "docker-compose.yml"))), -1) {
		name, value := match[1], match[2]
		require.Contains(t, shown, name, "docker-compose.yml uses it")
		if shown[name] != "a setting of the programs" {
			require.Equal(t, value, shown[name], name)
		}
		used[name] = true
	}
	require.NotEmpty(t, used)
	for name, value := range shown {
		if value != "a setting of the programs" {
			require.True(t, used[name], "docker-compose.yml does not use %s", name)
		}
	}
}
