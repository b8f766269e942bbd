package route

import (
	"slices"

	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/serving"
)

// Samples are the examples of the documentation. They fit the model that
// serves, so that "Try it out" is answered.
type Samples struct {
	Model *serving.Live // nil while there is none
}

// Names are those of the columns of [Samples.Row].
func (s *Samples) Names() []string {
	if s.Model == nil {
		return []string{"sepal_length", "sepal_width", "petal_length", "petal_width"}
	}
	var names []string
	for _, f := range s.Model.Info().Features {
		names = append(names, f.Name)
	}
	return names
}

// Row is a row to try: the first whole one of the model's own examples, else
// zeros and empty texts.
func (s *Samples) Row() []any {
	if s.Model == nil {
		return []any{5.1, 3.5, 1.4, 0.2}
	}
	info := s.Model.Info()
	for _, row := range info.Example {
		if !slices.ContainsFunc(row, model.Cell.IsMissing) {
			return anySlice(row)
		}
	}
	return anySlice(info.MadeUp(0))
}

func anySlice(row []model.Cell) []any {
	all := make([]any, len(row))
	for i, c := range row {
		all[i] = c
	}
	return all
}
