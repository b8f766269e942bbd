// Package golden keeps the messages of a package in one file,
// testdata/messages.golden, so that a new wording is a diff to review and not a
// dozen tests to change. Tests assert on types and places; the file has the words.
//
//	go test ./internal/dataset -update    # writes what the tests saw
package golden

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write testdata/messages.golden")

const path = "testdata/messages.golden"

// file is held while a section is read or replaced: tests run in parallel.
var file sync.Mutex

// Messages collects the messages that one test sees, by case.
type Messages struct {
	mu    sync.Mutex
	lines []string
}

// New returns the messages of a test, which are its section of the file. When the
// test ends they are compared with the file, or written to it with -update.
func New(t *testing.T) *Messages {
	t.Helper()
	m := &Messages{}
	t.Cleanup(func() {
		if t.Failed() || t.Skipped() {
			return
		}
		slices.Sort(m.lines)
		m.compare(t)
	})
	return m
}

// Add notes the message of a case; a case has one message. The message is one line.
func (m *Messages) Add(name string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lines = append(m.lines, fmt.Sprintf("%s: %s", name, strings.ReplaceAll(err.Error(), "\n", `\n`)))
}

func (m *Messages) compare(t *testing.T) {
	file.Lock()
	defer file.Unlock()
	sections := read(t)
	if !*update {
		if sections[t.Name()] != strings.Join(m.lines, "\n") {
			changed := diff(strings.Split(sections[t.Name()], "\n"), m.lines)
			t.Errorf("the messages differ from %s. If the new ones are right, run\n\tgo test ./%s -update\nand read the result with git diff. The change (- in the file, + in the test):\n%s",
				path, folder(), strings.Join(changed, "\n"))
		}
		return
	}
	sections[t.Name()] = strings.Join(m.lines, "\n")
	var text strings.Builder
	for i, name := range slices.Sorted(maps.Keys(sections)) {
		if i > 0 {
			text.WriteString("\n")
		}
		fmt.Fprintf(&text, "[%s]\n%s\n", name, sections[name])
	}
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text.String()), 0o600))
}

// diff has the lines that only one of two lists has, in order. In both lists a line
// stands once: it begins with its case.
func diff(file, seen []string) []string {
	var lines []string
	for _, line := range file {
		if line != "" && !slices.Contains(seen, line) {
			lines = append(lines, "- "+line)
		}
	}
	for _, line := range seen {
		if !slices.Contains(file, line) {
			lines = append(lines, "+ "+line)
		}
	}
	slices.SortStableFunc(lines, func(a, b string) int {
		caseOf := func(line string) string { name, _, _ := strings.Cut(line[2:], ": "); return name }
		return strings.Compare(caseOf(a), caseOf(b))
	})
	return lines
}

// folder is the package under test, relative to the module.
func folder() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "..."
	}
	return strings.TrimSuffix(strings.TrimPrefix(info.Path, info.Main.Path+"/"), ".test")
}

// read returns the lines of each section by the name of its test.
func read(t *testing.T) map[string]string {
	t.Helper()
	content, err := os.ReadFile(path)
	if !os.IsNotExist(err) {
		require.NoError(t, err)
	}
	sections := map[string]string{}
	for part := range strings.SplitSeq("\n"+strings.TrimSpace(string(content)), "\n[") {
		if name, lines, ok := strings.Cut(part, "]\n"); ok {
			sections[name] = strings.TrimSpace(lines)
		}
	}
	return sections
}
