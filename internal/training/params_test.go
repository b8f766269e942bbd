package training

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv/golden"
)

func validParams() Params {
	p := DefaultParams()
	p.Data, p.Label, p.Candidates = "iris.csv", "species", []Spec{{Estimator: "LogisticRegression"}}
	return p
}

func TestCommittedParams(t *testing.T) {
	p, err := ReadParams("../../params.yaml")
	require.NoError(t, err)
	require.NoError(t, p.Validate("params.yaml"))
	assert.Equal(t, filepath.Join("..", "..", "data", "iris.csv"), p.Data, "relative to the file")
	assert.Equal(t, "species", p.Label)
	assert.Empty(t, p.Drop)
	candidates, faults := p.candidates("params.yaml")
	require.Empty(t, faults)
	require.Len(t, candidates, 7)
	assert.Equal(t, "LogisticRegression(C=1, max_iter=1000, tol=1e-08)", candidates[0].Describe(), "of equal ones the plainest wins")

	// What it says of the rest are the defaults.
	p.Drop, p.Candidates = nil, DefaultParams().Candidates
	p.Data, p.Label = "", ""
	assert.Equal(t, DefaultParams(), p)
}

func TestParseParamsDefaults(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "comments": "# nothing\n", "partial": "data: iris.csv\nlabel: species\n"} {
		t.Run(name, func(t *testing.T) {
			p, err := ParseParams([]byte(text))
			require.NoError(t, err)
			p.Data, p.Label = "", ""
			assert.Equal(t, DefaultParams(), p)
		})
	}
	p, err := ParseParams([]byte("candidates:\n- estimator: DummyClassifier\n"))
	require.NoError(t, err)
	assert.Equal(t, []Spec{{Estimator: "DummyClassifier"}}, p.Candidates)
}

func TestParseParamsRefuses(t *testing.T) {
	cases := map[string]struct{ text, line string }{
		"unknown key":              {"data: a\nlable: b\n", "line 2"},
		"unknown key of candidate": {"candidates:\n- estimater: x\n", "line 2"},
		"repeated key":             {"data: a\ndata: b\n", "line 2"},
		"wrong type":               {"test_size: big\n", "line 1"},
		"fraction for a number":    {"n_splits: 1.5\n", "line 1"},
		"a list":                   {"- 1\n", "line 1"},
		"a number for a list":      {"drop: 3\n", "line 1"},
		"text for candidates":      {"\ncandidates: best\n", "line 2"},
		"a number for parameters":  {"candidates:\n- params: 3\n", "line 2"},
		"a value for a grid":       {"candidates:\n- param_grid: {C: 3}\n", "line 2"},
		"not YAML":                 {"data: [\n", ""},
		"two documents":            {"data: a\n---\ndata: b\n", ""},
		"too long":                 {strings.Repeat("#", maxParamsBytes+1), ""},
	}
	messages := golden.New(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := ParseParams([]byte(c.text))
			fault := new(InputError)
			require.ErrorAs(t, err, &fault)
			assert.Equal(t, "parameters", fault.Where)
			assert.Contains(t, fault.Problem, c.line)
			messages.Add(name, err)
			assert.NotContains(t, err.Error(), "\n")
		})
	}

	missing := filepath.Join(t.TempDir(), "params.yaml")
	_, err := ReadParams(missing)
	require.ErrorIs(t, err, os.ErrNotExist)
	requireFault(t, &InputError{Where: missing}, err)
	messages.Add("no such file", without(filepath.Dir(missing), err))
	require.NoError(t, os.WriteFile(missing, []byte("a: b"), 0o600))
	_, err = ReadParams(missing)
	requireFault(t, &InputError{Where: "parameters"}, err)
	messages.Add("a file of an unknown key", without(filepath.Dir(missing), err))
}

func TestValidate(t *testing.T) {
	candidate := func(estimator string, params map[string]any) func(*Params) {
		return func(p *Params) { p.Candidates = []Spec{{Estimator: estimator, Params: params}} }
	}
	search := func(spec Spec) func(*Params) { return func(p *Params) { p.Candidates = []Spec{spec} } }
	cases := map[string]struct {
		mutate func(*Params)
		where  string
	}{
		"data":                {func(p *Params) { p.Data = "" }, "params.yaml: data"},
		"label":               {func(p *Params) { p.Label = "" }, "params.yaml: label"},
		"drop":                {func(p *Params) { p.Drop = []string{""} }, "params.yaml: drop"},
		"test_size 0":         {func(p *Params) { p.TestSize = 0 }, "params.yaml: test_size"},
		"test_size 1":         {func(p *Params) { p.TestSize = 1 }, "params.yaml: test_size"},
		"random_state":        {func(p *Params) { p.RandomState = -1 }, "params.yaml: random_state"},
		"random_state, big":   {func(p *Params) { p.RandomState = 1 << 32 }, "params.yaml: random_state"},
		"n_splits":            {func(p *Params) { p.NSplits = 1 }, "params.yaml: n_splits"},
		"scoring":             {func(p *Params) { p.Scoring = "accuracy" }, "params.yaml: scoring"},
		"no candidates":       {func(p *Params) { p.Candidates = []Spec{} }, "params.yaml: candidates"},
		"time_budget":         {func(p *Params) { p.TimeBudget = -1 }, "params.yaml: time_budget"},
		"max_rows":            {search(Spec{Estimator: "GaussianNB", MaxRows: -1}), "params.yaml: candidate 1: GaussianNB: max_rows"},
		"smooth":              {candidate("RandomForestClassifier", map[string]any{"smooth": 3}), "params.yaml: candidate 1: RandomForestClassifier: smooth"},
		"a share of features": {candidate("HistGradientBoostingClassifier", map[string]any{"max_features": 1.5}), "params.yaml: candidate 1: HistGradientBoostingClassifier: max_features"},
		"no estimator":        {candidate("", nil), "params.yaml: candidate 1: estimator"},
		"unknown estimator":   {candidate("Oracle", nil), "params.yaml: candidate 1: estimator"},
		"unknown parameter":   {candidate("LogisticRegression", map[string]any{"c": 1}), "params.yaml: candidate 1: LogisticRegression: c"},
		"parameter is text":   {candidate("LogisticRegression", map[string]any{"C": "big"}), "params.yaml: candidate 1: LogisticRegression: C"},
		"parameter too low":   {candidate("LogisticRegression", map[string]any{"C": 0}), "params.yaml: candidate 1: LogisticRegression: C"},
		"parameter not whole": {candidate("LogisticRegression", map[string]any{"max_iter": 1.5}), "params.yaml: candidate 1: LogisticRegression: max_iter"},
		"choice":              {candidate("DummyClassifier", map[string]any{"strategy": "uniform"}), "params.yaml: candidate 1: DummyClassifier: strategy"},
		"depth":               {candidate("RandomForestClassifier", map[string]any{"max_depth": 0}), "params.yaml: candidate 1: RandomForestClassifier: max_depth"},
		"features":            {candidate("ExtraTreesClassifier", map[string]any{"max_features": "log2"}), "params.yaml: candidate 1: ExtraTreesClassifier: max_features"},
		"early stopping":      {candidate("HistGradientBoostingClassifier", map[string]any{"early_stopping": "maybe"}), "params.yaml: candidate 1: HistGradientBoostingClassifier: early_stopping"},
		"both searches":       {search(Spec{Estimator: "GaussianNB", ParamGrid: map[string][]any{}, ParamDistributions: map[string]any{}}), "params.yaml: candidate 1: GaussianNB"},
		"n_iter alone":        {search(Spec{Estimator: "GaussianNB", NIter: 3}), "params.yaml: candidate 1: GaussianNB: n_iter"},
		"n_iter":              {search(Spec{Estimator: "GaussianNB", NIter: -3, ParamDistributions: map[string]any{}}), "params.yaml: candidate 1: GaussianNB: n_iter"},
		"searched and fixed":  {search(Spec{Estimator: "LogisticRegression", Params: map[string]any{"C": 1}, ParamGrid: map[string][]any{"C": {1}}}), "params.yaml: candidate 1: LogisticRegression: C"},
		"an empty grid":       {search(Spec{Estimator: "LogisticRegression", ParamGrid: map[string][]any{"C": {}}}), "params.yaml: candidate 1: LogisticRegression: param_grid: C"},
		"no distribution":     {search(Spec{Estimator: "LogisticRegression", ParamDistributions: map[string]any{"C": 3}}), "params.yaml: candidate 1: LogisticRegression: param_distributions: C"},
		"an upside-down one":  {search(Spec{Estimator: "LogisticRegression", ParamDistributions: map[string]any{"C": map[string]any{"uniform": []any{3, 1}}}}), "params.yaml: candidate 1: LogisticRegression: param_distributions: C"},
		"logarithm of 0":      {search(Spec{Estimator: "LogisticRegression", ParamDistributions: map[string]any{"C": map[string]any{"loguniform": []any{0, 1}}}}), "params.yaml: candidate 1: LogisticRegression: param_distributions: C"},
		"a value of the grid": {search(Spec{Estimator: "LogisticRegression", ParamGrid: map[string][]any{"C": {1, -1}}}), "params.yaml: candidate 1: LogisticRegression: C"},
	}
	messages := golden.New(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := validParams()
			require.NoError(t, p.Validate("params.yaml"))
			c.mutate(&p)
			err := p.Validate("params.yaml")
			fault := new(InputError)
			require.ErrorAs(t, err, &fault)
			require.True(t, strings.HasSuffix(c.where, fault.Where), fault.Where)
			require.True(t, strings.HasPrefix(err.Error(), c.where+": "), "%v", err)
			messages.Add(name, err)
		})
	}

	all := Params{Candidates: []Spec{}}.Validate("params.yaml")
	require.Len(t, strings.Split(all.Error(), "\n"), 6, "every fault at once: %v", all)
}

func TestFingerprint(t *testing.T) {
	of := func(md5 string, mutate func(*Params)) string {
		p := validParams()
		mutate(&p)
		candidates, faults := candidates(p.Candidates, p.Seed(), "params.yaml")
		require.Empty(t, faults)
		f, err := fingerprint(md5, p, candidates, "")
		require.NoError(t, err)
		return f
	}
	base := of("a", func(*Params) {})
	for name, mutate := range map[string]func(*Params){
		"the file's name": func(p *Params) { p.Data = "elsewhere.csv" },
		"a default, written out": func(p *Params) {
			p.Candidates = []Spec{{Estimator: "LogisticRegression", Params: map[string]any{"C": 1}}}
		},
		"a number, spelt anew": func(p *Params) {
			p.Candidates = []Spec{{Estimator: "LogisticRegression", Params: map[string]any{"C": 1.0}}}
		},
	} {
		assert.Equal(t, base, of("a", mutate), name)
	}
	assert.Equal(t,
		of("a", func(p *Params) { p.Drop = []string{"x", "y"} }),
		of("a", func(p *Params) { p.Drop = []string{"y", "x", "y"} }), "the order of dropped columns")

	seen := map[string]string{base: "base", of("b", func(*Params) {}): "the data"}
	for name, mutate := range map[string]func(*Params){
		"label":        func(p *Params) { p.Label = "kind" },
		"drop":         func(p *Params) { p.Drop = []string{"x"} },
		"test_size":    func(p *Params) { p.TestSize = 0.3 },
		"random_state": func(p *Params) { p.RandomState = 0 },
		"n_splits":     func(p *Params) { p.NSplits = 4 },
		"parameter": func(p *Params) {
			p.Candidates = []Spec{{Estimator: "LogisticRegression", Params: map[string]any{"C": 2}}}
		},
		"candidate": func(p *Params) { p.Candidates = []Spec{{Estimator: "DummyClassifier"}} },
		"another":   func(p *Params) { p.Candidates = append(p.Candidates, Spec{Estimator: "DummyClassifier"}) },
	} {
		f := of("a", mutate)
		assert.Empty(t, seen[f], "%s does not change the fingerprint", name)
		seen[f] = name
	}
}

func FuzzParseParams(f *testing.F) {
	committed, err := os.ReadFile("../../params.yaml")
	require.NoError(f, err)
	f.Add(string(committed))
	f.Add("candidates: [{estimator: LogisticRegression, params: {C: [1, 2]}}]")
	f.Add("candidates: [{estimator: KNeighborsClassifier, param_grid: {n_neighbors: [1, 2]}}]")
	f.Add("candidates: [{estimator: RandomForestClassifier, param_distributions: {max_depth: {randint: [1, 9]}, max_features: [sqrt, 1]}, n_iter: 3}]")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseParams([]byte(text))
		if err == nil {
			err = p.Validate("params.yaml")
		}
		require.True(t, err == nil || IsInput(err), "%v", err)
	})
}
