package training

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/promotion"
	"github.com/petal-ml/petal/internal/registry"
)

func TestPromoteAndRollback(t *testing.T) {
	b := newBench(t)
	none, err := b.trainer.cfg.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, none)
	_, _, err = b.trainer.cfg.Rollback(t.Context())
	require.EqualError(t, err, "model iris: has no previous champion; name a version: trainer promote VERSION")
	require.True(t, IsInput(err))

	req := b.irisRequest(t)
	req.Force = true
	for range 3 {
		_, err := b.trainer.Train(t.Context(), req)
		require.NoError(t, err)
	}
	aliases := func() map[string][]string {
		t.Helper()
		list, err := b.trainer.cfg.List(t.Context())
		require.NoError(t, err)
		found := map[string][]string{}
		for _, s := range list {
			assert.Equal(t, "LogisticRegression", s.Tags[promotion.TagEstimator])
			assert.NotEmpty(t, s.Tags[promotion.TagTestLogLoss])
			if s.Aliases != nil {
				found[s.Number] = s.Aliases
			}
		}
		return found
	}
	assert.Equal(t, map[string][]string{"3": {promotion.Champion}, "2": {promotion.Previous}}, aliases())

	v, moved, err := b.trainer.cfg.Promote(t.Context(), "1")
	require.NoError(t, err)
	assert.True(t, moved)
	assert.Equal(t, "1", v.Number)
	assert.Equal(t, map[string][]string{"1": {promotion.Champion}, "3": {promotion.Previous}}, aliases())
	assert.Equal(t, "tester by test", b.champion(t).Tags["petal.promoted_by"])

	_, moved, err = b.trainer.cfg.Promote(t.Context(), "1")
	require.NoError(t, err)
	assert.False(t, moved, "it is the champion already")

	for _, want := range []string{"3", "1"} {
		v, moved, err = b.trainer.cfg.Rollback(t.Context())
		require.NoError(t, err)
		assert.True(t, moved)
		assert.Equal(t, want, v.Number)
		assert.Equal(t, want, b.champion(t).Number)
	}

	for _, number := range []string{"4", "0", "one"} {
		_, _, err = b.trainer.cfg.Promote(t.Context(), number)
		require.EqualError(t, err, "version "+number+": does not exist of model iris; choose one that trainer list shows")
		require.True(t, IsInput(err))
	}
}

func TestPromoteRefusesABrokenVersion(t *testing.T) {
	spoil := map[string]func(t *testing.T, path string){
		"another byte": func(t *testing.T, path string) {
			raw, err := os.ReadFile(path)
			require.NoError(t, err)
			raw[len(raw)/2] ^= 1
			require.NoError(t, os.WriteFile(path, raw, 0o600))
		},
		"empty": func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, 0)) },
		"gone":  func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) },
	}
	for name, spoil := range spoil {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			req := b.irisRequest(t)
			req.Force = true
			for range 2 {
				_, err := b.trainer.Train(t.Context(), req)
				require.NoError(t, err)
			}
			first, err := b.store.Get(t.Context(), "iris", "1")
			require.NoError(t, err)
			spoil(t, filepath.Join(b.store.Root(), filepath.FromSlash(first.Source), registry.ModelFile))

			_, _, err = b.trainer.cfg.Promote(t.Context(), "1")
			require.ErrorContains(t, err, "promote version 1: it is broken")
			_, _, err = b.trainer.cfg.Rollback(t.Context())
			require.ErrorContains(t, err, "promote version 1: it is broken")
			assert.Equal(t, "2", b.champion(t).Number)
		})
	}
}
