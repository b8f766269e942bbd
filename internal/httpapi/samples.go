package httpapi

import (
	"encoding/json"
	"slices"

	"github.com/petal-ml/petal/internal/model"
	"github.com/petal-ml/petal/internal/serving"
)

// samples are the examples of the documentation. They fit the model that
// serves, so that "Try it out" is answered.
type samples struct {
	model *serving.Live // nil while there is none
	enc   *encoder
}

// names are those of the columns of row.
func (s *samples) names() []string {
	if s.model == nil {
		return []string{"sepal_length", "sepal_width", "petal_length", "petal_width"}
	}
	var names []string
	for _, f := range s.model.Info().Features {
		names = append(names, f.Name)
	}
	return names
}

// row is a row to try: the first whole one of the model's own examples, else
// zeros and empty texts.
func (s *samples) row() []any {
	if s.model == nil {
		return []any{5.1, 3.5, 1.4, 0.2}
	}
	info := s.model.Info()
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

func (s *samples) predictRequest() any {
	if s.model != nil && s.model.IsTyped() {
		named := map[string]any{}
		for i, v := range s.row() {
			named[s.names()[i]] = v
		}
		return map[string]any{"features": named}
	}
	return map[string]any{"features": s.row()}
}

// predictAnswer shows the form of an answer, with made-up probabilities.
func (s *samples) predictAnswer() any {
	if s.model == nil {
		return nil
	}
	scores := make([]float32, s.model.NumScores())
	scores[0] = 1
	body := s.enc.appendPrediction([]byte{'{'}, 0, scores)
	return json.RawMessage(append(append(body, s.enc.model...), '}'))
}
