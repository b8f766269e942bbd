package architecture

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
)

var update = flag.Bool("update", false, "write the table of layers into docs/architecture.md")

// room is a folder of packages; its floor is the layer of the table. An import goes to
// a room on a lower floor or stays in its own folder below internal (not so in
// internal/app, where two programs are put together).
type room struct {
	floor       int
	folder      string // what lies below it belongs to it, unless it has a room of its own
	owns        string
	mustNotKnow string
}

// rooms is the plan of the house, from the top floor down. docs/architecture.md
// shows it: go test ./tests/architecture -update.
var rooms = []room{
	{floor: 8, folder: "cmd", owns: "`cmd/api`, `cmd/trainer`: the exit code", mustNotKnow: "what the programs do"},
	{floor: 7, folder: "internal/app", owns: "`api`, `trainer`: which parts are connected, start and stop order. Neither program links the other's packages", mustNotKnow: "HTTP details, SQL, protocols"},
	{floor: 6, folder: "internal/httpapi", owns: "HTTP: a package for each dialect (`native`, `oauth`, `mlflow`, `inference`), each with its routes; errors as values (`problem`); the document (`openapi`)", mustNotKnow: "SQL, files, where models come from"},
	{floor: 6, folder: "internal/app/process", owns: "what both programs share: signals, command line, exit codes, listening, health check, memory limit, opening the registry", mustNotKnow: "what the commands do"},
	{floor: 5, folder: "internal/predict", owns: "one service below every protocol: who may ask, which model answers, limits of time and memory, evaluation, explanation", mustNotKnow: "HTTP, SQL"},
	{floor: 5, folder: "internal/training", owns: "the pipeline: data, candidates, evaluation, registration", mustNotKnow: "routes, accounts"},
	{floor: 5, folder: "internal/training/pictures", owns: "the plots that a run shows", mustNotKnow: "registry, files"},
	{floor: 4, folder: "internal/promotion", owns: "which version is the champion: promote, roll back, the gate between two versions", mustNotKnow: "how models are trained, HTTP"},
	{floor: 4, folder: "internal/serving", owns: "the live model: watch the alias, verify, load, warm, swap, keep the last good one", mustNotKnow: "HTTP, accounts, training"},
	{floor: 4, folder: "internal/access", owns: "whose token or API key it is", mustNotKnow: "SQL, HTTP"},
	{floor: 3, folder: "internal/registry", owns: "versions, aliases, runs: one Go interface, its backends, one conformance suite", mustNotKnow: "estimators, REST"},
	{floor: 3, folder: "internal/scoring", owns: "a model file run on the rows of a file: `api model check` and `predict`", mustNotKnow: "HTTP, accounts"},
	{floor: 3, folder: "internal/account", owns: "users, passwords, scopes, throttling, API keys, revocation, audit", mustNotKnow: "tokens, HTTP"},
	{floor: 3, folder: "internal/account/sqlstore", owns: "accounts in SQLite and PostgreSQL", mustNotKnow: "tokens, HTTP"},
	{floor: 3, folder: "internal/token", owns: "issuing and verifying access tokens, keys and their rotation", mustNotKnow: "users, HTTP"},
	{floor: 3, folder: "internal/settings", owns: "environment, `.env`, `mlflow.yaml`", mustNotKnow: "what the settings are for"},
	{floor: 2, folder: "internal/model", owns: "one servable model: files in, scores and explanations out", mustNotKnow: "registries, HTTP"},
	{floor: 2, folder: "internal/mlflow", owns: "MLflow's REST interface, with its special cases", mustNotKnow: "other packages of Petal, `mlmodel` excepted"},
	{floor: 2, folder: "internal/learn", owns: "estimators, preprocessing, metrics, splits; each estimator writes ONNX", mustNotKnow: "files, MLflow"},
	{floor: 2, folder: "internal/dataset", owns: "labelled tables: a CSV file read in parallel, its digest", mustNotKnow: "other packages of Petal, `rows` and the classes of `onnx` excepted"},
	{floor: 2, folder: "internal/dvc", owns: "pointers, configuration, remotes, verified pull", mustNotKnow: "what the files hold"},
	{floor: 2, folder: "internal/credential", owns: "the rules for names, passwords and keys; secrets in files", mustNotKnow: "users, tokens"},
	{floor: 1, folder: "internal/onnx", owns: "the model file: read, validate, write", mustNotKnow: "other packages of Petal"},
	{floor: 1, folder: "internal/onnx/eval", owns: "compile a graph and run it", mustNotKnow: "other packages of Petal, `onnx` excepted"},
	{floor: 1, folder: "internal/mlmodel", owns: "the MLmodel file, the model directory around it, the names that MLflow takes", mustNotKnow: "other packages of Petal"},
	{floor: 0, folder: "internal/rows", owns: "the one reader of rows from CSV, and the one from JSON: records, cells, numbers, missing values", mustNotKnow: "other packages of Petal"},
	{floor: 0, folder: "internal/atomicfile", owns: "files and folders that appear whole or not at all, and stay complete after power loss", mustNotKnow: "other packages of Petal"},
	{floor: 0, folder: "internal/poll", owns: "when to look again", mustNotKnow: "other packages of Petal"},
	{floor: 0, folder: "internal/regularfile", owns: "reading files that others may have put there: regular ones, of bounded size", mustNotKnow: "other packages of Petal"},
	{floor: 0, folder: "internal/version", owns: "which version this is", mustNotKnow: "other packages of Petal"},
}

func TestImportsPointDown(t *testing.T) {
	for _, pkg := range list(t) {
		from, known := roomOf(pkg.ImportPath)
		require.Truef(t, known, "%s has no room: add a line to the list rooms above", pkg.ImportPath)
		for _, imported := range pkg.Imports {
			to, known := roomOf(imported)
			if !known || from.home() == to.home() && from.home() != "internal/app" {
				continue
			}
			assertf(t, to.floor < from.floor, "%s (layer %d) imports %s (layer %d): a package imports only lower layers",
				pkg.ImportPath, from.floor, imported, to.floor)
		}
	}
}

// A room that is empty, stands twice or above a higher one is a plan of another
// house.
func TestRoomsAreInOrderAndLivedIn(t *testing.T) {
	packages := list(t)
	for i, r := range rooms {
		lived := slices.ContainsFunc(packages, func(pkg listed) bool { return within(pkg.ImportPath, module+r.folder) })
		assertf(t, lived, "%s holds no package", r.folder)
		assertf(t, i == 0 || r.floor <= rooms[i-1].floor, "%s stands below %s in the list, but on a higher floor", r.folder, rooms[max(i-1, 0)].folder)
		assertf(t, r.owns != "" && r.mustNotKnow != "", "%s: say what it owns and what it must not know", r.folder)
		for _, other := range rooms[:i] {
			assertf(t, other.folder != r.folder, "%s stands twice in the list", r.folder)
		}
	}
}

// Go forbids circles between packages; this forbids them between folders below
// internal, where a folder's packages might otherwise take turns.
func TestFoldersFormNoCircle(t *testing.T) {
	uses := map[string][]string{}
	for _, pkg := range list(t) {
		from := homeOf(pkg.ImportPath)
		for _, imported := range pkg.Imports {
			if to := homeOf(imported); to != "" && to != from && !slices.Contains(uses[from], to) {
				uses[from] = append(uses[from], to)
			}
		}
	}
	require.Greater(t, len(uses), 10)
	done := map[string]bool{}
	var visit func(folder string, path []string)
	visit = func(folder string, path []string) {
		require.NotContains(t, path, folder, "a circle of folders")
		if done[folder] {
			return
		}
		for _, next := range uses[folder] {
			visit(next, append(path, folder))
		}
		done[folder] = true
	}
	for folder := range uses {
		visit(folder, nil)
	}
}

var glossaryRow = regexp.MustCompile("(?m)^\\| [a-z -]+ \\| .* \\| `([a-z]+)\\.([A-Za-z]+)` \\|$")

// Each word of the glossary has a Go name, and that name exists.
func TestTheGlossarysNamesExist(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs", "architecture.md"))
	require.NoError(t, err)
	_, glossary, found := strings.Cut(string(content), "## Glossary\n")
	require.True(t, found)
	defined := map[string]bool{}
	for _, object := range loadHouse(t).info.Defs {
		if object != nil && object.Pkg() != nil && object.Parent() == object.Pkg().Scope() {
			defined[object.Pkg().Name()+"."+object.Name()] = true
		}
	}
	words := glossaryRow.FindAllStringSubmatch(glossary, -1)
	require.Greater(t, len(words), 20)
	require.Len(t, words, strings.Count(glossary, "\n| ")-1, "a row has another form")
	for _, word := range words {
		assertf(t, defined[word[1]+"."+word[2]], "there is no %s.%s", word[1], word[2])
	}
}

const (
	tableBegin = "<!-- Made from tests/architecture/rooms_test.go by: go test ./tests/architecture -update -->\n"
	tableEnd   = "<!-- The end of what is made. -->\n"
)

func TestTheDocumentedTableIsThePlan(t *testing.T) {
	page := filepath.Join(testenv.Root(t), "docs", "architecture.md")
	content, err := os.ReadFile(page)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(content), tableBegin)
	require.True(t, found, "docs/architecture.md has no place for the table: %s", tableBegin)
	_, after, found := strings.Cut(rest, tableEnd)
	require.True(t, found, "docs/architecture.md: the table has no end: %s", tableEnd)
	want := before + tableBegin + table() + tableEnd + after
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(want), 0o600))
		return
	}
	require.Equal(t, want, string(content), "the table is another one: go test ./tests/architecture -update")
}

func table() string {
	text := "\n| layer | folder | it contains | it must not depend on |\n|---|---|---|---|\n"
	for _, r := range rooms {
		text += fmt.Sprintf("| %d | `%s` | %s | %s |\n", r.floor, r.folder, r.owns, r.mustNotKnow)
	}
	return text + "\n"
}

// roomOf finds the room of a package: the one with the longest folder.
func roomOf(path string) (found room, known bool) {
	for _, r := range rooms {
		if within(path, module+r.folder) && len(r.folder) > len(found.folder) {
			found, known = r, true
		}
	}
	return found, known
}

func (r room) home() string { return homeOf(module + r.folder) }

// homeOf is cmd, or the folder below internal that holds the package; empty for
// packages of others.
func homeOf(path string) string {
	path, ours := strings.CutPrefix(path, module)
	if !ours {
		return ""
	}
	elements := strings.SplitN(path, "/", 3)
	if elements[0] == "internal" && len(elements) > 1 {
		return elements[0] + "/" + elements[1]
	}
	return elements[0]
}
