package dataset

import (
	"cmp"
	"slices"
	"strconv"

	"gonum.org/v1/gonum/mat"
)

// A Dataset is a labelled table of numbers.
type Dataset struct {
	Name string // the file's name without its extension
	Path string // as it was given
	MD5  string // of the file's bytes, lower-case hex
	Size int64  // of the file, in bytes

	Features []string   // names of the feature columns, in the file's order
	X        *mat.Dense // rows × features; a missing value is NaN
	// Missing counts the missing values of each feature.
	Missing []int

	Label   string // name of the label column
	Classes Labels // the distinct labels, sorted
	Y       []int  // for each row an index into Classes
}

// Rows returns the number of rows.
func (d *Dataset) Rows() int { return len(d.Y) }

// Select copies the rows with the given indices, in that order: their features
// (len(rows) × features) and their class indices.
func (d *Dataset) Select(rows []int) (*mat.Dense, []int) {
	x := mat.NewDense(len(rows), len(d.Features), nil)
	y := make([]int, len(rows))
	for i, row := range rows {
		copy(x.RawRowView(i), d.X.RawRowView(row))
		y[i] = d.Y[row]
	}
	return x, y
}

// ClassCounts returns how many rows each class has.
func (d *Dataset) ClassCounts() []int {
	counts := make([]int, d.Classes.Len())
	for _, class := range d.Y {
		counts[class]++
	}
	return counts
}

// MissingColumns names the features that have a missing value, in order.
func (d *Dataset) MissingColumns() []string {
	var names []string
	for j, n := range d.Missing {
		if n > 0 {
			names = append(names, d.Features[j])
		}
	}
	return names
}

// Labels are the distinct labels of a data set in the order of the class
// indices: as integers where every one of them is written as a canonical 64-bit
// integer, else as text. The other slice is nil.
type Labels struct {
	Strings []string // sorted by code point
	Ints    []int64  // sorted by value
}

// Len returns the number of classes.
func (l Labels) Len() int { return len(l.Strings) + len(l.Ints) }

// Text returns label i as the file has it.
func (l Labels) Text(i int) string {
	if l.Ints != nil {
		return strconv.FormatInt(l.Ints[i], 10)
	}
	return l.Strings[i]
}

// Value returns label i as a string or an int64.
func (l Labels) Value(i int) any {
	if l.Ints != nil {
		return l.Ints[i]
	}
	return l.Strings[i]
}

// sortLabels orders labels and says where each of them went: position[i] is the
// class index of texts[i]. This is the order of numpy.unique, which
// scikit-learn's classes_ and stratified splits follow.
func sortLabels(texts []string) (labels Labels, position []int) {
	ints := make([]int64, len(texts))
	integral := true
	for i, text := range texts {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || strconv.FormatInt(n, 10) != text {
			integral = false
			break
		}
		ints[i] = n
	}

	order := make([]int, len(texts))
	for i := range order {
		order[i] = i
	}
	if integral {
		slices.SortFunc(order, func(a, b int) int { return cmp.Compare(ints[a], ints[b]) })
	} else {
		slices.SortFunc(order, func(a, b int) int { return cmp.Compare(texts[a], texts[b]) })
	}

	position = make([]int, len(texts))
	for class, i := range order {
		position[i] = class
		if integral {
			labels.Ints = append(labels.Ints, ints[i])
		} else {
			labels.Strings = append(labels.Strings, texts[i])
		}
	}
	return labels, position
}
