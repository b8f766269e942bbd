package training

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/promotion"
	"github.com/petal-ml/petal/internal/registry"
	"github.com/petal-ml/petal/tests/testenv/golden"
)

func TestPromoteAndRollback(t *testing.T) {
	b := newBench(t)
	none, err := b.trainer.cfg.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, none)
	_, _, err = b.trainer.cfg.Rollback(t.Context())
	requireFault(t, &InputError{Where: "model iris"}, err)
	messages := golden.New(t)
	messages.Add("roll back to nothing", err)

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
		requireFault(t, &InputError{Where: "version " + number}, err)
		messages.Add("version "+number, err)
	}
}

func TestPromoteRefusesABrokenVersion(t *testing.T) {
	messages := golden.New(t)
	for name, c := range map[string]struct {
		spoil func(t *testing.T, path string)
		is    error // nil: a checksum that does not fit has no type
	}{
		"another byte": {func(t *testing.T, path string) {
			raw, err := os.ReadFile(path)
			require.NoError(t, err)
			raw[len(raw)/2] ^= 1
			require.NoError(t, os.WriteFile(path, raw, 0o600))
		}, nil},
		"empty": {func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, 0)) }, nil},
		"gone":  {func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) }, registry.ErrNotFound},
	} {
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
			c.spoil(t, filepath.Join(b.store.Root(), filepath.FromSlash(first.Source), registry.ModelFile))

			_, _, err = b.trainer.cfg.Promote(t.Context(), "1")
			requireBroken(t, c.is, err)
			messages.Add(name, shorn(without(b.dir, err)))
			_, _, err = b.trainer.cfg.Rollback(t.Context())
			requireBroken(t, c.is, err)
			messages.Add(name+", by a rollback", shorn(without(b.dir, err)))
			assert.Equal(t, "2", b.champion(t).Number)
		})
	}
}

// requireBroken checks that err names version 1, and is no fault of the input.
func requireBroken(t *testing.T, is, err error) {
	t.Helper()
	require.Error(t, err)
	require.True(t, strings.HasPrefix(err.Error(), "promote version 1: "), "%v", err)
	require.False(t, IsInput(err))
	if is != nil {
		require.ErrorIs(t, err, is)
	}
}

// shorn is err without checksums, run IDs and sizes, which differ between trainings.
func shorn(err error) error {
	return errors.New(regexp.MustCompile(`[0-9a-f]{32,}|\d{3,}`).ReplaceAllString(err.Error(), "N"))
}
