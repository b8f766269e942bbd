package training

import (
	"errors"

	"github.com/petal-ml/petal/internal/dataset"
	"github.com/petal-ml/petal/internal/dvc"
	"github.com/petal-ml/petal/internal/learn"
	"github.com/petal-ml/petal/internal/learn/modelselection"
)

// An InputError is one fault of what the user gave, on one line.
type InputError struct {
	Where   string // such as "params.yaml: test_size"
	Problem string
	Remedy  string
	Err     error // the cause, where there is one
}

// Error is "where: problem; remedy".
func (e *InputError) Error() string { return e.Where + ": " + e.Problem + "; " + e.Remedy }

// Unwrap returns the cause.
func (e *InputError) Unwrap() error { return e.Err }

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
