package training

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/promotion"
	"github.com/petal-ml/petal/internal/registry"
)

// noisy is a table that no model gets right altogether, with two columns that
// tell the classes apart and two that do not.
func noisy(rows int, seed uint64) string {
	var b strings.Builder
	b.WriteString("a,b,c,d,species\n")
	random := rand.New(rand.NewPCG(seed, 7))
	for range rows {
		class := random.IntN(3)
		fmt.Fprintf(&b, "%.4f,%.4f,%.4f,%.4f,%c\n", random.NormFloat64()+1.2*float64(class), random.NormFloat64()-0.8*float64(class%2), random.NormFloat64(), random.NormFloat64(), 'x'+rune(class))
	}
	return b.String()
}

func logistic(c float64) []Spec {
	return []Spec{{Estimator: "LogisticRegression", Params: map[string]any{"C": c}}}
}

func TestGateAgainstTheChampion(t *testing.T) {
	b := newBench(t)
	good := b.request(t, "noisy.csv", noisy(600, 1))
	result, err := b.trainer.Train(t.Context(), good)
	require.NoError(t, err)
	require.Equal(t, Promoted, result.Outcome)
	require.Nil(t, result.Verdict.Comparison, "there was no champion")

	t.Run("a worse one is refused and becomes the challenger", func(t *testing.T) {
		worse := good
		worse.Params.Candidates = logistic(1e-4)
		for range 2 { // the second time nothing new is registered
			result, err := b.trainer.Train(t.Context(), worse)
			require.NoError(t, err)
			require.Equal(t, Refused, result.Outcome, result.Verdict)
			assert.Equal(t, 120, result.Verdict.Comparison.Rows, "the whole hold-out, by position")
			assert.Contains(t, result.Verdict.String(), "against the champion, version 1: worse in log-loss")
			assert.Equal(t, "1", result.Version.Number)
			record, _, err := b.store.ReadRun(result.RunID)
			require.NoError(t, err)
			assert.Equal(t, result.Verdict.String(), record.Tags["petal.gate"])
			assert.InDelta(t, 0, record.Metrics["gate_promoted"][0].Value, 0)
			assert.Greater(t, record.Metrics["gate_log_loss_difference_low"][0].Value, 0.0)
		}
		assert.Equal(t, "1", b.champion(t).Number)
		challenger, err := b.store.Resolve(t.Context(), "iris", promotion.Challenger)
		require.NoError(t, err)
		assert.Equal(t, "2", challenger.Number)
	})
	t.Run("promoted by hand, then beaten by a better one", func(t *testing.T) {
		_, _, err := b.trainer.cfg.Promote(t.Context(), "2")
		require.NoError(t, err)
		_, err = b.store.Resolve(t.Context(), "iris", promotion.Challenger)
		require.ErrorIs(t, err, registry.ErrNotFound, "it is the champion now")

		result, err := b.trainer.Train(t.Context(), good)
		require.NoError(t, err)
		require.Equal(t, Promoted, result.Outcome, result.Verdict)
		assert.Contains(t, result.Verdict.String(), "against the champion, version 2: better in log-loss on 120 rows")
		assert.Less(t, result.Verdict.Comparison.High, 0.0)
		assert.Contains(t, b.champion(t).Description, "better in log-loss")
	})
	t.Run("labels in random order, same rows", func(t *testing.T) {
		lines := strings.Split(strings.TrimSpace(noisy(600, 1)), "\n")
		random := rand.New(rand.NewPCG(1, 1))
		body := lines[1:]
		labels := make([]string, len(body))
		for i, line := range body {
			labels[i] = line[len(line)-1:]
		}
		random.Shuffle(len(labels), func(i, k int) { labels[i], labels[k] = labels[k], labels[i] })
		for i := range body {
			body[i] = body[i][:len(body[i])-1] + labels[i]
		}
		before := b.champion(t).Number
		result, err := b.trainer.Train(t.Context(), b.request(t, "shuffled.csv", strings.Join(lines, "\n")))
		require.NoError(t, err)
		assert.Equal(t, Refused, result.Outcome, result.Verdict)
		assert.Equal(t, before, b.champion(t).Number)
	})
}

// A model that was fitted on the hold-out has the best figures of all, and is
// refused.
func TestGateRefusesAModelThatSawTheHoldout(t *testing.T) {
	b := newBench(t)
	req := b.request(t, "noisy.csv", noisy(300, 2))
	req.Params.Candidates = []Spec{{Estimator: "KNeighborsClassifier", Params: map[string]any{"n_neighbors": 1}}}
	p := b.prepared(t, req)
	evaluate := func(p prepared) judged {
		f, err := fit(t.Context(), p, 0, &progress{tell: func(Progress) {}})
		require.NoError(t, err)
		j, err := judge(t.Context(), p, f, time.Now())
		require.NoError(t, err)
		return j
	}
	honest := evaluate(p)

	everything := p
	everything.training.rows = append(append([]int(nil), p.training.rows...), p.test.rows...)
	everything.training.x, everything.training.y = p.data.Select(everything.training.rows)
	cheat := evaluate(everything)
	require.InDelta(t, 1, cheat.test.Accuracy, 1e-12)
	require.Greater(t, cheat.test.Accuracy, honest.test.Accuracy)
	verdict, err := b.trainer.cfg.Judge(t.Context(), everything.holdout(), cheat.candidate, nil)
	require.NoError(t, err)
	assert.Equal(t, "refused: the model was fitted on 60 of the 60 rows of the hold-out", verdict.String())
}

func TestGateTiesArePromoted(t *testing.T) {
	b := newBench(t)
	req := b.irisRequest(t)
	req.Force = true
	for range 2 {
		result, err := b.trainer.Train(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, Promoted, result.Outcome, result.Verdict)
	}
	assert.Contains(t, b.champion(t).Description, "no worse on 30 rows")
	assert.Contains(t, b.champion(t).Description, "McNemar p = 1.000")
}

func TestGateAfterTheDataOrTheSplitChanged(t *testing.T) {
	change := map[string]struct {
		first, second string
		mutate        func(*Params)
		want          string
		compared      bool
	}{
		"another seed, few rows": {noisy(150, 3), noisy(150, 3), func(p *Params) { p.RandomState = 1 }, "fewer than 20", false},
		"another seed":           {noisy(900, 3), noisy(900, 3), func(p *Params) { p.RandomState = 1 }, "against the champion, version 1: no worse", true},
		"more rows":              {noisy(300, 3), noisy(500, 3), nil, "against the champion, version 1: ", true},
		"other rows":             {noisy(300, 3), noisy(300, 4), nil, "on 60 rows", true},
		"columns in another order": {
			noisy(300, 3), strings.ReplaceAll(noisy(300, 4), "a,b,c,d,", "b,a,c,d,"),
			nil, "on 60 rows", true,
		},
		"a column gone":  {noisy(300, 3), strings.ReplaceAll(noisy(300, 3), "a,b,c,d,", "a,b,c,e,"), nil, `it needs the column "d", which the data do not have`, false},
		"another number": {noisy(300, 3), strings.ReplaceAll(noisy(300, 4), ",x\n", ",w\n"), nil, "against the champion, version 1: better in log-loss", true},
	}
	for name, c := range change {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			_, err := b.trainer.Train(t.Context(), b.request(t, "first.csv", c.first))
			require.NoError(t, err)
			req := b.request(t, "second.csv", c.second)
			if c.mutate != nil {
				c.mutate(&req.Params)
			}
			result, err := b.trainer.Train(t.Context(), req)
			require.NoError(t, err)
			assert.Equal(t, Promoted, result.Outcome, result.Verdict)
			assert.Contains(t, result.Verdict.String(), c.want)
			assert.Equal(t, c.compared, result.Verdict.Comparison != nil, result.Verdict)
			if !c.compared {
				assert.Contains(t, result.Verdict.String(), "compared with the prior only, since version 1 cannot be compared: ")
			}
		})
	}
}

// Whatever is wrong with the champion, a new model can take its place, and the
// verdict says what was wrong.
func TestGateWithAChampionThatCannotAnswer(t *testing.T) {
	spoil := map[string]struct {
		file, want string
		do         func(path string) error
	}{
		"broken":   {registry.ModelFile, "it is broken: the model file has 1 bytes, the registry says ", func(p string) error { return os.WriteFile(p, []byte("x"), 0o600) }},
		"gone":     {registry.ModelFile, "it is broken: open model.onnx: ", os.Remove},
		"no rows":  {promotion.RowsFile, "it does not say which rows it was trained on", os.Remove},
		"no model": {"MLmodel", "it is broken: open MLmodel: ", os.Remove},
	}
	for name, c := range spoil {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			_, err := b.trainer.Train(t.Context(), b.request(t, "noisy.csv", noisy(300, 3)))
			require.NoError(t, err)
			require.NoError(t, c.do(filepath.Join(b.store.Root(), filepath.FromSlash(b.champion(t).Source), c.file)))
			result, err := b.trainer.Train(t.Context(), b.request(t, "other.csv", noisy(300, 4)))
			require.NoError(t, err)
			assert.Equal(t, Promoted, result.Outcome, result.Verdict)
			assert.Contains(t, result.Verdict.String(), "compared with the prior only, since version 1 cannot be compared: "+c.want)
		})
	}
}
