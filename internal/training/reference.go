package training

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"github.com/petal-ml/petal/internal/dataset"
)

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
