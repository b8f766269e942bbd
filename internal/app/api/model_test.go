package api

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/app/process"
	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/tests/testenv/servingtest"
)

// modelDirectory writes a model directory and returns its path.
func modelDirectory(t *testing.T) string {
	t.Helper()
	files, err := servingtest.Iris(t).Files(mlmodel.IDs{ModelID: "m-1", RunID: "r-1"})
	require.NoError(t, err)
	dir := t.TempDir()
	for name, content := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	return dir
}

func TestModelPredict(t *testing.T) {
	p := newProject(t)
	p.promote(t, servingtest.Iris(t))
	dir := modelDirectory(t)
	bare := filepath.Join(t.TempDir(), "bare.onnx")
	content, err := os.ReadFile(filepath.Join(dir, "model.onnx"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(bare, content, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(p.dir, "rows.json"), []byte("[[5.1,3.5,1.4,0.2],[6.3,3.3,6.0,2.5]]"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(p.dir, "rows.csv"),
		[]byte("species,petal_width,petal_length,sepal_width,sepal_length\nsetosa,0.2,1.4,3.5,5.1\nvirginica,2.5,6.0,3.3,6.3\n"), 0o600))

	var first string
	for name, args := range map[string][]string{
		"registry, JSON":       {"models:/iris@champion", "--input", "rows.json"},
		"registry, CSV":        {"models:/iris@champion", "--input", "rows.csv"},
		"directory, CSV":       {dir, "--input", "rows.csv"},
		"file with MLmodel":    {filepath.Join(dir, "model.onnx"), "--input", "rows.csv"},
		"file alone":           {bare, "--input", "rows.json"},
		"file, standard input": {bare, "--input", "-"},
	} {
		code, out, errs := p.run(t, "[5.1,3.5,1.4,0.2]\n[6.3,3.3,6.0,2.5]\n", append([]string{"model", "predict"}, args...)...)
		require.Equal(t, process.ExitOK, code, "%s: %s", name, errs)
		if first == "" {
			first = out
		}
		require.Equal(t, first, out, name)
	}
	lines := strings.Split(strings.TrimSpace(first), "\n")
	require.Len(t, lines, 2)
	require.True(t, strings.HasPrefix(lines[0], `{"label":"setosa","probabilities":{"setosa":0.9`), lines[0])
	require.True(t, strings.HasPrefix(lines[1], `{"label":"virginica","probabilities":{"setosa":`), lines[1])
}

func TestModelFaults(t *testing.T) {
	p := newProject(t)
	p.promote(t, servingtest.Iris(t))
	dir := modelDirectory(t)
	require.NoError(t, os.WriteFile(filepath.Join(p.dir, "broken.onnx"), []byte("no model"), 0o600))
	for name, c := range map[string]struct {
		args  []string
		fault string
	}{
		"no such file":    {[]string{"predict", "none.onnx", "--input", "-"}, "open model"},
		"no such alias":   {[]string{"predict", "models:/iris@none", "--input", "-"}, "find models:/iris@none"},
		"no alias":        {[]string{"check", "models:/iris"}, "write it as models:/NAME@ALIAS"},
		"no such rows":    {[]string{"predict", dir, "--input", "none.json"}, "open rows"},
		"unknown format":  {[]string{"predict", dir, "--input", "rows"}, "add --format json or --format csv"},
		"a row at fault":  {[]string{"predict", dir, "--input", "-"}, "-: row 2: 1 values given, 4 wanted"},
		"no model":        {[]string{"check", "broken.onnx"}, "check broken.onnx"},
		"no model at all": {[]string{"predict", "broken.onnx", "--input", "-"}, "load broken.onnx"},
		"an empty folder": {[]string{"check", t.TempDir()}, "MLmodel"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, errs := p.run(t, "[1,2,3,4]\n[1]\n", append([]string{"model"}, c.args...)...)
			require.NotEqual(t, process.ExitOK, code)
			require.Contains(t, errs, c.fault)
			require.Equal(t, 1, strings.Count(errs, "\n"), errs)
		})
	}
}

func TestModelCheck(t *testing.T) {
	p := newProject(t)
	p.promote(t, servingtest.Iris(t))
	code, out, errs := p.run(t, "", "model", "check", "models:/iris@champion")
	require.Equal(t, process.ExitOK, code, errs)
	require.Regexp(t, `operators +.*LinearClassifier`, out)
	require.Regexp(t, `missing +none`, out)
	require.Regexp(t, `features +4: sepal_length, sepal_width, petal_length, petal_width`, out)
	require.Regexp(t, `predicts +3 classes: setosa, versicolor, virginica`, out)
	require.Regexp(t, `fast path +yes: `, out)
	require.Regexp(t, `speed here +[0-9.]+[nµ]s a row, [0-9.]+[µm]s for 1000 rows`, out)
	require.Regexp(t, `input example +3 rows fit the model; the fast path and the plain evaluation agree`, out)
}
