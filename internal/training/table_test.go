package training

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/dataset"
	"github.com/petal-ml/petal/internal/mlmodel"
	"github.com/petal-ml/petal/tests/testenv/golden"
)

// visitors is a table as people have them: numbers with question marks, texts with
// empty fields, true and false, an id, a constant, a rare class and a label that
// two rows lack. The city decides, mostly.
func visitors(n int) string {
	random := rand.New(rand.NewPCG(3, 4))
	var b strings.Builder
	b.WriteString("id,age,city,member,note,zip,species\n")
	for i := range n {
		city := random.IntN(30)
		name := fmt.Sprintf("Ville %d", city)
		if city == 0 {
			name = ""
		}
		age := fmt.Sprint(20 + random.IntN(60))
		if random.IntN(10) == 0 {
			age = "?"
		}
		label := []string{"no", "yes"}[city%2]
		switch {
		case random.IntN(20) == 0:
			label = "perhaps"
		case i == 7:
			label = "once"
		case i == 11 || i == 12:
			label = ""
		}
		fmt.Fprintf(&b, "V-%04d,%s,%s,%s,always,%05d,%s\n", i, age, name, []string{"True", "False", ""}[random.IntN(3)], 1000+random.IntN(20), label)
	}
	return b.String()
}

// Every estimator learns from such a table, and its ONNX file answers the hold-out
// as it does itself: judge sees to that. The hold-out has categories, and a class
// less, that training has not.
func TestEveryCandidateTakesATable(t *testing.T) {
	b := newBench(t)
	for _, m := range makers() {
		t.Run(m.name, func(t *testing.T) {
			req := b.request(t, "visitors.csv", visitors(500))
			req.Params.NSplits = 2
			req.Params.Candidates = []Spec{{Estimator: m.name, Params: map[string]any{}}}
			if strings.Contains(m.name, "Forest") || strings.Contains(m.name, "Extra") {
				req.Params.Candidates[0].Params["n_estimators"] = 10
			}
			p := b.prepared(t, req)
			require.Equal(t, []string{"age", "city", "member", "zip"}, p.data.Features)
			require.Equal(t, 498, p.data.Rows())
			f, err := fit(t.Context(), p, 1, &progress{tell: func(Progress) {}})
			require.NoError(t, err)
			j, err := judge(t.Context(), p, f, time.Unix(0, 0))
			require.NoError(t, err)
			if m.name == "LogisticRegression" || m.name == "HistGradientBoostingClassifier" {
				assert.Less(t, j.test.LogLoss, 0.8*j.priorLogLoss, "the city decides")
			}
			features := j.dir.Petal.Features
			assert.Equal(t, mlmodel.PetalFeature{Name: "age", Type: mlmodel.Double}, features[0])
			assert.Equal(t, []string{"category", "boolean", "category"}, []string{features[1].Kind, features[2].Kind, features[3].Kind})
			assert.Equal(t, []string{"False", "True"}, features[2].Categories)
			assert.Equal(t, mlmodel.Boolean, features[2].Type)
			files, err := j.dir.Files(mlmodel.IDs{})
			require.NoError(t, err)
			assert.Contains(t, files, "code/petal_loader.py")
			assert.Contains(t, string(files["input_example.json"]), `"Ville`)
		})
	}
}

// An id that is taken as a category helps nobody: no row of a fold's test set has a
// category that its training rows have.
func TestAnIDAsCategoryGainsNothing(t *testing.T) {
	b := newBench(t)
	random := rand.New(rand.NewPCG(1, 1))
	var text strings.Builder
	text.WriteString("who,a,species\n")
	for i := range 240 {
		fmt.Fprintf(&text, "p%03d,%v,%s\n", i, random.NormFloat64(), []string{"no", "yes"}[random.IntN(2)])
	}
	for _, estimator := range []string{"LogisticRegression", "HistGradientBoostingClassifier"} {
		req := b.request(t, "ids.csv", text.String())
		req.Params.Columns = map[string]ColumnParams{"who": {Kind: "category"}}
		req.Params.Candidates = []Spec{{Estimator: estimator}}
		p := b.prepared(t, req)
		require.Equal(t, []string{"who", "a"}, p.data.Features)
		f, err := fit(t.Context(), p, 1, &progress{tell: func(Progress) {}})
		require.NoError(t, err)
		assert.Greater(t, mean(f.logLoss()), 0.68, "%s: chance is 0.693", estimator)
	}
}

// What the flags set stands in the parameters as if params.yaml had said it.
func TestSet(t *testing.T) {
	p := DefaultParams()
	for _, setting := range []string{
		"n_splits=3", "test_size=0.3", "columns.zip=category", "columns.a.b=c.kind=number", "columns.price.decimal=,", `missing=["?", -999]`, "header=false", "task=classification", "delimiter=;",
	} {
		require.NoError(t, p.Set(setting), setting)
	}
	assert.Equal(t, 3, p.NSplits)
	assert.Equal(t, map[string]ColumnParams{"zip": {Kind: "category"}, "a.b=c": {Kind: "number"}, "price": {Decimal: ","}}, p.Columns)
	assert.Equal(t, []string{"?", "-999"}, p.Missing.All)
	assert.False(t, *p.Header)

	said, err := ParseParams([]byte("columns: {zip: category, price: {kind: number, decimal: \",\"}}\nmissing: {a: [\"?\"], b: 0}\nheader: false\n"))
	require.NoError(t, err)
	assert.Equal(t, map[string]ColumnParams{"zip": {Kind: "category"}, "price": {Kind: "number", Decimal: ","}}, said.Columns)
	assert.Equal(t, map[string][]string{"a": {"?"}, "b": {"0"}}, said.Missing.In)

	messages := golden.New(t)
	for _, wrong := range []string{"n_splits", "n_splits=many", "colour=red", "columns=3"} {
		fault := p.Set(wrong)
		require.ErrorAs(t, fault, new(*InputError), wrong)
		messages.Add(wrong, fault)
	}
	p.Data, p.Label = "a.csv", "y"
	p.Columns, p.Delimiter, p.Task = map[string]ColumnParams{"zip": {Kind: "colour"}}, "ab", "clustering"
	messages.Add("wrong values", p.Validate("params.yaml"))
}

// A label that is a number to predict is told from classes.
func TestRegressionIsToldFromClasses(t *testing.T) {
	b := newBench(t)
	var text strings.Builder
	text.WriteString("a,species\n")
	for i := range 60 {
		fmt.Fprintf(&text, "%d,%d.5\n", i%7, i)
	}
	req := b.request(t, "prices.csv", text.String())
	_, err := b.trainer.Train(t.Context(), req)
	requireFault(t, &dataset.Error{File: req.Params.Data, Column: "species"}, err)
}
