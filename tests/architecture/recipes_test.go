package architecture

// What the recipes of CONTRIBUTING.md ask for and no other test would miss.

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/petal-ml/petal/tests/testenv"
)

// notInCompose are the settings that a service of docker-compose.yml leaves out,
// and why.
var notInCompose = map[string]map[string]string{
	"api": {
		"ADMIN_ADDRESS":         "it is a loopback address: inside the container nobody reaches it",
		"TLS_CERT_FILE":         "the file must be mounted first",
		"TLS_KEY_FILE":          "the file must be mounted first",
		"AWS_ACCESS_KEY_ID":     "the API gets its models from the MLflow server",
		"AWS_SECRET_ACCESS_KEY": "the API gets its models from the MLflow server",
		"AWS_DEFAULT_REGION":    "the API gets its models from the MLflow server",
		"AWS_ENDPOINT_URL":      "the API gets its models from the MLflow server",
	},
	"trainer": {},
}

// A setting that nothing reads, or that nobody can find, is a step forgotten.
func TestEverySettingIsUsedAndDocumented(t *testing.T) {
	root := testenv.Root(t)
	house := loadHouse(t)
	used := house.usedSettings()
	table := settingsTable(t, root)
	for service, structName := range map[string]string{"api": "API", "trainer": "Trainer"} {
		fields := house.settingsOf(t, structName)
		require.Greater(t, len(fields), 10, "fields of settings.%s", structName)
		passed := composeEnvironment(t, root, service)
		reasons := notInCompose[service]
		for variable, field := range fields {
			assertf(t, used[field], "%s: nothing in internal/app uses the field %s of settings.%s. Pass it on to the package that needs it",
				variable, field.Name(), structName)
			assertf(t, strings.Contains(table, "`"+variable+"`"), "%s is missing in README.md, in the table below \"## Settings\"", variable)
			_, left := reasons[variable]
			assertf(t, passed[variable] != left, "%s: either it is in docker-compose.yml, under services.%s.environment, or notInCompose in this file says why not",
				variable, service)
		}
		for variable := range reasons {
			assertf(t, fields[variable] != nil, "notInCompose names %s, which is no setting of %s", variable, service)
		}
	}
}

const settingsPackage = "internal/settings"

// settingsOf has the fields of a struct of package settings, and of the structs in
// it, by their environment variable.
func (h *house) settingsOf(t *testing.T, name string) map[string]*types.Var {
	t.Helper()
	pkg := h.packages[module+settingsPackage]
	require.NotNil(t, pkg)
	object := pkg.Scope().Lookup(name)
	require.NotNil(t, object, "there is no settings.%s", name)
	fields := map[string]*types.Var{}
	var walk func(types.Type)
	walk = func(typ types.Type) {
		s, ok := typ.Underlying().(*types.Struct)
		if !ok {
			return
		}
		for i := range s.NumFields() {
			if variable := reflect.StructTag(s.Tag(i)).Get("env"); variable != "" {
				fields[variable] = s.Field(i)
			} else {
				walk(s.Field(i).Type())
			}
		}
	}
	walk(object.Type())
	return fields
}

// usedSettings are the fields that internal/app names, itself or through an
// exported function of package settings.
func (h *house) usedSettings() map[*types.Var]bool {
	used := map[*types.Var]bool{}
	collect := func(tree ast.Node) {
		ast.Inspect(tree, func(node ast.Node) bool {
			if name, isName := node.(*ast.Ident); isName {
				if field, isVar := h.info.Uses[name].(*types.Var); isVar && field.IsField() {
					used[field] = true
				}
			}
			return true
		})
	}
	for _, file := range h.files {
		path := h.pathOf(file.Pos())
		if within(path, "internal/app") {
			collect(file)
		}
		for _, declaration := range file.Decls {
			if f, isFunc := declaration.(*ast.FuncDecl); isFunc && within(path, settingsPackage) && f.Name.IsExported() {
				collect(f)
			}
		}
	}
	return used
}

// settingsTable is what README.md has below "## Settings", its table's rows alone.
func settingsTable(t *testing.T, root string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	_, section, found := strings.Cut(string(content), "\n## Settings\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	rows := slices.DeleteFunc(strings.Split(section, "\n"), func(line string) bool { return !strings.HasPrefix(line, "|") })
	require.Greater(t, len(rows), 10)
	return strings.Join(rows, "\n")
}

// composeEnvironment are the variables that docker-compose.yml gives to a service.
func composeEnvironment(t *testing.T, root, service string) map[string]bool {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	require.NoError(t, err)
	var compose struct {
		Services map[string]struct{ Environment map[string]any }
	}
	require.NoError(t, yaml.Unmarshal(content, &compose))
	given := map[string]bool{}
	for variable := range maps.Keys(compose.Services[service].Environment) {
		given[variable] = true
	}
	require.Greater(t, len(given), 10, "environment of %s", service)
	return given
}

// Each estimator that params.yaml may name stands in the table of estimators, and
// its model is read by MLflow.
func TestEveryEstimatorIsDocumentedAndTried(t *testing.T) {
	house := loadHouse(t)
	names := house.estimators(t)
	require.Greater(t, len(names), 5)
	for path, form := range map[string]string{"docs/training.md": "\n| `%s` |", "tests/interop/candidates_test.go": "%q"} {
		content, err := os.ReadFile(filepath.Join(house.root, filepath.FromSlash(path)))
		require.NoError(t, err)
		for _, name := range names {
			if name == "DummyClassifier" && path != "docs/training.md" {
				continue // the gate lets no such model pass
			}
			row := fmt.Sprintf(form, name)
			assertf(t, strings.Contains(string(content), row), "%s is missing in %s: no row with %q", name, path, strings.TrimSpace(row))
		}
	}
}

// estimators are the names in the list makers of internal/training.
func (h *house) estimators(t *testing.T) []string {
	t.Helper()
	makers := h.packages[module+"internal/training"].Scope().Lookup("makers")
	require.NotNil(t, makers, "internal/training has no function makers")
	var names []string
	for _, file := range h.files {
		ast.Inspect(file, func(node ast.Node) bool {
			f, isFunc := node.(*ast.FuncDecl)
			if !isFunc {
				return true
			}
			if h.info.Defs[f.Name] == makers {
				ast.Inspect(f.Body, func(node ast.Node) bool {
					if text, isLiteral := node.(*ast.BasicLit); isLiteral && text.Kind == token.STRING {
						name, err := strconv.Unquote(text.Value)
						require.NoError(t, err)
						names = append(names, name)
					}
					return true
				})
			}
			return false
		})
	}
	return names
}
