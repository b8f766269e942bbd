package training

import (
	"errors"

	"github.com/petal-ml/petal/internal/dataset"
	"github.com/petal-ml/petal/internal/dvc"
	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/modelselection"
	"github.com/petal-ml/petal/internal/promotion"
)

// An InputError is one fault of what the user gave, on one line: of parameters
// and data here, of versions in package promotion.
type InputError = promotion.InputError

// IsInput tells whether an error of this package comes from bad input: data,
// pointers or parameters that the user has to mend. A repetition would fail
// again.
func IsInput(err error) bool {
	var (
		input  *InputError
		data   *dataset.Error
		pulled *dvc.Error
	)
	if errors.As(err, &input) || errors.As(err, &data) || errors.As(err, &pulled) {
		return true
	}
	for _, kind := range []error{dvc.ErrPointer, modelselection.ErrSplit, learn.ErrParameter, learn.ErrValue} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}
