package architecture

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
)

var (
	testNamed   = regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9_]+)`")
	testDefined = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9_]+)\(`)
)

// The threat model names tests that show its defences: they are there.
func TestThreatModelNamesRealTests(t *testing.T) {
	root := testenv.Root(t)
	page, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	require.NoError(t, err)
	defined := definedTests(t, root)
	require.Greater(t, len(defined), 100)
	threats := 0
	for line := range strings.SplitSeq(string(page), "\n") {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "| threat") || strings.HasPrefix(line, "|--") {
			continue
		}
		threats++
		named := testNamed.FindAllStringSubmatch(line, -1)
		require.NotEmpty(t, named, "no test shows the defence: %s", line)
		for _, name := range named {
			require.True(t, defined[name[1]], "there is no %s: %s", name[1], line)
		}
	}
	require.Greater(t, threats, 10)
}

// definedTests are the names of all tests of the module.
func definedTests(t *testing.T, root string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, dir := range []string{"cmd", "internal", "tests"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			source, err := os.ReadFile(path)
			for _, match := range testDefined.FindAllSubmatch(source, -1) {
				names[string(match[1])] = true
			}
			return err
		})
		require.NoError(t, err)
	}
	return names
}
