// Package dataset reads a CSV file into a matrix of features and class indices.
//
// The file is streamed once, in blocks that several goroutines parse and one
// hashes: its MD5 is DVC's own digest. What a good file holds takes a fast way
// that gives the same bits as package rows; for the rest that one is asked. What is wrong is reported with file, line, column and remedy
// as an [Error]. Rows are samples, columns features, a missing value is
// NaN, and classes are indices into the sorted labels.
package dataset

import (
	"cmp"
	"slices"
	"strconv"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/onnx"
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
	// Columns are the features of a table that [Look] has found out; nil for a
	// table of numbers.
	Columns []Column
	// Padded says that a column of numbers has some with a zero in front, as codes
	// do: [Look] tells.
	Padded bool
	// LeftOut are columns of numbers that only tell the rows apart.
	LeftOut []Column

	Label string // name of the label column
	// Classes are the distinct labels: as integers, sorted by value, where every
	// one of them is written as a canonical 64-bit integer, else as text, sorted by
	// code point.
	Classes onnx.Labels
	Y       []int // for each row an index into Classes
}

// Rows returns the number of rows.
func (d *Dataset) Rows() int { return len(d.Y) }

// Task tells by the labels what is to be learned; see [Table].
func (d *Dataset) Task() string {
	s := newSurvey()
	for class, n := range d.ClassCounts() {
		text := d.Classes.Text(class)
		for range n {
			s.add(text, false, 0)
		}
	}
	return s.task()
}

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

// sortLabels orders labels and says where each of them went: position[i] is the
// class index of texts[i]. This is the order of numpy.unique, which
// scikit-learn's classes_ and stratified splits follow.
func sortLabels(texts []string) (labels onnx.Labels, position []int) {
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
