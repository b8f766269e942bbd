package training

import (
	"context"

	"gonum.org/v1/gonum/mat"

	"github.com/petal-ml/petal/internal/learn"
)

// someClasses is a classifier that was fitted on rows of which not every class has
// one: the others have probability 0, as with scikit-learn's cross_val_predict.
type someClasses struct {
	model   learn.Classifier // nil where all rows were of one class
	present []int            // its classes among all
	classes int
}

// fitPresent fits a classifier on the classes that occur among y.
func fitPresent(ctx context.Context, model learn.Classifier, x *mat.Dense, y []int, classes int, opt learn.Options) (someClasses, error) {
	place := make([]int, classes)
	for _, k := range y {
		place[k] = 1
	}
	s := someClasses{model: model, classes: classes}
	for k, occurs := range place {
		if occurs == 1 {
			place[k] = len(s.present)
			s.present = append(s.present, k)
		}
	}
	if len(s.present) == 1 {
		s.model = nil
		return s, nil
	}
	if len(s.present) < classes {
		renumbered := make([]int, len(y))
		for i, k := range y {
			renumbered[i] = place[k]
		}
		y = renumbered
	}
	return s, model.Fit(ctx, x, y, len(s.present), opt)
}

// PredictProba returns the probability of every class (n × classes).
func (s someClasses) PredictProba(x *mat.Dense) (*mat.Dense, error) {
	n, _ := x.Dims()
	if s.model == nil {
		all := mat.NewDense(n, s.classes, nil)
		for i := range n {
			all.Set(i, s.present[0], 1)
		}
		return all, nil
	}
	found, err := s.model.PredictProba(x)
	if err != nil || len(s.present) == s.classes {
		return found, err
	}
	all := mat.NewDense(n, s.classes, nil)
	for i := range n {
		for j, k := range s.present {
			all.Set(i, k, found.At(i, j))
		}
	}
	return all, nil
}
