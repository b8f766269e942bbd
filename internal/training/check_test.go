package training

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/dataset"
	"github.com/petal-ml/petal/internal/promotion"
	"github.com/petal-ml/petal/tests/testenv/golden"
)

func TestCheckIris(t *testing.T) {
	b := newBench(t)
	p, err := b.trainer.Check(t.Context(), b.irisRequest(t))
	require.NoError(t, err)
	assert.Equal(t, []int{150, 4, 3}, []int{p.Rows, len(p.Features), len(p.Classes)})
	// By scikit-learn's own iris: describe().
	length := p.Features[0]
	assert.Equal(t, "sepal_length", length.Name)
	assert.Equal(t, 35, length.Distinct)
	assert.InDelta(t, 4.3, float64(length.Min), 1e-12)
	assert.InDelta(t, 5.8, float64(length.Median), 1e-12)
	assert.InDelta(t, 5.843333333333, float64(length.Mean), 1e-9)
	assert.InDelta(t, 0.825301291785, float64(length.Std), 1e-9)
	assert.InDelta(t, 7.9, float64(length.Max), 1e-12)
	assert.Equal(t, 1, p.Duplicates, "rows 102 and 143 are the same flower")
	assert.NoDirExists(t, b.store.Root(), "nothing is written")
}

func TestCheckFindsWhatToLookAt(t *testing.T) {
	b := newBench(t)
	content := "a,same,hole,none,species\n"
	for i := range 20 {
		content += []string{"1,7,,,x\n", "2,7,3,NA,y\n"}[i%2]
	}
	content += "1,7,,,y\n"
	p, err := b.trainer.Check(t.Context(), b.request(t, "odd.csv", content))
	require.NoError(t, err)
	assert.Equal(t, 18, p.Duplicates)
	assert.Equal(t, 1, p.Contradictions)
	assert.Len(t, p.Straddling, 5, "every row of the hold-out has a twin")
	assert.Equal(t, 11, p.Features[2].Missing)
	warnings := p.Warnings()
	require.Len(t, warnings, 6)
	messages := golden.New(t)
	for i, warning := range warnings {
		messages.Add(fmt.Sprintf("warning %d", i+1), errors.New(warning))
	}
	text, err := json.Marshal(p)
	require.NoError(t, err)
	assert.Contains(t, string(text), `"name":"none","missing":21,"distinct":0,"constant":true,"min":null`)

	small, err := b.trainer.Check(t.Context(), b.request(t, "small.csv", "a,species\n1,x\n2,x\n3,y\n"))
	requireFault(t, &dataset.Error{File: filepath.Join(b.dir, "small.csv"), Column: "species"}, err)
	messages.Add("no class of two rows", without(b.dir, err))
	require.NotNil(t, small, "the profile is shown all the same")
}

func TestReference(t *testing.T) {
	b := newBench(t)
	p := b.prepared(t, b.irisRequest(t))
	r := reference(p.data, p.training)
	assert.Equal(t, 120, r.Rows)
	require.Len(t, r.Features, 4)
	for _, f := range r.Features {
		assert.Len(t, f.Shares, len(f.Edges)+1)
		sum := f.Missing
		for i, share := range f.Shares {
			sum += share
			if i < len(f.Edges) {
				assert.Positive(t, share, "an edge is a value")
			}
		}
		assert.InDelta(t, 1, sum, 1e-12)
	}
	for _, c := range r.Classes {
		assert.InDelta(t, 1.0/3, c.Share, 1e-12)
	}
	_, err := json.Marshal(r)
	require.NoError(t, err)
}

func TestCompareVersions(t *testing.T) {
	b := newBench(t)
	req := b.request(t, "noisy.csv", noisy(600, 1))
	_, err := b.trainer.Train(t.Context(), req)
	require.NoError(t, err)
	worse := req
	worse.Params.Candidates = logistic(1e-4)
	_, err = b.trainer.Train(t.Context(), worse)
	require.NoError(t, err)

	c, err := b.trainer.Compare(t.Context(), req, "2", "1")
	require.NoError(t, err)
	assert.Equal(t, 120, c.Rows)
	assert.True(t, c.Worse())
	back, err := b.trainer.Compare(t.Context(), req, "1", "2")
	require.NoError(t, err)
	assert.InDelta(t, -c.Difference, back.Difference, 1e-12)
	assert.False(t, back.Worse())

	_, err = b.trainer.Compare(t.Context(), req, "1", "9")
	requireFault(t, &InputError{Where: "version 9"}, err)
	messages := golden.New(t)
	messages.Add("no such version", err)
	few := b.request(t, "few.csv", noisy(60, 9))
	_, err = b.trainer.Compare(t.Context(), few, "1", "2")
	requireFault(t, &InputError{Where: filepath.Join(b.dir, "few.csv")}, err)
	require.ErrorIs(t, err, promotion.ErrIncomparable)
	messages.Add("too few rows", without(b.dir, err))
}
