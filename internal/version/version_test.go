package version

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// A release that the changelog does not tell of is none.
func TestReleaseStandsInTheChangelog(t *testing.T) {
	changelog, err := os.ReadFile(filepath.Join("..", "..", "CHANGELOG.md"))
	require.NoError(t, err)
	heading := regexp.MustCompile(`(?m)^## v([0-9]+\.[0-9]+\.[0-9]+) · [0-9]{4}-[0-9]{2}-[0-9]{2}$`).FindSubmatch(changelog)
	require.NotNil(t, heading)
	require.Equal(t, release, string(heading[1]))
	require.Contains(t, Current().String(), release+" (revision ")
}
