package promotion

import (
	"errors"
	"fmt"
)

// An InputError is one fault of what the user gave, on one line.
type InputError struct {
	Where   string // such as "version 7" or "params.yaml: test_size"
	Problem string
	Remedy  string
	Err     error // the cause, where there is one
}

// Error is "where: problem; remedy".
func (e *InputError) Error() string { return e.Where + ": " + e.Problem + "; " + e.Remedy }

// Unwrap returns the cause.
func (e *InputError) Unwrap() error { return e.Err }

// ErrIncomparable means that a model cannot be compared on the rows of a
// hold-out. A fault of the registry is another error.
var ErrIncomparable = errors.New("cannot be compared")

func incomparable(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrIncomparable, fmt.Errorf(format, args...))
}
