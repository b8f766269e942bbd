// Package modelselection cuts rows into training and test sets. The splits are
// those of scikit-learn 1.9.1 for the same labels and seed, bit for bit, in the
// same order, so that figures from both can be compared row by row.
package modelselection

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// ErrSplit means that the rows cannot be split as asked for.
var ErrSplit = errors.New("cannot split")

// A Split names the rows of a training and a test set, counted from zero.
type Split struct {
	Train, Test []int
}

// TrainTestSplit cuts the rows with labels y into a training set and a test set
// of ⌈testSize · n⌉ rows, the classes in equal shares in both: scikit-learn's
// train_test_split(test_size=testSize, random_state=seed, stratify=y). Both sets
// are in random order. A class with a single row, or fewer rows in a set than
// there are classes, is an [ErrSplit].
func TrainTestSplit(y []int, testSize float64, seed uint32) (Split, error) {
	if !(testSize > 0 && testSize < 1) {
		return Split{}, fmt.Errorf("test share %v is not between 0 and 1: %w", testSize, ErrSplit)
	}
	test := int(math.Ceil(testSize * float64(len(y))))
	train := len(y) - test
	rows := rowsByClass(y)
	for k, members := range rows {
		if len(members) < 2 {
			return Split{}, fmt.Errorf("class %d has %d row, it needs 2 to be in both sets: %w", y[members[0]], len(rows[k]), ErrSplit)
		}
	}
	if train < len(rows) || test < len(rows) {
		return Split{}, fmt.Errorf("%d training and %d test rows cannot hold all %d classes: %w", train, test, len(rows), ErrSplit)
	}

	random := NewRandomState(seed)
	counts := make([]int, len(rows))
	for k := range rows {
		counts[k] = len(rows[k])
	}
	trainCounts := approximateMode(counts, train, random)
	for k := range counts {
		counts[k] -= trainCounts[k]
	}
	testCounts := approximateMode(counts, test, random)

	var s Split
	for k, members := range rows {
		for i, j := range random.Permutation(len(members)) {
			switch {
			case i < trainCounts[k]:
				s.Train = append(s.Train, members[j])
			case i < trainCounts[k]+testCounts[k]:
				s.Test = append(s.Test, members[j])
			}
		}
	}
	random.Shuffle(s.Train)
	random.Shuffle(s.Test)
	return s, nil
}

// StratifiedKFold cuts the rows with labels y into folds, each of which is the
// test set once: scikit-learn's StratifiedKFold(folds, shuffle=True,
// random_state=seed). Rows are in ascending order in each set. Fewer than two
// folds, or more than any class has rows, is an [ErrSplit]; a class with fewer
// rows than folds is missing from some test sets, which [SmallestClass] tells
// beforehand.
func StratifiedKFold(y []int, folds int, seed uint32) ([]Split, error) {
	if folds < 2 {
		return nil, fmt.Errorf("%d folds, at least 2 are needed: %w", folds, ErrSplit)
	}
	rows := rowsByClass(y)
	largest := 0
	for _, members := range rows {
		largest = max(largest, len(members))
	}
	if folds > largest {
		return nil, fmt.Errorf("%d folds, but no class has more than %d rows: %w", folds, largest, ErrSplit)
	}
	foldOf := assignFolds(rows, len(y), folds, NewRandomState(seed))
	splits := make([]Split, folds)
	for i, f := range foldOf {
		for k := range splits {
			if k == f {
				splits[k].Test = append(splits[k].Test, i)
			} else {
				splits[k].Train = append(splits[k].Train, i)
			}
		}
	}
	return splits, nil
}

// assignFolds gives each row its fold. Classes are taken in the order in which
// they first appear.
func assignFolds(rows [][]int, n, folds int, random *RandomState) []int {
	slices.SortFunc(rows, func(a, b []int) int { return a[0] - b[0] })
	foldOf := make([]int, n)
	position := 0 // of the class's first row among all rows sorted by class
	for _, members := range rows {
		// The sorted rows are dealt to the folds like cards; a fold gets as many
		// rows of the class as cards of it fell to it, but any of its rows.
		share := make([]int, folds)
		for i := range members {
			share[(position+i)%folds]++
		}
		position += len(members)
		assigned := make([]int, 0, len(members))
		for f, count := range share {
			for range count {
				assigned = append(assigned, f)
			}
		}
		random.Shuffle(assigned)
		for i, row := range members {
			foldOf[row] = assigned[i]
		}
	}
	return foldOf
}

// SmallestClass returns the class with the fewest rows among those that occur,
// and its number of rows. Of equal ones it is the lowest class.
func SmallestClass(y []int) (class, rows int) {
	for _, members := range rowsByClass(y) {
		if rows == 0 || len(members) < rows {
			class, rows = y[members[0]], len(members)
		}
	}
	return class, rows
}

// rowsByClass lists the rows of each class that occurs, classes and rows in
// ascending order.
func rowsByClass(y []int) [][]int {
	byClass := map[int][]int{}
	var classes []int
	for i, k := range y {
		if byClass[k] == nil {
			classes = append(classes, k)
		}
		byClass[k] = append(byClass[k], i)
	}
	slices.Sort(classes)
	rows := make([][]int, len(classes))
	for i, k := range classes {
		rows[i] = byClass[k]
	}
	return rows
}

// approximateMode shares draws out among classes in proportion to their counts;
// what rounding leaves over goes to the largest remainders, ties by chance. It
// is scikit-learn's _approximate_mode, in the same order of operations.
func approximateMode(counts []int, draws int, random *RandomState) []int {
	total := 0
	for _, c := range counts {
		total += c
	}
	shares := make([]int, len(counts))
	remainders := make([]float64, len(counts))
	left := draws
	for k, c := range counts {
		exact := float64(float64(c) / float64(total) * float64(draws)) // rounded before the subtraction below
		shares[k] = int(exact)
		remainders[k] = exact - math.Floor(exact)
		left -= shares[k]
	}
	values := slices.Clone(remainders)
	slices.Sort(values)
	values = slices.Compact(values)
	for _, v := range slices.Backward(values) {
		if left == 0 {
			break
		}
		var tied []int
		for k, r := range remainders {
			if r == v {
				tied = append(tied, k)
			}
		}
		add := min(len(tied), left)
		for _, k := range random.choose(tied, add) {
			shares[k]++
		}
		left -= add
	}
	return shares
}

// TakeRows copies the named rows of x into a new matrix.
func TakeRows(x *mat.Dense, rows []int) *mat.Dense {
	_, p := x.Dims()
	out := mat.NewDense(len(rows), p, nil)
	for i, r := range rows {
		out.SetRow(i, x.RawRowView(r))
	}
	return out
}

// Take copies the named elements of y.
func Take(y, rows []int) []int {
	out := make([]int, len(rows))
	for i, r := range rows {
		out[i] = y[r]
	}
	return out
}
