package modelselection

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/tests/testenv/golden"
)

func TestTrainTestSplitKeepsTheShares(t *testing.T) {
	y := make([]int, 150)
	for i := range y {
		y[i] = i / 50
	}
	s, err := TrainTestSplit(y, 0.2, 42)
	require.NoError(t, err)
	require.Len(t, s.Train, 120)
	require.Len(t, s.Test, 30)
	// The first rows that scikit-learn 1.9.1 puts into this very hold-out set.
	require.Equal(t, []int{38, 127, 57}, s.Test[:3])
	all := slices.Sorted(slices.Values(slices.Concat(s.Train, s.Test)))
	for i, row := range all {
		require.Equal(t, i, row)
	}
	for k := range 3 {
		require.Equal(t, 10, count(Take(y, s.Test), k))
	}
}

func TestStratifiedKFoldUsesEachRowOnce(t *testing.T) {
	y := []int{0, 1, 1, 2, 0, 1, 2, 2, 0, 1, 1}
	folds, err := StratifiedKFold(y, 3, 1)
	require.NoError(t, err)
	tested := make([]int, len(y))
	for _, f := range folds {
		require.Len(t, f.Train, len(y)-len(f.Test))
		for _, row := range f.Test {
			tested[row]++
			require.NotContains(t, f.Train, row)
		}
	}
	for _, n := range tested {
		require.Equal(t, 1, n)
	}
}

func TestSplitsThatCannotBe(t *testing.T) {
	messages := golden.New(t)
	for _, c := range []struct {
		name string
		do   func() error
		at   string
	}{
		{"share of zero", func() error { _, err := TrainTestSplit([]int{0, 0, 1, 1}, 0, 1); return err }, "test share 0"},
		{"share of one", func() error { _, err := TrainTestSplit([]int{0, 0, 1, 1}, 1, 1); return err }, "test share 1"},
		{"class of one row", func() error { _, err := TrainTestSplit([]int{0, 0, 1}, 0.5, 1); return err }, "class 1"},
		{"test set too small", func() error { _, err := TrainTestSplit([]int{0, 0, 0, 1, 1, 1}, 0.1, 1); return err }, ""},
		{"one fold", func() error { _, err := StratifiedKFold([]int{0, 0, 1, 1}, 1, 1); return err }, ""},
		{"more folds than rows in any class", func() error { _, err := StratifiedKFold([]int{0, 0, 1, 1}, 3, 1); return err }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.do()
			require.ErrorIs(t, err, ErrSplit)
			require.ErrorContains(t, err, c.at)
			messages.Add(c.name, err)
		})
	}
}

func TestSmallestClass(t *testing.T) {
	class, rows := SmallestClass([]int{4, 1, 1, 4, 2, 2, 4})
	require.Equal(t, 1, class)
	require.Equal(t, 2, rows)
}

func TestTakeRowsCopies(t *testing.T) {
	x := mat.NewDense(3, 2, []float64{1, 2, 3, 4, 5, 6})
	taken := TakeRows(x, []int{2, 0, 2})
	require.Equal(t, []float64{5, 6, 1, 2, 5, 6}, taken.RawMatrix().Data)
	taken.Set(0, 0, 9)
	require.InDelta(t, 5, x.At(2, 0), 0)
}

// TestMersenneTwister holds the generator to the first outputs of the reference
// implementation mt19937ar.c with init_genrand(5489), its default seed.
func TestMersenneTwister(t *testing.T) {
	r := NewRandomState(5489)
	for _, want := range []uint32{3499211612, 581869302, 3890346734, 3586334585} {
		require.Equal(t, want, r.Uint32())
	}
}

func count(y []int, class int) int {
	n := 0
	for _, k := range y {
		if k == class {
			n++
		}
	}
	return n
}
