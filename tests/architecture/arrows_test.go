package architecture

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
)

// The files of a folder, with those of all packages below it, can be read from
// the bottom up, as the packages can. This is how that is measured.
//
//   - An arrow goes from file A to file B where A uses a package-level
//     definition of B (constant, variable, type, function) or a method that B
//     defines, and from the file of a type to each file that holds a method of
//     it. However many names A uses, it is one arrow. Names are resolved by
//     go/types. Fields, tests, generated files and files that this platform
//     does not build do not count.
//   - The files are put in the order, bottom first, that leaves the fewest
//     arrows from a lower file to a higher one. Those that are left go upward.
//     The order is searched for and may not be the best one; but it is a
//     witness: a folder never has more upward arrows than the test counts.
//
// At most one arrow in ten may go upward. To see them, with the names behind
// each:
//
//	go test ./tests/architecture -run TestFilesReadBottomUp -v
func TestFilesReadBottomUp(t *testing.T) {
	house := loadHouse(t)
	for _, folder := range readBottomUp {
		t.Run(strings.ReplaceAll(folder, "/", " "), func(t *testing.T) {
			arrows := house.arrowsWithin(folder)
			require.NotEmpty(t, arrows, "no file of %s names another", folder)
			upward := arrows.upward()
			report := fmt.Sprintf("%s: %d of %d arrows between files go upward%s", folder, len(upward), len(arrows), upward)
			t.Log(report)
			if len(upward)*10 > len(arrows) {
				t.Errorf("%d may: move the definitions named above down, or split the file\n%s", len(arrows)/10, report)
			}
		})
	}
}

// readBottomUp are the folders that are measured.
var readBottomUp = []string{"internal/httpapi", "internal/onnx", "internal/training"}

// arrow says that the file from names definitions of the file to.
type arrow struct{ from, to string }

// arrows holds for each arrow the names that it stands for.
type arrows map[arrow][]string

// house is the type-checked source of the module's packages that the two
// programs are made of.
type house struct {
	root     string
	fset     *token.FileSet
	info     *types.Info
	files    []*ast.File
	packages map[string]*types.Package // ours, by import path
}

var (
	loaded   *house
	loadOnce sync.Once
)

// loadHouse reads the source once for all tests: it takes seconds.
func loadHouse(t *testing.T) *house {
	t.Helper()
	loadOnce.Do(func() { loaded = readHouse(t) })
	require.NotNil(t, loaded, "another test could not load the source: see there")
	return loaded
}

func readHouse(t *testing.T) *house {
	t.Helper()
	h := &house{
		root:     testenv.Root(t),
		fset:     token.NewFileSet(),
		info:     &types.Info{Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}},
		packages: map[string]*types.Package{},
	}
	exports := map[string]string{}
	foreign := importer.ForCompiler(h.fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	config := types.Config{Importer: importerFunc(func(path string) (*types.Package, error) {
		if ours := h.packages[path]; ours != nil {
			return ours, nil
		}
		return foreign.Import(path)
	})}
	for _, pkg := range listWithExports(t, h.root) { // what a package imports comes before it
		if !within(pkg.ImportPath, strings.TrimSuffix(module, "/")) {
			exports[pkg.ImportPath] = pkg.Export
			continue
		}
		var files []*ast.File
		for _, name := range pkg.GoFiles {
			file, err := parser.ParseFile(h.fset, filepath.Join(pkg.Dir, name), nil, parser.SkipObjectResolution|parser.ParseComments)
			require.NoError(t, err)
			files = append(files, file)
		}
		ours, err := config.Check(pkg.ImportPath, h.fset, files, h.info)
		require.NoError(t, err)
		h.packages[pkg.ImportPath] = ours
		h.files = append(h.files, files...)
	}
	return h
}

type importerFunc func(path string) (*types.Package, error)

func (f importerFunc) Import(path string) (*types.Package, error) { return f(path) }

// exported is a package with the file that holds its compiled types.
type exported struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
}

func listWithExports(t *testing.T, root string) []exported {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-trimpath", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles", "./cmd/...", "./internal/...")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0") // as others compile the binaries
	output, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		t.Fatalf("go list: %v\n%s", err, exit.Stderr)
	}
	require.NoError(t, err)
	var packages []exported
	decoder := json.NewDecoder(strings.NewReader(string(output)))
	for {
		var pkg exported
		err := decoder.Decode(&pkg)
		if errors.Is(err, io.EOF) {
			return packages
		}
		require.NoError(t, err)
		packages = append(packages, pkg)
	}
}

// arrowsWithin are the arrows whose both ends lie in the folder or below it.
func (h *house) arrowsWithin(folder string) arrows {
	found := arrows{}
	add := func(from, to token.Pos, name string) {
		key := arrow{h.pathOf(from), h.pathOf(to)}
		if key.from != key.to && within(key.from, folder) && within(key.to, folder) && !slices.Contains(found[key], name) {
			found[key] = append(found[key], name)
		}
	}
	for _, file := range h.files {
		if ast.IsGenerated(file) {
			continue
		}
		ast.Inspect(file, func(node ast.Node) bool {
			name, isName := node.(*ast.Ident)
			if !isName {
				return true
			}
			if used := h.info.Uses[name]; used != nil && isDefinition(used) {
				add(name.Pos(), used.Pos(), name.Name)
			}
			if receiver := receiverOf(h.info.Defs[name]); receiver != nil {
				add(receiver.Pos(), name.Pos(), receiver.Name()+"."+name.Name)
			}
			return true
		})
	}
	return found
}

// receiverOf is the type that has the method; nil for all that is no method of
// a named type.
func receiverOf(object types.Object) types.Object {
	function, isFunc := object.(*types.Func)
	if !isFunc || function.Signature().Recv() == nil {
		return nil
	}
	receiver := function.Signature().Recv().Type()
	if pointer, isPointer := receiver.(*types.Pointer); isPointer {
		receiver = pointer.Elem()
	}
	if named, isNamed := receiver.(*types.Named); isNamed {
		return named.Obj()
	}
	return nil
}

func (h *house) pathOf(pos token.Pos) string {
	path, err := filepath.Rel(h.root, h.fset.Position(pos).Filename)
	if err != nil {
		return ""
	}
	return filepath.ToSlash(path)
}

// isDefinition tells package-level definitions and methods from local names,
// fields, packages and what the language declares.
func isDefinition(object types.Object) bool {
	if object.Pkg() == nil {
		return false
	}
	if function, isFunc := object.(*types.Func); isFunc {
		return function.Pos().IsValid()
	}
	return object.Parent() == object.Pkg().Scope()
}

// upward are the arrows from a lower file to a higher one, in the order of the
// files that leaves the fewest of them: of many orders that no move of a single
// file makes better, the best one.
func (a arrows) upward() arrows {
	files := a.files()
	names := make([][]bool, len(files)) // names[i][j]: file i names definitions of file j
	for i, from := range files {
		names[i] = make([]bool, len(files))
		for j, to := range files {
			names[i][j] = len(a[arrow{from, to}]) > 0
		}
	}
	var fewest arrows
	random := rand.New(rand.NewPCG(1, 2)) // orders to start from, the same at every run
	for range 100 {
		bottomUp := random.Perm(len(files))
		improve(bottomUp, names)
		left := arrows{}
		for at, low := range bottomUp {
			for _, high := range bottomUp[at+1:] {
				if names[low][high] {
					key := arrow{files[low], files[high]}
					left[key] = a[key]
				}
			}
		}
		if fewest == nil || len(left) < len(fewest) {
			fewest = left
		}
	}
	return fewest
}

// improve moves one file at a time to the place that takes away most upward
// arrows, until no move takes away any.
func improve(bottomUp []int, names [][]bool) {
	arrow := func(from, to int) int {
		if names[from][to] {
			return 1
		}
		return 0
	}
	for moved := true; moved; {
		moved = false
		for at := range bottomUp {
			file, gain, most, to := bottomUp[at], 0, 0, at
			for i := at - 1; i >= 0; i-- { // to a place below the file at i
				gain += arrow(bottomUp[i], file) - arrow(file, bottomUp[i])
				if gain > most {
					most, to = gain, i
				}
			}
			gain = 0
			for i := at + 1; i < len(bottomUp); i++ { // or above it
				gain += arrow(file, bottomUp[i]) - arrow(bottomUp[i], file)
				if gain > most {
					most, to = gain, i
				}
			}
			if most == 0 {
				continue
			}
			moved = true
			bottomUp = slices.Insert(slices.Delete(bottomUp, at, at+1), to, file)
		}
	}
}

func (a arrows) files() []string {
	seen := map[string]bool{}
	for key := range a {
		seen[key.from], seen[key.to] = true, true
	}
	return slices.Sorted(maps.Keys(seen))
}

// String lists the arrows, each with the names that it stands for.
func (a arrows) String() string {
	var text strings.Builder
	keys := slices.SortedFunc(maps.Keys(a), func(x, y arrow) int {
		return cmp.Or(strings.Compare(x.from, y.from), strings.Compare(x.to, y.to))
	})
	for _, key := range keys {
		fmt.Fprintf(&text, "\n\t%s -> %s: %s", key.from, key.to, strings.Join(a[key], ", "))
	}
	return text.String()
}
