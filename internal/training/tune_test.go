package training

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/learn/preprocessing"
	"github.com/petal-ml/petal/internal/promotion"
)

// steps is a table that trees learn and lines do not.
func steps(rows int) string {
	random := rand.New(rand.NewPCG(4, 2))
	var b strings.Builder
	b.WriteString("a,b,species\n")
	for range rows {
		x, y := random.Float64(), random.Float64()
		class := "low"
		if (x > 0.5) != (y > 0.5) != (random.Float64() < 0.15) {
			class = "high"
		}
		fmt.Fprintf(&b, "%.3f,%.3f,%s\n", x, y, class)
	}
	return b.String()
}

// TestDefaultSearch is what a file without params.yaml gets: boosting wins, with
// iterations by cross-validation and a temperature where it helps.
func TestDefaultSearch(t *testing.T) {
	b := newBench(t)
	req := b.request(t, "steps.csv", steps(700))
	req.Params.Candidates = nil
	req.Params.TimeBudget = 0
	result, err := b.trainer.Train(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, Promoted, result.Outcome, result.Verdict)
	require.NotContains(t, result.Estimator, "LogisticRegression")
	require.Greater(t, result.Accuracy, 0.75)
	require.NotContains(t, b.champion(t).Tags, tagFinished)
	again, err := b.trainer.Train(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, Unchanged, again.Outcome)
}

// TestTunedBoosting has the number of iterations that cross-validation chose, in
// all that is said of the model.
func TestTunedBoosting(t *testing.T) {
	b := newBench(t)
	req := b.request(t, "steps.csv", steps(700))
	req.Params.Candidates = []Spec{{Estimator: "HistGradientBoostingClassifier", Calibrate: true, Params: map[string]any{"max_iter": "cv", "max_leaf_nodes": 4, "learning_rate": 0.3}}}
	p := b.prepared(t, req)
	f, err := fit(t.Context(), p, 2, &progress{tell: func(Progress) {}})
	require.NoError(t, err)
	require.Len(t, f.folds, 5)
	require.Contains(t, f.candidate.Describe(), "early_stopping=false")
	require.NotContains(t, f.candidate.Describe(), "max_iter=1000")
	require.Len(t, f.losses, f.model.Params()["max_iter"].(int))
	require.Contains(t, f.model.Params(), "temperature", "the last trees are too sure")
	other, err := fit(t.Context(), p, 1, &progress{tell: func(Progress) {}})
	require.NoError(t, err)
	require.Equal(t, f.model.Params(), other.model.Params())
}

// TestTimeIsUp has no time for any candidate but the first. What was tried is in
// the fingerprint: the same list is not trained twice, and gives the same bytes as
// if there were no others.
func TestTimeIsUp(t *testing.T) {
	b := newBench(t)
	req := b.irisRequest(t)
	first := Spec{Estimator: "GaussianNB"}
	req.Params.Candidates = []Spec{first, {Estimator: "LogisticRegression"}, {Estimator: "KNeighborsClassifier", MaxRows: 3}}
	req.Params.TimeBudget = 1e-9
	result, err := b.trainer.Train(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, Promoted, result.Outcome)
	champion := b.champion(t)
	assert.Equal(t, "1", champion.Tags[tagFinished])
	assert.Contains(t, champion.Description, "not tried: LogisticRegression(C=1, max_iter=1000, tol=1e-08) (no time), KNeighborsClassifier(n_neighbors=5) (more than 3 rows)")

	again, err := b.trainer.Train(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, Unchanged, again.Outcome)
	content := b.modelFile(t, champion)

	req.Params.Candidates = []Spec{first}
	result, err = b.trainer.Train(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, Promoted, result.Outcome, "another list has another fingerprint")
	require.Equal(t, content, b.modelFile(t, b.champion(t)))
}

func TestBudgetLeavesTimeForTheFit(t *testing.T) {
	limit := newBudget(100)
	free, cancel := limit.context(t.Context(), nil)
	defer cancel()
	_, bounded := free.Deadline()
	require.False(t, bounded, "the first candidate is always tried")
	within, cancel := limit.context(t.Context(), []validation{{took: 40 * time.Second, share: 0.25}, {took: time.Second, share: 0.25}})
	defer cancel()
	deadline, _ := within.Deadline()
	require.Equal(t, limit.until.Add(-10*time.Second), deadline)
	none, cancel := newBudget(0).context(t.Context(), []validation{{}})
	defer cancel()
	_, bounded = none.Deadline()
	require.False(t, bounded)
}

// TestNextCandidate: the first is the better one in cross-validation, and no
// better than the prior on the hold-out.
func TestNextCandidate(t *testing.T) {
	b := newBench(t)
	req := b.irisRequest(t)
	req.Params.Candidates = []Spec{{Estimator: "DummyClassifier"}, {Estimator: "GaussianNB"}, {Estimator: "DummyClassifier"}}
	p := b.prepared(t, req)
	told := &progress{tell: func(Progress) {}}
	f, err := fit(t.Context(), p, 1, told)
	require.NoError(t, err)
	f.validations[0].folds[0]["log_loss"] = -100 // the first looks best
	f, err = f.fit(t.Context(), p, best(f.validations), 1, told)
	require.NoError(t, err)
	require.Equal(t, "DummyClassifier", f.candidate.Name)
	other, ok, err := f.next(t.Context(), p, 1, told)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "GaussianNB", other.candidate.Name)
	require.Contains(t, runnerUp(other), "after 1 that did not beat the prior on the hold-out")
	other, ok, err = other.next(t.Context(), p, 1, told)
	require.NoError(t, err)
	require.True(t, ok)
	_, ok, err = other.next(t.Context(), p, 1, told)
	require.NoError(t, err)
	require.False(t, ok)
}

// TestNoCandidateBeatsThePrior ends with the best one, refused as ever.
func TestNoCandidateBeatsThePrior(t *testing.T) {
	b := newBench(t)
	req := b.irisRequest(t)
	req.Params.Candidates = []Spec{{Estimator: "DummyClassifier"}, {Estimator: "DummyClassifier"}}
	result, err := b.trainer.Train(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, Refused, result.Outcome)
	require.Contains(t, result.Verdict.String(), "does not beat that of the prior")
	_, err = b.store.Resolve(t.Context(), "iris", promotion.Champion)
	require.Error(t, err)
}

// TestFewFoldsForMuchWork is about the default search: what the user lists has the
// folds that the user wants.
func TestFewFoldsForMuchWork(t *testing.T) {
	for _, c := range []struct{ rows, classes, want int }{{1000, 3, 5}, {60_000, 3, 3}, {20_000, 26, 1}} {
		p := prepared{classes: make([]string, c.classes)}
		p.params = DefaultParams()
		for i := range c.rows {
			p.training.y = append(p.training.y, i%c.classes)
		}
		splits, err := p.splits()
		require.NoError(t, err)
		require.Len(t, splits, c.want)
		p.params.Candidates = []Spec{}
		splits, err = p.splits()
		require.NoError(t, err)
		require.Len(t, splits, 5)
	}
}

// TestBoostingKnowsCategories: codes of a table's columns have no order for it.
func TestBoostingKnowsCategories(t *testing.T) {
	columns := []preprocessing.Column{{Name: "a"}, {Name: "b", Categories: []string{"x", "y"}}}
	for _, c := range candidatesOf(t, "- {estimator: HistGradientBoostingClassifier, params: {max_iter: cv}}\n- {estimator: HistGradientBoostingClassifier}\n- {estimator: RandomForestClassifier}\n") {
		params := c.ForColumns(columns).New().Params()
		if c.HandlesMissing {
			require.Equal(t, "1", params["categorical_features"])
		} else {
			require.NotContains(t, params, "categorical_features")
		}
	}
}
