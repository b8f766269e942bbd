package training

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/registry"
)

func candidatesOf(t *testing.T, yaml string) []Candidate {
	t.Helper()
	p, err := ParseParams([]byte("candidates:\n" + yaml))
	require.NoError(t, err)
	candidates, faults := candidates(p.Candidates, p.Seed(), "params.yaml")
	require.Empty(t, faults)
	return candidates
}

func TestGridSearch(t *testing.T) {
	var found []string
	for _, c := range candidatesOf(t, `
- estimator: RandomForestClassifier
  params: {n_estimators: 7, random_state: 3}
  param_grid: {min_samples_leaf: [1, 2], max_depth: [null, 4]}
- estimator: GaussianNB
`) {
		params := c.New().Params()
		found = append(found, fmt.Sprint(c.Name, params["n_estimators"], params["max_depth"], params["min_samples_leaf"], params["random_state"]))
	}
	assert.Equal(t, []string{
		"RandomForestClassifier7 <nil> 1 3", "RandomForestClassifier7 <nil> 2 3", "RandomForestClassifier7 4 1 3", "RandomForestClassifier7 4 2 3",
		"GaussianNB<nil> <nil> <nil> <nil>",
	}, found)
}

func TestRandomSearch(t *testing.T) {
	const search = `
- estimator: HistGradientBoostingClassifier
  param_distributions:
    learning_rate: {loguniform: [0.01, 1]}
    l2_regularization: {uniform: [2, 3]}
    max_leaf_nodes: {randint: [2, 5]}
    early_stopping: [false, auto]
  n_iter: 40
`
	all := candidatesOf(t, search)
	require.Len(t, all, 40)
	leaves, stopping, slow := map[any]int{}, map[any]int{}, 0
	for i, c := range all {
		params := c.New().Params()
		rate, l2 := params["learning_rate"].(float64), params["l2_regularization"].(float64)
		assert.True(t, rate >= 0.01 && rate < 1, rate)
		assert.True(t, l2 >= 2 && l2 < 3, l2)
		if rate < 0.1 {
			slow++
		}
		leaves[params["max_leaf_nodes"]]++
		stopping[params["early_stopping"]]++
		assert.Equal(t, 42, params["random_state"], "the training's seed")
		assert.Equal(t, params, candidatesOf(t, search)[i].New().Params(), "the seed decides")
	}
	assert.Len(t, leaves, 3, "2, 3 and 4: %v", leaves)
	assert.Len(t, stopping, 2)
	assert.InDelta(t, 20, slow, 12, "half of the decades, not a tenth of the range")

	few := candidatesOf(t, "- {estimator: KNeighborsClassifier, param_distributions: {n_neighbors: [1, 3, 5]}}")
	assert.Len(t, few, 3, "there are no ten different ones")
}

// Every estimator learns, with missing values too, and its ONNX file passes the
// comparison that a training makes.
func TestEveryEstimatorTrains(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var clean, holes strings.Builder
	clean.WriteString("a,b,c,species\n")
	holes.WriteString("a,b,c,species\n")
	spellings := []string{"", "NA", "nan"}
	for i := range 150 {
		a, b, c := random.NormFloat64()+2*float64(i%3), random.NormFloat64()-float64(i%3), random.NormFloat64()
		fmt.Fprintf(&clean, "%.3f,%.3f,%.3f,%c\n", a, b, c, 'x'+rune(i%3))
		if i%5 == 0 {
			fmt.Fprintf(&holes, "%.3f,%s,%.3f,%c\n", a, spellings[i%len(spellings)], c, 'x'+rune(i%3))
			continue
		}
		fmt.Fprintf(&holes, "%.3f,%.3f,%.3f,%c\n", a, b, c, 'x'+rune(i%3))
	}
	for name, content := range map[string]string{"clean": clean.String(), "holes": holes.String()} {
		for _, spec := range []Spec{
			{Estimator: "LogisticRegression"},
			{Estimator: "GaussianNB"},
			{Estimator: "KNeighborsClassifier"},
			{Estimator: "RandomForestClassifier", Params: map[string]any{"n_estimators": 20}},
			{Estimator: "ExtraTreesClassifier", Params: map[string]any{"n_estimators": 20}},
			{Estimator: "HistGradientBoostingClassifier", Params: map[string]any{"max_iter": 10}},
		} {
			t.Run(name+" "+spec.Estimator, func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				req := b.request(t, name+".csv", content)
				req.Params.Candidates, req.Params.NSplits = []Spec{spec}, 2
				result, err := b.trainer.Train(t.Context(), req)
				require.NoError(t, err)
				require.Equal(t, Promoted, result.Outcome, result.Verdict)
				assert.Greater(t, result.Accuracy, 0.5)

				predictor, err := loadPredictor(b.modelFile(t, b.champion(t)))
				require.NoError(t, err)
				scores := make([]float32, 3)
				_, err = predictor.PredictRow([]float32{1, float32(math.NaN()), 0}, scores)
				require.NoError(t, err)
				if name == "holes" {
					assert.InDelta(t, 1, float64(scores[0]+scores[1]+scores[2]), 1e-5, "it answers rows with missing values: %v", scores)
				}
			})
		}
	}
}

func TestForMissingImputesWhereItMust(t *testing.T) {
	x := mat.NewDense(4, 1, []float64{1, math.NaN(), 3, 4})
	for _, c := range candidatesOf(t, "- estimator: KNeighborsClassifier\n  params: {n_neighbors: 1}\n- estimator: HistGradientBoostingClassifier\n") {
		model := c.New()
		err := model.Fit(t.Context(), x, []int{0, 1, 0, 1}, 2, learn.Options{})
		_, imputed := c.ForMissing().New().Params()["SimpleImputer__strategy"]
		if c.HandlesMissing {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, learn.ErrValue)
		}
		assert.Equal(t, !c.HandlesMissing, imputed, c.Name)
		require.NoError(t, c.ForMissing().New().Fit(t.Context(), x, []int{0, 1, 0, 1}, 2, learn.Options{}))
	}
}

// What is not set reads as in Python, in descriptions and in a run's parameters.
func TestParametersThatAreNotSet(t *testing.T) {
	c := candidatesOf(t, "- estimator: RandomForestClassifier\n")[0]
	assert.Contains(t, c.Describe(), "(max_depth=None, max_features=sqrt,")
	assert.Contains(t, estimatorParams(c.New()), registry.Param{Key: "max_depth", Value: "None"})
}
