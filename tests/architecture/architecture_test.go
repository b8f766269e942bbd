// Package architecture keeps the arrows between the packages pointing down.
package architecture

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
)

const module = "github.com/petal-ml/petal/"

// forbidden lists what a package must not link, directly or through others, and
// why. As for the go command, a path that ends in /... holds all below it; from
// always does. One behind a ! may be linked all the same.
var forbidden = []struct {
	from   string
	to     []string
	reason string
}{
	{
		"cmd/api",
		[]string{"internal/learn/...", "internal/training/...", "internal/dvc/...", "internal/dataset/...", "gonum.org/v1/..."},
		"the API serves any ONNX file and learns nothing",
	},
	{
		"cmd/trainer",
		[]string{"internal/httpapi/...", "internal/account/...", "internal/token/...", "modernc.org/sqlite/...", "github.com/jackc/pgx/v5/..."},
		"the trainer has no users and serves no predictions: they meet in the registry",
	},
	{
		"internal/httpapi",
		[]string{"database/sql", "internal/account/sqlstore/...", "internal/settings/...", "internal/registry/...", "!internal/registry", "internal/training/...", "internal/learn/..."},
		"routes know neither SQL nor where models come from",
	},
	{
		"internal/predict",
		[]string{"internal/httpapi/...", "github.com/go-chi/...", "github.com/danielgtaylor/...", "database/sql", "internal/settings/...", "internal/training/...", "internal/learn/..."},
		"rows are answered whatever protocol they came by",
	},
	{
		"internal/training",
		[]string{"internal/account/...", "internal/token/...", "internal/serving/...", "database/sql"},
		"the pipeline knows no users and never speaks to the API",
	},
	{
		"internal/model",
		[]string{"net/http", "database/sql", "internal/registry/...", "internal/learn/...", "internal/serving/..."},
		"files in, scores out: who registered it and who asks is others' business",
	},
	{
		"internal/promotion",
		[]string{"internal/learn/...", "internal/training/...", "internal/dataset/...", "internal/dvc/...", "internal/account/...", "gonum.org/v1/...", "database/sql"},
		"versions are compared and promoted however they were made; the API may link it",
	},
	{
		"internal/serving",
		[]string{"internal/account/...", "internal/token/...", "internal/learn/...", "internal/dataset/...", "database/sql"},
		"the live model is independent of who asks and of how it was trained",
	},
	{
		"internal/learn",
		[]string{"net/http", "internal/mlflow/...", "internal/dataset/...", "internal/registry/..."},
		"matrices in, models out",
	},
	{
		"internal/scoring",
		[]string{"database/sql", "internal/registry/...", "internal/learn/...", "internal/dataset/...", "internal/serving/..."},
		"files and rows in, predictions out, wherever they come from",
	},
	{
		"internal/registry",
		[]string{"internal/learn/...", "internal/onnx/...", "internal/dataset/..."},
		"a registry keeps files and facts, whatever they mean",
	},
	{
		"internal/onnx",
		[]string{module + "...", "net", "database/sql", "gonum.org/v1/..."},
		"the model file stands alone",
	},
	{
		"internal/mlflow",
		[]string{module + "...", "!internal/mlmodel", "database/sql"},
		"MLflow's quirks stay in the package that speaks to it, and of ours it knows the file formats alone",
	},
	{
		"internal/mlmodel",
		[]string{module + "...", "net", "net/http", "database/sql"},
		"the MLmodel file and the rules for names are pure: bytes in, values out",
	},
	{
		"internal/dataset",
		[]string{module + "...", "!internal/rows", "!internal/onnx", "net", "database/sql"},
		"a data set is a file; its classes are those of the model file",
	},
	{
		"internal/rows",
		[]string{module + "...", "net", "database/sql", "gonum.org/v1/..."},
		"rows are read alike for whoever wants them",
	},
	{
		"internal/dvc",
		[]string{"internal/credential/...", "internal/version/...", "internal/dataset/...", "database/sql"},
		"pointers and remotes, whatever they hold",
	},
	{
		"internal/atomicfile",
		[]string{module + "...", "net", "database/sql"},
		"files appear whole, whatever they hold",
	},
	{
		"internal/account",
		[]string{"internal/token/...", "net/http"},
		"users exist without tokens and without HTTP",
	},
	{
		"internal/access",
		[]string{"net/http", "database/sql", "internal/account/sqlstore/..."},
		"who bears a token is decided without HTTP, wherever users are kept",
	},
	{
		"internal/token",
		[]string{"internal/account/...", "net/http", "database/sql"},
		"a token is verified without users, HTTP or a database",
	},
}

// A listed package as `go list -json` gives it: test files and what they import
// are not part of it.
type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string // all that it links
	Error      *struct{ Err string }
}

func TestForbiddenImports(t *testing.T) {
	packages := list(t)
	for _, rule := range forbidden {
		t.Run(strings.ReplaceAll(rule.from, "/", " "), func(t *testing.T) {
			bound := 0
			for _, pkg := range packages {
				if !within(pkg.ImportPath, module+rule.from) {
					continue
				}
				bound++
				for _, dep := range pkg.Deps {
					if within(dep, module+rule.from) || slices.Contains(rule.to, "!"+strings.TrimPrefix(dep, module)) {
						continue
					}
					for _, to := range rule.to {
						assertf(t, !matches(dep, to), "%s links %s: %s", pkg.ImportPath, dep, rule.reason)
					}
				}
			}
			require.NotZero(t, bound, "no package is bound by this rule")
		})
	}
}

// Two binaries must not become one: what they share is below them.
func TestBinariesDoNotShareAssembly(t *testing.T) {
	apps := map[string][]string{}
	for _, pkg := range list(t) {
		if !within(pkg.ImportPath, module+"cmd") {
			continue
		}
		for _, dep := range pkg.Deps {
			if within(dep, module+"internal/app") && !within(dep, module+"internal/app/process") {
				apps[dep] = append(apps[dep], pkg.ImportPath)
			}
		}
	}
	require.NotEmpty(t, apps, "no binary has an assembly below internal/app")
	for app, binaries := range apps {
		require.Lenf(t, binaries, 1, "%s is linked by more than one binary", app)
	}
}

func list(t *testing.T) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,Deps,Error", "./cmd/...", "./internal/...")
	cmd.Dir = testenv.Root(t)
	output, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		t.Fatalf("go list: %v\n%s", err, exit.Stderr)
	}
	require.NoError(t, err)
	var packages []listed
	decoder := json.NewDecoder(strings.NewReader(string(output)))
	for {
		var pkg listed
		if err := decoder.Decode(&pkg); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		require.Nil(t, pkg.Error, pkg.ImportPath)
		packages = append(packages, pkg)
	}
	require.NotEmpty(t, packages)
	return packages
}

// matches compares a path with a pattern of the table, where ours stand without
// the module.
func matches(path, pattern string) bool {
	if strings.HasPrefix(pattern, "internal/") {
		pattern = module + pattern
	}
	if folder, below := strings.CutSuffix(pattern, "/..."); below {
		return within(path, folder)
	}
	return path == pattern
}

func within(path, folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }

func assertf(t *testing.T, ok bool, format string, args ...any) {
	t.Helper()
	if !ok {
		t.Errorf(format, args...)
	}
}
