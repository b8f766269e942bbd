package training

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"github.com/petal-ml/petal/internal/dataset"
)

// A Profile describes a data set before anything is learned from it.
type Profile struct {
	Path     string           `json:"path"`
	MD5      string           `json:"md5"`
	Rows     int              `json:"rows"`
	Label    string           `json:"label"`
	Classes  []ClassCount     `json:"classes"`
	Features []FeatureProfile `json:"features"`
	// Duplicates counts rows whose features, and whose label too, stand in an
	// earlier row.
	Duplicates int `json:"duplicate_rows"`
	// Contradictions counts rows whose features stand in an earlier row with
	// another label: no model gets both right.
	Contradictions int `json:"contradicting_rows"`
	// Straddling names hold-out rows, counted from 1 below the header, whose features stand
	// in a training row too. They make figures look a little better; the gate
	// goes by position and is not misled.
	Straddling []int `json:"holdout_rows_also_in_training"`
	// Table is what the file is, with all its columns; nil for a table of numbers.
	Table *dataset.Table `json:"table,omitempty"`
	// LeftOut are columns of numbers that only tell the rows apart.
	LeftOut []dataset.Column `json:"left_out,omitempty"`

	notes []string
}

// A ClassCount is how often a class occurs.
type ClassCount struct {
	Label string `json:"label"`
	Rows  int    `json:"rows"`
}

// A FeatureProfile describes one feature.
type FeatureProfile struct {
	Name     string `json:"name"`
	Missing  int    `json:"missing"`
	Distinct int    `json:"distinct"`
	Constant bool   `json:"constant"`
	Min      Figure `json:"min"`
	Median   Figure `json:"median"`
	Mean     Figure `json:"mean"`
	Std      Figure `json:"std"` // divisor n
	Max      Figure `json:"max"`
}

// A Figure is NaN, null in JSON, where all values are missing.
type Figure float64

// MarshalJSON writes null for what is not a number.
func (f Figure) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(f)) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(f))
}

// profile describes the data. Without a split, straddling rows are unknown.
func profile(d *dataset.Dataset, training, test part) *Profile {
	p := &Profile{Path: d.Path, MD5: d.MD5, Rows: d.Rows(), Label: d.Label, Straddling: []int{}}
	for class, rows := range d.ClassCounts() {
		p.Classes = append(p.Classes, ClassCount{d.Classes.Text(class), rows})
	}
	texts := textsOf(d)
	for j, name := range d.Features {
		f := describeFeature(name, mat.Col(nil, j, d.X))
		if texts != nil && texts[j] != nil { // the numbers are places in a list
			none := Figure(math.NaN())
			f.Min, f.Median, f.Mean, f.Std, f.Max = none, none, none, none, none
		}
		p.Features = append(p.Features, f)
	}
	first := map[uint64]int{} // class of the first row with these features
	for i, hash := range hashes(d.X, texts) {
		class := d.Y[i]
		before, found := first[hash]
		switch {
		case !found:
			first[hash] = class
		case before == class:
			p.Duplicates++
		default:
			p.Contradictions++
		}
	}
	if training.x == nil {
		return p
	}
	trained := map[uint64]bool{}
	for _, hash := range hashes(training.x, texts) {
		trained[hash] = true
	}
	for i, hash := range hashes(test.x, texts) {
		if trained[hash] {
			p.Straddling = append(p.Straddling, test.rows[i]+1)
		}
	}
	slices.Sort(p.Straddling)
	return p
}

func describeFeature(name string, values []float64) FeatureProfile {
	n := len(values)
	values = slices.DeleteFunc(values, math.IsNaN)
	f := FeatureProfile{Name: name, Missing: n - len(values)}
	if len(values) == 0 {
		none := Figure(math.NaN())
		f.Constant = true
		f.Min, f.Median, f.Mean, f.Std, f.Max = none, none, none, none, none
		return f
	}
	slices.Sort(values)
	mean, std := stat.PopMeanStdDev(values, nil)
	low, high := values[(len(values)-1)/2], values[len(values)/2]
	f.Min, f.Median, f.Max = Figure(values[0]), Figure(low+(high-low)/2), Figure(values[len(values)-1])
	f.Mean, f.Std = Figure(mean), Figure(std)
	f.Distinct = len(slices.Compact(values))
	f.Constant = f.Distinct == 1
	return f
}

// Warnings are what a person should look at, a line each.
func (p *Profile) Warnings() []string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for _, f := range p.Features {
		switch {
		case f.Missing == p.Rows:
			add("column %s holds no value at all", f.Name)
		case f.Constant:
			add("column %s is always %v", f.Name, f.Min)
		}
	}
	lines = append(lines, p.notes...)
	if p.Duplicates > 0 {
		add("%d rows occur more than once", p.Duplicates)
	}
	if p.Contradictions > 0 {
		add("%d rows have the features of an earlier row and another label", p.Contradictions)
	}
	if n := len(p.Straddling); n > 0 {
		shown := p.Straddling[:min(n, 10)]
		add("%d hold-out rows have the features of a training row (rows %v%s below the header)", n, shown, map[bool]string{true: " and more"}[n > len(shown)])
	}
	return lines
}

// A Reference is what the training rows looked like, for a later look at how far
// the world has moved. Edges are the quantiles of a feature's values in ten
// parts, equal ones merged; Shares are the shares of values in each bin
// (−∞, e₁], (e₁, e₂], … (eₙ, ∞), and Missing that of missing ones: together 1.
type Reference struct {
	Rows     int                `json:"rows"`
	Features []FeatureReference `json:"features"`
	Classes  []ClassShare       `json:"classes"`
}

// A FeatureReference is the distribution of one feature.
type FeatureReference struct {
	Name    string    `json:"name"`
	Edges   []float64 `json:"edges"`
	Shares  []float64 `json:"shares"`
	Missing float64   `json:"missing"`
}

// A ClassShare is the share of a class.
type ClassShare struct {
	Label string  `json:"label"`
	Share float64 `json:"share"`
}

// referenceFile stands beside a model and holds a [Reference].
const referenceFile = "reference.json"

const referenceBins = 10

func reference(d *dataset.Dataset, training part) Reference {
	n := len(training.y)
	r := Reference{Rows: n}
	for j, name := range d.Features {
		values := slices.DeleteFunc(mat.Col(nil, j, training.x), math.IsNaN)
		slices.Sort(values)
		f := FeatureReference{Name: name, Missing: float64(n-len(values)) / float64(n), Edges: []float64{}}
		for k := 1; k < referenceBins && len(values) > 0; k++ {
			f.Edges = append(f.Edges, stat.Quantile(float64(k)/referenceBins, stat.Empirical, values, nil))
		}
		f.Edges = slices.Compact(f.Edges)
		f.Shares = make([]float64, len(f.Edges)+1)
		for _, v := range values {
			bin, _ := slices.BinarySearch(f.Edges, v) // the first edge that is not below v
			f.Shares[bin] += 1 / float64(n)
		}
		r.Features = append(r.Features, f)
	}
	counts := make([]int, d.Classes.Len())
	for _, class := range training.y {
		counts[class]++
	}
	for class, rows := range counts {
		r.Classes = append(r.Classes, ClassShare{d.Classes.Text(class), float64(rows) / float64(n)})
	}
	return r
}
