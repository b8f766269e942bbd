// Package inspection asks a fitted classifier what it looks at.
package inspection

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/modelselection"
)

// An Importance is how much worse predictions get when a feature is shuffled.
type Importance struct {
	Mean, Std float64   // of the repeats; Std with divisor n
	Values    []float64 // one a repeat: score before less score after
}

// A Score judges probabilities (n × K) of rows with classes y; higher is better.
type Score func(y []int, proba *mat.Dense) float64

// PermutationImportance shuffles each feature of the rows x by itself, repeats
// times, and reports by how much the score falls (Breiman 2001; Fisher, Rudin
// and Dominici 2019). The shuffles are those of scikit-learn 1.9.1's
// permutation_importance for the same seed. The rows should be ones that the
// classifier has not seen.
func PermutationImportance(ctx context.Context, c learn.Classifier, x *mat.Dense, y []int, score Score, repeats int, seed uint32) ([]Importance, error) {
	n, p := x.Dims()
	if n != len(y) {
		return nil, fmt.Errorf("permutation importance: %d rows have %d labels: %w", n, len(y), learn.ErrShape)
	}
	if repeats < 1 {
		return nil, fmt.Errorf("permutation importance: %d repeats, at least 1 is needed: %w", repeats, learn.ErrParameter)
	}
	proba, err := c.PredictProba(x)
	if err != nil {
		return nil, fmt.Errorf("permutation importance: %w", err)
	}
	base := score(y, proba)
	// Every feature starts from this seed and so gets the same shuffles.
	featureSeed := uint32(modelselection.NewRandomState(seed).Interval(math.MaxInt32)) // at most MaxInt32
	importances := make([]Importance, p)
	shuffled := mat.DenseCopyOf(x)
	for j := range importances {
		random := modelselection.NewRandomState(featureSeed)
		order := make([]int, n)
		for i := range order {
			order[i] = i
		}
		for range repeats {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			random.Shuffle(order)
			column := mat.Col(nil, j, shuffled)
			for i, from := range order {
				shuffled.Set(i, j, column[from])
			}
			if proba, err = c.PredictProba(shuffled); err != nil {
				return nil, fmt.Errorf("permutation importance of column %d: %w", j, err)
			}
			importances[j].Values = append(importances[j].Values, base-score(y, proba))
		}
		shuffled.SetCol(j, mat.Col(nil, j, x))
		importances[j].Mean, importances[j].Std = stat.PopMeanStdDev(importances[j].Values, nil)
	}
	return importances, nil
}

// Order returns the features, the most important first; equal ones keep their
// order.
func Order(importances []Importance) []int {
	order := make([]int, len(importances))
	for j := range order {
		order[j] = j
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(importances[b].Mean, importances[a].Mean) })
	return order
}
