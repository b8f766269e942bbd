package parity

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/internal/learn/modelselection"
)

type splitAnswer struct {
	Train, Test []int
	Folds       []struct{ Train, Test []int }
}

func TestSplitsAreScikitLearns(t *testing.T) {
	for _, name := range allSets {
		t.Run(name, func(t *testing.T) {
			d := load(t, name)
			for _, c := range []struct {
				share float64
				seed  uint32
				folds int
			}{{0.2, 42, 5}, {0.25, 0, 3}, {0.33, 4294967295, 10}, {0.1, 7, 2}} {
				requireSameSplits(t, d.y, c.share, c.seed, c.folds)
			}
		})
	}
}

// TestSplitsOfUnevenClasses has class sizes whose shares tie, so that the
// generator decides which class gets the rows that rounding leaves over.
func TestSplitsOfUnevenClasses(t *testing.T) {
	var y []int
	for i := range 97 {
		y = append(y, []int{3, 0, 1, 2, 0, 1, 4}[i%7])
	}
	for seed := range uint32(20) {
		requireSameSplits(t, y, 0.3, seed, 4)
	}
}

func requireSameSplits(t *testing.T, y []int, share float64, seed uint32, folds int) {
	t.Helper()
	var want splitAnswer
	ask(t, "splits", map[string]any{"y": y, "test_size": share, "seed": seed, "folds": folds}, &want)
	s, err := modelselection.TrainTestSplit(y, share, seed)
	require.NoError(t, err)
	require.Equal(t, want.Train, s.Train)
	require.Equal(t, want.Test, s.Test)
	got, err := modelselection.StratifiedKFold(y, folds, seed)
	require.NoError(t, err)
	require.Len(t, got, folds)
	for i, f := range want.Folds {
		require.Equal(t, f.Train, got[i].Train, "fold %d", i)
		require.Equal(t, f.Test, got[i].Test, "fold %d", i)
	}
}

func TestRandomStateIsNumpys(t *testing.T) {
	sizes := []int{1, 2, 3, 10, 100, 1000, 5000}
	for _, seed := range []uint32{0, 1, 42, 4294967295} {
		var want struct {
			Permutations [][]int
			Floats       array
		}
		ask(t, "random_state", map[string]any{"seed": seed, "sizes": sizes}, &want)
		random := modelselection.NewRandomState(seed)
		for i, n := range sizes {
			require.Equal(t, want.Permutations[i], random.Permutation(n))
		}
		for _, f := range want.Floats.values(t) {
			require.Equal(t, f, random.Float64())
		}
	}
}
