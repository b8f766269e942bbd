package onnx_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
)

var update = flag.Bool("update", false, "write the table in docs/onnx.md")

// A coverage counts what became of each estimator's models.
type coverage struct {
	rows map[[3]string]map[string]int // by kind, library, estimator: how many of each result
}

func newCoverage() *coverage { return &coverage{rows: map[[3]string]map[string]int{}} }

func (c *coverage) add(e exportCase, result string) {
	key := [3]string{e.Kind, e.Library, e.Estimator}
	if c.rows[key] == nil {
		c.rows[key] = map[string]int{}
	}
	c.rows[key][result]++
}

// classifiers counts scikit-learn's classifiers that convert to a file that
// onnxruntime loads, and those of them that Petal serves.
func (c *coverage) classifiers() (served, all int) {
	for key, results := range c.rows {
		if key[0] != "classifier" || key[1] != "sklearn" || results["served"]+results["fast"]+results["unsupported"] == 0 {
			continue
		}
		all++
		if results["unsupported"] == 0 {
			served++
		}
	}
	return served, all
}

const (
	tableStart = "<!-- table: made by `go test ./tests/interop/onnx -update` -->\n"
	tableEnd   = "<!-- end of table -->\n"
)

// check compares the table in docs/onnx.md with this run.
func (c *coverage) check(t *testing.T) {
	path := filepath.Join(testenv.Root(t), "docs", "onnx.md")
	page, err := os.ReadFile(path)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(page), tableStart)
	require.True(t, found, "docs/onnx.md has no place for the table")
	_, after, found := strings.Cut(rest, tableEnd)
	require.True(t, found, "the table in docs/onnx.md has no end")
	wanted := before + tableStart + c.markdown() + tableEnd + after
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(wanted), 0o644))
		return
	}
	if wanted != string(page) { // Not require.Equal, which would print both pages.
		t.Fatal("docs/onnx.md is out of date: go test ./tests/interop/onnx -run TestExportedModels -update")
	}
}

func (c *coverage) markdown() string {
	var b strings.Builder
	b.WriteString("\n| kind | library | estimator | exported models that agree with onnxruntime | on the fast path | refused by the converter | refused by onnxruntime |\n|---|---|---|---|---|---|---|\n")
	keys := make([][3]string, 0, len(c.rows))
	for key := range c.rows {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b [3]string) int { return slices.Compare(a[:], b[:]) })
	total := map[string]int{}
	for _, key := range keys {
		r := c.rows[key]
		for result, n := range r {
			total[result] += n
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s\n", key[0], key[1], strings.TrimPrefix(key[2], "Pipeline "), counts(r))
	}
	fmt.Fprintf(&b, "| **all** | | | %s\n\n", counts(total))
	b.WriteString("Not served, though onnxruntime runs them:\n\n")
	for _, name := range slices.Sorted(maps.Keys(refusals())) {
		fmt.Fprintf(&b, "- %s: %s\n", strings.Replace(name, "Pipeline ", "", 1), refusals()[name])
	}
	b.WriteString("\n")
	return b.String()
}

// counts writes the last columns of a row.
func counts(r map[string]int) string {
	compared := r["served"] + r["fast"] + r["unsupported"]
	agree := fmt.Sprintf("%d of %d", r["served"]+r["fast"], compared)
	if compared == 0 {
		agree = "none"
	}
	return fmt.Sprintf("%s | %d | %d | %d |", agree, r["fast"], r["unconverted"], r["unloadable"])
}
